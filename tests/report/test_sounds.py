"""Sounds of the page: stretches of utterances, of which a program decodes each once."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile

from unitdisc.data import programs
from unitdisc.data.audio import AudioSource
from unitdisc.report.sounds import RATE, Stretches


@dataclass
class Decodings:
    """Counts how often a program would have been run."""

    wav: bytes
    count: int = 0

    def __call__(self, path: Path, program: str, size: int, time: int) -> bytes:
        self.count += 1
        return self.wav


@pytest.fixture
def decodings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Decodings:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 2 * RATE)
    soundfile.write(tmp_path / "a.wav", noise, RATE, subtype="FLOAT")
    for name in ("a.m4a", "b.m4a"):
        (tmp_path / name).write_bytes(b"\0\0\0\x18ftypM4A no audio")
    count = Decodings((tmp_path / "a.wav").read_bytes())
    monkeypatch.setattr(programs, "_decoded", count)
    monkeypatch.setattr(programs, "is_missing", lambda program: False)
    return count


def test_stretches_of_what_a_program_decodes_are_those_of_a_file_and_it_runs_once(tmp_path: Path, decodings: Decodings):
    sounds = Stretches()
    for start, end in ((0.0, 0.1), (0.7, 0.8), (1.95, 2.0)):
        plain = sounds.around(AudioSource(tmp_path / "a.wav"), start, end)
        assert plain is not None
        for name in ("a.m4a", "b.m4a"):
            np.testing.assert_array_equal(sounds.around(AudioSource(tmp_path / name), start, end), plain)
    assert decodings.count == 2


def test_no_more_is_kept_than_there_is_room_for(tmp_path: Path, decodings: Decodings):
    sounds = Stretches(samples=3 * RATE)
    for name in ("a.m4a", "b.m4a", "a.m4a", "b.m4a"):
        assert sounds.around(AudioSource(tmp_path / name), 0.5, 0.6) is not None
    assert decodings.count == 3
