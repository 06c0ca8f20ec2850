"""Turn a LibriSpeech tree into data directories whose speakers are apart: DATA/train, DATA/dev and DATA/test.

python local/prepare.py CORPUS DATA [--test-speakers A B ...] [--dev-speakers ...] [--alignment CTM|DIR] [--items FILE]

Without --test-speakers, the subsets train-* are trained on and those of the other subsets are scored. Without
--dev-speakers, every twentieth training utterance is kept out to watch the training with.
"""

import argparse
import sys
from pathlib import Path

from unitdisc.data.alignment import read_alignment
from unitdisc.data.corpora import librispeech, write_alignment
from unitdisc.data.kaldi import DataDir
from unitdisc.data.subsets import subset, utts_of
from unitdisc.errors import DataError, UnitdiscError
from unitdisc.evaluate.items import read_items, write_items

NTH = 20  # of the training utterances goes to dev


def test_part(corpus: Path, data: DataDir, wanted: list[str]) -> list[str]:
    """Return the speakers to score on."""
    if wanted:
        return wanted
    training = {
        speaker.name for part in corpus.rglob("train-*") if part.is_dir() for speaker in part.iterdir()
    } & data.spk2utt.keys()
    others = sorted(data.spk2utt.keys() - training)
    if not training or not others:
        raise DataError(
            f"{corpus}: has {'no' if not training else 'only'} subset train-*, so say who is scored on: "
            "--test-speakers 'A B ...'"
        )
    return others


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


def prepare(corpus: Path, out: Path, options: argparse.Namespace) -> list[str]:
    """Write all; return lines to print."""
    data = librispeech(corpus, out / "all")
    report = []
    if options.alignment is not None:
        aligned = write_alignment(data, read_alignment(options.alignment))
        # LibriSpeech has no phone times of its own: whatever is given was made by an aligner.
        report.append(
            f"{options.alignment}: silver phones (made by an aligner) of {aligned} of {len(data.utts)} utterances"
        )
        if not aligned:
            raise DataError(f"{options.alignment}: has none of the utterances of {corpus}; are the names the same?")
    report += split(corpus, data, out, options.test_speakers, options.dev_speakers)
    (out / "test" / "triphone.item").unlink(missing_ok=True)
    if options.items is not None:
        items = read_items(options.items)
        of_test = set(DataDir.read(out / "test").utts)
        kept = items[[n for n, file in enumerate(items.files.tolist()) if file in of_test]]
        if not len(kept):
            raise DataError(f"{options.items}: has no item of {out / 'test'}; is it of another subset?")
        write_items(out / "test" / "triphone.item", kept)
        report.append(f"{options.items}: {len(kept)} of {len(items)} items are of {out / 'test'}")
    return report


def main() -> None:
    """Parse, prepare, print."""
    parser = argparse.ArgumentParser(description="LibriSpeech as data directories.", allow_abbrev=False)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--test-speakers", nargs="*", default=[])
    parser.add_argument("--dev-speakers", nargs="*", default=[])
    parser.add_argument("--alignment", type=Path)
    parser.add_argument("--items", type=Path)
    options = parser.parse_args()
    try:
        print("\n".join(prepare(options.corpus, options.data, options)))
    except UnitdiscError as error:
        sys.exit(f"prepare.py: {error}")


if __name__ == "__main__":
    main()
