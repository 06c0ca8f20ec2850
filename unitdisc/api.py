"""What a notebook needs: a trained model's units and sound of arrays, training on arrays, and scores of arrays.

Waves are samples [S] in -1..1 as an array or a tensor. Units are whole numbers [T'], one for each frame. Everything
here gives what the command `unitdisc` gives; the names are those of the package itself, as in `unitdisc.load_model`.
"""

import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unitdisc.data.alignment import Interval
from unitdisc.data.units import UnitHeader, UnitLine, write_units
from unitdisc.errors import ConfigError, DataError
from unitdisc.evaluate.aligned import AlignedUnits, Labeller
from unitdisc.evaluate.frames import ArrayFrames
from unitdisc.evaluate.items import Items
from unitdisc.evaluate.scores import Score

if TYPE_CHECKING:
    from unitdisc.evaluate.abx_options import AbxOptions
    from unitdisc.features.cmvn import Normalisation
    from unitdisc.model import UnitModel
    from unitdisc.train_config import Config

Wave = ArrayLike  # [S] floating point samples in -1..1, of NumPy or torch
Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
Alignments = Mapping[str, Sequence[Interval | tuple[float, float, str]]] | str | Path


class Model:
    """A trained model, for use on arrays. `load_model` makes one.

    `network` is the torch module itself, a `unitdisc.UnitModel`.
    """

    def __init__(self, path: str | Path, device: str = "cpu") -> None:
        """Load a run's folder, a checkpoint file, or a packed model: its folder, or hf://ORGANISATION/NAME."""
        from unitdisc.speech_model import load_speech_model

        self.path = Path(path)
        self._speaking = load_speech_model(path, device)
        self.network: UnitModel = self._speaking.network

    @property
    def rate(self) -> int:
        """Return the sample rate in Hz of the sound that the model makes; it hears any rate."""
        return self.network.grid.sample_rate

    @property
    def period(self) -> float:
        """Return the seconds from one unit to the next."""
        return self.network.unit_grid.period

    @property
    def speakers(self) -> tuple[str, ...]:
        """Return the speakers whose voices the model knows."""
        return self.network.speakers

    @property
    def codes(self) -> int:
        """Return how many different units there are."""
        return int(np.prod(self.network.quantizer.codes, dtype=np.int64))

    @overload
    def units(  # type: ignore[overload-overlap]  # a list of numbers is an array, too; a list of arrays comes first
        self, wave: Sequence[Wave], rate: int, speakers: Sequence[str] | None = None
    ) -> list[Ints]: ...
    @overload
    def units(self, wave: Wave, rate: int, speakers: Sequence[str] | None = None) -> Ints: ...
    def units(self, wave: Any, rate: int, speakers: Sequence[str] | None = None) -> Any:
        """Return one unit for each frame, as `unitdisc encode` writes them.

        - `wave`: samples [S], or a list of such waves, or a batch [B, S].
        - `rate`: their sample rate in Hz; any rate will do.
        - `speakers`: the speaker of each wave. Models with `features.cmvn: speaker` need them, and normalise by all
          waves of the speaker in the list; other models ignore them.

        Returns units [T'] int64, one every `period` seconds; for a list or a batch, a list of them. If the model has
        several codebooks, their units are one number, the first codebook counting most.
        """
        from unitdisc.encode import compound_units

        codes = tuple(self.network.quantizer.codes)
        if not codes:
            raise ConfigError(f"{self.path}: its model has no codebook (quantizer.kind: none); take vectors()")
        return self._each(wave, rate, speakers, lambda units, _values: compound_units(units, codes))

    @overload
    def vectors(  # type: ignore[overload-overlap]
        self, wave: Sequence[Wave], rate: int, speakers: Sequence[str] | None = None
    ) -> list[Floats]: ...
    @overload
    def vectors(self, wave: Wave, rate: int, speakers: Sequence[str] | None = None) -> Floats: ...
    def vectors(self, wave: Any, rate: int, speakers: Sequence[str] | None = None) -> Any:
        """Return the codeword of each frame, [T', D] float32, or a list of them for a list of waves.

        A model without codebook gives the encoder's vectors. The arguments are those of `units`.
        """
        return self._each(wave, rate, speakers, lambda _units, values: values)

    def speak(self, units: ArrayLike, speaker: str | None = None, seed: int = 0) -> Floats:
        """Return the sound [S] float32 of units [T'] of this model, at its `rate`.

        - `speaker`: one of `speakers`. None is for models that know no voices.
        - `seed`: of what is drawn; the same seed gives the same sound.

        The pitch is the one that the decoder says, as in `unitdisc speak`. A decoder that says none (kind frame)
        whispers; `convert` speaks with the pitch of a recording.
        """
        from unitdisc.convert import Target, known_voice
        from unitdisc.speaking import Line, SpeakOptions, say

        self._speaking.check_speaks()
        frames = _whole(units)
        if not len(frames) or frames.min() < 0 or frames.max() >= self.codes:
            raise DataError(f"expected units [T] between 0 and {self.codes - 1}, one or more of them")
        number = self._number_of(speaker)
        target = Target("", None) if number is None else known_voice(self.network, number, self._speaking.voices)
        wave = say(self._speaking, Line("units", frames), target, SpeakOptions(seed=seed))
        return np.asarray(wave, dtype=np.float32)

    def convert(self, wave: Wave, rate: int, speaker: str, pitch: str = "source", seed: int = 0) -> Floats:
        """Return what is said in a wave in the voice of another speaker, [S'] float32 at the model's `rate`.

        - `wave`, `rate`: samples [S] and their sample rate in Hz.
        - `speaker`: one of `speakers`, or "same" for the speaker's own voice. Models that take any voice also take the
          path of a recording of it.
        - `pitch`: "source", "flat", "none", "predicted" or a factor, as `unitdisc convert --pitch`.
        """
        import soundfile

        from unitdisc.convert import ALL, ConvertOptions, convert_with

        if speaker == ALL:
            raise DataError(f"speaker {ALL!r}: expected one voice, of {', '.join(self.speakers) or 'no speakers'}")
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "source.wav"
            soundfile.write(source, _samples(wave), rate, subtype="FLOAT")
            options = ConvertOptions(seed=seed, pitch=pitch)
            (made,) = convert_with(self._speaking, [source], Path(folder) / "out", [speaker], options)
            samples, _ = soundfile.read(Path(folder) / "out" / made.path, dtype="float32")
        return np.asarray(samples, dtype=np.float32)

    def _number_of(self, speaker: str | None) -> int | None:
        if speaker is None:
            return None
        if speaker not in self.speakers:
            some = ", ".join(self.speakers[:8]) + (", ..." if len(self.speakers) > 8 else "")
            raise DataError(f"speaker {speaker!r}: this model knows {some or 'no speakers'}")
        return self.speakers.index(speaker)

    def _each(self, wave: Any, rate: int, speakers: Sequence[str] | None, then: Any) -> Any:
        import torch

        waves, single = _waves(wave)
        if speakers is not None and len(speakers) != len(waves):
            raise DataError(f"expected a speaker for each of {len(waves)} waves, got {len(speakers)}")
        statistics = self._statistics(waves, rate, speakers)
        results = []
        for number, samples in enumerate(waves):
            of_speaker = statistics[speakers[number]] if statistics and speakers is not None else None
            frames = self.network.frames_of(samples, rate, of_speaker)
            encoded = self.network.encode(frames[None], torch.tensor([len(frames)], device=frames.device))
            if self.network.quantizer.codes and bool((encoded.units < 0).any()):
                raise ConfigError(f"{self.path}: its training was still in the warm-up, before the codebook is used")
            results.append(then(encoded.units[0].cpu().numpy(), encoded.values[0].cpu().numpy()))
        return results[0] if single else results

    def _statistics(
        self, waves: list[Floats], rate: int, speakers: Sequence[str] | None
    ) -> "dict[str, Normalisation] | None":
        """Return what each speaker's frames are normalised by, where the model wants that."""
        from unitdisc.features.cmvn import Cmvn
        from unitdisc.features.frames import FrameMaker

        config = self.network.config.features
        if config.cmvn != "speaker" or speakers is None:
            return None
        maker = FrameMaker(config)
        sums: dict[str, Cmvn] = {}
        for samples, speaker in zip(waves, speakers, strict=True):
            sums.setdefault(speaker, Cmvn(maker.dim)).add_(maker.raw(samples, rate))
        return {speaker: stats.normalisation(config.cmvn_variance) for speaker, stats in sums.items()}


def load_model(path: str | Path, device: str = "cpu") -> Model:
    """Load a trained model.

    - `path`: the folder of `unitdisc train` or `unitdisc kmeans` (of its checkpoints the newest with averaged weights),
      a checkpoint file, the folder of `unitdisc pack`, or hf://ORGANISATION/NAME[@REVISION]. Nothing in it is run.
    - `device`: "cpu", "cuda" or "cuda:N".
    """
    return Model(path, device)


def train_model(
    config: "Config | Mapping[str, Any] | str | Path",
    waves: Mapping[str, Wave],
    rate: int,
    speakers: Mapping[str, str],
    out: str | Path,
    dev: Collection[str] | None = None,
) -> Model:
    """Train a model on arrays and return it. Called again with the same arguments, it goes on where it stopped.

    - `config`: a YAML file, a dictionary that holds the same, or a `unitdisc.train.Config`. What it leaves out has its
      default.
    - `waves`: {utterance: samples [S]}, all at one `rate` in Hz.
    - `speakers`: {utterance: speaker}.
    - `out`: the folder of the training, which `load_model` takes, too.
    - `dev`: utterances that are kept apart for validation; by default one in ten.
    """
    import soundfile

    from unitdisc import config as configs
    from unitdisc.train import train
    from unitdisc.train_config import Config

    if isinstance(config, Mapping):
        config = configs.from_tree(Config, config, "the config")
    elif not isinstance(config, Config):
        config = configs.load(config, Config)
    missing = sorted(set(waves) - set(speakers))
    if missing or not waves:
        raise DataError(
            f"expected the speaker of each of {len(waves)} waves" + f", {missing[0]} has none" * bool(missing)
        )
    utts, out = sorted(waves), Path(out)
    held = set(utts[::10]) if dev is None else set(dev)
    kept = [utt for utt in utts if utt not in held] or utts
    audio = out / "audio"
    audio.mkdir(parents=True, exist_ok=True)
    places = {utt: audio / f"{number:06d}.wav" for number, utt in enumerate(utts)}
    for utt in utts:
        soundfile.write(places[utt], _samples(waves[utt]), rate, subtype="FLOAT")
    for name, chosen in (("train", kept), ("dev", sorted(held & set(utts)) or utts)):
        folder = out / "waves" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "wav.scp").write_text("".join(f"{utt} {places[utt].resolve()}\n" for utt in chosen), "utf-8")
        (folder / "utt2spk").write_text("".join(f"{utt} {speakers[utt]}\n" for utt in chosen), "utf-8")
    train(config, out, out / "waves" / "train", out / "waves" / "dev")
    return load_model(out)


def abx(
    features: Mapping[str, ArrayLike], items: Items | str | Path, period: float, options: "AbxOptions | None" = None
) -> Score:
    """Return the ABX error of frames, between 0 and 1.

    - `features`: {file: vectors [T, D]}; or {file: units [T]}, with `AbxOptions(distance="identical")` or "edit".
    - `items`: an item file of `unitdisc items`, or what `unitdisc.evaluate.items.make_items` returns.
    - `period`: seconds from one frame to the next.
    - `options`: across or within speakers, context, distance; see `unitdisc.evaluate.abx.AbxOptions`.
    """
    from unitdisc.evaluate.abx import score_abx
    from unitdisc.evaluate.abx_options import AbxOptions

    arrays = {name: _frames(array) for name, array in features.items()}
    return score_abx(ArrayFrames(arrays, period), items, options=options or AbxOptions())


def clusters(
    units: Mapping[str, ArrayLike], alignment: Alignments, period: float, *, codes: int = 0, silence: str = "keep"
) -> dict[str, Score]:
    """Return PNMI, purities, V-measure and AMI of units and phones, by their names.

    - `units`: {utterance: units [T]}, one for each frame.
    - `alignment`: {utterance: [(start, end, phone), ...]} in seconds, or a CTM file or a folder of TextGrids.
    - `period`: seconds from one frame to the next.
    - `codes`: how many units there are, if more than those that occur.
    - `silence`: "keep" or "drop" the frames of silence.
    """
    from unitdisc.evaluate.clusters import cluster_scores

    with _aligned(units, alignment, period, codes) as pairs:
        return {score.name: score for score in cluster_scores(pairs, silence)}


def pnmi(units: Mapping[str, ArrayLike], alignment: Alignments, period: float, *, silence: str = "keep") -> Score:
    """Return the share of the phones' information that the units have, between 0 and 1; arguments as of `clusters`."""
    return clusters(units, alignment, period, silence=silence)["pnmi"]


def per(
    units: Mapping[str, ArrayLike],
    alignment: Alignments,
    period: float,
    fit_on: Mapping[str, ArrayLike] | None = None,
    fit_alignment: Alignments | None = None,
) -> Score:
    """Return the phone error rate of units {utterance: [T]}, each mapped to the phone that it goes with most.

    The mapping is fitted on the units `fit_on` and their `fit_alignment`. Without these it is fitted on the scored
    units themselves, and the name of the score says "oracle". The other arguments are those of `clusters`.
    """
    from unitdisc.evaluate.per import mapping_per

    with _aligned(units, alignment, period) as test:
        if fit_on is None:
            return mapping_per(test, None)
        with _aligned(fit_on, alignment if fit_alignment is None else fit_alignment, period) as train:
            return mapping_per(test, train)


def boundaries(
    units: Mapping[str, ArrayLike], alignment: Alignments, period: float, tolerance: float = 0.02
) -> dict[str, Score]:
    """Return precision, recall, F1, over-segmentation and R-value of the places where units {utterance: [T]} change.

    A boundary is right within `tolerance` seconds of one of the alignment. The other arguments are those of `clusters`.
    """
    from unitdisc.evaluate.boundaries import boundary_scores

    with _aligned(units, alignment, period) as pairs:
        return {score.name: score for score in boundary_scores(pairs, tolerance=tolerance)}


def bitrate(units: Mapping[str, ArrayLike], period: float, *, codes: int = 0) -> dict[str, Score]:
    """Return bits and units per second of units {utterance: [T]}, by the names of their definitions."""
    from unitdisc.evaluate.bitrate import bitrate_scores

    with _unit_file(units, period, codes) as path:
        return {score.definition: score for score in bitrate_scores(path)}


def usage(units: Mapping[str, ArrayLike], period: float, *, codes: int = 0) -> dict[str, Score]:
    """Return how many different units {utterance: [T]} use, and their perplexity, by the names of the scores."""
    from unitdisc.evaluate.clusters import usage_scores

    with _unit_file(units, period, codes) as path:
        return {score.name: score for score in usage_scores(path)}


def speaker_leak(units: Mapping[str, ArrayLike], speakers: Mapping[str, str], period: float) -> dict[str, Score]:
    """Return how well a classifier tells speakers {utterance: name} by their units {utterance: [T]}.

    The keys are the names of the definitions. Units that hold speech sounds alone would leave it at chance.
    """
    from unitdisc.evaluate.speaker import speaker_scores

    with _unit_file(units, period) as path:
        return {score.definition: score for score in speaker_scores(path, speakers)}


def _samples(wave: Wave) -> Floats:
    """Return samples [S] of an array or a tensor."""
    array = wave.detach().cpu().numpy() if hasattr(wave, "detach") else np.asarray(wave)
    if array.ndim != 1 or array.dtype.kind != "f":
        raise DataError(
            f"expected samples [S] of one channel in -1..1 as floating point numbers, got {array.dtype} "
            f"{list(array.shape)}"
        )
    return np.asarray(array, dtype=np.float32)


def _waves(wave: Any) -> tuple[list[Floats], bool]:
    """Return waves as a list, and whether there was one only."""
    if isinstance(wave, (list, tuple)) and not (wave and isinstance(wave[0], (int, float))):
        return [_samples(one) for one in wave], False
    if getattr(wave, "ndim", 1) == 2:
        return [_samples(one) for one in wave], False
    return [_samples(wave)], True


def _whole(units: Any) -> Ints:
    """Return units [T] of an array or a tensor of whole numbers, [T] or [T, 1]."""
    array = _frames(units)
    if array.ndim != 2 or array.shape[1] != 1 or array.dtype.kind not in "iuf" or (array != np.floor(array)).any():
        raise DataError(f"expected units [T] as whole numbers, got {array.dtype} {list(np.shape(units))}")
    return np.asarray(array[:, 0], dtype=np.int64)


def _frames(array: Any) -> Any:
    array = array.detach().cpu().numpy() if hasattr(array, "detach") else np.asarray(array)
    return array[:, None] if array.ndim == 1 else array


@contextmanager
def _unit_file(units: Mapping[str, ArrayLike], period: float, codes: int = 0) -> Iterator[Path]:
    """Write units per frame {utt: [T]} as the file that scores read, for the length of a with block."""
    lines = [UnitLine.of_frames(utt, _whole(units[utt])) for utt in sorted(units)]
    most = max((int(line.units.max(initial=-1)) for line in lines), default=-1) + 1
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "units.jsonl"
        write_units(path, UnitHeader(period, (max(codes, most, 1),)), lines)
        yield path


@contextmanager
def _aligned(
    units: Mapping[str, ArrayLike], alignment: Alignments, period: float, codes: int = 0
) -> Iterator[AlignedUnits]:
    known: Any = alignment
    if isinstance(alignment, Mapping):
        known = {utt: [Interval(*interval) for interval in alignment[utt]] for utt in alignment}
    with _unit_file(units, period, codes) as path:
        yield AlignedUnits(path, Labeller(known))
