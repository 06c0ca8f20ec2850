"""Units of one voice, spoken by another: a data directory or single files to a folder of sound.

    OUT/<target>/<utt>.wav   as long and as loud as its source
    OUT/manifest.jsonl       what was made from what: utt, source utterance and speaker, target, file, seconds, gain
    OUT/wav.scp, utt2spk     the folder is a data directory itself, whose speakers are the targets

A decoder of log-mel frames speaks with a pitch: that of the source, moved to where the target's voice lies, or another
that is asked for. The result depends on the model, the source, how high its speaker speaks (from what else SOURCE has
of the same speaker), the target, the seed and the temperature alone, not on the batch.
"""

import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from unitdisc.corpus import open_features
from unitdisc.correction import Correction
from unitdisc.data.audio import save_audio
from unitdisc.data.batches import FrameReader, pad
from unitdisc.data.kaldi import DataDir, Recording
from unitdisc.decoders.base import Streams, Voicing
from unitdisc.decoders.configs import EXCITATION
from unitdisc.errors import ConfigError, DataError
from unitdisc.evaluate.converted import COPY, MANIFEST, SAME
from unitdisc.files import file_name, whole_file
from unitdisc.heard import hear_voice
from unitdisc.intonation import Intonation, parse_pitch
from unitdisc.live import LiveFrames
from unitdisc.model import UnitModel
from unitdisc.postfilter import Heard
from unitdisc.speech_model import SpeechModel, load_speech_model
from unitdisc.voices import PitchRange, Voices

ALL = "all"  # the target that means: every speaker of the training data
To = Sequence[str] | Mapping[str, Sequence[str]]
LEAST_HEARD = 0.5  # s of a recording whose voice is wanted
PEAK = 0.98  # of full scale; a louder result is turned down as a whole


@dataclass(frozen=True)
class ConvertOptions:
    """How to convert."""

    seed: int = 0
    temperature: float = 1.0
    iterations: int = 60  # of Griffin-Lim, for frame decoders
    batch: int = 8  # utterances sampled together
    format: Literal["wav", "flac"] = "wav"
    postfilter: bool = True  # give decoded log-mel the mean and the movement of real speech
    # Of decoders of frames: the source's, moved to the target's range; predicted, by a voice decoder; flat; a number
    # that the source's is multiplied by; none: a whisper, by Griffin-Lim.
    pitch: str = "source"
    # Say the encoder's vectors instead of units: more words are understood. None: where the decoder has heard them
    # (model.vectors above 0).
    vectors: bool | None = None
    # How far log-mel is moved on, away from what the mean of all voices says. None: as far as is usual for the decoder.
    emphasis: float | None = None

    def __post_init__(self) -> None:
        parse_pitch(self.pitch)


class Target(NamedTuple):
    """A voice to convert to."""

    name: str
    speaker: Tensor | None  # number [] int64 of a known speaker, or a vector [S]; none: the source's own
    pitch: PitchRange | None = None  # where the voice lies, if that is known
    heard: Heard | None = None  # how it sounds, of a voice from a recording
    correction: Correction | None = None  # of what the decoder says in it, of the same


class Made(NamedTuple):
    """One converted utterance, as in the manifest."""

    utt: str
    source: str
    speaker: str
    target: str
    path: str
    seconds: float
    gain: float
    pitch: str  # as it was asked for; of a waveform decoder that has its own, empty
    content: str = ""  # what the decoder was told: units or vectors; of copy-synthesis, empty


@dataclass(frozen=True)
class _Work:
    """What all batches have in common."""

    speaking: SpeechModel
    data: DataDir
    frames: FrameReader
    intonation: Intonation
    out: Path
    options: ConvertOptions


def convert(
    exp: str | Path,
    sources: Sequence[str | Path],
    out: str | Path,
    to: To,
    options: ConvertOptions | None = None,
    *,
    force: bool = False,
    device: str = "cpu",
    progress: Callable[[int], object] = lambda utterances: None,
) -> list[Made]:
    """Convert one data directory, or audio files, to each target: a speaker, "same", "all", or an audio file.

    `to` may also map each target to the utterances that go to it.
    """
    loaded = load_speech_model(exp, device)
    return convert_with(loaded, sources, out, to, options, force=force, progress=progress)


def convert_with(
    speaking: SpeechModel,
    sources: Sequence[str | Path],
    out: str | Path,
    to: To,
    options: ConvertOptions | None = None,
    *,
    force: bool = False,
    progress: Callable[[int], object] = lambda utterances: None,
) -> list[Made]:
    """Convert by a model that is loaded already, as `convert` does."""
    out, options = Path(out), options or ConvertOptions()
    model, voices = speaking.network, speaking.voices
    speaking.check_speaks()  # before anything is read
    if options.vectors and not model.config.vectors:
        raise ConfigError(f"{speaking.path}: its decoder has heard units only; train with model.vectors above 0")
    if not options.postfilter:
        speaking = speaking._replace(postfilter=None)
    if (out / MANIFEST).exists() and not force:
        raise DataError(f"{out}: there are conversions already; --force replaces them")
    data, frames = open_sources(sources, model)
    intonation = Intonation(options.pitch, data, model.grid, model.speakers, voices)
    work = _Work(speaking, data, frames, intonation, out, options)
    made: list[Made] = []
    for target, wanted in work_of(speaking, to, data, options):
        rows = sorted(wanted, key=frames.frames)
        for first in range(0, len(rows), options.batch):
            utts = rows[first : first + options.batch]
            made += _convert_batch(work, utts, target)
            progress(len(utts))
    write_manifest(out, sorted(made))
    return sorted(made)


def work_of(
    speaking: SpeechModel, to: To, data: DataDir, options: ConvertOptions
) -> list[tuple[Target, Sequence[str]]]:
    """Return each target and the utterances that go to it."""
    wanted = to if isinstance(to, Mapping) else dict.fromkeys(to, data.utts)
    for utt in (utt for utts in wanted.values() for utt in utts):
        if utt not in data.utt2spk:
            raise DataError(f"{data.path}: {utt!r} is to be converted, but is not there")
    heard = (options.vectors, options.emphasis)
    found = [(target, utts) for name, utts in wanted.items() for target in find_targets(speaking, [name], *heard)]
    if len({target.name for target, _ in found}) < len(found):
        raise DataError("--to: two targets have the same name")
    return found


def open_sources(sources: Sequence[str | Path], model: UnitModel) -> tuple[DataDir, FrameReader]:
    """Open one data directory, or make one in memory of audio files, each its own speaker."""
    paths = [Path(source) for source in sources]
    if len(paths) == 1 and paths[0].is_dir():
        data = DataDir.read(paths[0])
        return data, open_features(model.config.features, data)
    for path in paths:
        if not path.exists():
            raise DataError(f"{path}: no such file or data directory")
        if not path.is_file():
            raise DataError(f"{path}: expected an audio file, or one data directory")
    names = [name_of(path) for path in paths]
    if len(set(names)) < len(names):
        raise DataError("two of the audio files have the same name; convert them one by one, or make a data directory")
    data = DataDir(
        Path(),
        utts=sorted(names),
        utt2spk={name: name for name in names},
        spk2utt={name: [name] for name in names},
        recordings={name_of(path): Recording(0, str(path.resolve())) for path in paths},
    )
    return data, LiveFrames(model.config.features, data)


def name_of(path: Path) -> str:
    """Name the utterance, or the voice, of an audio file; names have no blanks."""
    return "_".join(path.stem.split())


def find_targets(
    speaking: SpeechModel, to: Sequence[str], vectors: bool | None = None, emphasis: float | None = None
) -> list[Target]:
    """Turn names of speakers, "same", "all" and audio files into voices.

    `vectors` and `emphasis` are those of `ConvertOptions`: what voices from audio files will be told to say.
    """
    model, known = speaking.network, speaking.voices
    targets: list[Target] = []
    for name in to:
        if name == SAME:
            targets.append(Target(SAME, None))
        elif name == ALL:
            targets += [known_voice(model, n, known) for n in range(len(model.speakers))]
        elif name in model.speakers:
            targets.append(known_voice(model, model.speakers.index(name), known))
        elif Path(name).is_file():
            targets.append(heard_voice(speaking, Path(name), vectors, emphasis))
        else:
            some = ", ".join(model.speakers[:8]) + (", ..." if len(model.speakers) > 8 else "")
            raise DataError(f"--to {name}: neither an audio file nor a speaker of the training data ({some})")
    return targets


def known_voice(model: UnitModel, number: int, voices: Voices | None) -> Target:
    """Return a speaker of the training data as a target."""
    return Target(model.speakers[number], torch.tensor(number), voices.of(number) if voices else None)


def heard_voice(
    speaking: SpeechModel, path: Path, vectors: bool | None = None, emphasis: float | None = None
) -> Target:
    """Return the voice of a recording as a target, for what will be told as `find_targets` says."""
    model, name = speaking.network, name_of(path)
    if name in (SAME, COPY):
        raise DataError(f"{path}: the name {name!r} has another meaning where a voice is named; rename the file")
    data, frames = open_sources([path], model)
    wave = data.source(data.utts[0]).load(model.grid.sample_rate)
    seconds = len(wave) / model.grid.sample_rate
    if seconds < LEAST_HEARD or not wave.any():
        raise DataError(
            f"{path}: {seconds:.2f} s{'' if wave.any() else ' of silence'}; a voice takes some seconds of speech"
        )
    reference = torch.from_numpy(frames[data.utts[0]]).to(model.mean.device)
    return Target(name, *hear_voice(speaking, reference, wave, vectors, emphasis))


def _convert_batch(work: _Work, utts: list[str], target: Target) -> Iterator[Made]:
    model, data, frames, options = work.speaking.network, work.data, work.frames, work.options
    device, rate = model.mean.device, model.grid.sample_rate
    rows = [torch.from_numpy(np.ascontiguousarray(frames[utt])).to(device) for utt in utts]
    lengths = torch.tensor([len(row) for row in rows], device=device)
    content, units = model.content(pad(rows), lengths, options.vectors)
    speaker = voices(model, data, utts, rows, target)
    seeds = torch.tensor([zlib.crc32(f"{options.seed} {target.name} {utt}".encode()) for utt in utts], device=device)
    originals = [data.source(utt).load(rate) for utt in utts]
    told = _told(work, utts, originals, target)
    said = work.speaking.say(content, units, speaker, seeds, options.temperature, options.emphasis, told)
    for n, (utt, original) in enumerate(zip(utts, originals, strict=True)):
        row = {name: stream[n] for name, stream in said.items()}
        row = work.speaking.corrected(row, content[n, : units[n]], target.correction)
        wave = _voiced(work, {name: stream.cpu() for name, stream in row.items()}, original, utt, target)
        spoken = options.pitch if work.speaking.decoder.needs_pitch or told is not None else ""
        samples, gain = as_loud(fit_length(wave.numpy(), len(original)), original)
        path = work.out / file_name(target.name) / f"{file_name(utt)}.{options.format}"
        path.parent.mkdir(parents=True, exist_ok=True)
        save_audio(path, samples, rate)
        name = f"{target.name}-{utt}"
        home = str(path.relative_to(work.out))
        what = "vectors" if content.is_floating_point() else "units"
        yield Made(name, utt, data.utt2spk[utt], target.name, home, len(samples) / rate, gain, spoken, what)


def _told(work: _Work, utts: list[str], originals: list[np.ndarray], target: Target) -> Tensor | None:
    """Return what the decoder is to be told of each frame [B, T, D]: the pitch that is wanted, if it takes one so."""
    if not work.speaking.network.config.told:
        return None
    moved_to = None if target.name == SAME else target.pitch
    speakers = [work.data.utt2spk[utt] for utt in utts]
    return pad([work.intonation.frames(w, spk, moved_to) for w, spk in zip(originals, speakers, strict=True)])


def _voiced(work: _Work, said: Streams, original: np.ndarray, utt: str, target: Target) -> Tensor:
    """Return the sound of what was decoded of an utterance, with the pitch that is wanted."""
    model, options, speaker = work.speaking.network, work.options, work.data.utt2spk[utt]
    decoder = work.speaking.decoder
    if not decoder.needs_pitch:
        return decoder.sound(said, Voicing())
    said = {name: stream[: model.grid.frames(len(original))] for name, stream in said.items()}
    said = work.speaking.filtered(said, voice_number(model, target, speaker), target.heard)
    moved_to = None if target.name == SAME else target.pitch
    excitation = work.intonation.of(original, speaker, moved_to, said.get(EXCITATION))
    return decoder.sound(said, Voicing(excitation, options.seed, options.iterations))


def voice_number(model: UnitModel, target: Target, source: str) -> int | None:
    """Return the place in the model's list of the speaker to be heard, None if it is not there."""
    if target.heard is not None:  # whatever its file is called
        return None
    name = source if target.name == SAME else target.name
    return model.speakers.index(name) if name in model.speakers else None


def voices(model: UnitModel, data: DataDir, utts: list[str], rows: list[Tensor], target: Target) -> Tensor | None:
    """Return the speaker of each utterance to be made: numbers [B], vectors [B, S], or none for a model without."""
    assert model.conditioning is not None
    if model.conditioning.config.speaker == "none":
        if target.speaker is not None:
            raise ConfigError("this model was trained without speakers (conditioning.speaker: none): only --to same")
        return None
    if target.speaker is not None:
        return target.speaker.to(model.mean.device).expand(len(utts), *target.speaker.shape)
    if model.conditioning.reference is not None:
        return model.speaker_vectors(pad(rows), torch.tensor([len(row) for row in rows], device=model.mean.device))
    strangers = sorted({data.utt2spk[utt] for utt in utts} - set(model.speakers))
    if strangers:
        raise DataError(
            f"--to same: {strangers[0]} is no speaker of the training data, and this model knows no other voices; "
            "name a speaker, or train with conditioning.speaker: reference"
        )
    return torch.tensor([model.speakers.index(data.utt2spk[utt]) for utt in utts], device=model.mean.device)


def fit_length(wave: np.ndarray, samples: int) -> np.ndarray:
    """Return a waveform of exactly so many samples: the last unit may stick out over the end, or fall short of it."""
    return np.pad(wave[:samples], (0, max(samples - len(wave), 0)))


def as_loud(wave: np.ndarray, original: np.ndarray) -> tuple[np.ndarray, float]:
    """Return a waveform with the level of the original where that is not silent, never clipped; and the gain."""
    level, wanted = active_level(wave), active_level(original)
    gain = wanted / level if level > 0 else 1.0
    peak = float(np.abs(wave).max(initial=0.0)) * gain
    if peak > PEAK:
        gain *= PEAK / peak
    return (wave * gain).astype(np.float32), float(gain)


def active_level(wave: np.ndarray, block: int = 400) -> float:
    """Return the root mean square over blocks within 30 dB of the loudest."""
    whole = wave[: len(wave) // block * block] if len(wave) >= block else np.pad(wave, (0, block - len(wave)))
    power = np.square(whole.reshape(-1, block), dtype=np.float64).mean(1)
    return float(np.sqrt(power[power >= power.max() * 1e-3].mean()))


def write_manifest(out: Path, made: list[Made]) -> None:
    """Write manifest.jsonl, and what makes the folder a data directory."""
    with whole_file(out / "wav.scp") as file:
        file.writelines(f"{row.utt} {row.path}\n" for row in made)
    with whole_file(out / "utt2spk") as file:
        file.writelines(f"{row.utt} {row.target if row.target not in (SAME, COPY) else row.speaker}\n" for row in made)
    with whole_file(out / MANIFEST) as file:
        file.writelines(json.dumps(row._asdict(), ensure_ascii=False) + "\n" for row in made)
