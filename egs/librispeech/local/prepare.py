"""Turn a LibriSpeech tree into data directories whose speakers are apart: DATA/train, DATA/dev and DATA/test.

python local/prepare.py CORPUS DATA [--subsets NAME ...] [--test-speakers A B ...] [--dev-speakers ...]
                                    [--alignment CTM|DIR] [--items FILE]

Without --subsets, all that lies in CORPUS is read. Without --test-speakers, the subsets train-* are trained on and the
other subsets scored. Without --dev-speakers, every twentieth training utterance is kept out to watch the training with.
Phones lose what aligners add, positions (_B, _I, _E, _S) and stress, and their silences are all SIL.
"""

import os
import sys
from collections.abc import Collection
from pathlib import Path

from unitdisc.data.alignment import read_alignment
from unitdisc.data.corpora import librispeech, write_alignment
from unitdisc.data.kaldi import DataDir
from unitdisc.data.phones import SILENCES, plain
from unitdisc.data.subsets import subset, utts_of
from unitdisc.errors import DataError
from unitdisc.evaluate.items import read_items, write_items

sys.path.append(str(Path(__file__).resolve().parents[2] / "common"))  # for who starts it without run.sh
from scripts import WAVS, Output, run

NTH = 20  # of the training utterances goes to dev


def test_part(corpus: Path, data: DataDir, wanted: Collection[str]) -> Collection[str]:
    """Return the speakers to score on."""
    if wanted:
        return wanted
    places = ((speaker, data.source(utt).path) for utt, speaker in data.utt2spk.items())
    root = os.path.abspath(corpus)
    training = {who for who, path in places if any(p.startswith("train-") for p in path.relative_to(root).parts)}
    others = sorted(data.spk2utt.keys() - training)
    if not training or not others:
        raise DataError(
            f"{corpus}: has {'no' if not training else 'only'} subset train-*, so say who is scored on: "
            "--test-speakers 'A B ...'"
        )
    return others


def align(data: DataDir, path: Path) -> str:
    """Write phones.ctm; return a line to print."""
    aligned = write_alignment(data, read_alignment(path), name=plain)
    if not aligned:
        raise DataError(f"{path}: has none of the {len(data.utts)} utterances of the corpus; are the names the same?")
    alignment = read_alignment(data.path / "phones.ctm")
    phones = {interval.label for utt in alignment for interval in alignment[utt]} - SILENCES
    # LibriSpeech has no phone times of its own: whatever is given was made by an aligner.
    return (
        f"{path}: silver phones (made by an aligner) of {aligned} of {len(data.utts)} utterances, "
        f"{len(phones)} different ones"
    )


def split(corpus: Path, data: DataDir, out: Path, tested: list[str], watched: list[str]) -> list[str]:
    """Write the three parts; return a line to print for each."""
    both = sorted(set(tested) & set(watched))
    if both:
        raise DataError(f"{corpus}: speaker {both[0]} is both a test speaker and a dev speaker")
    test = utts_of(data, test_part(corpus, data, tested))
    rest = sorted(set(data.utts) - set(test))
    dev = utts_of(data, watched) if watched else rest[NTH - 1 :: NTH] or rest[-1:]
    parts = {"train": sorted(set(rest) - set(dev)), "dev": dev, "test": test}
    made = [subset(data, out / name, utts) for name, utts in parts.items()]
    return [f"{part.path}: {len(part.utts)} utterances, {len(part.spk2utt)} speakers" for part in made]


def keep_items(test: Path, path: Path) -> str:
    """Keep what an official item file has of the test speakers; return a line to print."""
    items = read_items(path)
    of_test = set(DataDir.read(test).utts)
    kept = items[[n for n, file in enumerate(items.files.tolist()) if file in of_test]]
    if not len(kept):
        raise DataError(f"{path}: has no item of {test}; is it of another subset?")
    write_items(test / "triphone.item", kept)
    return f"{path}: {len(kept)} of {len(items)} items are of {test}"


def prepare(
    corpus: Path,
    data: Path,
    subsets: list[str] | None,
    test_speakers: list[str],
    dev_speakers: list[str],
    alignment: Path | None,
    items: Path | None,
) -> list[str]:
    """Write all; return lines to print."""
    whole = librispeech(corpus, data / "all", subsets=subsets)
    report = [] if alignment is None else [align(whole, alignment)]
    report += split(corpus, whole, data, test_speakers, dev_speakers)
    (data / "test" / "triphone.item").unlink(missing_ok=True)
    if items is not None:
        report.append(keep_items(data / "test", items))
    return report


def main() -> None:
    """Parse, prepare, print."""
    names: dict[str, object] = {"nargs": "*", "default": []}
    run(
        prepare,
        "corpus",
        "data",
        makes=Output("data", WAVS, ("corpus/**/*.trans.txt", "alignment", "items")),
        subsets={"nargs": "+", "help": "folders of CORPUS to read"},
        test_speakers=names,
        dev_speakers=names,
        alignment={"type": Path},
        items={"type": Path},
    )


if __name__ == "__main__":
    main()
