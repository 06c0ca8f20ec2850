"""Turn a TIMIT tree into data directories: DATA/train (462 speakers), DATA/dev (50) and DATA/test (the core 24).

python local/prepare.py CORPUS DATA [--test core|full] [--phones 39|61]

The 61 labels are folded to the customary 39 (local/phones.txt): the glottal stop q is left out, neighbouring silences
become one. The dialect sentences (SA) are left out everywhere.
"""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from unitdisc.data.alignment import Interval, read_alignment, write_ctm
from unitdisc.data.corpora import TIMIT_CORE_TEST, TIMIT_DEV, timit
from unitdisc.data.kaldi import DataDir
from unitdisc.errors import DataError, UnitdiscError

TABLE = Path(__file__).parent / "phones.txt"
SILENCE, NOTHING = "sil", "-"


def read_folding(path: Path = TABLE) -> dict[str, str]:
    """Return what each of the 61 labels is folded to."""
    return dict(line.split() for line in path.read_text("utf-8").splitlines())


def folded(intervals: Iterable[Interval], table: dict[str, str], where: str) -> list[Interval]:
    """Fold an utterance's labels; silences that touch become one, and what is folded to - leaves a gap."""
    found: list[Interval] = []
    for interval in intervals:
        label = table.get(interval.label.lower())
        if label is None:
            raise DataError(f"{where}: {interval.label!r} is none of TIMIT's 61 labels ({TABLE.name})")
        before = found[-1] if found else None
        if before and label == before.label == SILENCE and abs(interval.start - before.end) < 1e-6:
            found[-1] = before._replace(end=interval.end)
        elif label != NOTHING:
            found.append(interval._replace(label=label))
    return found


def fold(data: DataDir, table: dict[str, str]) -> int:
    """Fold a data directory's phones.ctm; return the number of phones in use."""
    path = data.path / "phones.ctm"
    if not path.exists():
        raise DataError(f"{data.path}: no .phn files beside the audio; is this all of TIMIT?")
    alignment = read_alignment(path)
    rows = {utt: folded(alignment[utt], table, f"{path}: {utt}") for utt in sorted(alignment)}
    write_ctm(path, rows.items())
    return len({interval.label for row in rows.values() for interval in row})


def prepare(corpus: Path, out: Path, test: str, phones: int) -> list[str]:
    """Write the three parts; return a line to print for each."""
    parts = {
        "train": timit(corpus, out / "train", part="train"),
        "dev": timit(corpus, out / "dev", part="test", speakers=TIMIT_DEV),
        "test": timit(corpus, out / "test", part="test", speakers=TIMIT_CORE_TEST if test == "core" else None),
    }
    report = []
    for name, data in parts.items():
        count = fold(data, read_folding()) if phones == 39 else 61
        report.append(
            f"{out / name}: {len(data.utts)} utterances, {len(data.spk2utt)} speakers, {count} phones and silences"
        )
    if test == "full":
        report.append(f"{out / 'test'} is the whole test part: {out / 'dev'} lies within it; stop by another set")
    return report


def main() -> None:
    """Parse, prepare, print."""
    parser = argparse.ArgumentParser(description="TIMIT as data directories.", allow_abbrev=False)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--test", choices=("core", "full"), default="core")
    parser.add_argument("--phones", type=int, choices=(39, 61), default=39)
    options = parser.parse_args()
    try:
        print("\n".join(prepare(options.corpus, options.data, options.test, options.phones)))
    except UnitdiscError as error:
        sys.exit(f"prepare.py: {error}")


if __name__ == "__main__":
    main()
