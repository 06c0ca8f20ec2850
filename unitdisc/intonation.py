"""The pitch that an utterance is spoken with in another voice."""

import numpy as np
import torch
from torch import Tensor

from unitdisc.data.kaldi import DataDir
from unitdisc.data.timing import FrameGrid
from unitdisc.errors import ConfigError
from unitdisc.features.aperiodicity import BANDS
from unitdisc.features.excitation import Excitation, analyse
from unitdisc.voices import (
    PER_VOICE,
    UNKNOWN,
    PitchRange,
    Voices,
    flat,
    in_range_,
    moved,
    pitch_range,
    pitches,
    predicted,
    scaled,
    spread,
)

SOURCE, PREDICTED, FLAT, NONE = "source", "predicted", "flat", "none"
SMALLEST, LARGEST = 0.25, 4.0  # that a pitch may be multiplied by


def parse_pitch(text: str) -> float | None:
    """Return the number that a pitch is multiplied by, none if it is no number; refuse what is no pitch."""
    if text in (SOURCE, PREDICTED, FLAT, NONE):
        return None
    try:
        factor = float(text)
    except ValueError:
        factor = 0.0
    if not SMALLEST <= factor <= LARGEST:
        raise ConfigError(
            f"pitch: expected {SOURCE}, {PREDICTED}, {FLAT}, {NONE} or a factor between {SMALLEST:g} and {LARGEST:g}, "
            f"got {text!r}"
        )
    return factor


class Intonation:
    """Says with which excitation each utterance of a data directory is to be spoken."""

    def __init__(
        self, pitch: str, data: DataDir, grid: FrameGrid, speakers: tuple[str, ...], voices: Voices | None
    ) -> None:
        """Take a pitch as `parse_pitch` does; speakers and voices are those that a model knows."""
        self.pitch, self._factor, self._data, self._grid = pitch, parse_pitch(pitch), data, grid
        self._speakers, self._voices = speakers, voices
        self._ranges: dict[str, PitchRange | None] = {}

    def of(
        self, wave: np.ndarray, speaker: str, target: PitchRange | None, said: Tensor | None = None
    ) -> Excitation | None:
        """Return the excitation of a speaker's waveform, moved to the target's range; none for a whisper.

        Without a target the voice is the speaker's own. A decoder may have said an excitation [T, DIM] itself.
        """
        if self.pitch == NONE:
            return None
        if self.pitch == PREDICTED:
            if said is None:
                raise ConfigError("pitch: predicted, but this decoder says none; train with decoder.kind voice")
            return predicted(said, target or self._range(speaker))
        heard = analyse(wave, self._grid)
        if self._factor is not None:
            return scaled(heard, self._factor)
        if self.pitch == FLAT:
            return flat(heard, target)
        return heard if target is None else moved(heard, self._range(speaker), target)

    def frames(self, wave: np.ndarray, speaker: str, target: PitchRange | None) -> Tensor:
        """Return the same as frames [T, DIM], the pitch in the range of the voice: what a decoder may be told."""
        count = self._grid.frames(len(wave))
        unvoiced = Excitation(torch.zeros(count, dtype=torch.float64), torch.ones(count, BANDS))
        excitation = self.of(wave, speaker, target) or unvoiced
        return in_range_(excitation.to_frames(), target or self._range(speaker) or UNKNOWN)

    def _range(self, speaker: str) -> PitchRange | None:
        """Return how high a speaker of the data speaks: as the model knows it, or from some of the utterances."""
        if speaker not in self._ranges:
            known = None
            if self._voices is not None and speaker in self._speakers:
                known = self._voices.of(self._speakers.index(speaker))
            utts = spread(self._data.spk2utt[speaker], PER_VOICE)
            self._ranges[speaker] = known or pitch_range(pitches(self._data, utts, self._grid))
        return self._ranges[speaker]
