"""Speaker scores: the classifier equals sklearn's, EER equals its definition, and both know chance and certainty."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from score_files import write_unit_file
from sklearn.linear_model import LogisticRegression as Theirs
from sklearn.metrics import balanced_accuracy_score

from unitdisc.errors import DataError
from unitdisc.evaluate import speaker
from unitdisc.evaluate.eer import Pairs, cosine_pairs, eer, eer_interval
from unitdisc.evaluate.logistic import fit_logistic, folds
from unitdisc.evaluate.speaker import histograms, read_speakers, speaker_scores


@pytest.mark.parametrize("classes", [2, 4])
def test_classifier_equals_sklearn(classes):
    rng = np.random.default_rng(classes)
    y = rng.choice(classes, 150, p=np.arange(1, classes + 1) / np.arange(1, classes + 1).sum())
    x = rng.standard_normal((150, 6)) + y[:, None] * rng.standard_normal(6)
    ours = fit_logistic(x, y, classes)
    z = (x - ours.mean) / ours.scale
    # sklearn has one weight vector for two classes, ours two that are opposite: half the penalty.
    theirs = Theirs(C=2.0 if classes == 2 else 1.0, class_weight="balanced", tol=1e-8, max_iter=5000).fit(z, y)
    shares = np.exp(ours.scores(x) - ours.scores(x).max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    assert np.allclose(shares, theirs.predict_proba(z), atol=2e-4)


def test_folds_spread_every_class():
    y = np.repeat([0, 1, 2], [10, 15, 7])
    fold = folds(y, 5, np.random.default_rng(0))
    for value in range(3):
        counts = np.bincount(fold[y == value], minlength=5)
        assert counts.max() - counts.min() <= 1


def test_eer_by_definition():
    assert eer(np.array([3.0, 4]), np.array([1.0, 2])) == 0
    assert eer(np.array([1.0, 2]), np.array([3.0, 4])) == 1
    assert eer(np.array([1.0, 1]), np.array([1.0, 1])) == 0.5
    rng = np.random.default_rng(0)
    same, other = rng.normal(1, 1, 4000), rng.normal(-1, 1, 6000)
    best = min(
        (abs((same < t).mean() - (other >= t).mean()), ((same < t).mean() + (other >= t).mean()) / 2)
        for t in np.linspace(-1, 1, 2001)
    )
    assert eer(same, other) == pytest.approx(best[1], abs=1e-3)
    assert eer(same, other) == pytest.approx(0.1587, abs=0.01)  # the normal's tail at one deviation


def slow_eer(targets: np.ndarray, others: np.ndarray) -> float:
    """Accept value after value, and interpolate where misses and false alarms cross."""
    rates = [(1.0, 0.0)]
    for threshold in sorted({*targets, *others}, reverse=True):
        hits, alarms = np.count_nonzero(targets >= threshold), np.count_nonzero(others >= threshold)
        rates.append((1 - hits / len(targets), alarms / len(others)))
    after = next(n for n, (miss, alarm) in enumerate(rates) if alarm >= miss)
    (one, low), (two, high) = rates[after - 1], rates[after]
    step = (one - low) - (two - high)
    return one + ((one - low) / step if step > 0 else 0.0) * (two - one)


VALUES = st.lists(st.integers(-4, 4), min_size=1, max_size=30)  # many are equal


@given(VALUES, VALUES)
def test_eer_is_that_of_all_thresholds_to_the_bit(targets: list[int], others: list[int]):
    one, other = np.array(targets) / 4, np.array(others) / 4
    assert eer(one, other) == slow_eer(one, other)


def test_eer_of_nothing_is_not_defined():
    assert np.isnan(eer(np.zeros(0), np.ones(3)))


def corpus(tmp_path, leak: float, speakers: int = 6, utterances: int = 12):
    rng = np.random.default_rng(0)
    units, utt2spk = {}, {}
    for s in range(speakers):
        shares = (1 - leak) * np.full(12, 1 / 12) + leak * rng.dirichlet(np.full(12, 0.3))
        for n in range(utterances):
            units[f"s{s}-{n:02}"] = rng.choice(12, 150, p=shares)
            utt2spk[f"s{s}-{n:02}"] = f"s{s}"
    return write_unit_file(tmp_path / "units.jsonl", units, 12), utt2spk


def test_speakers_who_differ_are_told_apart_and_others_are_not(tmp_path):
    codebook = np.random.default_rng(1).standard_normal((12, 4))
    loud = {s.definition: s for s in speaker_scores(*corpus(tmp_path, 0.8), codebook, resamples=200)}
    assert loud["speaker-accuracy-histogram"].value > 0.95
    assert loud["speaker-accuracy-mean-code"].value > 0.9
    assert loud["speaker-eer-histogram-cosine"].value < 0.1
    quiet = {s.definition: s for s in speaker_scores(*corpus(tmp_path, 0.0), codebook, resamples=200)}
    for kind in ("histogram", "mean-code"):
        score = quiet[f"speaker-accuracy-{kind}"]
        assert score.parts["chance"] == 1 / 6
        assert score.interval.low < 1 / 6 < score.interval.high
        eer_score = quiet[f"speaker-eer-{kind}-cosine"]
        assert 0.4 < eer_score.value < 0.6
        assert eer_score.interval.low <= eer_score.value <= eer_score.interval.high


def test_accuracy_is_balanced_over_speakers(tmp_path):
    path, utt2spk = corpus(tmp_path, 0.3)
    score = speaker_scores(path, utt2spk, resamples=0)[0]
    assert score.value == pytest.approx(np.mean(list(score.parts["by speaker"].values())))
    y = np.repeat([0, 1], [10, 5])
    assert balanced_accuracy_score(y, np.zeros(15)) == 0.5  # what a lazy guess is worth, by the same definition


def test_speakers_are_read_from_a_data_dir_or_a_file(tmp_path):
    (tmp_path / "utt2spk").write_text("a-1 a\nb-1 b\n")
    assert read_speakers(tmp_path) == read_speakers(tmp_path / "utt2spk") == {"a-1": "a", "b-1": "b"}


def test_mistakes_say_what_is_wrong(tmp_path):
    path, utt2spk = corpus(tmp_path, 0.3, speakers=2)
    with pytest.raises(DataError, match="another corpus"):
        speaker_scores(path, {"x": "y"})
    with pytest.raises(DataError, match="has 1 speaker with 5 utterances"):
        speaker_scores(path, {u: s for u, s in utt2spk.items() if s == "s0"})
    with pytest.raises(DataError, match="12 codes, the codebook 3"):
        speaker_scores(path, utt2spk, np.zeros((3, 2)))
    few = utt2spk | {"s0-00": "s9"}
    score = speaker_scores(path, few, resamples=0)[0]
    assert score.counts.dropped["utterances of speakers with few"] == 1


def test_the_interval_of_the_eer_takes_little_memory_and_is_that_of_all_pairs():
    random = np.random.default_rng(0)
    speakers = np.repeat(np.arange(200), 3)
    one, other = np.triu_indices(len(speakers), 1)
    values = random.uniform(-1, 1, len(one))
    tracemalloc.start()
    interval = eer_interval(Pairs(values, *(speakers[side].astype(np.int32) for side in (one, other))), 200, 0, 3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert interval is not None
    assert peak < 100e6  # a row of bins for each pair of speakers took 640 MB

    few = speakers[:30] % 10  # by brute force: a pair of two drawn speakers counts as often as both were drawn
    one, other = np.triu_indices(30, 1)
    values = random.uniform(-1, 1, len(one))
    interval = eer_interval(Pairs(values, *(few[side].astype(np.int32) for side in (one, other))), 10, 0, 50)
    draws = np.random.default_rng(0)
    found = []
    for _ in range(50):
        drawn = draws.multinomial(10, np.full(10, 0.1))
        same = few[one] == few[other]
        times = np.where(same, drawn[few[one]], drawn[few[one]] * drawn[few[other]])
        found.append(eer(np.repeat(values[same], times[same]), np.repeat(values[~same], times[~same])))
    assert (interval.low, interval.high) == pytest.approx(np.quantile(found, [0.025, 0.975]), abs=0.01)


def test_pairs_are_all_pairs_and_take_little_memory():
    random = np.random.default_rng(0)
    vectors, speakers = random.dirichlet(np.full(64, 0.2), 1500), np.repeat(np.arange(100), 15)
    tracemalloc.start()
    pairs = cosine_pairs(vectors, speakers)
    rate = eer(pairs.values[pairs.same], pairs.values[~pairs.same])
    interval = eer_interval(pairs, 100, 0, 20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert interval is not None
    assert interval.low < rate < interval.high
    assert peak < 60 * len(pairs.values)  # bytes; it was some 150 a pair
    one, other = np.triu_indices(len(vectors), 1)
    assert np.array_equal(pairs.one, speakers[one])
    assert np.array_equal(pairs.other, speakers[other])
    centred = vectors - vectors.mean(axis=0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    assert np.allclose(pairs.values, (centred[one] * centred[other]).sum(axis=1))


def test_of_very_many_speakers_and_utterances_some_are_drawn(tmp_path, monkeypatch: pytest.MonkeyPatch):
    path, utt2spk = corpus(tmp_path, 0.5, speakers=8, utterances=30)
    whole = speaker_scores(path, utt2spk, resamples=0)
    monkeypatch.setattr(speaker, "MOST_SPEAKERS", 5)
    monkeypatch.setattr(speaker, "MOST_UTTERANCES", 80)
    drawn = speaker_scores(path, utt2spk, resamples=0)
    assert whole[0].counts.used == {"utterances": 240, "speakers": 8}
    assert "utterances beyond those drawn" not in whole[0].counts.dropped
    assert drawn[0].counts.used == {"utterances": 75, "speakers": 5}  # every second of 5 x 30
    assert drawn[0].counts.dropped["utterances beyond those drawn"] == 240 - 75
    assert drawn[0].parts["chance"] == 1 / 5
    names = set(drawn[0].parts["by speaker"])
    some = {utt: name for utt, name in utt2spk.items() if name in names and int(utt[-2:]) % 2 == 0}
    monkeypatch.undo()
    assert [s.value for s in speaker_scores(path, some, resamples=0)] == [s.value for s in drawn]


def test_of_very_many_different_units_some_utterances_are_drawn(tmp_path, monkeypatch: pytest.MonkeyPatch):
    path, utt2spk = corpus(tmp_path, 0.5, speakers=5, utterances=30)
    monkeypatch.setattr(speaker, "MOST_UTTERANCES", 80)
    drawn = speaker_scores(path, utt2spk, resamples=0)
    monkeypatch.undo()
    monkeypatch.setattr(speaker, "MOST_SHARES", 80 * len(histograms(path, utt2spk).units))
    assert [score.value for score in speaker_scores(path, utt2spk, resamples=0)] == [score.value for score in drawn]
