"""The recipes of speech corpora on made-up trees of the same shape: tones by a few speakers."""

import importlib.util
import io
import json
import os
import shutil
import sys
from contextlib import redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np
import pytest
import soundfile
from made_up import PHONES, make_data, tones
from recipe_files import EGS, STUB, copy_of_recipes, program, run_recipe

from unitdisc import config as configs
from unitdisc.data.alignment import Interval, read_alignment
from unitdisc.data.kaldi import DataDir
from unitdisc.errors import DataError
from unitdisc.evaluate.items import read_items
from unitdisc.features.extract import ExtractConfig, extract
from unitdisc.train import train
from unitdisc.train_config import Config

RECIPES = ("librispeech", "timit", "zerospeech2019", "wsj")
CONFIGS = [path for recipe in RECIPES for path in sorted((EGS / recipe / "conf").glob("*.yaml"))]
ROWS = sorted(path.stem for path in (EGS / "common" / "conf" / "ablation").glob("*.yaml"))
SCHEDULE = [f"model.quantizer.schedule.{x}" for x in ("warm_up=1", "every=1", "until=3", "reservoir=64")]
SMALL = {
    "train": ["train.steps=4", "train.batch=2", "train.chunk=24", "train.tensorboard=false", "train.average=0"],
    "quantizer": ["model.quantizer.codes=8", "model.quantizer.dim=8", *SCHEDULE],
    "kmeans": ["model.quantizer.codes=8", "model.prediction.clusters=[4, 6]", "train.targets.sample=500"],
    "gated": ["model.encoder.channels=8"],
    "conv": ["model.encoder.channels=8", "model.encoder.pointwise=1"],
    "conv-lstm": ["model.encoder.channels=2", "model.encoder.cells=8", "model.encoder.layers=1"],
    "frame": [f"model.decoder.wavenet.{size}" for size in ("layers=2", "residual=8", "gate=16", "skip=8", "hidden=8")],
    "waveform": [
        f"model.decoder.wavenet.{size}" for size in ("layers=2", "cycles=1", "residual=8", "gate=16", "skip=8")
    ],
    "voice": ["model.decoder.channels=8", "model.decoder.hidden=8"],
    "none": [],
}


def small(path: Path) -> list[str]:
    """Return changes that make a recipe's configuration train in a second."""
    model = configs.load(path, Config).model
    quantizer = SMALL.get(model.quantizer.kind, SMALL["quantizer"])
    return [*SMALL["train"], *quantizer, *SMALL[model.encoder.kind], *SMALL[model.decoder.kind]]


def module(path: Path) -> ModuleType:
    """Import a script of a recipe."""
    spec = importlib.util.spec_from_file_location(f"{path.parent.parent.name}_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EGS / "common")  # where run.sh lets scripts find scripts.py
        spec.loader.exec_module(made)
    return made


class Ended(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


def script(path: Path, *arguments: object) -> Ended:
    """Run a script's main() here: a process of its own would spend its time importing torch."""
    out, code, error = io.StringIO(), 0, ""
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out):
        patch.setattr(sys, "argv", [str(path), *map(str, arguments)])
        try:
            module(path).main()
        except SystemExit as end:
            code, error = 1, str(end)
    return Ended(code, out.getvalue(), error)


def say(path: Path, sentence: int, pitch: float, **options: str) -> list[str]:
    """Write a chain of 16 tones, 0.1 s each, as one speaker says a sentence; return their names."""
    wave, phones = tones(np.random.default_rng(sentence), pitch, 16)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave, 16000, **options)
    return phones


def ctm(utt: str, phones: list[str]) -> str:
    return "".join(f"{utt} 1 {i / 10:.2f} 0.10 {phone}\n" for i, phone in enumerate(phones))


# Corpora of the right shape.


def put_librispeech(root: Path, **subset_of: str) -> Path:
    """Four readers of five utterances, of a subset each (dev-clean), and an aligner's phones."""
    rows = {}
    for number, reader in enumerate(("174", "251", "777", "1272")):
        folder = root / subset_of.get(f"r{reader}", "dev-clean") / reader / "1"
        names = [f"{reader}-1-{n:04d}" for n in range(5)]
        for n, name in enumerate(names):
            rows[name] = say(folder / f"{name}.flac", n, 170.0 + 30 * number)
        (folder / f"{reader}-1.trans.txt").write_text("".join(f"{name} SOME WORDS\n" for name in names))
    (root / "phones.ctm").write_text("".join(ctm(utt, rows[utt]) for utt in sorted(rows)))
    (root / "SPEAKERS.TXT").write_text(
        "174 | M | x | 8 | A\n251 | M | x | 8 | B\n777 | M | x | 8 | C\n1272 | F | x | 8 | D\n"
    )
    return root


TIMIT_NAMES = dict(zip(PHONES, (("iy",), ("s",), ("tcl", "t"), ("ax",)), strict=True))


def put_timit(root: Path) -> Path:
    """Speakers of the three parts, each with a dialect sentence and five others, of two words that share a phone."""
    for part, speaker in (
        ("TRAIN", "FCJF0"),
        ("TRAIN", "MDAC0"),
        ("TEST", "FADG0"),
        ("TEST", "MDAB0"),
        ("TEST", "FELC0"),
    ):
        for n, sentence in enumerate(("SA1", "SI1", "SI2", "SX3", "SX4", "SX5")):
            path = root / part / "DR1" / speaker / f"{sentence}.WAV"
            phones = [TIMIT_NAMES[p] for p in say(path, n, 150.0 + 40 * (speaker[0] == "F"), format="NIST")]
            rows = []
            for i, names in enumerate([("h#",), *phones[1:-1], ("h#",)]):
                edges = [i * 1600 + 1600 * k // len(names) for k in range(len(names) + 1)]
                rows += [f"{a} {b} {name}\n" for a, b, name in zip(edges, edges[1:], names, strict=False)]
            path.with_suffix(".PHN").write_text("".join(rows))
            path.with_suffix(".WRD").write_text(f"1600 {9 * 1600} had\n{8 * 1600} {15 * 1600} your\n")
    return root


def put_zerospeech(root: Path) -> Path:
    names = [f"train/unit/S{s}_{n:010d}" for s in ("015", "020") for n in range(3)]
    names += [f"train/voice/V{s}_{n:010d}" for s in ("001", "002") for n in range(3)]
    names += [f"test/S00{s}_{n + 10 * s:010d}" for s in (2, 3) for n in range(5)]
    for n, name in enumerate(names):
        say(root / f"{name}.wav", n, 150.0 + 10 * int(name.split("_")[0][-1]))
    return root


WSJ = {"train_si284": ("011", "01r"), "test_dev93": ("4k0",), "test_eval92": ("440", "441")}


def put_wsj(root: Path) -> Path:
    """Data directories as Kaldi's recipe leaves them, and phones as its alignments name them."""
    rows = {}
    for part, speakers in WSJ.items():
        utts = [f"{speaker}c0{n}0{n}" for speaker in speakers for n in range(5)]
        for utt in utts:
            rows[utt] = say(root / "wsj0" / f"{utt}.wv1", int(utt[-1]), 140.0 + ord(utt[2]), format="NIST")
        (root / part).mkdir()
        pipes = [f"{utt} {root}/sph2pipe -f wav {root}/wsj0/{utt}.wv1 |\n" for utt in utts]
        (root / part / "wav.scp").write_text("".join(pipes))
        (root / part / "utt2spk").write_text("".join(f"{utt} {utt[:3]}\n" for utt in utts))
    names = dict(zip(PHONES, ("AH0_B", "S_I", "SIL", "IY1_E"), strict=True))
    (root / "phones.ctm").write_text("".join(ctm(utt, [names[p] for p in rows[utt]]) for utt in sorted(rows)))
    return root


def put_wsj_discs(root: Path) -> Path:
    """The discs' own tree: audio beside lists that name it."""
    lists = {
        "11-13.1/wsj0/doc/indices/train/tr_s_wv1.ndx": (
            "11_1_1: wsj0/si_tr_s/011/011c0201.wv1",
            "11_2_1: wsj0/si_tr_s/401/401c0201.wv1",
        ),
        "13-34.1/wsj1/doc/indices/si_tr_s.ndx": ("13_1_1: wsj1/si_tr_s/46a/46ac0201.wv1",),
        "13-34.1/wsj1/doc/indices/h1_p0.ndx": ("13_16_1: wsj1/si_dt_20/4k0/4k0c0301.wv1",),
        "13-32.1/wsj1/doc/indices/eval/h1_p0.ndx": ("13_32_1: wsj1/si_et_h1/4oa/4oac0201.wv1",),
        "11-13.1/wsj0/doc/indices/test/nvp/si_et_20.ndx": ("11_14_1: wsj0/si_et_20/440/440c0401",),
    }  # fmt: skip
    for path, lines in lists.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("".join(f"{line}\n" for line in ("; a comment", *lines)))
        for line in lines:
            name = Path(line.split()[1]).with_suffix(".wav")
            say(root / path.split("/")[0] / name, 0, 150.0)
    return root


PUT = {"librispeech": put_librispeech, "timit": put_timit, "zerospeech2019": put_zerospeech, "wsj": put_wsj}


def options_of(recipe: str, corpus: Path) -> list[str]:
    more = {
        "librispeech": ["--test-speakers", "174 777"],
        "timit": [],
        "zerospeech2019": [],
        "wsj": ["--alignment", str(corpus / "phones.ctm")],
    }
    return ["--corpus", str(corpus), *more[recipe], "--jobs", "1"]


# The parts that belong to a corpus.


def prepared(recipe: str, tmp_path: Path, put=None, **options: object) -> tuple[list[str], dict[str, DataDir]]:
    """Run a recipe's prepare.py; return what it printed and the parts."""
    corpus = (put or PUT[recipe])(tmp_path / "corpus")
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", *str(value).split())]
    got = script(EGS / recipe / "local" / "prepare.py", corpus, tmp_path / "data", *words)
    assert got.returncode == 0, got.stderr
    return got.stdout.splitlines(), {name: DataDir.read(tmp_path / "data" / name) for name in ("train", "dev", "test")}


def corpus_of(make):
    def put(root: Path) -> Path:
        root.mkdir()
        return make(root)

    return put


def test_librispeech_is_split_by_speakers(tmp_path: Path):
    (tmp_path / "corpus").mkdir()
    alignment = tmp_path / "corpus" / "phones.ctm"
    said, parts = prepared("librispeech", tmp_path, test_speakers="174 777", alignment=alignment)
    assert "silver phones (made by an aligner) of 20 of 20 utterances" in said[0]
    assert {name: (len(p.utts), sorted(p.spk2utt)) for name, p in parts.items()} == {
        "train": (9, ["1272", "251"]), "dev": (1, ["251"]), "test": (10, ["174", "777"])
    }  # fmt: skip
    assert set(read_alignment(parts["test"].path / "phones.ctm")) == set(parts["test"].utts)


def test_librispeech_keeps_the_official_items_of_its_test_speakers(tmp_path: Path):
    (tmp_path / "official.item").write_text(
        "#file onset offset #phone prev-phone next-phone speaker\n"
        "174-1-0000 0.0 0.3 AH B D 174\n1272-1-0000 0.0 0.3 AH B D 1272\n"
    )
    said, parts = prepared("librispeech", tmp_path, test_speakers="174 777", items=tmp_path / "official.item")
    assert said[-1].endswith(f"1 of 2 items are of {parts['test'].path}")
    assert read_items(parts["test"].path / "triphone.item").files.tolist() == ["174-1-0000"]


def test_librispeech_scores_who_is_in_no_training_subset(tmp_path: Path):
    def put(root: Path) -> Path:
        put_librispeech(root)
        (root / "dev-clean" / "251").rename(root / "251")
        (root / "train-clean-5").mkdir()
        (root / "251").rename(root / "train-clean-5" / "251")
        return root

    _, parts = prepared("librispeech", tmp_path, put)
    assert sorted(parts["test"].spk2utt) == ["1272", "174", "777"]
    assert sorted(parts["train"].spk2utt) == sorted(parts["dev"].spk2utt) == ["251"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "say who is scored on: --test-speakers"),
        (["--test-speakers", "9"], "expected speakers of it"),
        (["--test-speakers", "174", "--dev-speakers", "174"], "both a test speaker and a dev speaker"),
    ],
)
def test_librispeech_without_speakers_to_score_is_refused(words: list[str], message: str, tmp_path: Path):
    got = script(EGS / "librispeech/local/prepare.py", put_librispeech(tmp_path / "c"), tmp_path / "d", *words)
    assert got.returncode == 1
    assert message in got.stderr


def test_the_folding_of_timit_is_the_customary_one():
    table = module(EGS / "timit/local/prepare.py").read_folding()
    assert len(table) == 61
    classes: dict[str, set[str]] = {}
    for one, other in table.items():
        classes.setdefault(other, set()).add(one)
    assert classes.pop("-") == {"q"}
    assert len(classes) == 39
    # Lee and Hon's classes of more than one label.
    assert {name: members for name, members in classes.items() if len(members) > 1} == {
        "aa": {"aa", "ao"}, "ah": {"ah", "ax", "ax-h"}, "er": {"er", "axr"}, "hh": {"hh", "hv"}, "ih": {"ih", "ix"},
        "l": {"l", "el"}, "m": {"m", "em"}, "n": {"n", "en", "nx"}, "ng": {"ng", "eng"}, "sh": {"sh", "zh"},
        "uw": {"uw", "ux"}, "sil": {"pcl", "tcl", "kcl", "bcl", "dcl", "gcl", "h#", "pau", "epi"},
    }  # fmt: skip
    assert all(name in members for name, members in classes.items() if name != "sil")


def test_folding_joins_silences_and_leaves_the_glottal_stop_out():
    prepare = module(EGS / "timit/local/prepare.py")
    labels = ["h#", "q", "ao", "tcl", "pau", "t", "s", "s"]
    rows = [Interval(i / 10, (i + 1) / 10, label) for i, label in enumerate(labels)]
    assert prepare.folded(rows, prepare.read_folding(), "x") == [
        (0.0, 0.1, "sil"), (0.2, 0.3, "aa"), (0.3, 0.5, "sil"), (0.5, 0.6, "t"), (0.6, 0.7, "s"), (0.7, 0.8, "s")
    ]  # fmt: skip
    with pytest.raises(DataError, match="x: 'zz' is none of TIMIT's 61 labels"):
        prepare.folded([Interval(0, 1, "zz")], prepare.read_folding(), "x")


def test_timit_has_its_three_parts_without_dialect_sentences(tmp_path: Path):
    _, parts = prepared("timit", tmp_path)
    assert {name: sorted(part.spk2utt) for name, part in parts.items()} == {
        "train": ["FCJF0", "MDAC0"], "dev": ["FADG0"], "test": ["FELC0", "MDAB0"]
    }  # fmt: skip
    assert {utt.split("_")[1] for part in parts.values() for utt in part.utts} == {"SI1", "SI2", "SX3", "SX4", "SX5"}
    labels = {i.label for intervals in read_alignment(parts["test"].path / "phones.ctm").values() for i in intervals}
    assert labels == {"iy", "s", "sil", "t", "ah"}


def test_wsj_takes_kaldis_directories(tmp_path: Path):
    def put(root: Path) -> Path:
        root.mkdir(exist_ok=True)
        return put_wsj(root)

    _, parts = prepared("wsj", tmp_path, put, alignment=tmp_path / "corpus" / "phones.ctm")
    assert {name: sorted(part.spk2utt) for name, part in parts.items()} == {
        "train": ["011", "01r"], "dev": ["4k0"], "test": ["440", "441"]
    }  # fmt: skip
    labels = {i.label for intervals in read_alignment(parts["train"].path / "phones.ctm").values() for i in intervals}
    assert labels == {"AH", "S", "SIL", "IY"}


def test_wsj_finds_its_utterances_by_the_lists_on_the_discs(tmp_path: Path):
    _, parts = prepared("wsj", tmp_path, put_wsj_discs)
    assert {name: part.utts for name, part in parts.items()} == {
        "train": ["011c0201", "46ac0201"], "dev": ["4k0c0301"], "test": ["440c0401"]
    }  # fmt: skip
    (tmp_path / "corpus/13-34.1/wsj1/si_dt_20/4k0/4k0c0301.wav").unlink()
    got = script(EGS / "wsj/local/prepare.py", tmp_path / "corpus", tmp_path / "again")
    assert "1 of 1 utterances of dev are missing, 4k0c0301 first" in got.stderr


# Configurations.


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of speech, beside which tests keep copies with the features that their models want."""
    folder = tmp_path_factory.mktemp("data") / "plain"
    for name in ("train", "dev"):
        make_data(folder / name, 6, seed=len(name), features=False)
    return folder


def train_on(data: Path, config: Config, exp: Path) -> Path:
    model = config.model
    streams = {s.archive: s.features for s in model.decoder.streams(model.targets)}
    wanted = ExtractConfig(model.features, model.targets, streams.get("excitation"))
    made = data.with_name(configs.digest(wanted))
    if not made.exists():
        shutil.copytree(data, made)
        for name in ("train", "dev"):
            extract(DataDir.read(made / name), wanted)
    train(config, exp, made / "train", made / "dev")
    return exp


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: f"{path.parent.parent.name}-{path.stem}")
def test_every_configuration_trains(path: Path, data: Path, tmp_path: Path):
    changes = small(path)
    if units_of := configs.load(path, Config).train.units_of:  # as exp/small-0 is named by its configuration
        units = path.with_name(f"{Path(units_of).name.rsplit('-', 1)[0]}.yaml")
        changes.append(
            f"train.units_of={train_on(data, configs.load(units, Config, small(units)), tmp_path / 'units')}"
        )
    exp = train_on(data, configs.load(path, Config, changes), tmp_path / "exp")
    values = [json.loads(line) for line in (exp / "metrics.jsonl").read_text().splitlines()]
    assert np.isfinite([row["loss"] for row in values if row["kind"] == "dev"]).all()


def row_of(recipe: str, row: str, out: Path, *changes: str) -> Config:
    base, rows = EGS / recipe / "conf/base.yaml", EGS / "common/conf/ablation"
    got = script(EGS / "common/rows.py", base, rows / f"{row}.yaml", out, *changes)
    assert got.returncode == 0, got.stderr
    return configs.load(out, Config)


def test_the_rows_of_the_ablation_are_what_they_are_called(tmp_path: Path):
    rows = {row: row_of("librispeech", row, tmp_path / "x.yaml", "model.quantizer.codes=77").model for row in ROWS}
    assert set(rows) == {"none", "vanilla", "bn", "bn-rate", "bn-data", "all", "ema"}
    features = {row: (model.features, model.encoder, model.decoder, model.jitter) for row, model in rows.items()}
    assert all(value == features["all"] for value in features.values())
    assert rows["none"].quantizer.kind == "none"
    parts = {
        row: (q.norm != "none", getattr(q, "learning_rate_factor", None), q.schedule.on)
        for row, q in ((row, model.quantizer) for row, model in rows.items() if row != "none")
    }
    assert parts == {
        "vanilla": (False, 1.0, False), "bn": (True, 1.0, False), "bn-rate": (True, 10.0, False),
        "bn-data": (True, 1.0, True), "all": (True, 10.0, True), "ema": (True, None, False),
    }  # fmt: skip
    assert {model.quantizer.codes for row, model in rows.items() if row != "none"} == {77}
    for row in ROWS:
        assert len((EGS / "common/conf/ablation" / f"{row}.yaml").read_text().splitlines()) <= 10


def test_a_row_has_the_last_word(tmp_path: Path):
    config = row_of("wsj", "vanilla", tmp_path / "x.yaml", "model.quantizer.learning_rate_factor=3", "train.steps=7")
    assert config.model.quantizer.learning_rate_factor == 1
    assert (config.train.steps, config.model.weights.ctc) == (7, 50.0)
    got = script(EGS / "common/rows.py", EGS / "wsj/conf/base.yaml", tmp_path / "none.yaml", tmp_path / "y.yaml")
    assert got.returncode == 1
    assert "no such file; expected a configuration" in got.stderr


def test_the_rows_of_a_codebook_are_refused_over_k_means(tmp_path: Path):
    paths = (EGS / "own/conf/base.yaml", EGS / "common/conf/ablation/vanilla.yaml", tmp_path / "x.yaml")
    got = script(EGS / "common/rows.py", *paths)
    assert got.returncode == 1
    assert "a quantiser of kind kmeans, as in" in got.stderr
    assert "has no learning_rate_factor, norm, schedule" in got.stderr
    assert not paths[2].exists()


# Whole recipes.


@pytest.fixture
def egs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of egs/, with the command on the PATH."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    monkeypatch.setenv("PATH", path)
    return copy_of_recipes(tmp_path / "egs")


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_is_short_and_says_where_its_corpus_is_from(recipe: str, egs: Path):
    assert len((EGS / recipe / "run.sh").read_text().splitlines()) < 120
    got = run_recipe(egs / recipe, "--corpus", "/nowhere")
    assert got.returncode == 2
    assert "--corpus: no such folder: /nowhere" in got.stderr
    if recipe != "librispeech":  # which is fetched
        got = run_recipe(egs / recipe)
        assert got.returncode == 2
        assert any(word in got.stderr for word in ("LDC", "zerospeech.com"))


def test_an_unknown_subset_or_row_is_refused(egs: Path):
    got = run_recipe(egs / "librispeech", "--subsets", "train-clean-6", "--stop-stage", "corpus")
    assert got.returncode == 1
    assert "unknown subset 'train-clean-6'; known are dev-clean-2 train-clean-5" in got.stderr
    corpus = put_librispeech(egs.parent / "corpus")
    got = run_recipe(egs / "librispeech", "--corpus", str(corpus), "--ablation", "bnn")
    assert got.returncode == 2
    assert "--ablation: unknown row 'bnn'; known are none vanilla bn bn-rate" in got.stderr


def test_a_supervised_recipe_asks_for_phones(egs: Path):
    corpus = egs.parent / "corpus"
    corpus.mkdir()
    got = run_recipe(egs / "wsj", "--corpus", str(put_wsj(corpus)))
    assert got.returncode == 2
    assert "--alignment is missing" in got.stderr


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_stages_of_a_recipe_fit_together(recipe: str, egs: Path, monkeypatch: pytest.MonkeyPatch):
    program(egs.parent / "bin" / "unitdisc", STUB)
    monkeypatch.setenv("PATH", f"{egs.parent / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("CALLS", str(egs.parent / "calls"))
    corpus = egs.parent / "corpus"
    corpus.mkdir()
    last = "score" if recipe == "zerospeech2019" else "report"  # whose submission is made of real vectors
    wanted = [*options_of(recipe, PUT[recipe](corpus)), "--stop-stage", last, "--nj", "2"]
    got = run_recipe(egs / recipe, *wanted)
    assert got.returncode == 0, got.stderr + got.stdout
    lines = (egs.parent / "calls").read_text().splitlines()
    assert {"features", "train", "encode", "compare"} <= {line.split()[0] for line in lines}
    for verb in ("features", "encode"):
        shared = [line for line in lines if line.startswith(f"{verb} ")][:3]
        assert sorted(shared[:2]) == [f"{shared[2]} --job {part}/2" for part in (1, 2)]
        assert shared[2].endswith(" --renew")
    again = run_recipe(egs / recipe, *wanted)
    assert again.returncode == 0, again.stderr
    made = {line.split()[0] for line in (egs.parent / "calls").read_text().splitlines()[len(lines) :]}
    assert made == set()


def tiny(recipe: str) -> str:
    return " ".join([*small(EGS / recipe / "conf/base.yaml"), "train.steps=6"])


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_runs_from_its_corpus_to_its_report(recipe: str, egs: Path):
    corpus = egs.parent / "corpus"
    corpus.mkdir()
    options = [*options_of(recipe, PUT[recipe](corpus)), "--set", tiny(recipe), "--sentences", "1"]
    got = run_recipe(egs / recipe, *options)
    assert got.returncode == 0, got.stderr + got.stdout
    exp = egs / recipe / "exp/base-0"
    assert (exp / "report.html").stat().st_size > 10_000
    scores = {path.stem for path in exp.glob("scores/*.json")}
    if recipe == "zerospeech2019":
        assert {"units", "mfcc"} <= scores
        test = exp / "submission/english/test"
        assert len(list(test.glob("S*.txt"))) == 10
        assert len(list(test.glob("V*.wav"))) == 2  # one sentence in two voices
        assert len((test / "S002_0000000020.txt").read_text().splitlines()) == 80
        return
    assert {"units", "mfcc"} <= scores
    assert ("conversion" in scores) == (recipe != "wsj")  # whose model has no decoder
    table = (exp / "compare/table.md").read_text()
    assert ("own head" in table) == (recipe == "wsj"), table


@pytest.mark.slow
def test_the_ablation_is_one_command(egs: Path):
    corpus = put_librispeech(egs.parent / "corpus")
    options = [*options_of("librispeech", corpus), "--set", tiny("librispeech"), "--downstream="]
    wanted = [*options, "--baseline", "false", "--ablation", "none all", "--seeds", "3"]
    got = run_recipe(egs / "librispeech", *wanted)
    assert got.returncode == 0, got.stderr + got.stdout
    folder = egs / "librispeech/exp/ablation"
    header, _, none, everything = (folder / "table.md").read_text().splitlines()[:4]
    assert "ABX-across" in header
    assert none.startswith("| no bottleneck | 1 |")
    assert everything.startswith("| + all three | 1 |")
    assert (folder / "table.png").stat().st_size > 1000
    again = run_recipe(egs / "librispeech", *wanted)
    assert again.stdout.count("all-3: unchanged") == again.stdout.count("none-3: unchanged") == 1
