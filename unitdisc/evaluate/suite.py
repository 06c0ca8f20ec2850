"""All scores of one unit file, and the sides on which those that are fitted are fitted and scored."""

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from unitdisc.data.units import unit_file
from unitdisc.errors import ConfigError, DataError, TooFewError
from unitdisc.evaluate.aligned import SILENCES, AlignedUnits, Labeller
from unitdisc.evaluate.bitrate import bitrate_scores
from unitdisc.evaluate.boundaries import TOLERANCE, boundary_scores
from unitdisc.evaluate.clusters import cluster_scores, usage_scores
from unitdisc.evaluate.frames import open_frames, read_array
from unitdisc.evaluate.mapping import fit_mapping
from unitdisc.evaluate.per import fit_on, mapping_per
from unitdisc.evaluate.robustness import unit_edit_distance
from unitdisc.evaluate.scores import Score
from unitdisc.evaluate.sides import Side, Split, split_speakers
from unitdisc.evaluate.speaker import read_speakers, speaker_scores
from unitdisc.evaluate.units import AnyUnits, Units

Silence = Literal["keep", "drop"]


@dataclass(frozen=True)
class Sides:
    """Where a fit is made and where it is scored.

    With `train`, another file's utterances are fitted on. With `data`, speakers are split: those named (or a seeded
    quarter) are scored on, the others fitted on. With neither, the fit is made on the scored side itself: an oracle.
    """

    inputs: Path | Units
    alignment: Path
    train: Path | Units | None = None
    train_alignment: Path | None = None  # None: that of the scored side
    data: Path | None = None  # data dir or utt2spk
    test_speakers: tuple[str, ...] = ()
    silences: Collection[str] = SILENCES
    clip: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.train is None and self.train_alignment is not None:
            raise ConfigError("--train-alignment has the phones of --train; give --train UNITS, too")
        if self.test_speakers and (self.train is not None or self.data is None):
            raise ConfigError(
                "--test-speakers says which of the speakers of --data are scored on; give --data, and no --train"
            )

    @cached_property
    def labeller(self) -> Labeller:
        """Open the alignment of the scored side, once."""
        return Labeller(self.alignment, self.silences, self.clip)

    @cached_property
    def _train_labeller(self) -> Labeller:
        if self.train_alignment is None or self.train_alignment == self.alignment:
            return self.labeller
        return Labeller(self.train_alignment, self.silences, self.clip)

    def _split(self, data: Path, utts: Iterable[str]) -> Split:
        """Split the speakers of the utterances that there are."""
        speakers, first = read_speakers(data), ""
        here: dict[str, str] = {}
        for utt in utts:
            first = first or utt
            if utt in speakers:
                here[utt] = speakers[utt]
        if not here:
            raise DataError(
                f"{data}: has no speaker of an utterance of {self.inputs}: expected names like {first!r}, "
                f"got {next(iter(speakers), '')!r}"
            )
        return split_speakers(here, self.test_speakers, self.seed)

    def units(self) -> tuple[AlignedUnits | None, AlignedUnits]:
        """Return the sides for what streams units: to fit on (None: an oracle) and to score."""
        labeller = self.labeller
        if self.train is not None:
            return AlignedUnits(self.train, self._train_labeller), AlignedUnits(self.inputs, labeller)
        if self.data is not None:
            split = self._split(self.data, (line.utt for line in Units.of(self.inputs)))
            return (
                AlignedUnits(self.inputs, labeller, split.train),
                AlignedUnits(self.inputs, labeller, split.test),
            )
        return None, AlignedUnits(self.inputs, labeller)

    def probed(self, frame_shift: float | None = None) -> tuple[Side, Side]:
        """Return the sides for probes, in memory; they need two."""
        labeller = self.labeller
        if self.train is not None:
            train = Side(_probed(self.train), self._train_labeller, frame_shift=frame_shift)
            return train, Side(_probed(self.inputs), labeller, frame_shift=frame_shift)
        if self.data is None:
            raise DataError(
                "a probe is trained on some speakers and scored on others: give --data with utt2spk, or --train"
            )
        split = self._split(self.data, open_frames(_probed(self.inputs)))
        train = Side(_probed(self.inputs), labeller, split.train, frame_shift)
        return train, Side(_probed(self.inputs), labeller, split.test, frame_shift)

    def kept(self) -> "Sides":
        """Return the same sides of unit files that are read once, however many scores are made of them."""
        train = None if self.train is None else Units(self.train, keep=True)
        return replace(self, inputs=Units(self.inputs, keep=True), train=train)


def codebook_beside(path: AnyUnits) -> np.ndarray | None:
    """Return the codebook.npy beside a unit file, if it has a codeword for each unit."""
    units = Units.of(path)
    beside = units.path.parent / "codebook.npy"
    if not beside.exists():
        return None
    codebook = read_array(beside)
    return codebook if len(codebook) == units.header.cardinality else None


def _probed(path: Path | Units) -> Path | Units:
    return unit_file(path) if isinstance(path, Path) and (path / "units.jsonl").exists() else path


def boundaries_of(
    sides: Sides, tolerance: float = TOLERANCE, match: str = "maximum", resamples: int = 1000
) -> list[Score]:
    """Score the boundaries of units and of the phones that they are mapped to."""
    train, test = sides.units()
    how: dict[str, Any] = {"tolerance": tolerance, "match": match, "seed": sides.seed, "resamples": resamples}
    if train is None:
        mapping, name = fit_mapping(test, len(test.labeller.names)), "mapped-oracle"
    else:
        mapping, name = fit_on(train, test), "mapped"
    return [*boundary_scores(test, **how), *boundary_scores(test, mapping, name=name, **how)]


def per_of(
    sides: Sides, kind: str = "many-to-one", silence: Silence = "drop", oracle: bool = False, resamples: int = 1000
) -> Score:
    """Score PER by mapping; without a side to fit on, that must be asked for by `oracle`."""
    train, test = sides.units()
    if oracle and sides.train is not None:
        raise ConfigError("--oracle fits the mapping on the scored side, --train on other units; give one of them")
    if train is None and not oracle:
        raise DataError(
            "the mapping of units to phones needs a side to fit on: give --train, or --data with utt2spk, "
            "or --oracle to fit it on the scored side"
        )
    fitted = None if oracle else train
    return mapping_per(test, fitted, kind=kind, silence=silence, seed=sides.seed, resamples=resamples)


@dataclass(frozen=True)
class SuiteOptions:
    """What `score all` scores beyond what units and alignment allow."""

    items: Path | None = None  # ABX
    changed: tuple[Path, ...] = ()  # robustness: units of changed audio
    probes: bool = False  # CTC and frame probes: minutes, not seconds
    resamples: int = 1000


EVERYTHING = SuiteOptions()


@contextmanager
def if_enough(what: str, say: Callable[[str], object]) -> Iterator[None]:
    """Leave out a score that the data are too few for, and say so; the others stand."""
    try:
        yield
    except TooFewError as error:
        say(f"nothing of {what}: {error}")


def score_all(
    sides: Sides,
    options: SuiteOptions = EVERYTHING,
    progress: Callable[[str], None] = lambda _: None,
) -> list[Score]:
    """Return all scores that the given files allow."""
    sides = sides.kept()
    units = Units.of(sides.inputs)
    draws: dict[str, Any] = {"seed": sides.seed, "resamples": options.resamples}
    codebook = codebook_beside(units)
    speakers = None if sides.data is None else read_speakers(sides.data)
    scores: list[Score] = []

    def add(what: str, found: list[Score]) -> None:
        progress(f"scored {what}")
        scores.extend(found)

    add("clusters", cluster_scores(AlignedUnits(units, sides.labeller), **draws))
    add("codes", usage_scores(units, **draws))
    train, _ = sides.units()
    for kind in ("many-to-one", "one-to-one"):
        add("per", [per_of(sides, kind, oracle=train is None, resamples=options.resamples)])
    add("boundaries", boundaries_of(sides, resamples=options.resamples))
    add("bitrate", bitrate_scores(units, **draws))
    if options.items is not None:
        from unitdisc.evaluate.abx import score_abx
        from unitdisc.evaluate.abx_options import AbxOptions

        within = AbxOptions("within", distance="identical", seed=sides.seed)
        ways = [within, replace(within, speaker="across")]
        if codebook is not None:
            ways += [replace(way, distance="balanced") for way in ways]
        frames = open_frames(units)
        for way in ways:
            with if_enough(f"ABX {way.speaker} speakers", progress):
                add("abx", [score_abx(frames, options.items, options=way, resamples=options.resamples)])
    if options.probes:
        from unitdisc.evaluate.probe import ProbeConfig, frame_probes, probe_ctc

        two, config = sides.probed(), ProbeConfig(seed=sides.seed)
        add("probes", [probe_ctc(*two, config, resamples=options.resamples)])
        add("probes", frame_probes(*two, config, resamples=options.resamples))
    if speakers is not None:
        with if_enough("the speaker", progress):
            add("speaker", speaker_scores(units, speakers, codebook, **draws))
    for changed in options.changed:
        theirs = Units(changed)
        add("robustness", [unit_edit_distance(units, theirs, condition_of(theirs, changed), **draws)])
    return scores


def condition_of(units: Units, path: Path) -> str:
    """Return the name of a change of audio: what the unit file says, else the name of its folder or file."""
    return units.header.change or (path.name if path.is_dir() else path.stem)
