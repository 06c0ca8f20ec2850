"""The pages for those who begin: their commands run as written, and what they say of numbers and settings is so."""

import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from made_up import tones
from places import TOP

from unitdisc import config as configs
from unitdisc.networks.encoders.configs import ConvEncoderConfig
from unitdisc.train_config import Config

SHORTER = {  # of egs/librispeech/conf, which those of egs/own include
    "small.yaml": {"steps: 4800": "steps: 20", "batch: 16": "batch: 4"},
    "voices.yaml": {"steps: 1500": "steps: 20"},
}


def blocks(name: str, language: str) -> list[str]:
    """Return the fenced blocks of a page."""
    return re.findall(rf"^```{language}\n(.*?)^```", (TOP / "docs" / name).read_text("utf-8"), re.M | re.S)


def changes_of(name: str) -> list[tuple[str, list[str]]]:
    """Return the configuration of each command of a page that has --set, and what it gives to it."""
    form = r'(?:--config conf/(\w+)\.yaml .*?)?--set "(.*?)"'
    found = [match for block in blocks(name, "bash") for match in re.findall(form, block)]
    return [(config or "base", changes.split()) for config, changes in found]


@pytest.mark.parametrize("name", ["getting_started.md", "choosing.md"])
def test_changes_that_pages_make_are_possible(name: str):
    assert changes_of(name)
    for base, changes in changes_of(name):
        path = TOP / "egs" / "own" / "conf" / f"{base}.yaml"
        config = configs.load(path, Config, changes)
        assert config != configs.load(path, Config)
        if hasattr(config.model.quantizer, "schedule"):
            assert config.model.quantizer.schedule.warm_up < config.train.steps


def test_nominal_bitrates_are_rate_times_bits():
    text = (TOP / "docs" / "choosing.md").read_text("utf-8")
    rows = re.findall(r"^\| (\d+) \| (\d+) \| (\d+)[^|]*\| (\d+) \| (\d+) \| (\d+) \|$", text, re.M)
    assert len(rows) == 5
    for codes, bits, *rates in rows:
        assert math.log2(int(codes)) == int(bits)
        assert [int(rate) for rate in rates] == [round(hz * int(bits)) for hz in (100, 50, 100 / 3, 25)]


def test_measured_figures_stand_in_their_sources():
    """A figure that was measured anew in a RESULTS.md must be taken over into docs/choosing.md, too."""
    sources = [
        *TOP.glob("docs/log.md"),
        *TOP.glob("docs/results_*.md"),
        *TOP.glob("egs/*/RESULTS.md"),
        TOP / "egs/mini/README.md",
    ]
    known = set(re.findall(r"\d[\d,]*\.?\d*", " ".join(path.read_text("utf-8") for path in sources)))
    text = (TOP / "docs" / "choosing.md").read_text("utf-8")
    settings = {
        "33.3",
        "0.5",
        "3.4",
        "0.6",
        "0.9",
        "0.1",
        "1.0",
    }  # a rate, a default; ratios and differences of figures
    rounded = {"0.28": "0.2805", "0.49": "0.4926"}
    for figure in set(re.findall(r"\d[\d,]*\.\d+", text)) - settings:
        assert rounded.get(figure, figure) in known, (
            f"{figure}: not in any of {[str(p.relative_to(TOP)) for p in sources]}"
        )


def paths(tree: dict, above: str = "") -> Iterator[str]:
    for key, value in tree.items():
        yield f"{above}{key}"
        if isinstance(value, dict):
            yield from paths(value, f"{above}{key}.")


def test_settings_that_pages_name_exist_and_have_these_defaults():
    small = configs.load(TOP / "egs/librispeech/conf/small.yaml", Config)  # its encoder is of another kind
    known = {name for config in (Config(), small) for name in paths(configs.to_tree(config))}
    for name in ("choosing.md", "report.md", "faq.md"):
        text = (TOP / "docs" / name).read_text("utf-8")
        for path in re.findall(r"`((?:model|train)\.[a-z_.]+)`", text):
            assert path in known, f"docs/{name}: {path}"
    assert Config().model.decoder.dropout == 0.5
    assert Config().model.conditioning.speaker == "table"
    assert ConvEncoderConfig().strides == (2,)


@pytest.mark.slow
def test_the_way_from_recordings_to_another_voice_runs_as_written(tmp_path: Path):
    top = tmp_path / "clone"
    ignored = shutil.ignore_patterns("corpus", "data", "exp", ".stages", "__pycache__")
    shutil.copytree(TOP / "egs", top / "egs", ignore=ignored)
    for name, changes in SHORTER.items():
        path = top / "egs" / "librispeech" / "conf" / name
        text = path.read_text("utf-8")
        for long, short in changes.items():
            assert text.count(long) == 1
            text = text.replace(long, short)
        path.write_text(text, "utf-8")
    (top / ".venv" / "bin").mkdir(parents=True)
    (top / ".venv" / "bin" / "activate").touch()  # the tests have their own
    random = np.random.default_rng(0)
    for number in range(24):
        for folder in (
            tmp_path / "recordings" / ("anna", "ben")[number % 2],
            *[tmp_path / "new" / "carla"] * (number < 2),
        ):
            folder.mkdir(parents=True, exist_ok=True)
            soundfile.write(folder / f"{number // 2 + 1:02d}.wav", tones(random, 200.0, 8)[0], 22050)
    demo, *steps = blocks("getting_started.md", "bash")
    assert demo == "make demo\n"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "HOME": str(tmp_path), "PATH": path, "OMP_NUM_THREADS": "1"}

    def run(*command: str, folder: Path) -> None:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stdout[-1500:]}\n{done.stderr[-2500:]}"

    run("bash", "-euo", "pipefail", "-c", "".join(steps), folder=top)
    own = top / "egs" / "own"
    (python,) = blocks("getting_started.md", "python")
    run(sys.executable, "-c", python, folder=own)
    for name in ("exp/said/ben/01.wav", "exp/base-0/longer.jsonl", "exp/base-0/units/new/units.jsonl", "exp/k64.html"):
        assert (own / name).exists(), name
    assert yaml.safe_load((own / "exp/k64-0/config.yaml").read_text())["model"]["quantizer"]["codes"] == 64
