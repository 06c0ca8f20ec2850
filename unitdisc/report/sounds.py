"""Sound for the page: small Ogg Vorbis files as base64, no more of them than the page may hold."""

import base64
import io

import numpy as np
import soundfile

from unitdisc.data.audio import AudioSource
from unitdisc.data.programs import decoder_of
from unitdisc.errors import DataError

RATE = 16000  # Hz; of all sound on the page
LONGEST = 15.0  # s of one utterance; the rest is left out, and the page says so
CONTEXT = 0.15  # s before and after a unit, so that the ear has something to go by
PAUSE = 0.25  # s between examples
KEPT = 50_000_000  # samples at RATE that are kept of what programs decode: 52 minutes, 200 MB
COMPRESSION = 0.6  # of libsndfile: 0 is the best quality, 1 the smallest file


class Budget:
    """Counts what the page has taken of the characters that it may have."""

    def __init__(self, characters: float) -> None:
        self.left = int(characters)
        self.refused = 0

    def take(self, text: str) -> bool:
        """Take room for a text, if there is enough."""
        if len(text) > self.left:
            self.refused += 1
            return False
        self.left -= len(text)
        return True


def encode(wave: np.ndarray) -> str:
    """Return a waveform [S] at RATE as base64 of an Ogg Vorbis file."""
    file = io.BytesIO()
    samples = np.clip(wave, -1, 1).astype(np.float32)
    with soundfile.SoundFile(
        file, "w", RATE, 1, format="OGG", subtype="VORBIS", compression_level=COMPRESSION
    ) as sound:
        # libsndfile's Vorbis encoder keeps what it is given at once on the stack: long waveforms go in by pieces.
        for first in range(0, len(samples), RATE):
            sound.write(samples[first : first + RATE])
    return base64.b64encode(file.getvalue()).decode()


def load(source: AudioSource, longest: float = LONGEST) -> np.ndarray | None:
    """Return the beginning of an utterance's audio [S] at RATE, or None where it cannot be read."""
    try:
        return source.load(RATE, 0, int(longest * RATE))
    except DataError:
        return None


class Stretches:
    """Stretches of utterances; what a program must decode as a whole is decoded once for all of them."""

    def __init__(self, samples: int = KEPT) -> None:
        self._kept: dict[AudioSource, np.ndarray] = {}
        self._room = samples

    def around(self, source: AudioSource, start: float, end: float) -> np.ndarray | None:
        """Return the audio [S] of a stretch with its context, faded in and out, or None where it cannot be read."""
        first, last = (max(0, round(t * RATE)) for t in (start - CONTEXT, end + CONTEXT))
        try:
            wave = self._load(source, first, last).copy()
        except DataError:
            return None
        ramp = min(RATE // 50, len(wave) // 2)
        wave[:ramp] *= np.linspace(0, 1, ramp, dtype=np.float32)
        wave[len(wave) - ramp :] *= np.linspace(1, 0, ramp, dtype=np.float32)
        return wave

    def _load(self, source: AudioSource, first: int, last: int) -> np.ndarray:
        if not decoder_of(source.path, source.program):
            return source.load(RATE, first, last - first)
        if source not in self._kept:
            whole = source.load(RATE)
            if len(whole) > self._room:
                return whole[first:last]
            self._kept[source] = whole
            self._room -= len(whole)
        return self._kept[source][first:last]
