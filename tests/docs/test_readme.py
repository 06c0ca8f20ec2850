"""The README's code blocks run as they stand; only the demo is left to its own run, and trainings are cut short."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from made_up import tones
from places import TOP


def blocks(name: str) -> list[tuple[str, str]]:
    """Return (language, code) of the fenced blocks of a page."""
    return re.findall(r"^```(\w+)\n(.*?)^```", (TOP / name).read_text("utf-8"), re.M | re.S)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a home with a folder of recordings, two speakers."""
    home = tmp_path_factory.mktemp("home")
    random = np.random.default_rng(0)
    for number in range(24):
        folder = home / "recordings" / ("anna", "ben")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / f"{number:02d}.wav", tones(random, 200.0, 8)[0], 22050)
    soundfile.write(home / "speech.wav", tones(random, 200.0, 8)[0], 16000)
    return home


def run(command: list[str], home: Path, folder: Path) -> str:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "HOME": str(home), "PATH": path, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, f"{command}\n{done.stdout[-1500:]}\n{done.stderr[-2500:]}"
    return done.stdout


def test_the_commands_of_make_are_targets_of_the_makefile():
    (code,) = [code for language, code in blocks("README.md") if language == "bash" and code.startswith("make ")]
    targets = [line.split()[1] for line in code.splitlines()]
    assert targets == ["demo", "test"]
    for target in targets:
        assert re.search(rf"^{target}:", (TOP / "Makefile").read_text(), re.M)


@pytest.fixture(scope="module")
def trained(home: Path) -> str:
    """Do the steps from recordings to units as written, with a short training; return what they print."""
    code = dict(reversed(blocks("README.md")))
    short = "model:\n  encoder: {channels: 16}\n  decoder: {wavenet: {residual: 8, gate: 16, skip: 8}}"
    yaml = code["yaml"].replace("model:", short).replace("until: 1200", "warm_up: 5, until: 6")
    (home / "my.yaml").write_text(yaml.replace("steps: 2000", "steps: 10, batch: 4"))
    steps = next(block for language, block in blocks("README.md") if "unitdisc import" in block)
    return run(["bash", "-euo", "pipefail", "-c", steps], home, home)


def test_the_steps_from_recordings_to_units_run_as_written(home: Path, trained: str):
    assert "24" in trained
    assert (home / "exp" / "mine" / "units" / "units.jsonl").exists()


def test_python_blocks_run(home: Path, trained: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(home)
    python = [block for language, block in blocks("README.md") if language == "python"]
    assert len(python) == 2
    for block in python:  # not as processes: each would import torch
        exec(compile(block, "README.md", "exec"), {})


def test_links_lead_somewhere():
    for page in [TOP / "README.md", *sorted((TOP / "docs").glob("*.md")), *sorted(TOP.glob("egs/*/README.md"))]:
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8")):
            assert (page.parent / link).exists(), f"{page}: {link}"
