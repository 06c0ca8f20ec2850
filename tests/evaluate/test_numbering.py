"""Units of very many codes score as the same units of few, in as little memory."""

from pathlib import Path

import numpy as np
import pytest
from score_files import PERIOD, write_alignment

from unitdisc.data.units import UnitHeader, UnitLine, write_units
from unitdisc.errors import TooFewError
from unitdisc.evaluate import numbering, speaker
from unitdisc.evaluate.aligned import AlignedUnits, Labeller
from unitdisc.evaluate.bitrate import bitrate_scores
from unitdisc.evaluate.clusters import cluster_scores
from unitdisc.evaluate.discophon import discophon_scores
from unitdisc.evaluate.numbering import Numbering
from unitdisc.evaluate.per import mapping_per
from unitdisc.evaluate.probe import ProbeConfig, frame_probes, probe_ctc
from unitdisc.evaluate.scores import Score
from unitdisc.evaluate.sides import Side
from unitdisc.evaluate.speaker import speaker_scores
from unitdisc.report.collect import ReportOptions, open_units
from unitdisc.report.facts import gather
from unitdisc.report.inventory import inventory

FEW, MANY = (64,), (1024,) * 6
APART = (1 << 60) // 64 + 1  # of the same units, in order, as numbers of many codes


class Corpus:
    """Made-up speech with phones, in units of few codes and of many."""

    def __init__(self, folder: Path) -> None:
        rng = np.random.default_rng(0)
        self.phones = {f"s{n % 3}-{n:02}": np.repeat(rng.integers(0, 5, 20), 4) for n in range(18)}
        frames = {u: 10 * p + rng.integers(0, 13, len(p)) for u, p in self.phones.items()}
        self.utt2spk = {utt: utt[:2] for utt in frames}
        self.alignment = write_alignment(folder / "phones.ctm", self.phones, ["SIL", "a", "b", "c", "d"])
        self.units = {}
        for name, codes, step in (("few", FEW, 1), ("many", MANY, APART)):
            self.units[name] = folder / f"{name}.jsonl"
            lines = [UnitLine.of_frames(utt, step * frames[utt]) for utt in sorted(frames)]
            write_units(self.units[name], UnitHeader(PERIOD, codes), lines)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return Corpus(tmp_path_factory.mktemp("numbers"))


def values(scores: list[Score]) -> dict[str, float]:
    return {s.definition: s.value for s in scores if s.definition not in ("bitrate-nominal", "bitrate-nominal-dedup")}


def scored(corpus: Corpus, units: Path) -> dict[str, float]:
    pairs = AlignedUnits(units, Labeller(corpus.alignment))
    scores = [*cluster_scores(pairs), *bitrate_scores(units), *speaker_scores(units, corpus.utt2spk)]
    scores += [mapping_per(pairs, None, kind=kind) for kind in ("many-to-one", "one-to-one")]
    return values(scores)


def test_the_same_partition_has_the_same_scores(corpus: Corpus):
    assert scored(corpus, corpus.units["many"]) == pytest.approx(scored(corpus, corpus.units["few"]), abs=1e-9)


@pytest.mark.parametrize("mapping", ["many-to-one", "one-to-one"])
def test_discophon_takes_many_codes(corpus: Corpus, mapping):
    few, many = (values(discophon_scores(corpus.units[n], corpus.alignment, mapping=mapping)) for n in ("few", "many"))
    assert many == pytest.approx(few, abs=1e-9)


def test_probes_take_many_codes_and_units_that_they_never_saw(corpus: Corpus):
    config, labeller = ProbeConfig(kind="linear", epochs=20), Labeller(corpus.alignment)
    test = {utt for utt in corpus.utt2spk if utt.startswith("s0")}
    for name in corpus.units:
        sides = [Side(corpus.units[name], labeller, side) for side in (set(corpus.utt2spk) - test, test)]
        assert probe_ctc(*sides, config, resamples=0).value < 0.8
        assert all(score.value > 0.6 for score in frame_probes(*sides, config, resamples=0))


def test_the_report_counts_many_codes(corpus: Corpus):
    rows = {}
    for name, path in corpus.units.items():
        exp = open_units(path, name, ReportOptions())
        rows[name] = inventory(exp, gather(exp, 3))["rows"]
    assert [[unit * APART, *rest] for unit, *rest in rows["few"]] == rows["many"]


def test_more_different_units_than_can_be_compared_are_said(corpus: Corpus, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(speaker, "MOST_SHARES", 100)
    with pytest.raises(TooFewError, match="different units: too many to compare"):
        speaker_scores(corpus.units["many"], corpus.utt2spk)


def test_few_codes_are_their_own_numbers_and_others_come_after_them():
    numbers = Numbering(own=4)
    assert numbers(np.array([3, 0])).tolist() == [3, 0]
    assert numbers(np.array([1 << 60, 2, 9, 9])).tolist() == [5, 2, 4, 4]
    assert numbers.units.tolist() == [0, 1, 2, 3, 9, 1 << 60]
    assert len(Numbering.of_codes(numbering.FEW)) == numbering.FEW
    assert len(Numbering.of_codes(numbering.FEW + 1)) == 0
