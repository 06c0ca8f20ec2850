"""Fetch subsets of LibriSpeech from openslr.org and unpack them; what is there is kept, what broke off goes on.

python local/fetch.py CORPUS train-clean-5 dev-clean-2
"""

import subprocess
import sys
from pathlib import Path

from scripts import run

from unitdisc.errors import DataError

DOWNLOAD = Path(__file__).parents[2] / "common" / "download.py"
LIST = Path(__file__).parent / "subsets.txt"  # lines: name, number of the resource, hash


def fetch(corpus: Path, subsets: list[str]) -> list[str]:
    """Fetch and unpack; return a line for each subset that is new."""
    known = {name: rest for name, *rest in map(str.split, LIST.read_text("utf-8").splitlines())}
    for name in subsets:
        if name not in known:
            raise DataError(f"--subsets: unknown subset {name!r}; known are {' '.join(known)}")
    said = []
    for name in subsets:
        number, checksum = known[name]
        done, archive = corpus / f".{name}.done", corpus / f"{name}.tar.gz"
        if not done.exists():
            url = f"https://www.openslr.org/resources/{number}/{archive.name}"
            if subprocess.run([sys.executable, DOWNLOAD, url, archive, "--hash", checksum]).returncode:
                raise DataError(f"{url}: could not be fetched; start again to go on")
            if subprocess.run(["tar", "-xzf", archive, "-C", corpus]).returncode:
                raise DataError(f"{archive}: cannot be unpacked; remove it to fetch it again")
            archive.unlink()
            done.touch()
            said.append(f"{corpus}: {name}")
    return said


if __name__ == "__main__":
    run(fetch, "corpus", "subsets", subsets={"type": str, "nargs": "+"})
