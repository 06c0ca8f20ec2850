"""Audio in and out, through soundfile: wav, flac, ogg, mp3, NIST SPHERE, as float32 at the rate one asks for."""

import errno
import io
import math
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from unitdisc.data.headers import CutShort, check_header, check_start
from unitdisc.data.members import Member
from unitdisc.data.pipes import Channel
from unitdisc.data.programs import decoded, decoder_of
from unitdisc.data.resample import needed_input, resample, resampled_count
from unitdisc.errors import DataError, clipped
from unitdisc.files import whole_file
from unitdisc.reading import reading

SHORT_TAIL = 0.15  # s by which an MP3 or Ogg may end before its header says; it is filled with silence, and counted
LOWEST, HIGHEST = 4_000, 768_000  # Hz; other rates come of damaged headers, and resampling would fill the memory
OVERSHOOT = 0.5  # s by which a segment may end after its recording, as in Kaldi's extract-segments; it is cut
# In these (and Vorbis) libsndfile seeks to the very sample; MP3 and Opus, begun in the middle, come out
# slightly other, so they are decoded from their beginning.
SEEKS = ("WAV", "WAVEX", "NIST", "FLAC", "AIFF", "AU", "RF64", "W64", "CAF")


class AudioInfo(NamedTuple):
    """What a header says."""

    rate: int  # Hz
    samples: int  # per channel
    channels: int


_short_tails: ContextVar[dict[str, float] | None] = ContextVar("short_tails", default=None)


@contextmanager
def short_tails() -> Iterator[dict[str, float]]:
    """Collect, for the length of a with block, the recordings that end early and by how many seconds."""
    tails: dict[str, float] = {}
    token = _short_tails.set(tails)
    try:
        yield tails
    finally:
        _short_tails.reset(token)


def note_short_tail(name: str, seconds: float) -> None:
    """Count a recording that ends before its header says."""
    tails = _short_tails.get()
    if tails is not None:
        tails[name] = seconds


@dataclass(frozen=True)
class AudioSource:
    """Where the audio of one utterance is; reading it is another matter."""

    path: Path
    channel: Channel = 0
    start: float = 0.0  # s
    end: float | None = None  # s; None: up to the end of the recording
    decode_rate: int | None = None  # Hz, if the decode command of wav.scp resamples
    wanted_rate: int | None = None  # Hz; a file at another rate is refused instead of resampled
    program: str = ""  # of the decode command in wav.scp; runs, without a shell, where libsndfile cannot open `path`
    command: str | None = None  # run by a shell in place of reading `path`; only ever set by allow_pipes
    where: str = ""  # file:line that named this audio, for errors
    offset: int | None = None  # byte at which it begins, if `path` is a tar archive

    def load(self, rate: int, first: int = 0, count: int | None = None) -> np.ndarray:
        """Read [S] float32 at a rate; `first` and `count` choose samples at that rate, equal to a slice of it all."""
        with self._errors(), self._open() as sound:
            info = self._info(sound)
            begin, end = self._span(info)
            if self.decode_rate not in (None, rate, info.rate):
                assert self.decode_rate is not None
                whole = resample(self._read(sound, begin, end), info.rate, self.decode_rate)
                return resample(whole, self.decode_rate, rate)[first : None if count is None else first + count]
            total = resampled_count(end - begin, info.rate, rate)
            first = min(max(first, 0), total)
            last = total if count is None else min(first + max(count, 0), total)
            if first == last and count is not None:
                return np.zeros(0, np.float32)
            there, until, becomes = needed_input(first, last, end - begin, info.rate, rate)
            samples = resample(self._read(sound, begin + there, begin + until), info.rate, rate)
            return samples[first - becomes : last - becomes]

    def blocks(self, seconds: float) -> Iterator[np.ndarray]:
        """Yield all samples [S] at the recording's own rate, so many seconds at a time; each is decoded once."""
        with self._errors(), self._open() as sound:
            info = self._info(sound)
            left, last = self._span(info)
            sound.seek(left)
            while left < last:
                samples = sound.read(min(round(seconds * info.rate), last - left), dtype="float32", always_2d=True)
                if not len(samples):
                    return  # whoever needs the rest will say that it is missing
                left += len(samples)
                yield samples.mean(axis=1) if self.channel == "mix" else samples[:, self.channel]

    def samples(self, rate: int) -> int:
        """Return the number of samples at a rate, without decoding where the header has it."""
        with self._errors(), self._open() as sound:
            info = self._info(sound)
            begin, end = self._span(info)
            if self.decode_rate is not None:
                return resampled_count(
                    resampled_count(end - begin, info.rate, self.decode_rate), self.decode_rate, rate
                )
            return resampled_count(end - begin, info.rate, rate)

    def native_rate(self) -> int:
        """Return the rate of the recording, or that to which its decode command brings it."""
        return self.decode_rate or self.info().rate

    def info(self) -> AudioInfo:
        """Return what the header of the recording says, segment and decode rate aside."""
        with self._errors(), self._open() as sound:
            return self._info(sound)

    def seconds(self) -> float:
        """Return the duration."""
        with self._errors(), self._open() as sound:
            info = self._info(sound)
            begin, end = self._span(info)
            return (end - begin) / info.rate

    def at(self, rate: int) -> "AudioSource":
        """Return a source that refuses audio of any other rate."""
        return replace(self, wanted_rate=rate)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except DataError as error:
            raise DataError(f"{self.where}: {error}" if self.where else str(error)) from None

    @contextmanager
    def _open(self) -> Iterator[soundfile.SoundFile]:
        if self.command is not None:
            with _opened(io.BytesIO(_output_of(self.command)), f"the output of {self.command!r}") as sound:
                yield sound
        elif not os.path.exists(self.path):
            raise DataError(f"{clipped(self.path, 500)}: no such audio file")
        elif self.path.is_dir():
            raise DataError(f"{self.path}: expected an audio file, got a folder")
        elif self.offset is not None:
            member = Member(self.path, self.offset)
            with io.BufferedReader(member) as file:
                check_start(file, member.size, self._name())
                with _opened(file, self._name()) as sound:
                    yield sound
        else:
            with self._opened_file() as sound:
                yield sound

    def _opened_file(self) -> soundfile.SoundFile:
        """Open the recording; what libsndfile cannot read, by its decoder."""
        try:
            check_header(self.path)
            return _opened(self.path, str(self.path))
        except CutShort:
            raise
        except DataError as error:
            program = decoder_of(self.path, self.program)
            if not program:
                raise
            return _opened(io.BytesIO(decoded(self.path, program, str(error))), f"{self.path}, decoded by {program},")

    def _name(self) -> str:
        if self.command is not None:
            return repr(self.command)
        return str(self.path) if self.offset is None else f"{self.path}:{self.offset}"

    def file(self) -> Path:
        """Return the file that holds this recording and nothing else, for programs that open files."""
        if self.command is not None or self.offset is not None:
            what = "comes from a command" if self.command is not None else "lies in a tar archive"
            raise DataError(f"{self.where or self._name()}: {what}, and this format names whole files only")
        return self.path

    def _info(self, sound: soundfile.SoundFile) -> AudioInfo:
        samples = sound.frames
        if not LOWEST <= sound.samplerate <= HIGHEST:
            raise DataError(
                f"{self._name()}: expected a sampling rate of {LOWEST} to {HIGHEST} Hz, got {sound.samplerate} Hz; "
                "its header is damaged: copy it again, or write its true rate into it"
            )
        if samples > 1 << 40:
            raise DataError(
                f"{self._name()}: expected a header with the length, got a stream's; encode it to a file again"
            )
        if samples == 0:
            raise DataError(f"{self._name()}: expected audio, got a file of zero samples; remove the utterance")
        rate = self.decode_rate or sound.samplerate
        if self.wanted_rate not in (None, rate):
            raise DataError(f"{self._name()}: expected audio at {self.wanted_rate} Hz, got {rate} Hz; resample it")
        if self.channel != "mix" and not 0 <= self.channel < sound.channels:
            raise DataError(f"{self._name()}: expected channel {self.channel} (from 0), got {sound.channels} channels")
        return AudioInfo(sound.samplerate, samples, sound.channels)

    def _span(self, info: AudioInfo) -> tuple[int, int]:
        begin = round(self.start * info.rate)
        end = info.samples if self.end is None else round(self.end * info.rate)
        if end > info.samples + math.ceil(OVERSHOOT * info.rate) or begin >= info.samples:
            raise DataError(
                f"{self._name()}: expected a segment within {info.samples / info.rate:.3f} s, "
                f"got {self.start} to {self.end} s; correct or remove it"
            )
        end = min(end, info.samples)
        if end <= begin:
            raise DataError(f"{self._name()}: the segment {self.start} to {self.end} s has no sample at {info.rate} Hz")
        return begin, end

    def _read(self, sound: soundfile.SoundFile, begin: int, end: int) -> np.ndarray:
        with reading(self._name(), "audio", got="a damaged file", advice="copy it again"):
            if sound.format in SEEKS or sound.subtype == "VORBIS":
                sound.seek(begin)
                samples = sound.read(end - begin, dtype="float32", always_2d=True)
            else:
                samples = sound.read(end, dtype="float32", always_2d=True)[begin:]
        missing = end - begin - len(samples)
        if 0 < missing <= SHORT_TAIL * sound.samplerate and sound.format not in SEEKS and self.command is None:
            # Headers of MP3 and Ogg count the padding of the coder, which some files lack at their end.
            note_short_tail(self._name(), missing / sound.samplerate)
            samples = np.pad(samples, ((0, missing), (0, 0)))
        if len(samples) < end - begin:
            raise DataError(
                f"{self._name()}: truncated: the header announces {sound.frames} samples, the audio ends at "
                f"{begin + len(samples)}; copy it again"
            )
        mono = samples.mean(axis=1) if self.channel == "mix" else np.ascontiguousarray(samples[:, self.channel])
        if not np.isfinite(mono).all():
            bad = int(np.flatnonzero(~np.isfinite(mono))[0])
            raise DataError(f"{self._name()}: expected finite samples, got {mono[bad]} at {begin + bad}; mend the file")
        return mono


def _opened(file: Path | io.BufferedIOBase, name: str) -> soundfile.SoundFile:
    size = file.stat().st_size if isinstance(file, Path) else file.seek(0, io.SEEK_END)
    if not size:
        raise DataError(f"{name}: expected audio, got 0 bytes: it is empty")
    with reading(name, "audio (wav, flac, ogg, mp3, sph)", got=f"{size} bytes that are none"):
        if not isinstance(file, Path):
            file.seek(0)
        return soundfile.SoundFile(file)


def _output_of(command: str) -> bytes:
    """Run a decode command; reached only by way of allow_pipes."""
    shell_command = command.rstrip().removesuffix("|")
    done = subprocess.run(shell_command, shell=True, capture_output=True, check=False)
    if done.returncode:
        tail = " ".join(done.stderr.decode("utf-8", "replace").split())[-200:]
        raise DataError(f"{command!r} ended with code {done.returncode}: {tail}")
    return done.stdout


def load_audio(path: str | Path, rate: int, channel: Channel = 0) -> np.ndarray:
    """Read one channel of a file as [S] float32 at a rate."""
    return AudioSource(Path(path), channel).load(rate)


def save_audio(path: str | Path, samples: np.ndarray, rate: int) -> None:
    """Write [S] or [S, channels] as 16-bit wav or flac (or ogg), by the suffix; renamed when whole.

    What `load_audio` gives of a 16-bit file is written back bit by bit; samples beyond -1..1 are clipped.
    """
    path = Path(path)
    kinds = {".wav": ("WAV", "PCM_16"), ".flac": ("FLAC", "PCM_16"), ".ogg": ("OGG", "VORBIS")}
    if path.suffix.lower() not in kinds:
        raise DataError(f"{path}: expected a name in {', '.join(kinds)}, got {path.suffix!r}")
    if not np.isfinite(samples).all():
        raise DataError(f"{path}: expected finite samples to write, got NaN or infinity")
    form, subtype = kinds[path.suffix.lower()]
    if subtype == "PCM_16":  # libsndfile scales floats by 32767 when writing and by 32768 when reading
        samples = np.clip(np.rint(np.asarray(samples, np.float64) * 32768), -32768, 32767).astype(np.int16)
    if not path.parent.is_dir():
        raise DataError(f"{path}: cannot be written: there is no folder {path.parent}")
    blob = io.BytesIO()  # of a full disk libsndfile says no more than "System error."
    try:
        soundfile.write(blob, samples, rate, format=form, subtype=subtype)
        with whole_file(path, binary=True) as file:
            file.write(blob.getvalue())
    except soundfile.LibsndfileError as error:
        raise DataError(f"{path}: cannot be written: {error}") from None
    except OSError as error:
        what = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else error.strerror
        raise DataError(f"{path}: cannot be written: {what}") from None
