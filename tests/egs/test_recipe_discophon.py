"""The recipe of DiscoPhon on a made-up tree of the benchmark's shape: tones in place of German and Wolof."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from recipe_files import EGS, STUB, copy_of_recipes, program, run_recipe
from test_recipes_speech import module, say, script, small

from unitdisc import config as configs
from unitdisc.data.alignment import frame_labels, read_alignment
from unitdisc.data.kaldi import DataDir
from unitdisc.data.units import UnitHeader, UnitLine, read_units, write_units
from unitdisc.evaluate.discophon import discophon_scores
from unitdisc.evaluate.items import make_items, read_items, write_items
from unitdisc.evaluate.scores import Score, write_scores
from unitdisc.train_config import Config

RECIPE = EGS / "discophon"
LANGUAGES = {line.split()[0]: int(line.split()[1]) for line in (RECIPE / "local/languages.txt").open()}
SPLITS = ("dev", "test", "train-10h", "train-1h", "train-10min")
CODES = 12

# What the benchmark's own package says of the tree, of a submission, and of the entry on the leaderboard.
PEER = """
import json, sys
from pathlib import Path
from discophon.benchmark import benchmark_discovery
from discophon.leaderboard import export
corpus, submission, kind = sys.argv[1:]
track = kind.replace("-", "_")
rows = benchmark_discovery(corpus, f"{submission}/ft-deu-10h/{track}/0", kind=kind).to_dicts()
print(json.dumps([rows, export(submission)[track].to_dicts()]))
"""
NAMES = """
import json
from discophon.languages import all_languages
print(json.dumps({x.iso_639_3: [x.n_phonemes, x.split, x.name] for x in all_languages()}))
"""


def put_corpus(root: Path, *languages: str) -> Path:
    """Two speakers for each split of the languages; of the others what is there is empty."""
    for folder in ("alignment", "item", "manifest"):
        (root / folder).mkdir(parents=True)
    genders = []
    for language in LANGUAGES:
        (root / "audio" / language / "all").mkdir(parents=True)
        for number, split in enumerate(SPLITS):
            audio = root / "audio" / language / split
            audio.mkdir()
            with (root / f"manifest/manifest-{language}-{split}.csv").open("w", newline="") as file:
                rows = csv.writer(file)
                rows.writerow(["fileid", "speaker", "num_samples"])
                speakers = [f"{split}-{sex}" for sex in "FM"] if language in languages else []
                said: dict[str, list[str]] = {}
                for speaker in speakers:
                    genders.append({"language": language, "speaker": speaker, "gender": speaker[-1], "split": [split]})
                    for n in range(3):
                        utt = f"{speaker[-1]}{number}_{n}"
                        wav = root / "audio" / language / "all" / f"{utt}.wav"
                        said[utt] = say(wav, 10 * number + n, 150.0 + 60 * (speaker[-1] == "F"))
                        (audio / f"{utt}.wav").symlink_to(Path("..") / "all" / wav.name)
                        rows.writerow([utt, speaker, 16 * 1600])
            if split in ("dev", "test"):
                put_labels(root, f"{language}-{split}", said)
    (root / "manifest/speakers.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in genders))
    return root


def put_labels(root: Path, name: str, said: dict[str, list[str]]) -> None:
    """Write phones of 0.1 s, the first and the last of which are silence, and items of ABX."""
    alignment = root / "alignment" / f"alignment-{name}.txt"
    rows = ["#file onset offset #phone\n"]
    for utt, phones in said.items():
        names = ["SIL", *phones[1:-1], "SIL"]
        rows += [f"{utt} {i / 10:.2f} {(i + 1) / 10:.2f} {phone}\n" for i, phone in enumerate(names)]
    alignment.write_text("".join(rows))
    for kind, unit in (("triphone", "triphone"), ("phoneme", "phone")):
        path = root / "item" / f"{kind}-{name}.item"
        path.touch()
        if said:
            write_items(path, make_items(read_alignment(alignment), {utt: utt[:2] for utt in said}, unit))


def prepared(tmp_path: Path, *splits: str) -> tuple[Path, Path]:
    """Make data directories of German; return the corpus and where they are."""
    corpus, data = put_corpus(tmp_path / "corpus", "deu"), tmp_path / "data"
    for split in splits:
        got = script(RECIPE / "local/prepare.py", corpus, data / "deu" / split)
        assert got.returncode == 0, got.stderr
    return corpus, data


def on_the_grid(alignment: Path) -> dict[str, list[str]]:
    """Return the phone of each 10 ms."""
    return {utt: frame_labels(rows, 160, 0.01) for utt, rows in read_alignment(alignment).items()}


def test_a_split_becomes_a_data_directory_with_what_it_is_scored_by(tmp_path: Path):
    corpus, folder = prepared(tmp_path, "train-10min", "test")
    train, test = (DataDir.read(folder / "deu" / split) for split in ("train-10min", "test"))
    assert train.utts == ["F4_0", "F4_1", "F4_2", "M4_0", "M4_1", "M4_2"]
    assert (train.utt2spk["M4_1"], train.spk2gender) == ("train-10min-M", {"train-10min-F": "f", "train-10min-M": "m"})
    assert train.source("M4_1").file() == corpus / "audio/deu/train-10min/M4_1.wav"
    assert not (train.path / "phones.ctm").exists()
    assert (test.path / "alignment.txt").read_text() == (corpus / "alignment/alignment-deu-test.txt").read_text()
    assert on_the_grid(test.path / "phones.ctm") == on_the_grid(test.path / "alignment.txt")
    assert set(read_items(test.path / "triphone.item").files) <= set(test.utts)


def spoil(corpus: Path, what: str) -> None:
    """Take something away from a tree, or change it."""
    if what == "audio":
        (corpus / "audio/deu/all/M1_1.wav").unlink()
    elif what == "manifest":
        (corpus / "manifest/manifest-deu-test.csv").write_text("file,speaker\na,b\n")
    elif what == "speaker":
        (corpus / "manifest/manifest-deu-test.csv").write_text("fileid,num_samples\nM1_1,16000\n")
    elif what == "alignment":
        path = corpus / "alignment/alignment-deu-test.txt"
        path.write_text("".join(line for line in path.open() if not line.startswith("M1_1")))
    else:
        (corpus / what).unlink()


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("audio", "audio/deu/test: 1 of the 6 recordings of the manifest are missing, M1_1.wav first; `python -m"),
        ("manifest", "manifest-deu-test.csv: expected a manifest of DiscoPhon, with columns fileid and speaker"),
        ("speaker", "with columns fileid and speaker, got what cannot be read as one: no 'speaker'"),
        ("manifest/manifest-deu-test.csv", "no such file; `python -m discophon.prepare download` fetches it"),
        ("alignment", "expected the recordings of the manifest; 'M1_1' is in one of both only"),
        ("item/triphone-deu-test.item", "triphone-deu-test.item: no such file"),
    ],
)
def test_a_tree_that_is_not_whole_is_refused_in_one_line(what: str, message: str, tmp_path: Path):
    corpus, data = prepared(tmp_path)
    spoil(corpus, what)
    got = script(RECIPE / "local/prepare.py", corpus, data / "deu" / "test")
    assert got.returncode == 1
    assert message in got.stderr
    assert len(got.stderr.splitlines()) == 1


def test_a_folder_of_another_name_is_refused(tmp_path: Path):
    got = script(RECIPE / "local/prepare.py", put_corpus(tmp_path / "corpus"), tmp_path / "data/german/test")
    assert "data/german/test: expected a folder deu|swa|" in got.stderr


# The submission.


def put_run(exp: Path, data: Path, mapping: str = "many-to-one", codes: int = CODES) -> None:
    """Write units that know a part of the phones, and their scores, as the stages before leave them."""
    random = np.random.default_rng(0)
    for split in ("dev", "test"):
        alignment, units = data / "deu" / split / "alignment.txt", exp / "deu/units" / split / "units.jsonl"
        lines = []
        for utt, intervals in read_alignment(alignment).items():
            names = ["SIL", "A", "B", "C", "D"]
            phones = np.repeat([names.index(interval.label) for interval in intervals], 5)
            lines.append(
                UnitLine.of_frames(utt, np.where(random.random(80) < 0.7, phones, random.integers(0, codes, 80)))
            )
        units.parent.mkdir(parents=True)
        write_units(units, UnitHeader(0.02, (codes,)), lines)
        scores = exp / "deu/scores"
        write_scores(
            scores / f"discophon-{split}.json", discophon_scores(units, alignment, resamples=0, mapping=mapping)
        )
        for speaker, value in (("within", 0.1), ("across", 0.2)):
            abx = Score("abx", value, f"abx-triphone-{speaker}-within-angular")
            write_scores(scores / f"abx-{speaker}-{split}.json", [abx])


def submitted(tmp_path: Path, *options: str, out: str = "a-system") -> tuple[Path, str]:
    """Write the submission of the run; return its folder and what was said, or the error."""
    words = [tmp_path / "exp", tmp_path / "data", tmp_path / out, "--languages", "deu", *options]
    got = script(RECIPE / "local/submission.py", *words)
    return tmp_path / out, got.stderr or got.stdout


def lines_of(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def files_of(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_the_submission_has_the_layout_and_the_fields_that_the_benchmark_reads(tmp_path: Path):
    corpus, data = prepared(tmp_path, "dev", "test")
    put_run(tmp_path / "exp", data)
    out, said = submitted(tmp_path)
    assert "no swa tam tha tur ukr cmn eng eus fra jpn wol" in said
    assert files_of(out) == [
        "ft-deu-10h/continuous/0/scores.jsonl",
        "ft-deu-10h/many_to_one/0/scores.jsonl",
        "ft-deu-10h/many_to_one/0/units-deu-dev.jsonl",
        "ft-deu-10h/many_to_one/0/units-deu-test.jsonl",
        "info.json",
    ]
    assert json.loads((out / "info.json").read_text()) == {"step_units": 20, "layers": {"many_to_one": {"10h": 0}}}
    phones = read_alignment(corpus / "alignment/alignment-deu-test.txt")
    units = {row["file"]: row["units"] for row in lines_of(out / "ft-deu-10h/many_to_one/0/units-deu-test.jsonl")}
    assert set(units) == set(phones)
    assert all(len(units[utt]) * 2 == round(100 * phones[utt][-1].end) for utt in units)  # 20 ms and 10 ms
    assert all(type(unit) is int and 0 <= unit < 256 for row in units.values() for unit in row)
    scores = lines_of(out / "ft-deu-10h/many_to_one/0/scores.jsonl")
    assert {(row["split"], row["metric"]) for row in scores} == {
        (split, metric) for split in ("dev", "test") for metric in ("pnmi", "per", "f1", "r_val")
    }  # fmt: skip
    assert lines_of(out / "ft-deu-10h/continuous/0/scores.jsonl")[-1] == {
        "language": "deu", "split": "test", "metric": "triphone_abx_continuous_within_speaker", "score": 0.1,
    }  # fmt: skip
    table = (tmp_path / "exp/table.md").read_text().splitlines()
    assert table[0] == "| language | split | PNMI ↑ | PER ↓ | F1 ↑ | R-value ↑ | ABX ↓ |"
    assert table[3].startswith("| German | test | ")
    assert table[3].endswith("| 15.0 |")  # the mean of within and across


def test_other_tracks_and_conditions_of_a_submission_stay(tmp_path: Path):
    _, data = prepared(tmp_path, "dev", "test")
    put_run(tmp_path / "exp", data)
    out, _ = submitted(tmp_path)
    for options in (["--track", "one_to_one"], ["--hours", "0", "--layer", "9"], ["--hours", "1h"]):
        _, said = submitted(tmp_path, *options)
        assert "a-system" in said
    layers = {"many_to_one": {"0": 9, "10h": 0}, "one_to_one": {"10h": 0}}
    assert json.loads((out / "info.json").read_text()) == {"step_units": 20, "layers": layers}
    assert {name.rsplit("/", 1)[0] for name in files_of(out) if "/" in name} == {
        "ft-deu-10h/many_to_one/0", "ft-deu-10h/one_to_one/0", "ft-deu-10h/continuous/0",
        "ft-deu-1h/many_to_one/0", "ft-deu-1h/continuous/0", "zero-shot/many_to_one/9", "zero-shot/continuous/9",
    }  # fmt: skip
    other = {"language": "wol", "split": "test", "metric": "per", "score": 0.5}
    path = out / "ft-deu-10h/many_to_one/0/scores.jsonl"
    path.write_text(json.dumps(other) + "\n" + path.read_text())
    submitted(tmp_path)
    assert len(lines_of(path)) == 9
    assert other in lines_of(path)


def test_units_that_the_benchmark_refuses_are_refused_here(tmp_path: Path):
    _, data = prepared(tmp_path, "dev", "test")
    put_run(tmp_path / "exp", data, codes=300)
    assert "has 300 units; the track many_to_one allows 256 of this language" in submitted(tmp_path)[1]
    assert "the track one_to_one allows 42 of this language" in submitted(tmp_path, "--track", "one_to_one")[1]
    assert "its name is that of the system" in submitted(tmp_path, out="My_System")[1]


def test_a_recording_without_units_is_told(tmp_path: Path):
    _, data = prepared(tmp_path, "dev", "test")
    put_run(tmp_path / "exp", data)
    path = tmp_path / "exp/deu/units/test/units.jsonl"
    write_units(path, UnitHeader(0.02, (CODES,)), [line for line in read_units(path) if line.utt != "M1_2"])
    assert "'M1_2' is in one of both only" in submitted(tmp_path)[1]


def peer(code: str, *words: object) -> object:
    """Ask the benchmark's own package, which needs Python 3.12."""
    python = os.environ.get("UNITDISC_DISCOPHON_PYTHON", "")
    if not python:
        pytest.skip("UNITDISC_DISCOPHON_PYTHON does not name a Python 3.12 with discophon 0.2")
    bare = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([python, "-c", code, *map(str, words)], capture_output=True, text=True, env=bare)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("mapping", ["many-to-one", "one-to-one"])
def test_discophon_itself_takes_tree_and_submission_and_has_the_same_scores(mapping: str, tmp_path: Path):
    corpus, data = prepared(tmp_path, "dev", "test")
    put_run(tmp_path / "exp", data, mapping, CODES if mapping == "many-to-one" else LANGUAGES["deu"] + 1)
    track = mapping.replace("-", "_")
    out, _ = submitted(tmp_path, "--track", track)
    scored, leaderboard = peer(PEER, corpus, out, mapping)  # type: ignore[misc]
    ours = {(row["split"], row["metric"]): row["score"] for row in lines_of(out / f"ft-deu-10h/{track}/0/scores.jsonl")}
    assert ours == pytest.approx({(row["split"], row["metric"]): row["score"] for row in scored}, abs=1e-9)
    board = {row["metric"]: row["score"] for row in leaderboard}
    assert board["per"] == pytest.approx(100 * ours["test", "per"], abs=1e-4)
    assert board.get("triphone_abx_continuous") == (15.0 if mapping == "many-to-one" else None)


def test_the_languages_are_those_of_the_benchmark():
    lines = [line.rstrip("\n").split(" ", 3) for line in (RECIPE / "local/languages.txt").open()]
    assert {code: [int(count), half, name] for code, count, half, name in lines} == peer(NAMES)


# Emo-DB in the benchmark's shape.


def put_emodb(root: Path, *speakers: str) -> Path:
    """A tone chain of each speaker, whose labels are an aspirated stop with its closure, a rare vowel, and a pause."""
    (root / "lablaut").mkdir(parents=True)
    for speaker in speakers:
        say(root / "wav" / f"{speaker}a01Fa.wav", 0, 150.0)
        rare = "a6" if speaker < "10" else "a"
        rows = [(0.104, "!t"), (0.2, "tasp"), (0.3, "a"), (0.45, rare), (0.6, "s"), (0.7, "("), (1.4, ".")]
        lines = "".join(f"    {start:.6f}   -1 {label}\n" for start, label in rows)
        (root / "lablaut" / f"{speaker}a01Faxx.lablaut").write_text(f"signal x\n#\n{lines}")
    return root


def test_the_stand_in_is_a_tree_that_the_recipe_takes(tmp_path: Path):
    stand_in = module(RECIPE / "local/stand_in.py")
    stand_in.RARE = 8  # of ten files
    speakers = [speaker for part in stand_in.PARTS.values() for speaker in part.split()]
    said = stand_in.stand_in(put_emodb(tmp_path / "emodb", *speakers), tmp_path / "tree")
    assert said[-1].endswith("3 phones, and silence")
    rows = [line.split() for line in (tmp_path / "tree/alignment/alignment-deu-test.txt").open()]
    assert rows[1:5] == [
        ["15a01Fa", "0.00", "0.10", "SIL"], ["15a01Fa", "0.10", "0.30", "t"],
        ["15a01Fa", "0.30", "0.60", "a"], ["15a01Fa", "0.60", "0.70", "s"],
    ]  # fmt: skip
    got = script(RECIPE / "local/prepare.py", tmp_path / "tree", tmp_path / "data/deu/test")
    assert got.returncode == 0, got.stderr


# The whole recipe.


@pytest.fixture
def egs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of egs/, with the command on the PATH."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    return copy_of_recipes(tmp_path / "egs")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "python -m discophon.prepare download"),
        (["--corpus", "/nowhere"], "--corpus: no such folder: /nowhere"),
        (["--languages", "deu german"], "--languages: 'german' is none of DiscoPhon's: deu swa tam"),
        (["--languages", "d.u"], "--languages: 'd.u' is none of DiscoPhon's"),
        (["--hours", "2h"], "--hours: expected 10h, 1h or 10min, got '2h'"),
        (["--track", "none_to_one"], "--track: expected many_to_one or one_to_one"),
        (["--model", "/nowhere"], "--model: no such file or folder: /nowhere"),
    ],
)
def test_wrong_options_are_said_at_once(options: list[str], message: str, egs: Path):
    got = run_recipe(egs / "discophon", *options)
    assert got.returncode == 2
    assert message in got.stderr


def with_stub(egs: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the stub in place of the command; return the file of its calls."""
    program(egs.parent / "bin" / "unitdisc", STUB)
    monkeypatch.setenv("PATH", f"{egs.parent / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("CALLS", str(egs.parent / "calls"))
    return egs.parent / "calls"


def test_the_stages_train_encode_and_score_each_language(egs: Path, monkeypatch: pytest.MonkeyPatch):
    calls = with_stub(egs, monkeypatch)
    corpus = put_corpus(egs.parent / "corpus", "deu", "wol")
    wanted = ["--corpus", str(corpus), "--languages", "deu wol", "--hours", "10min", "--stop-stage", "score"]
    got = run_recipe(egs / "discophon", *wanted)
    assert got.returncode == 0, got.stderr + got.stdout
    lines = calls.read_text().splitlines()
    exp = "exp/base-many_to_one-10min-0"
    assert [line for line in lines if line.startswith("train")] == [
        f"train conf/base.yaml {exp}/{lang} --train data/{lang}/train-10min --dev data/{lang}/dev "
        "--set train.seed=0 --renew"
        for lang in ("deu", "wol")
    ]
    assert sum(line.startswith("encode") for line in lines) == 4
    assert sum(line.startswith("score discophon") for line in lines) == 4
    assert sum(line.startswith("score abx") for line in lines) == 8
    again = run_recipe(egs / "discophon", *wanted)
    assert again.returncode == 0, again.stderr
    assert calls.read_text().splitlines() == lines

    # The other track has as many units as phonemes, and one of silence.
    got = run_recipe(egs / "discophon", *wanted, "--track", "one_to_one", "--stage", "train")
    assert got.returncode == 0, got.stderr
    lines = calls.read_text().splitlines()[len(lines) :]
    assert [line.split("codes=")[1].split()[0] for line in lines if line.startswith("train")] == ["42", "40"]
    assert all("--mapping one-to-one" in line for line in lines if line.startswith("score"))
    assert not any(line.startswith("score abx") for line in lines)


def test_a_data_folder_may_have_any_name(egs: Path, monkeypatch: pytest.MonkeyPatch):
    calls = with_stub(egs, monkeypatch)
    corpus = put_corpus(egs.parent / "corpus", "deu")
    options = ["--corpus", str(corpus), "--languages", "deu", "--hours", "10min", "--stop-stage", "features"]
    got = run_recipe(egs / "discophon", *options, "--data", "R&D data")
    assert got.returncode == 0, got.stderr + got.stdout
    assert "features conf/base.yaml R&D data/deu/" in calls.read_text()


def test_a_finished_model_is_taken_as_it_is(egs: Path, monkeypatch: pytest.MonkeyPatch):
    calls = with_stub(egs, monkeypatch)
    corpus = put_corpus(egs.parent / "corpus", "deu")
    (egs.parent / "hubert").mkdir()
    options = ["--languages", "deu", "--model", str(egs.parent / "hubert"), "--abx", "false"]
    got = run_recipe(egs / "discophon", "--corpus", str(corpus), *options, "--stop-stage", "score")
    assert got.returncode == 0, got.stderr + got.stdout
    verbs = [" ".join(line.split()[:3]) for line in calls.read_text().splitlines()]
    model = egs.parent / "hubert"
    exp = "exp/hubert-many_to_one-0-0/deu/units"
    assert verbs == [f"encode {model} data/deu/{s}" for s in ("dev", "test")] + [
        f"score discophon {exp}/{s}" for s in ("dev", "test")
    ]
    assert not (egs / "discophon/data/deu/train-10h").exists()


@pytest.mark.slow
def test_the_recipe_runs_from_its_corpus_to_what_is_submitted(egs: Path):
    corpus = put_corpus(egs.parent / "corpus", "deu", "wol")
    changes = " ".join(change.replace(" ", "") for change in [*small(RECIPE / "conf/base.yaml"), "train.steps=6"])
    options = ["--corpus", str(corpus), "--languages", "deu wol", "--jobs", "1", "--set", changes]
    got = run_recipe(egs / "discophon", *options)
    assert got.returncode == 0, got.stderr + got.stdout
    recipe = egs / "discophon"
    exp, out = recipe / "exp/base-many_to_one-10h-0", recipe / "exp/submission/unitdisc"
    assert (exp / "wol/report.html").stat().st_size > 10_000
    assert len(files_of(out)) == 9
    table = (exp / "table.md").read_text().splitlines()
    assert [line.split(" | ")[0] for line in table[2:]] == ["| German", "| Wolof"] * 2
    assert all(len(line.split("|")) == 9 and "| |" not in line for line in table)

    finished = ["--model", str(exp / "deu"), "--layer", "3", "--languages", "wol"]  # of German, for Wolof
    got = run_recipe(recipe, *options, *finished)
    assert got.returncode == 0, got.stderr + got.stdout
    assert json.loads((out / "info.json").read_text())["layers"] == {"many_to_one": {"0": 3, "10h": 0}}
    assert (recipe / "exp/deu-many_to_one-0-0/wol/report.html").exists()


def test_the_configuration_has_as_many_units_as_the_track_allows():
    assert configs.load(RECIPE / "conf/base.yaml", Config).model.quantizer.codes == 256
