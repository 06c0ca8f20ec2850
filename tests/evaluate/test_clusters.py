"""Cluster scores equal sklearn's on any labelling, and codebook use equals its closed forms."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from score_files import write_alignment, write_unit_file
from sklearn import metrics

from unitdisc.errors import DataError
from unitdisc.evaluate.aligned import AlignedUnits, Labeller
from unitdisc.evaluate.clusters import (
    MEASURES,
    cluster_scores,
    codes_for_share,
    entropy,
    expected_information,
    measures,
    perplexity,
    usage_scores,
)
from unitdisc.evaluate.contingency import CellCounter


def table_of(phones, units) -> np.ndarray:
    counts = np.zeros((max(phones) + 1, max(units) + 1))
    np.add.at(counts, (phones, units), 1)
    return counts


LABELLINGS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6)), min_size=1, max_size=60)


@settings(deadline=None, max_examples=200)
@given(LABELLINGS)
def test_measures_equal_sklearn(frames):
    phones, units = [p for p, _ in frames], [u for _, u in frames]
    got = dict(zip(MEASURES, measures(table_of(phones, units)[None])[0], strict=True))
    assert got["pnmi"] == pytest.approx(metrics.homogeneity_score(phones, units), abs=1e-9)
    assert got["v-measure"] == pytest.approx(metrics.v_measure_score(phones, units), abs=1e-9)
    if len(set(phones)) > 1 and len(set(units)) > 1 and len(set(units)) < len(units):
        assert got["ami"] == pytest.approx(metrics.adjusted_mutual_info_score(phones, units), abs=1e-7)


def test_expected_information_equals_sklearn_on_large_tables():
    rng = np.random.default_rng(0)
    phones, units = rng.integers(0, 30, 20000), rng.integers(0, 100, 20000) ** 2 // 100
    counts = table_of(phones, units)
    got = expected_information(counts.sum(axis=1), counts.sum(axis=0))
    wanted = metrics.cluster.expected_mutual_information(counts.astype(np.int64), 20000)
    assert got == pytest.approx(wanted, rel=1e-8)
    assert measures(counts[None])[0, 4] == pytest.approx(metrics.adjusted_mutual_info_score(phones, units), abs=1e-9)


def test_purities_by_hand():
    counts = np.array([[[3, 0, 1], [1, 4, 1]]])  # 2 phones, 3 units
    got = dict(zip(MEASURES, measures(counts)[0], strict=True))
    assert got["phone-purity"] == (3 + 4 + 1) / 10
    assert got["cluster-purity"] == (3 + 4) / 10


def test_codebook_use_in_closed_form():
    assert perplexity(np.full((1, 8), 5.0))[0] == pytest.approx(8)
    assert entropy(np.array([[1.0, 0, 0]]))[0] == 0
    assert codes_for_share(np.array([[50, 30, 10, 10], [90, 10, 0, 0], [25, 25, 25, 25]])).tolist() == [3, 1, 4]


def test_scores_of_files_equal_sklearn_on_all_frames(tmp_path):
    rng = np.random.default_rng(1)
    phones, units = {}, {}
    for n in range(12):
        phones[f"u{n:02}"] = np.repeat(rng.integers(0, 4, 6), rng.integers(1, 5, 6))
        units[f"u{n:02}"] = (phones[f"u{n:02}"] + rng.integers(0, 2, len(phones[f"u{n:02}"]))) % 5
    path = write_unit_file(tmp_path / "units.jsonl", units, codes=8)
    labeller = Labeller(write_alignment(tmp_path / "phones.ctm", phones, names=["SIL", "A", "B", "C"]))
    scores = {s.name: s for s in cluster_scores(AlignedUnits(path, labeller), resamples=100)}
    y, z = np.concatenate(list(phones.values())), np.concatenate(list(units.values()))
    assert scores["pnmi"].value == pytest.approx(metrics.homogeneity_score(y, z))
    assert scores["v-measure"].value == pytest.approx(metrics.v_measure_score(y, z))
    assert scores["ami"].value == pytest.approx(metrics.adjusted_mutual_info_score(y, z))
    for score in scores.values():
        assert score.interval.low < score.value < score.interval.high
        assert score.counts.used == {"utterances": 12, "frames": len(y)}
        assert score.parts["codes"] == 8
    spoken = y > 0
    dropped = {s.definition: s.value for s in cluster_scores(AlignedUnits(path, labeller), "drop", resamples=0)}
    assert dropped["pnmi-nosil"] == pytest.approx(metrics.homogeneity_score(y[spoken], z[spoken]))
    use = {s.name: s.value for s in usage_scores(path, resamples=50)}
    assert use["active-codes"] == len(set(z))
    assert use["perplexity"] == pytest.approx(np.exp(metrics.cluster.entropy(z)))


def test_perfect_and_random_units(tmp_path):
    rng = np.random.default_rng(2)
    phones = {f"u{n}": np.repeat(rng.integers(0, 5, 40), 3) for n in range(9)}
    labeller = Labeller(write_alignment(tmp_path / "phones.ctm", phones, names=list("abcde")))
    perfect = write_unit_file(tmp_path / "same.jsonl", {u: 7 - p for u, p in phones.items()}, codes=8)
    assert [s.value for s in cluster_scores(AlignedUnits(perfect, labeller))] == pytest.approx([1, 1, 1, 1, 1])
    random = {u: rng.integers(0, 8, len(p)) for u, p in phones.items()}
    scores = cluster_scores(AlignedUnits(write_unit_file(tmp_path / "r.jsonl", random, codes=8), labeller))
    assert abs(scores[4].value) < 0.02


def test_counts_in_bounded_rows_keep_their_sums():
    counter = CellCounter(most=4)
    for n in range(40):
        counter.add(f"u{n}", np.array([n % 3, 5, 5]))
    cells, rows = counter.result()
    assert cells.tolist() == [0, 1, 2, 5]
    assert rows.shape == (4, 4)
    assert np.asarray(rows.sum(axis=0)).ravel().tolist() == [14, 13, 13, 80]


def test_counting_takes_no_more_memory_for_more_utterances_and_loses_nothing():
    rng = np.random.default_rng(0)
    peaks, tables = [], []
    for utterances in (2_000, 6_000):
        counter = CellCounter()
        tracemalloc.start()
        for n in range(utterances):
            counter.add(f"u{n}", rng.integers(0, 5_000, 1_000))
        tables.append(counter.result()[1])
        peaks.append(tracemalloc.get_traced_memory()[1] / 1e6)
        tracemalloc.stop()
    assert max(peaks) < 90  # MB
    assert peaks[1] < 1.2 * peaks[0]  # the utterances are three times as many
    assert [table.sum() for table in tables] == [2_000_000, 6_000_000]
    assert [table.shape[0] for table in tables] == [64, 64]  # folded: a row has up to 5,000 cells


def test_only_silence_and_no_units_are_errors(tmp_path):
    path = write_unit_file(tmp_path / "units.jsonl", {"a": np.zeros(4, int)}, codes=2)
    labeller = Labeller(write_alignment(tmp_path / "phones.ctm", {"a": np.zeros(4, int)}, names=["sil"]))
    with pytest.raises(DataError, match="all are silence"):
        cluster_scores(AlignedUnits(path, labeller), "drop")
    with pytest.raises(DataError, match="kept or dropped"):
        cluster_scores(AlignedUnits(path, labeller), "maybe")
    with pytest.raises(DataError, match="has no units"):
        usage_scores(write_unit_file(tmp_path / "none.jsonl", {}, codes=2))
