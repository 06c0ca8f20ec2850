"""eSpeak NG by ctypes: text to samples with the exact place of every phone.

The library and its voices come with the `espeakng-loader` wheel. It keeps its state (voice, flutter, noise) in
globals, so that one process should speak as one voice: then the samples depend on the texts and their order alone.
"""

import ctypes
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

# Numbers of eSpeak's speak_lib.h.
AUDIO_OUTPUT_SYNCHRONOUS = 2
PHONEME_EVENTS, PHONEME_IPA, DONT_EXIT = 0x0001, 0x0002, 0x8000
RATE, PITCH, RANGE = 1, 3, 4
POS_CHARACTER, CHARS_UTF8 = 1, 1
EVENT_LIST_END, EVENT_PHONEME = 0, 7
STRESS_MARKS = "ˈˌ"


class _Id(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),  # milliseconds
        ("sample", ctypes.c_int),  # the same place in samples
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    )


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class Phone(NamedTuple):
    """Where a phone's sound begins; a stop's closure lies before it."""

    sample: int
    ipa: str


class Speech(NamedTuple):
    """One text, spoken."""

    samples: np.ndarray  # int16 [S]
    phones: list[Phone]


class Voice:
    """One voice of eSpeak NG; only one is to be made in a process."""

    def __init__(self, name: str, pitch: int, spread: int, words_per_minute: int, seed: int = 0) -> None:
        """Load the library and choose a voice such as `en-us+m3`; pitch and its spread run from 0 to 100."""
        import espeakng_loader

        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        flags = PHONEME_EVENTS | PHONEME_IPA | DONT_EXIT
        data = espeakng_loader.get_data_path().encode()
        self.sample_rate: int = self._library.espeak_Initialize(AUDIO_OUTPUT_SYNCHRONOUS, 0, data, flags)
        if self.sample_rate <= 0:
            raise RuntimeError(f"eSpeak NG cannot read its data in {data.decode()}; reinstall espeakng-loader")
        self._blocks: list[np.ndarray] = []
        self._phones: list[Phone] = []
        # The library keeps only a pointer: the callback must live as long as the voice.
        self._callback = _CALLBACK(self._listen)
        self._library.espeak_SetSynthCallback(self._callback)
        self._check(self._library.espeak_SetVoiceByName, name.encode(), doing=f"choose voice {name!r}")
        for parameter, value in ((PITCH, pitch), (RANGE, spread), (RATE, words_per_minute)):
            self._check(self._library.espeak_SetParameter, parameter, value, 0, doing=f"set {parameter} to {value}")
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(seed))

    def speak(self, text: str) -> Speech:
        """Return the samples of a text at `sample_rate`, and its phones in order of time."""
        self._blocks, self._phones = [], []
        encoded = text.encode() + b"\0"
        arguments = (encoded, len(encoded), 0, POS_CHARACTER, 0, CHARS_UTF8, None, None)
        self._check(self._library.espeak_Synth, *arguments, doing=f"speak {text!r}")
        return Speech(np.concatenate(self._blocks), self._phones)

    def _listen(self, wave: Any, count: int, events: Any) -> int:
        if wave and count > 0:
            self._blocks.append(np.ctypeslib.as_array(wave, (count,)).copy())
        i = 0
        while events[i].type != EVENT_LIST_END:
            event = events[i]
            if event.type == EVENT_PHONEME:
                place = ctypes.addressof(event) + _Event.id.offset
                name = ctypes.string_at(place, 8).split(b"\0")[0].decode("utf-8")
                self._phones.append(Phone(event.sample, name.lstrip(STRESS_MARKS)))
            i += 1
        return 0

    def _check(self, function: Callable[..., int], *arguments: Any, doing: str) -> None:
        if status := function(*arguments):
            raise RuntimeError(f"eSpeak NG could not {doing}: status {status}")
