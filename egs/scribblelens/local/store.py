"""Read the images of a data directory, scale them to 32 pixels, and keep them in one file.

python local/store.py DATA    writes DATA/lines.npz
"""

from pathlib import Path

from lines import STORE, write_lines
from scripts import Output, run

from unitdisc.data.kaldi import DataDir


def store(data: Path) -> list[str]:
    """Write the file of a data directory; return a line to print."""
    return [f"{data / STORE}: {write_lines(DataDir.read(data))} lines"]


if __name__ == "__main__":
    run(store, "data", makes=Output("data", (), ("data/images.scp", "data/text", "local/lines.py"), file=STORE))
