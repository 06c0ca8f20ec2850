"""The site: each page has its place in it, no link is dead, nothing is asked of the network."""

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import soundfile
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


def build_few(top: Path, pages: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    """Build a site of a few pages in an empty folder, with our hooks."""
    pytest.importorskip("material")
    for name, text in pages.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text, "utf-8")
    (top / "tools").mkdir()
    for hook in ("site.py", "gallery.py"):
        shutil.copy(TOP / "tools" / hook, top / "tools")
    config = (TOP / "mkdocs.yml").read_text("utf-8").partition("\nnav:")[0]
    config = re.sub(r"\n  - mkdocstrings:\n(?:    .*\n)+", "\n", config)
    (top / "mkdocs.yml").write_text(f"{config}\nnav: {json.dumps(list(pages))}\n")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict"]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=top, env=environment, capture_output=True, text=True, timeout=100)


def test_a_dead_link_is_an_error(tmp_path: Path):
    done = build_few(tmp_path, {"docs/a.md": "# A\n\n[nowhere](b.md)\n"})
    assert done.returncode != 0  # with --quiet mkdocs counts no warnings, and it would be 0
    assert "b.md" in done.stdout + done.stderr


def test_the_tutorial_is_a_page(site: Path):
    text = (site / "docs" / "tutorial.html").read_text("utf-8")
    assert "train_model" in text
    assert 'href="getting_started.html"' in text


GALLERY = {
    "docs/gallery.md": (TOP / "docs" / "gallery.md").read_text("utf-8"),
    "docs/conversion.md": "# Conversion\n",
    "egs/mini/README.md": "# mini\n",
}
SOURCES = ["s0-u0", "s0-u2", "s0-u4", "s1-u1", "s1-u3", "s1-u5"]


def put_run(exp: Path) -> None:
    """Write what stage 6 of the mini recipe leaves: conversions into two voices, resyntheses, and their sources."""
    for part, targets in (("converted", ("anna", "ben")), ("resynthesised", ("same", "anna"))):
        put_data(exp / "to-convert" / part, utts=6)
        rows = []
        for seed, (source, target) in enumerate(itertools.product(SOURCES, targets)):
            put_audio(exp / part / target / f"{source}.wav", seed=100 + seed)
            row = {"utt": f"{target}-{source}", "source": source, "speaker": source[:2], "target": target}
            rows.append({**row, "path": f"{target}/{source}.wav"})
        (exp / part / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_the_gallery_plays_recordings_conversions_and_resyntheses(tmp_path: Path):
    exp = tmp_path / "egs/mini/exp/base-0"
    put_run(exp)
    done = build_few(tmp_path, GALLERY)
    assert done.returncode == 0, done.stdout + done.stderr
    page, folder = tmp_path / "site/docs/gallery.html", tmp_path / "site/docs"
    text = page.read_text("utf-8")
    played = re.findall(r'<audio controls[^>]* src="(sounds/.+?)"', text)
    assert {name for name in played if "-s" not in name} == {f"sounds/{source}.wav" for source in SOURCES[:4]}
    voices = {"anna", "ben", "same"}
    expected = {f"sounds/{voice}-{source}.wav" for voice in voices for source in SOURCES[:4]}
    assert {name for name in played if "-s" in name} == expected
    for name in played:
        assert (folder / name).is_file(), name
    made = exp / "converted/ben/s0-u2.wav"
    assert (folder / "sounds/ben-s0-u2.wav").read_bytes() == made.read_bytes()
    recording, _ = soundfile.read(exp / "to-convert/converted/wav/s0-u2.wav", dtype="int16")
    assert (soundfile.read(folder / "sounds/s0-u2.wav", dtype="int16")[0] == recording).all()
    assert text.count("WORDS OF s0-u2") == 2  # once in each part
    assert "no sounds here" not in text


def test_the_gallery_says_that_the_recipe_was_not_run(tmp_path: Path):
    done = build_few(tmp_path, GALLERY)
    assert done.returncode == 0, done.stdout + done.stderr
    text = (tmp_path / "site/docs/gallery.html").read_text("utf-8")
    assert "<audio" not in text
    assert "make demo" in text


def test_a_gallery_without_the_recordings_is_an_error_in_one_line(tmp_path: Path):
    put_run(tmp_path / "egs/mini/exp/base-0")
    shutil.rmtree(tmp_path / "egs/mini/exp/base-0/to-convert/converted/wav")
    done = build_few(tmp_path, GALLERY)
    assert done.returncode != 0
    assert "gallery.md: " in done.stderr
    assert "Traceback" not in done.stderr
