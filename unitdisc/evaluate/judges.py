"""Judges from outside: models that nobody here trained, which say what is heard in a sound.

They are an extra (`pip install unitdisc[judges]`), run on a CPU, have their weights in their packages, and download
nothing. A judge's own mistakes are part of what it says: read each figure beside the same of recordings.
"""

import importlib.metadata
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unitdisc.errors import DataError

RATE = 16000  # Hz, of what all judges hear
SHORTEST = 0.4  # s; shorter sounds are filled up with silence, as recognisers and encoders want some
PEAK = 0.9  # of full scale, to which every sound is brought: a judge is not to judge the level

Wave = NDArray[np.float32]


class Missing(NamedTuple):
    """A judge that cannot be asked."""

    judge: str
    why: str


class Judge(ABC):
    """Hears one sound at a time."""

    name: ClassVar[str]  # in names of scores; with the version, since another version is another judge
    packages: ClassVar[dict[str, str]]  # distribution: version that is asked for

    @abstractmethod
    def hear(self, wave: Wave) -> Any:
        """Return what is heard in samples at RATE, as `prepared` gives them."""


class Words(Judge):
    """Moonshine tiny: the words of English speech."""

    name = "moonshine-tiny-0.0.49"
    packages: ClassVar[dict[str, str]] = {"moonshine-voice": "0.0.49"}  # later ones come without weights

    def __init__(self) -> None:
        from moonshine_voice import ModelArch, get_model_path
        from moonshine_voice.transcriber import Transcriber

        self._model = Transcriber(str(get_model_path("tiny-en")), ModelArch.TINY)

    def hear(self, wave: Wave) -> list[str]:
        """Return the words, as `words_of` writes them."""
        lines = self._model.transcribe_without_streaming(wave.tolist(), RATE).lines
        return words_of(" ".join(line.text for line in lines))


class Phones(Judge):
    """hama: phones in IPA at 50 Hz, given as ARPAbet without stress."""

    name = "hama-1.7.0"
    packages: ClassVar[dict[str, str]] = {"hama": "1.7.0"}

    def __init__(self) -> None:
        from hama import ASRModel

        self._model = ASRModel()

    def hear(self, wave: Wave) -> list[str]:
        """Return the phones."""
        return arpabet(self._model.transcribe_waveform(wave, RATE).phonemes)


class Voice(Judge):
    """Resemblyzer (GE2E): a vector of length 1 for a voice; the product of two says how alike they are."""

    name = "resemblyzer-0.1.4"
    packages: ClassVar[dict[str, str]] = {"Resemblyzer": "0.1.4"}

    def __init__(self) -> None:
        from resemblyzer import VoiceEncoder, preprocess_wav

        self._model, self._prepare = VoiceEncoder("cpu", verbose=False), preprocess_wav

    def hear(self, wave: Wave) -> NDArray[np.float64]:
        """Return the vector [256]."""
        spoken = self._prepare(wave)
        # What the voice detector finds no speech in is judged as a whole.
        vector = self._model.embed_utterance(spoken if len(spoken) >= RATE // 10 else wave)
        return np.asarray(vector, dtype=np.float64)


class Quality(Judge):
    """DNSMOS P.835 and P.808: how listeners would rate it, 1 to 5."""

    name = "dnsmos-speechmos-0.0.1.1"
    packages: ClassVar[dict[str, str]] = {"speechmos": "0.0.1.1"}

    def __init__(self) -> None:
        from speechmos import dnsmos

        self._run = dnsmos.run

    def hear(self, wave: Wave) -> dict[str, float]:
        """Return overall, signal, background and P.808."""
        said = self._run(wave, RATE)
        keys = {"overall": "ovrl_mos", "signal": "sig_mos", "background": "bak_mos", "p808": "p808_mos"}
        return {ours: float(said[theirs]) for ours, theirs in keys.items()}


class Contour(Judge):
    """SwiftF0: pitch every 10 ms, by a network that is not the synthesiser's tracker."""

    name = "swift-f0-0.3.0"
    packages: ClassVar[dict[str, str]] = {"swift-f0": "0.3.0"}

    def __init__(self) -> None:
        from swift_f0 import SwiftF0

        self._model = SwiftF0(threads=1, spin=False)

    def hear(self, wave: Wave) -> NDArray[np.float64]:
        """Return Hz [T], 0 where there is no pitch."""
        said = self._model.detect(wave, RATE, fmin=50.0, fmax=500.0)
        times = np.arange(len(wave) // (RATE // 100)) / 100
        pitch = np.exp(np.interp(times, said.timestamps, np.log(np.maximum(said.pitch_hz, 1.0))))
        return np.where(np.interp(times, said.timestamps, said.confidence) >= 0.5, pitch, 0.0)


JUDGES: dict[str, Callable[[], Judge]] = {
    "words": Words, "phones": Phones, "voice": Voice, "quality": Quality, "pitch": Contour,
}  # fmt: skip


def find_judges(names: Sequence[str] = tuple(JUDGES)) -> tuple[dict[str, Judge], list[Missing]]:
    """Return the judges that can be asked, and those that cannot with the reason."""
    judges: dict[str, Judge] = {}
    missing: list[Missing] = []
    for name in names:
        if name not in JUDGES:
            raise DataError(f"no judge is called {name!r}; there are {', '.join(JUDGES)}")
        made = JUDGES[name]
        why = _lacking(made.packages)  # type: ignore[attr-defined]
        if not why:
            try:
                judges[name] = made()
                continue
            except (ImportError, OSError, RuntimeError) as error:
                why = f"cannot be loaded: {' '.join(str(error).split())[:200]}"
        missing.append(Missing(name, why))
    return judges, missing


def _lacking(packages: dict[str, str]) -> str:
    """Say which package is not there, or of another version; nothing if all is well."""
    for package, version in packages.items():
        try:
            there = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            return f"{package} {version} is not installed (docs/scores.md says how)"
        if there != version:
            return f"{package} {there} is installed, and {version} is asked for: another version is another judge"
    return ""


def prepared(wave: NDArray[np.floating]) -> Wave:
    """Bring samples at RATE to the level and the least length that judges hear."""
    sound = np.asarray(wave, dtype=np.float32)
    least = int(SHORTEST * RATE)
    if len(sound) < least:
        sound = np.pad(sound, (0, least - len(sound)))
    peak = float(np.abs(sound).max())
    return sound if peak == 0 else sound * np.float32(PEAK / peak)


def words_of(text: str) -> list[str]:
    """Return the words of a text in capitals, without punctuation."""
    return re.sub(r"[^A-Z0-9' ]+", " ", text.upper().replace("\u2019", "'")).split()


# The judge writes IPA; one sign may stand for what ARPAbet has two for, and the reverse.
# ruff: noqa: RUF001
_ARPABET = {
    "i": "IY", "ɪ": "IH", "ɨ": "IH", "e": "EY", "eɪ": "EY", "ɛ": "EH", "eə": "EH", "æ": "AE", "a": "AA", "ɑ": "AA",
    "ɒ": "AA", "ɔ": "AO", "o": "OW", "oʊ": "OW", "u": "UW", "ʊ": "UH", "ʌ": "AH", "ə": "AH", "ɐ": "AH", "ᵊ": "AH",
    "ɝ": "ER", "ɚ": "ER", "ɜ": "ER", "aɪ": "AY", "aʊ": "AW", "ɔɪ": "OY", "ɪə": "IH", "j": "Y", "ju": "Y UW",
    "p": "P", "b": "B", "t": "T", "d": "D", "k": "K", "g": "G", "ɡ": "G", "f": "F", "v": "V", "θ": "TH", "ð": "DH",
    "s": "S", "z": "Z", "ʃ": "SH", "ʒ": "ZH", "h": "HH", "t͡ʃ": "CH", "d͡ʒ": "JH", "m": "M", "n": "N", "ŋ": "NG",
    "l": "L", "ɫ": "L", "ɹ": "R", "r": "R", "ɾ": "T", "w": "W",
}  # fmt: skip


def arpabet(phones: Sequence[str]) -> list[str]:
    """Return IPA phones as ARPAbet without stress; what it has no sign for (length, tone, glottal stop) is left out."""
    return [name for phone in phones for name in _ARPABET.get(phone, "").split()]
