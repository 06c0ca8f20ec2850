"""Small made-up audio and data directories for the tests."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import soundfile
import textgrid


def noise(samples: int, seed: int = 0) -> np.ndarray:
    """Return speech-like coloured noise on the grid of 16-bit samples."""
    white = np.random.default_rng(seed).normal(size=samples + 8)
    smooth = np.convolve(white, np.hanning(9) / 9, mode="valid")[:samples]
    return (np.clip(np.rint(smooth * 8000), -30000, 30000) / 32768).astype(np.float32)


def put_audio(path: Path, samples: int = 4000, rate: int = 16000, seed: int = 0, **options: str) -> np.ndarray:
    """Write noise to a file by soundfile itself; return it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = noise(samples, seed)
    soundfile.write(path, (wave * 32768).astype(np.int16), rate, **options)
    return wave


def put_tables(path: Path, tables: Mapping[str, str | bytes]) -> Path:
    """Write the tables of a data directory as they are given."""
    path.mkdir(parents=True, exist_ok=True)
    for name, text in tables.items():
        (path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def put_data(path: Path, utts: int = 4, speakers: int = 2) -> Path:
    """Write a sound data directory with its audio beside it."""
    names = sorted(f"s{n % speakers}-u{n}" for n in range(utts))
    for n, name in enumerate(names):
        put_audio(path / "wav" / f"{name}.wav", 4000 + 100 * n, seed=n)
    return put_tables(
        path,
        {
            "wav.scp": "".join(f"{name} wav/{name}.wav\n" for name in names),
            "utt2spk": "".join(f"{name} {name.split('-')[0]}\n" for name in names),
            "text": "".join(f"{name} WORDS OF {name}\n" for name in names),
            "spk2gender": "".join(f"s{n} {'mf'[n % 2]}\n" for n in range(speakers)),
        },
    )


def put_grid(path: Path, **tiers: list[tuple[float, float, str]]) -> None:
    """Write a TextGrid by the textgrid package itself."""
    grid = textgrid.TextGrid(maxTime=1.0)
    for name, rows in tiers.items():
        tier = textgrid.IntervalTier(name, 0.0, 1.0)
        for row in rows:
            tier.add(*row)
        grid.append(tier)
    grid.write(str(path))
