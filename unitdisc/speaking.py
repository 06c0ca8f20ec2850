"""Units from anywhere to sound: a unit file, text, or what a language model writes to a pipe.

Text has one utterance a line: an optional name, then units; `7x3` is unit 7 for three frames of units, `7` for as many
as is asked for.

    hello 7x2 3 3 12x5
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np
import torch

from unitdisc.convert import ALL, PEAK, Made, Target, active_level, find_targets, voice_number, write_manifest
from unitdisc.data.audio import save_audio
from unitdisc.data.units import FORMAT, read_header, read_units, unit_file
from unitdisc.decoders.base import Streams, Voicing
from unitdisc.decoders.configs import EXCITATION
from unitdisc.errors import ConfigError, DataError
from unitdisc.evaluate.converted import MANIFEST
from unitdisc.features.excitation import Excitation
from unitdisc.files import file_name
from unitdisc.intonation import FLAT, NONE, PREDICTED, SOURCE, parse_pitch
from unitdisc.speech_model import SpeechModel, load_speech_model
from unitdisc.voices import flat, predicted, scaled

LEVEL = 0.05  # root mean square of what is loud: units do not say how loud they were
TOKEN = re.compile(r"[0-9]+(?:x[0-9]+)?")
UNIT = re.compile(r"([0-9]{1,18})(?:x([0-9]{1,5}))?")  # within 64 bits; 99,999 frames are half an hour


@dataclass(frozen=True)
class SpeakOptions:
    """How to speak."""

    pitch: str = PREDICTED  # flat, a factor, or none: a whisper
    repeat: int = 1  # frames of a unit that is written without a number of them
    seed: int = 0
    temperature: float = 1.0
    iterations: int = 60  # of Griffin-Lim, for pitch none
    postfilter: bool = True

    def __post_init__(self) -> None:
        parse_pitch(self.pitch)
        if self.pitch == SOURCE:
            raise ConfigError(
                "pitch: source, but units have no recording to take it from; take predicted, flat or none"
            )
        if self.repeat < 1:
            raise ConfigError(f"repeat must be 1 or more, got {self.repeat}")


class Line(NamedTuple):
    """An utterance's units, one a frame."""

    utt: str
    frames: np.ndarray  # [T] int64


def speak_units(
    exp: str | Path,
    lines: Sequence[Line],
    out: str | Path,
    speaker: str,
    options: SpeakOptions | None = None,
    *,
    codebook: str = "",
    where: str = "the units",
    force: bool = False,
    device: str = "cpu",
) -> list[Made]:
    """Write OUT/<utt>.wav of each line of units, and a manifest as `convert` does; refuse units of another codebook."""
    out, options = Path(out), options or SpeakOptions()
    speaking = load_speech_model(exp, device)
    model = speaking.network
    speaking.check_speaks()  # before anything is read
    if (out / MANIFEST).exists() and not force:
        raise DataError(f"{out}: there are sounds already; --force replaces them")
    own = model.codebook_hash()
    if codebook and codebook != own:
        raise DataError(f"{where} has units of codebook {codebook}, {exp} of {own}; encode with the same checkpoint")
    if speaker == ALL:
        raise DataError(f"--speaker {ALL}: expected one voice, a speaker of the training data or audio")
    (target,) = find_targets(speaking, [speaker], vectors=False)
    made = []
    for line in lines:
        wave = say(speaking, line, target, options)
        level, peak = active_level(wave), float(np.abs(wave).max(initial=0.0))
        gain = min(LEVEL / level, PEAK / peak) if level > 0 else 1.0
        path = out / f"{file_name(line.utt)}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        rate = model.grid.sample_rate
        save_audio(path, (wave * gain).astype(np.float32), rate)
        name = f"{target.name}-{line.utt}"
        seconds = len(wave) / rate
        made.append(Made(name, line.utt, "units", target.name, path.name, seconds, gain, options.pitch, "units"))
    write_manifest(out, sorted(made))
    return sorted(made)


def say(speaking: SpeechModel, line: Line, target: Target, options: SpeakOptions) -> np.ndarray:
    """Return the sound [S] of one line of units in a voice, as loud as the decoder is."""
    said = _said(speaking, line, target, options)
    if options.postfilter:
        said = speaking.filtered(said, voice_number(speaking.network, target, ""), target.heard)
    excitation = _excitation(said, target, options)
    return speaking.decoder.sound(said, Voicing(excitation, options.seed, options.iterations)).numpy()


def _said(speaking: SpeechModel, line: Line, target: Target, options: SpeakOptions) -> Streams:
    """Return what the decoder says of one line of units, [T, D] each."""
    model = speaking.network
    codes = model.quantizer.codes
    if not codes:
        raise ConfigError("this model has no units (quantizer.kind: none), so there is nothing to speak from")
    most = int(np.prod(codes, dtype=np.int64))
    if not len(line.frames):
        raise DataError(f"{line.utt}: has no units")
    lowest, highest = line.frames.min(), line.frames.max()
    if lowest < 0 or highest >= most:
        wrong = lowest if lowest < 0 else highest
        raise DataError(f"{line.utt}: units must lie in 0..{most - 1}, got {wrong}; are they of this model?")
    units = torch.from_numpy(np.stack(np.unravel_index(line.frames, codes), axis=1))[None].to(model.mean.device)
    lengths = torch.tensor([units.shape[1]], device=units.device)
    speaker = None if target.speaker is None else target.speaker.to(units.device)[None]
    seeds = torch.tensor([options.seed], device=units.device)
    said = {name: x[0] for name, x in speaking.say(units, lengths, speaker, seeds, options.temperature).items()}
    said = speaking.corrected(said, units[0], target.correction)
    return {name: stream.cpu() for name, stream in said.items()}


def _excitation(said: Streams, target: Target, options: SpeakOptions) -> Excitation | None:
    """Return the pitch that the decoder says, changed as wanted; none where it says none, or none is wanted."""
    if options.pitch == NONE or EXCITATION not in said:
        return None
    excitation = predicted(said[EXCITATION], target.pitch)
    factor = parse_pitch(options.pitch)
    if factor is not None:
        return scaled(excitation, factor)
    return flat(excitation, target.pitch) if options.pitch == FLAT else excitation


def open_lines(path: str | Path, stdin: TextIO, repeat: int = 1) -> tuple[list[Line], str]:
    """Return the utterances of a unit file, of text, or of standard input ("-"), and the codebook if it is known."""
    if str(path) != "-":
        file = unit_file(path)
        try:
            with file.open(encoding="utf-8") as lines:
                first = lines.readline()
        except (OSError, UnicodeDecodeError):
            first = ""
        if first.lstrip().startswith("{") or FORMAT in first or not first:
            header = read_header(file)
            return [Line(line.utt, line.frames) for line in read_units(file)], header.codebook
        return list(read_text(file.read_text("utf-8").splitlines(), str(path), repeat)), ""
    return list(read_text(stdin, "standard input", repeat)), ""


def read_text(lines: Iterable[str], where: str, repeat: int = 1) -> Iterator[Line]:
    """Read utterances of text; who has no name is called by the number of the line."""
    seen: set[str] = set()
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words:
            continue
        named = TOKEN.fullmatch(words[0]) is None
        utt = words[0] if named else f"line-{number:04d}"
        frames: list[int] = []
        for word in words[named:]:
            token = UNIT.fullmatch(word)
            if token is None or token[2] == "0":
                raise DataError(f"{where}:{number}: expected units as 7 or 7x3, got {word!r}")
            frames += [int(token[1])] * int(token[2] or repeat)
        if not frames:
            raise DataError(f"{where}:{number}: expected units as 7 or 7x3 behind {utt!r}")
        if utt in seen:
            raise DataError(f"{where}:{number}: {utt} stands there twice")
        seen.add(utt)
        yield Line(utt, np.array(frames, dtype=np.int64))
    if not seen:
        raise DataError(f"{where}: has no units")
