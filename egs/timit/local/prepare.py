"""Turn a TIMIT tree into data directories: DATA/train (462 speakers), DATA/dev (50) and DATA/test (the core 24).

python local/prepare.py CORPUS DATA [--test core|full] [--phones 39|61]

The 61 labels are folded to the customary 39 (local/phones.txt): the glottal stop q is left out, neighbouring silences
become one. With closures being silence, no stop would have neighbours, so ABX has items of its own,
DATA/test/triphone.item, in which a closure is part of its stop. The dialect sentences (SA) are left out everywhere.
"""

import sys
from collections.abc import Iterable
from pathlib import Path

from unitdisc.data.alignment import Interval, read_alignment, write_ctm
from unitdisc.data.corpora import TIMIT_CORE_TEST, TIMIT_DEV, timit
from unitdisc.data.kaldi import DataDir
from unitdisc.errors import DataError
from unitdisc.evaluate.items import Items, make_items, write_items

sys.path.append(str(Path(__file__).resolve().parents[2] / "common"))  # for who starts it without run.sh
from scripts import WAVS, Output, run

TABLE = Path(__file__).parent / "phones.txt"
SILENCE, NOTHING = "sil", "-"
CLOSURES = {f"{stop}cl": stop for stop in "ptkbdg"}
RELEASES = {("tcl", "ch"), ("dcl", "jh"), *CLOSURES.items()}


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


def whole_stops(intervals: Iterable[Interval]) -> list[Interval]:
    """Join closures with their releases, as one phone; a closure that is not released is its stop, too."""
    found: list[Interval] = []
    closure = ""  # whose release would come next
    for interval in intervals:
        label = interval.label.lower()
        if (closure, label) in RELEASES and abs(interval.start - found[-1].end) < 1e-6:
            found[-1] = Interval(found[-1].start, interval.end, label)
        else:
            found.append(interval._replace(label=CLOSURES.get(label, label)))
        closure = label
    return found


def items_of(data: DataDir, table: dict[str, str]) -> Items:
    """Make the items of a data directory whose phones.ctm is not folded yet; only pauses and q are no phones."""
    path = data.path / "phones.ctm"
    alignment = read_alignment(path)
    rows = {utt: folded(whole_stops(alignment[utt]), table, f"{path}: {utt}") for utt in alignment}
    return make_items(rows, data.utt2spk, where=str(path))


def fold(data: DataDir, table: dict[str, str]) -> int:
    """Fold a data directory's phones.ctm; return the number of phones in use."""
    path = data.path / "phones.ctm"
    alignment = read_alignment(path)
    rows = {utt: folded(alignment[utt], table, f"{path}: {utt}") for utt in sorted(alignment)}
    write_ctm(path, rows.items())
    return len({interval.label for row in rows.values() for interval in row})


def prepare(corpus: Path, data: Path, test: str, phones: int) -> list[str]:
    """Write the three parts; return a line to print for each."""
    parts = {
        "train": timit(corpus, data / "train", part="train"),
        "dev": timit(corpus, data / "dev", part="test", speakers=TIMIT_DEV),
        "test": timit(corpus, data / "test", part="test", speakers=TIMIT_CORE_TEST if test == "core" else None),
    }
    report, table = [], read_folding()
    for part in parts.values():
        if not (part.path / "phones.ctm").exists():
            raise DataError(f"{part.path}: no .phn files beside the audio; is this all of TIMIT?")
    (data / "test" / "triphone.item").unlink(missing_ok=True)
    if phones == 39:
        items = items_of(parts["test"], table)
        write_items(data / "test" / "triphone.item", items)
    for part in parts.values():
        count = fold(part, table) if phones == 39 else 61
        report.append(
            f"{part.path}: {len(part.utts)} utterances, {len(part.spk2utt)} speakers, {count} phones and silences"
        )
    if phones == 39:
        report.append(f"{data / 'test'}: {len(items)} items of {len(set(items.phones.tolist()))} phones for ABX")
    if test == "full":
        report.append(f"{data / 'test'} is the whole test part: {data / 'dev'} lies within it; stop by another set")
    return report


def main() -> None:
    """Parse, prepare, print."""
    test = {"choices": ("core", "full"), "default": "core"}
    makes = Output("data", WAVS, ("corpus/**/*", "local/phones.txt"))
    run(prepare, "corpus", "data", makes=makes, test=test, phones={"type": int, "choices": (39, 61), "default": 39})


if __name__ == "__main__":
    main()
