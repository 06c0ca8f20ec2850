"""The site: each page has its place in it, no link is dead, nothing is asked of the network."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from made_data import put_audio, put_data
from places import TOP

NAV = re.findall(r"^ +- (?:[^:]+: )?(\S+\.md)(?:  #.*)?$", (TOP / "mkdocs.yml").read_text("utf-8"), re.M)


def test_each_page_has_one_place():
    pages = {
        str(path.relative_to(TOP))
        for pattern in ("*.md", "docs/*.md", "egs/*/README.md", "egs/*/RESULTS.md")
        for path in TOP.glob(pattern)
    }
    assert sorted(NAV) == sorted(set(NAV))
    assert pages - set(NAV) == set(), "add these to nav of mkdocs.yml"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the built site."""
    pytest.importorskip("material")
    site = tmp_path_factory.mktemp("site") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=TOP, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    return site


def test_no_page_asks_the_network_for_anything(site: Path):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) >= len(NAV)
    for page in pages:
        text = page.read_text("utf-8")
        asked = re.findall(r"<(?:script|img|audio|iframe|source)\b[^>]*\bsrc=\"(https?:[^\"]*)", text)
        asked += re.findall(r"<link\b[^>]*rel=\"(?:stylesheet|preload|preconnect)\"[^>]*href=\"(https?:[^\"]*)", text)
        assert not asked, page


def test_the_reference_is_made_of_docstrings(site: Path):
    text = (site / "docs" / "api.html").read_text("utf-8")
    for name in ("load_model", "train_model", "Model.units", "abx", "speaker_leak"):
        assert f'id="unitdisc.api.{name}"' in text, name
    assert ":::" not in text


def test_a_dead_link_is_an_error(tmp_path: Path):
    pytest.importorskip("material")
    (tmp_path / "docs").mkdir()
    (tmp_path / "tools").mkdir()
    (tmp_path / "docs" / "a.md").write_text("# A\n\n[nowhere](b.md)\n")
    for hook in ("site.py", "gallery.py"):
        shutil.copy(TOP / "tools" / hook, tmp_path / "tools")
    config = (TOP / "mkdocs.yml").read_text("utf-8").partition("\nnav:")[0]
    config = re.sub(r"\n  - mkdocstrings:\n(?:    .*\n)+", "\n", config)
    (tmp_path / "mkdocs.yml").write_text(config + "\nnav: [docs/a.md]\n")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert done.returncode != 0  # with --quiet mkdocs counts no warnings, and it would be 0
    assert "b.md" in done.stdout + done.stderr


def test_the_tutorial_is_a_page(site: Path):
    text = (site / "docs" / "tutorial.html").read_text("utf-8")
    assert "train_model" in text
    assert 'href="getting_started.html"' in text


def test_the_gallery_has_a_player_for_each_sound(tmp_path: Path):
    pytest.importorskip("material")
    spec = importlib.util.spec_from_file_location("gallery", TOP / "tools" / "gallery.py")
    assert spec is not None
    assert spec.loader is not None
    gallery = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(gallery)
    data = put_data(tmp_path / "data", utts=3)
    rows = []
    for source in ("s0-u0", "s1-u1"):
        for target in ("anna", "ben"):
            put_audio(tmp_path / "converted" / target / f"{source}.wav")
            row = {"utt": f"{target}-{source}", "source": source, "speaker": source[:2], "target": target}
            rows.append({**row, "path": f"{target}/{source}.wav"})
    assert gallery.table(gallery.conversions(tmp_path / "converted")) == gallery.NOTHING
    (tmp_path / "converted" / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = gallery.conversions(tmp_path / "converted")
    names = set(gallery.sounds(found, tmp_path / "converted", data))
    assert names == {row["utt"] for row in rows} | {"s0-u0", "s1-u1"}
    played = re.findall(r'src="sounds/(.+?)\.ogg"', gallery.table(found))
    assert sorted(played) == sorted(names)
