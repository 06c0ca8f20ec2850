"""Turn the embedded corpus into Kaldi data directories, each with its phones.ctm.

python local/prepare.py CORPUS DATA    writes DATA/train, DATA/dev and DATA/test
"""

import re
import sys
from pathlib import Path

from unitdisc.data.alignment import read_alignment, write_ctm
from unitdisc.data.kaldi import write_data_dir
from unitdisc.errors import DataError

sys.path.append(str(Path(__file__).resolve().parents[2] / "common"))  # for who starts it without run.sh
from scripts import WAVS, Output, run


def read_table(path: Path) -> list[list[str]]:
    """Return the rows of a tab-separated table."""
    if not path.exists():
        raise DataError(f"{path}: no such file; make the corpus first (./run.sh --stage corpus --stop-stage corpus)")
    return [line.split("\t") for line in path.read_text("utf-8").splitlines()]


def words(text: str) -> str:
    """Return a sentence in lower case and without punctuation."""
    return " ".join(re.findall(r"[a-z']+", text.lower()))


def prepare(corpus: Path, data: Path) -> list[str]:
    """Write the data directories; return a line to print for each."""
    split_of = {row[0]: row[1] for row in read_table(corpus / "speakers.tsv")}
    text_of = {row[0]: words(row[2]) for row in read_table(corpus / "sentences.tsv")}
    alignment = read_alignment(corpus / "phones.ctm")
    report = []
    for split in sorted(set(split_of.values())):
        speaker_of = {utt: utt.split("-")[0] for utt in alignment if split_of[utt.split("-")[0]] == split}
        # Absolute, so that every tool finds them from every folder.
        above = corpus.resolve()
        write_data_dir(
            data / split,
            [(utt, f"{above}/wav/{speaker}/{utt}.wav") for utt, speaker in speaker_of.items()],
            speaker_of,
            text={utt: text_of[utt.split("-")[1]] for utt in speaker_of},
            spk2gender={speaker: speaker[0] for speaker in set(speaker_of.values())},
            utt2dur={utt: round(alignment[utt][-1].end, 3) for utt in speaker_of},
        )
        write_ctm(data / split / "phones.ctm", ((utt, alignment[utt]) for utt in speaker_of))
        report.append(f"{data / split}: {len(set(speaker_of.values()))} speakers, {len(speaker_of)} utterances")
    return report


def main() -> None:
    """Parse, prepare, print."""
    run(prepare, "corpus", "data", makes=Output("data", WAVS, ("corpus/*.tsv", "corpus/phones.ctm")))


if __name__ == "__main__":
    main()
