"""Turn a language of ZeroSpeech 2019 into data directories: DATA/train (unit and voice), DATA/dev and DATA/test.

python local/prepare.py CORPUS DATA [--items FILE] [--alignment CTM]

CORPUS has train/unit/*.wav, train/voice/*.wav and test/*.wav; a file's speaker stands before the _ of its name. Every
fiftieth training utterance is kept out to watch the training with.
"""

import shutil
import sys
from pathlib import Path

from unitdisc.data.alignment import read_alignment
from unitdisc.data.corpora import write_alignment
from unitdisc.data.kaldi import DataDir, write_data_dir
from unitdisc.data.subsets import subset
from unitdisc.errors import DataError
from unitdisc.evaluate.items import read_items

sys.path.append(str(Path(__file__).resolve().parents[2] / "common"))  # for who starts it without run.sh
from scripts import WAVS, Output, run

NTH = 50  # of the training utterances goes to dev


def directory(corpus: Path, folders: tuple[str, ...], out: Path) -> DataDir:
    """Write a data directory of the recordings in some folders of the corpus."""
    recordings = {}
    for folder in folders:
        found = sorted((corpus / folder).glob("*.wav"))
        if not found:
            raise DataError(f"{corpus / folder}: expected wav files, got none; is {corpus.name} one language's folder?")
        for path in found:
            if "_" not in path.stem:
                raise DataError(f"{path}: expected <speaker>_<number>.wav")
            if path.stem in recordings:
                raise DataError(f"{path}: the name is there twice, also as {recordings[path.stem]}")
            recordings[path.stem] = path.resolve()
    return write_data_dir(out, list(recordings.items()), {utt: utt.split("_")[0] for utt in recordings})


def prepare(corpus: Path, data: Path, items: Path | None, alignment: Path | None) -> list[str]:
    """Write the parts; return a line to print for each."""
    training = directory(corpus, ("train/unit", "train/voice"), data / "all")
    test = directory(corpus, ("test",), data / "test")
    if alignment is not None:
        phones = read_alignment(alignment)
        for part in (training, test):
            write_alignment(part, phones)
    dev = training.utts[NTH - 1 :: NTH] or training.utts[-1:]
    parts = [
        subset(training, data / "train", sorted(set(training.utts) - set(dev))),
        subset(training, data / "dev", dev),
        test,
    ]
    (data / "test" / "triphone.item").unlink(missing_ok=True)
    if items is not None:
        read_items(items)
        shutil.copyfile(items, data / "test" / "triphone.item")
    return [f"{part.path}: {len(part.utts)} utterances, {len(part.spk2utt)} speakers" for part in parts]


def main() -> None:
    """Parse, prepare, print."""
    makes = Output("data", WAVS, ("corpus/**/*.wav", "items", "alignment"))
    run(prepare, "corpus", "data", makes=makes, items={"type": Path}, alignment={"type": Path})


if __name__ == "__main__":
    main()
