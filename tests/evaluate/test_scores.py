"""Scores: stored and read without loss, and intervals that cover."""

import json
import math

import numpy as np
import pytest
from scipy import sparse
from score_files import write_unit_file

from unitdisc.errors import DataError
from unitdisc.evaluate.bitrate import bitrate_scores
from unitdisc.evaluate.clusters import usage_scores
from unitdisc.evaluate.scores import (
    ConfidenceInterval,
    Counts,
    Groups,
    Score,
    bootstrap,
    bootstrap_many,
    file_hash,
    pooled,
    ratio,
    read_scores,
    table,
    write_scores,
)


def some_score(**changes) -> Score:
    fields = {
        "name": "abx",
        "value": 0.25,
        "definition": "abx-phone-any",
        "options": {"seed": 1, "max_group": None},
        "counts": Counts({"items": 3}, {"past the end": 1}),
        "interval": ConfidenceInterval(0.2, 0.3),
        "period": 0.01,
        "hashes": {"items": "ab"},
        "parts": {"by speaker": {"a": 0.5}},
    }
    return Score(**{**fields, **changes})


def test_json_round_trip_is_exact(tmp_path):
    scores = [some_score(), some_score(value=math.pi, interval=None)]
    write_scores(tmp_path / "scores.json", scores)
    assert read_scores(tmp_path / "scores.json") == scores
    assert [p.name for p in tmp_path.iterdir()] == ["scores.json"]


def test_json_has_the_value_under_its_own_name_and_numpy_becomes_plain():
    record = some_score(value=np.float32(0.5), parts={"counts": np.arange(2), "n": np.int64(3)}).to_json()
    assert record["abx"] == record["value"] == 0.5
    assert json.loads(json.dumps(record))["parts"] == {"counts": [0, 1], "n": 3}


def test_nan_is_null_in_json_and_nan_again():
    record = json.loads(json.dumps(some_score(value=math.nan).to_json(), allow_nan=False))
    assert record["abx"] is None
    assert math.isnan(Score.from_json(record).value)


def test_files_that_are_no_scores_say_so(tmp_path):
    with pytest.raises(DataError, match="no such file; `unitdisc score all`"):
        read_scores(tmp_path / "none.json")
    (tmp_path / "a.json").write_text("[1]")
    with pytest.raises(DataError, match="expected a file of scores"):
        read_scores(tmp_path / "a.json")
    (tmp_path / "b.json").write_text('{"format": "unitdisc-scores-1", "scores": [{"value": 1}]}')
    with pytest.raises(DataError, match=r"b\.json: expected a score of unitdisc, got"):
        read_scores(tmp_path / "b.json")


def test_table_names_definition_interval_and_what_was_dropped():
    line = table([some_score(definition="abx-across-any-kl")]).splitlines()[1]
    title = "ABX across speakers (any context, KL divergence), % ↓"
    parts = ("abx-across-any-kl", title, "25.0", "20.0 .. 30.0", "3 items", "1 past the end")
    assert all(part in line for part in parts)
    assert "0.250" in table([some_score(definition="nobody's")])


def test_file_hash_sees_contents_and_names(tmp_path):
    (tmp_path / "a").write_text("1")
    one = file_hash(tmp_path)
    assert len(file_hash(tmp_path / "a")) == 12
    (tmp_path / "a").rename(tmp_path / "b")
    assert file_hash(tmp_path) != one


def test_pooled_value_and_seeded_interval():
    value, interval = pooled([1, 0, 3], [4, 4, 2], seed=3)
    assert value == 0.4
    assert interval is not None
    assert interval.low <= value <= interval.high
    assert interval == pooled([1, 0, 3], [4, 4, 2], seed=3)[1]
    assert interval != pooled([1, 0, 3], [4, 4, 2], seed=4)[1]


def test_equal_groups_have_no_spread_and_one_group_no_interval():
    interval = bootstrap(np.tile([1.0, 4.0], (5, 1)))
    assert (interval.low, interval.high) == (0.25, 0.25)
    assert bootstrap(np.array([[1.0, 4.0]])) is None


def test_sparse_rows_give_the_interval_of_dense_rows():
    rows = np.random.default_rng(0).poisson(0.5, (30, 7)).astype(float)

    def share(sums):
        return sums[:, 0] / sums.sum(axis=1)

    assert bootstrap(rows, share) == bootstrap(sparse.csr_matrix(rows), share)


def test_interval_matches_the_slow_bootstrap():
    rng = np.random.default_rng(0)
    rows = np.stack([rng.integers(0, 5, 40), rng.integers(5, 9, 40)], axis=1).astype(float)
    slow = []
    for _ in range(4000):
        drawn = rows[rng.integers(0, 40, 40)]
        slow.append(drawn[:, 0].sum() / drawn[:, 1].sum())
    interval = bootstrap(rows, resamples=4000)
    assert np.allclose([interval.low, interval.high], np.quantile(slow, [0.025, 0.975]), atol=0.006)


def test_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    covered = 0
    for trial in range(300):
        rows = np.stack([rng.binomial(20, 0.3, 60), np.full(60, 20)], axis=1).astype(float)
        interval = bootstrap(rows, resamples=300, seed=trial)
        covered += interval.low <= 0.3 <= interval.high
    assert 0.89 <= covered / 300 <= 0.99


def test_centred_interval_has_the_value_in_its_middle():
    rng = np.random.default_rng(0)
    rows = rng.poisson(0.1, (50, 200)).astype(float)

    def entropy(sums):
        p = sums / sums.sum(axis=1, keepdims=True)
        return -(p * np.log(np.where(p > 0, p, 1))).sum(axis=1)

    value = entropy(rows.sum(axis=0, keepdims=True))[0]
    plain, centred = bootstrap(rows, entropy), bootstrap(rows, entropy, centred=True)
    assert plain.high < value  # resampling leaves out groups, and with them symbols: biased
    assert centred.low < value < centred.high


def test_an_interval_stays_within_what_the_value_can_be(tmp_path):
    frames = {f"u{n}": np.arange(8 * n, 8 * n + 8) for n in range(5)}
    units = write_unit_file(tmp_path / "u.jsonl", frames, 40)
    used = {score.definition: score for score in [*usage_scores(units), *bitrate_scores(units)]}
    assert used["perplexity"].value == pytest.approx(40)
    assert used["perplexity"].interval.high == 40
    assert used["perplexity"].interval.low < 40
    bitrate = used["bitrate-zr2020"]
    assert bitrate.value == pytest.approx(bitrate.interval.high) == pytest.approx(50 * np.log2(40))
    lows = [interval.low for interval in bootstrap_many(np.eye(9), lambda sums: -sums, values=9, within=(-0.5, 0.0))]
    assert lows == [-0.5] * 9


def test_groups_pool_by_name_and_stay_bounded():
    groups = Groups(most=8)
    for n in range(100):
        groups.add(f"utt{n}", [1, 2])
        groups.add(f"utt{n}", [1, 0])
    rows = groups.table()
    assert rows.shape == (8, 2)
    assert rows.sum(axis=0).tolist() == [200, 200]
    few = Groups()
    few.add("b", [1, 2])
    few.add("a", [3, 4])
    assert few.table().tolist() == [[1, 2], [3, 4]]
    assert ratio(few.table()).tolist() == [0.5, 0.75]
