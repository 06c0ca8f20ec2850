"""One definition of a score: whatever a scorer emits has its row, no row is unused, and the page says what they say."""

import importlib.util
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import soundfile
from places import TOP
from score_files import write_alignment, write_unit_file
from test_conversion_scores import FAST, put_converted, put_speech
from test_discophon import put_corpus

from unitdisc.evaluate.abx import score_abx
from unitdisc.evaluate.abx_options import AbxOptions
from unitdisc.evaluate.aligned import AlignedUnits, Labeller
from unitdisc.evaluate.bitrate import bitrate_scores
from unitdisc.evaluate.boundaries import boundary_scores
from unitdisc.evaluate.clusters import cluster_scores
from unitdisc.evaluate.conversion import cepstral_distance, content_scores, voice_scores
from unitdisc.evaluate.definitions import ARROWS, DEFINITIONS, define, glossary, place_of
from unitdisc.evaluate.discophon import discophon_scores
from unitdisc.evaluate.items import Items
from unitdisc.evaluate.judged import judge
from unitdisc.evaluate.judges import Judge
from unitdisc.evaluate.per import head_per
from unitdisc.evaluate.probe import ProbeConfig, frame_probes, probe_ctc
from unitdisc.evaluate.scores import Score
from unitdisc.evaluate.suite import Sides, SuiteOptions, per_of, score_all

FEW: dict[str, Any] = {"resamples": 2}
RATE = 16000


def unit_scores(folder: Path) -> list[Score]:
    """Score a small unit file in every way."""
    random = np.random.default_rng(0)
    phones = {f"{s}{n}": np.repeat(random.permutation(4), 5) for s in "st" for n in range(8)}
    units = {utt: 2 * p + random.integers(2, size=20) for utt, p in phones.items()}
    (folder / "clean").mkdir()
    path = write_unit_file(folder / "clean" / "units.jsonl", units, 8)
    np.save(folder / "clean" / "codebook.npy", random.standard_normal((8, 3)).astype(np.float32))
    changed = write_unit_file(folder / "noise-10.jsonl", {u: np.roll(x, 1) for u, x in units.items()}, 8)
    ctm = write_alignment(folder / "phones.ctm", phones, ["a", "b", "c", "SIL"])
    (folder / "utt2spk").write_text("".join(f"{utt} {utt[0]}\n" for utt in sorted(units)))
    sides = Sides(path, ctm, data=folder / "utt2spk", test_speakers=("t",))
    scores = score_all(sides, SuiteOptions(None, (changed,), resamples=2))
    pairs = AlignedUnits(path, Labeller(ctm))
    scores += cluster_scores(pairs, "drop", **FEW)
    scores += boundary_scores(pairs, tolerance=0.04, match="greedy", **FEW)
    scores += boundary_scores(pairs, match="rasanen", **FEW)
    scores += score_all(Sides(path, ctm), SuiteOptions(resamples=2))
    scores += [per_of(sides, "many-to-one", "keep", resamples=2), per_of(sides, "one-to-one", "keep", True, 2)]
    probe = ProbeConfig(epochs=1, hidden=4)
    scores += [probe_ctc(*sides.probed(), probe, silence, **FEW) for silence in ("keep", "drop")]
    scores += [s for silence in ("keep", "drop") for s in frame_probes(*sides.probed(), probe, silence, **FEW)]
    scores += [head_per({"u": (["a"], ["b"])}, silence, **FEW) for silence in ("keep", "drop")]
    return scores + bitrate_scores(path, **FEW)


def abx_scores(folder: Path) -> list[Score]:
    random = np.random.default_rng(1)
    rows = [(f"{s}{p}{n}", 0.0, 0.1, p, "x", "y", s) for s in "st" for p in "ab" for n in range(3)]
    for file, *_ in rows:
        np.save(folder / f"{file}.npy", random.dirichlet(np.ones(4), 12).astype(np.float32))
    ways = [AbxOptions(s, "any" if s == "across" else "within") for s in ("across", "within")]
    ways += [AbxOptions(distance=distance) for distance in ("euclidean", "kl")]
    scores = [score_abx(folder, Items.of_rows(rows), 0.01, way) for way in ways]
    units = {row[0]: random.integers(8, size=12) for row in rows}
    path = write_unit_file(folder / "units.jsonl", units, 8, period=0.01)
    np.save(folder / "codebook.npy", random.standard_normal((8, 3)).astype(np.float32))
    ways = [AbxOptions(distance=distance) for distance in ("identical", "codebook", "balanced", "edit")]
    return scores + [score_abx(path, Items.of_rows(rows), options=way) for way in ways]


class Fake(Judge):
    """Answers what it is told to."""

    name = "fake"
    packages: ClassVar[dict[str, str]] = {}

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def hear(self, wave: np.ndarray) -> Any:
        return self.answer


JUDGES: dict[str, Judge] = {
    "words": Fake(["ONE"]),
    "phones": Fake(["P"]),
    "voice": Fake(np.array([1.0, 0.0])),
    "pitch": Fake(np.linspace(100, 200, 100)),
    "quality": Fake(dict.fromkeys(("overall", "signal", "background", "p808"), 3.0)),
}


def conversion_scores(folder: Path) -> list[Score]:
    random = np.random.default_rng(2)
    put_speech(folder / "train", ["bert", "carl"], 6, 1)
    said = put_speech(folder / "test", ["anna"], 6, 2)
    some = dict(list(said.items())[:4])  # by the others the judge of voices knows whose they are
    put_converted(folder / "said", some, {"bert": "bert", "carl": "carl", "same": "", "copy": ""})
    for place in ("train", "test", "said"):
        names = [line.split()[0] for line in (folder / place / "feats.scp").read_text().splitlines()]
        for name in names:
            soundfile.write(folder / place / f"{name}.wav", 0.1 * random.standard_normal(RATE), RATE)
    (folder / "test" / "text").write_text("".join(f"{utt} one two\n" for utt in sorted(said)))
    source, train, out = folder / "test", folder / "train", folder / "said"
    scores = voice_scores([out], [train], **FEW)
    scores += content_scores([out], [source], train, config=FAST, **FEW)
    scores.append(cepstral_distance([out], [source], **FEW))
    return scores + judge([out], [source], [train, source], judges=JUDGES, **FEW)


def benchmark_scores(folder: Path) -> list[Score]:
    put_corpus(folder)
    files = folder / "units.jsonl", folder / "phones.ctm"
    return discophon_scores(*files, resamples=0) + discophon_scores(*files, resamples=0, mapping="one-to-one")


@pytest.fixture(scope="module")
def emitted(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    scores: list[Score] = []
    for make in (unit_scores, abx_scores, conversion_scores, benchmark_scores):
        scores += make(tmp_path_factory.mktemp(make.__name__))
    return {score.definition for score in scores}


def test_what_a_scorer_emits_has_its_row(emitted: set[str]):
    assert [name for name in sorted(emitted) if define(name) not in DEFINITIONS] == []
    for name in emitted:
        rows = [row for row in DEFINITIONS if row.values(name) is not None]
        assert len(rows) == 1, name


def test_no_row_is_unused(emitted: set[str]):
    used = {define(name) for name in emitted}
    assert [row.name for row in DEFINITIONS if row not in used] == []


def test_titles_tell_scores_apart(emitted: set[str]):
    titles = [define(name).titled(name) for name in sorted(emitted)]
    assert len(set(titles)) == len(titles)


def test_every_row_says_what_it_is():
    for row in DEFINITIONS:
        assert row.gloss, row.name
        assert row.how or row.reference or row.gloss, row.name
        assert row.unit in ("", "%", "bit/s", "1/s", "dB"), row.name
        assert row.better in ARROWS


def test_one_to_one_per_ranks_nothing_and_what_nobody_defined_is_shown_by_its_name():
    assert define("per-mapping-one-to-one-oracle-nosil").better == ""
    unknown = define("abx{0}-of-another")
    assert (unknown.titled("abx{0}-of-another"), unknown.better) == ("abx{0}-of-another", "")
    assert place_of("abx-across-within-angular") < place_of("abx-across-within-kl") < place_of("pnmi") < place_of("x")
    assert [text for text, _ in glossary(["abx-across-within-kl", "abx-across-within-angular"])] == [
        "ABX across speakers",
    ]  # fmt: skip


def test_the_page_of_scores_is_made_of_the_rows(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(TOP / "tools"))  # where it finds the example
    spec = importlib.util.spec_from_file_location("scores_page", TOP / "tools" / "scores_page.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    text = (TOP / "docs" / "scores.md").read_text("utf-8")
    assert text == tool.renewed(text), "run: python tools/scores_page.py"
