"""Speaker scores: the classifier equals sklearn's, EER equals its definition, and both know chance and certainty."""

import tracemalloc

import numpy as np
import pytest
from score_files import write_unit_file
from sklearn.linear_model import LogisticRegression as Theirs
from sklearn.metrics import balanced_accuracy_score

from unitdisc.errors import DataError
from unitdisc.evaluate.logistic import fit_logistic, folds
from unitdisc.evaluate.speaker import _eer_interval, eer, read_speakers, speaker_scores


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
    interval = _eer_interval(values, speakers[one], speakers[other], 200, 0, 3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert interval is not None
    assert peak < 100e6  # a row of bins for each pair of speakers took 640 MB

    few = speakers[:30] % 10  # by brute force: a pair of two drawn speakers counts as often as both were drawn
    one, other = np.triu_indices(30, 1)
    values = random.uniform(-1, 1, len(one))
    interval = _eer_interval(values, few[one], few[other], 10, 0, 50)
    draws = np.random.default_rng(0)
    found = []
    for _ in range(50):
        drawn = draws.multinomial(10, np.full(10, 0.1))
        same = few[one] == few[other]
        times = np.where(same, drawn[few[one]], drawn[few[one]] * drawn[few[other]])
        found.append(eer(np.repeat(values[same], times[same]), np.repeat(values[~same], times[~same])))
    assert (interval.low, interval.high) == pytest.approx(np.quantile(found, [0.025, 0.975]), abs=0.01)
