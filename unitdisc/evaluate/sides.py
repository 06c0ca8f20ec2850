"""The two sides of a probe: utterances to train on and to score on, in memory, with their phones."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from unitdisc.data.units import check_same_codebook
from unitdisc.errors import DataError
from unitdisc.evaluate.aligned import AlignmentFit, Labeller, Labels
from unitdisc.evaluate.frames import Frames, open_frames
from unitdisc.evaluate.scores import Counts
from unitdisc.evaluate.units import AnyUnits, Units

MOST_FRAMES = 2_000_000  # in memory; of more, a seeded draw of utterances is used


class LabelledUtterance(NamedTuple):
    """One utterance's input and phones."""

    utt: str
    x: np.ndarray  # [T, D] float32, or units [T] int64
    labels: Labels


class Side:
    """The utterances of a unit file, a feats.scp or a folder of arrays that an alignment covers."""

    def __init__(
        self,
        inputs: AnyUnits,
        labeller: Labeller,
        utts: Collection[str] | None = None,
        frame_shift: float | None = None,
        most: int = MOST_FRAMES,
    ) -> None:
        self.path, self.labeller = inputs.path if isinstance(inputs, Units) else Path(inputs), labeller
        frames = open_frames(inputs, frame_shift)
        if frames.period is None:
            raise DataError(f"{inputs}: does not say how long a frame is; give --frame-shift SECONDS")
        self.period, self.offset = frames.period, frames.offset
        units = Units.of(inputs) if frames.units else None
        self.header = units.header if units else None
        self.codes = self.header.cardinality if self.header else 0  # 0: features
        self.hashes = ({"alignment": labeller.hash} if labeller.hash else {}) | (units.hashes if units else {})
        fit = AlignmentFit(labeller, str(inputs))
        self.utterances = sorted(self._read(frames, fit, utts, most))
        fit.check()
        self.counts = Counts(dict(fit.used), dict(fit.dropped))
        self.dim = 0 if self.codes else self.utterances[0].x.shape[1]
        for u in self.utterances:
            if not self.codes and u.x.shape[1] != self.dim:
                raise DataError(f"{inputs}: {u.utt} has {u.x.shape[1]} dimensions, {self.utterances[0].utt} {self.dim}")

    def _read(
        self, frames: Frames, fit: AlignmentFit, utts: Collection[str] | None, most: int
    ) -> Iterator[LabelledUtterance]:
        names = sorted(u for u in frames if utts is None or u in utts)
        total = 0
        for place in np.random.default_rng(0).permutation(len(names)):
            if total >= most:
                fit.dropped["utterances beyond the memory limit"] += 1
                continue
            x = frames[names[place]]
            labels = fit.labels(names[place], len(x), frames.period or 0.0, frames.offset)
            if labels is not None:
                total += len(x)
                yield LabelledUtterance(names[place], x[:, 0] if frames.units else x, labels)

    def renumbered(self, other: Labeller) -> list[LabelledUtterance]:
        """Return the utterances with their phones numbered as in another alignment; unknown phones come after all."""
        table = other.numbers_of(self.labeller)
        return [
            u._replace(labels=u.labels._replace(frames=table[u.labels.frames], phones=table[u.labels.phones]))
            for u in self.utterances
        ]


def stretches(side: Side, seconds: float) -> list[LabelledUtterance]:
    """Cut utterances at phone edges into stretches of about so many seconds, each with its own phones."""
    cut: list[LabelledUtterance] = []
    for utt, x, labels in side.utterances:
        places = np.rint((labels.edges - side.offset) / side.period).astype(np.int64).clip(0, len(x))
        places[0], places[-1] = 0, len(x)
        first = 0
        for last in range(1, len(places)):
            if (places[last] - places[first]) * side.period >= seconds or last == len(places) - 1:
                span = slice(places[first], places[last])
                part = Labels(labels.frames[span], labels.phones[first:last], labels.edges[first : last + 1])
                cut.append(LabelledUtterance(utt, x[span], part))
                first = last
    return cut


def check_sides(train: Side, test: Side) -> None:
    """Refuse sides that are not the same kind of input, or that share utterances."""
    if train.header and test.header:
        check_same_codebook(train.header, test.header, (str(train.path), str(test.path)))
    if (train.codes, train.dim) != (test.codes, test.dim):
        raise DataError(
            f"{train.path} has {_size(train)}, {test.path} {_size(test)}; train and score on the same kind of input"
        )
    if abs(train.period - test.period) > 1e-9:
        raise DataError(f"{train.path} has frames of {train.period:g} s, {test.path} of {test.period:g} s")
    both = {u.utt for u in train.utterances} & {u.utt for u in test.utterances}
    if both:
        raise DataError(f"{len(both)} utterances are both trained and scored on, {min(both)!r} first; split them")


def _size(side: Side) -> str:
    return f"units of {side.codes} codes" if side.codes else f"features of {side.dim} dimensions"


class Split(NamedTuple):
    """Utterances of two disjoint sets of speakers."""

    train: set[str]
    test: set[str]
    test_speakers: list[str]


def split_speakers(utt2spk: Mapping[str, str], test_speakers: Collection[str] = (), seed: int = 0) -> Split:
    """Split utterances by speaker: those named, or a seeded quarter (at least one), are scored on."""
    speakers = sorted(set(utt2spk.values()))
    unknown = sorted(set(test_speakers) - set(speakers))
    if unknown:
        raise DataError(f"unknown speakers to score on: {', '.join(unknown)}; known are {', '.join(speakers[:10])} ...")
    if not test_speakers:
        count = max(len(speakers) // 4, 1)
        test_speakers = [speakers[i] for i in np.random.default_rng(seed).permutation(len(speakers))[:count]]
    if len(set(test_speakers)) >= len(speakers):
        raise DataError(f"all {len(speakers)} speakers are scored on; none is left to train on")
    chosen = set(test_speakers)
    test = {utt for utt, speaker in utt2spk.items() if speaker in chosen}
    return Split(set(utt2spk) - test, test, sorted(test_speakers))
