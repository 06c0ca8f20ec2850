"""Read the images of data directories, scale them to 32 pixels, and keep each directory's in one file.

python local/store.py DATA...    writes DATA/lines.npz
"""

import sys

from lines import STORE, write_lines

from unitdisc.data.kaldi import DataDir
from unitdisc.errors import UnitdiscError


def main() -> None:
    """Write and print."""
    try:
        for name in sys.argv[1:]:
            data = DataDir.read(name)
            print(f"{data.path / STORE}: {write_lines(data)} lines")
    except UnitdiscError as error:
        sys.exit(f"store.py: {error}")


if __name__ == "__main__":
    main()
