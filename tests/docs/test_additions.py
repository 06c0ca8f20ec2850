"""Each "How to add" of CONTRIBUTING.md, done word for word in a copy of the package, which is then used."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import textgrid
from made_up import tones
from places import TOP

PAGE = (TOP / "CONTRIBUTING.md").read_text("utf-8").partition("\n## How to add\n")[2]
SECTIONS = dict(re.findall(r"^### An? (.+?)\n(.*?)(?=^### |^## |\Z)", PAGE, re.M | re.S))


def files_of(text: str) -> dict[str, str]:
    """Return what a section says of each file: the whole of a new one, or a diff."""
    files = {}
    for language, block in re.findall(r"^```(\w+)\n(.*?)^```", text, re.M | re.S):
        first, _, rest = block.partition("\n")
        name = re.fullmatch(r"(?:# |--- )(\S+/\S+)", first)
        if name:
            assert name[1] not in files, f"{name[1]} twice"
            files[name[1]] = block if language == "diff" else rest
    return files


def changed(source: str, diff: str) -> str:
    """Apply a diff: each part must be found once, and `...` is the rest of a line."""
    for part in re.split(r"^@@\n", diff.partition("\n")[2], flags=re.M):
        lines = [(line[:1], line[1:]) for line in part.splitlines()]
        old = r"\n".join(re.escape(text).replace(r"\.\.\.", "(.*)") for mark, text in lines if mark != "+")
        rests = re.findall(f"^{old}$", source, re.M)
        assert len(rests) == 1, f"found {len(rests)} times:\n{part}"
        new = "\n".join(text for mark, text in lines if mark != "-")
        source = re.sub(
            f"^{old}$", lambda found, new=new: new.replace("...", found[1]) if "..." in new else new, source, flags=re.M
        )
    return source


def do_(text: str, top: Path) -> list[str]:
    """Do what a section says below `top`; return the files."""
    files = files_of(text)
    for name, content in files.items():
        path = top / name
        if content.startswith("--- "):
            path.write_text(changed(path.read_text("utf-8"), content), "utf-8")
        else:
            assert not path.exists(), f"{name} is there already"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, "utf-8")
    return sorted(files)


@pytest.fixture(scope="module")
def top(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the package with all additions."""
    top = tmp_path_factory.mktemp("additions")
    shutil.copytree(TOP / "unitdisc", top / "unitdisc", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(TOP / "egs" / "mini" / "conf", top / "egs" / "mini" / "conf")
    for text in SECTIONS.values():
        do_(text, top)
    return top


def run(top: Path, *command: str) -> str:
    """Run a command with the copy of the package; return what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(top), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=top, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_there_is_a_page_for_each_kind_and_none_names_more_than_three_files():
    assert set(SECTIONS) == {
        "quantiser",
        "encoder",
        "decoder",
        "loss",
        "feature",
        "score",
        "corpus",
        "section of the report",
    }
    for title, text in SECTIONS.items():
        assert 2 <= len(files_of(text)) <= 3, title


def test_a_diff_that_no_longer_fits_is_noticed():
    assert changed("a = 1 | 2\nb\n", "--- x/y\n-a = ...\n+a = 0 | ...\n@@\n+c\n b\n") == "a = 0 | 1 | 2\nc\nb\n"
    with pytest.raises(AssertionError, match="found 0 times"):
        changed("b\n", "--- x/y\n-a = ...\n+a = 0\n")


CODE = """
import json
from pathlib import Path
import numpy as np, soundfile, unitdisc
from unitdisc.data.units import read_units
from unitdisc.encode import encode
from unitdisc.evaluate.definitions import define
from unitdisc.evaluate.suite import Sides, SuiteOptions, score_all
from unitdisc.report.html import write_report

waves = {path.stem: soundfile.read(path, dtype="float32")[0] for path in sorted(Path("wav").glob("*.wav"))}
config = {
    "model": {
        "features": {"kind": "loudness"},
        "encoder": {"kind": "average", "channels": 8},
        "quantizer": {"kind": "sign", "bits": 3},
        "decoder": {"kind": "linear"},
        "weights": {"smooth": 0.1},
    },
    "train": {"steps": 4, "batch": 2, "chunk": 20, "save_every": 4, "validate_every": 4, "log_every": 2},
}
model = unitdisc.train_model(config, waves, 16000, {utt: utt[0] for utt in waves}, "exp")
units = model.units(waves["a-0"], 16000)
encode("exp", "exp/waves/train", "exp/units/test")
phones = "".join(f"{utt} 1 {n / 10:.1f} 0.1 {'AB'[n % 2]}\\n" for utt in sorted(waves) for n in range(6))
Path("exp/waves/train/phones.ctm").write_text(phones)
sides = Sides(Path("exp/units/test"), Path("exp/waves/train/phones.ctm"))
scores = {score.definition: score for score in score_all(sides, SuiteOptions(resamples=10))}
lines = list(read_units("exp/units/test"))
lasting = [np.diff(np.flatnonzero(np.diff(line.frames, prepend=-1, append=-1))) for line in lines]
write_report(["exp"], "report.html")
said = model.speak(units, speaker="a")
rows = [json.loads(line) for line in Path("exp/metrics.jsonl").read_text().splitlines()]
print(json.dumps({
    "codes": model.codes,
    "units": sorted(set(units.tolist())),
    "seconds": [len(units) * model.period, len(said) / model.rate, len(waves["a-0"]) / 16000],
    "smooth": [row["smooth"] for row in rows if "smooth" in row],
    "duration": [scores["unit-duration"].value, model.period * float(np.concatenate(lasting).mean())],
    "title": define("unit-duration").title,
    "pairs": "Pairs of units" in Path("report.html").read_text("utf-8"),
    "loudness": model.network.frames_of(waves["a-0"], 16000).shape,
}))
"""


def test_a_model_of_what_was_added_trains_speaks_is_scored_and_reported(top: Path):
    random = np.random.default_rng(0)
    (top / "wav").mkdir()
    for name in ("a-0", "a-1", "b-0", "b-1"):
        soundfile.write(top / "wav" / f"{name}.wav", tones(random, 200.0, 6)[0], 16000)
    (top / "use.py").write_text(CODE)
    told = json.loads(run(top, sys.executable, "use.py"))
    assert told["codes"] == 8
    assert set(told["units"]) <= set(range(8))
    np.testing.assert_allclose(told["seconds"], told["seconds"][0], atol=0.03)
    assert len(told["smooth"]) >= 2
    assert all(value >= 0 for value in told["smooth"])
    assert told["loudness"] == [60, 1]
    assert told["duration"][0] == pytest.approx(told["duration"][1])
    assert told["title"] == "mean duration of a unit"
    assert told["pairs"]


@pytest.mark.slow
def test_a_corpus_becomes_units_scores_and_a_report(top: Path, tmp_path: Path):
    random = np.random.default_rng(1)
    for speaker in ("anna", "ben", "carla", "dora"):
        (tmp_path / speaker).mkdir()
        for number in range(3):
            wave, phones = tones(random, 200.0, 8)
            soundfile.write(tmp_path / speaker / f"{number}.wav", wave, 16000)
            grid = textgrid.TextGrid(maxTime=0.8)
            tier = textgrid.IntervalTier("phones", 0, 0.8)
            for place, phone in enumerate(phones):
                tier.add(round(place / 10, 1), round((place + 1) / 10, 1), phone)
            grid.append(tier)
            grid.write(str(tmp_path / speaker / f"{number}.TextGrid"))
    folder = top / "egs" / "village"
    short = "{batch: 2, steps: 10, chunk: 40, save_every: 10, validate_every: 10, schedule: {at: [8]}}"
    config = (folder / "conf" / "base.yaml").read_text()
    small = "encoder: {channels: 8}, quantizer: {codes: 8, schedule: {warm_up: 2, every: 2, until: 6}}"
    tiny = re.sub(r"train: .*", f"train: {short}\nmodel: {{{small}}}", config)
    (folder / "conf" / "base.yaml").write_text(tiny)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    said = run(top, "env", f"PATH={path}", "bash", str(folder / "run.sh"), str(tmp_path))
    assert "3 recordings, 3 of them with phones" in said
    assert "pnmi" in said
    assert (folder / "exp" / "base-0" / "report.html").exists()


def test_what_was_added_passes_the_checks_of_the_house(top: Path):
    files = {name: text for section in SECTIONS.values() for name, text in files_of(section).items()}
    shutil.copy(TOP / "pyproject.toml", top)
    python = [name for name in files if name.endswith(".py")]
    run(top, "ruff", "format", "--check", *(name for name in python if not files[name].startswith("--- ")))
    run(top, "ruff", "format", *python)  # a list may be too long for its line
    run(top, "ruff", "check", "--fix", *python)  # and an import out of order
