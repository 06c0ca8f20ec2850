"""Read the images of data directories, scale them to 32 pixels, and keep each directory's in one file.

python local/store.py DATA...    writes DATA/lines.npz
"""

from pathlib import Path

from lines import STORE, write_lines
from scripts import run

from unitdisc.data.kaldi import DataDir


def store(data: list[Path]) -> list[str]:
    """Write the file of each data directory; return a line to print for each."""
    return [f"{path / STORE}: {write_lines(DataDir.read(path))} lines" for path in data]


if __name__ == "__main__":
    run(store, "data...")
