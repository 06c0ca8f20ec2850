"""Turn a split of a language of DiscoPhon into a data directory, with what the benchmark has to score it by.

python local/prepare.py CORPUS DATA/deu/test

CORPUS has manifest/manifest-deu-test.csv, audio/deu/test/*.wav and, of the splits dev and test, the phones in
alignment/alignment-deu-test.txt and the items of ABX in item/triphone-deu-test.item. DATA/deu/test gets these two as
they are (alignment.txt, triphone.item), and the phones as phones.ctm, too.
"""

import csv
import shutil
import sys
from pathlib import Path

from unitdisc.data.alignment import read_alignment
from unitdisc.data.corpora import write_alignment
from unitdisc.data.kaldi import DataDir, write_data_dir
from unitdisc.errors import DataError, shown
from unitdisc.evaluate.items import read_items
from unitdisc.reading import parse_json, reading

sys.path += [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[2] / "common")]
from languages import read_languages
from scripts import Output, run

SCORED = ("dev", "test")
SPLITS = (*SCORED, "train-10h", "train-1h", "train-10min")


def read_manifest(path: Path) -> dict[str, str]:
    """Return the speaker of each recording."""
    what = "a manifest of DiscoPhon, with columns fileid and speaker"
    with reading(path, what, none="`python -m discophon.prepare download` fetches it"):
        with path.open(encoding="utf-8", newline="") as file:
            speakers = {row["fileid"]: row["speaker"] for row in csv.DictReader(file)}
        if not speakers or not all(speakers.values()):
            raise ValueError("no recordings" if not speakers else "a recording without a speaker")
    return speakers


def read_genders(path: Path, language: str) -> dict[str, str]:
    """Return the genders of a language's speakers where they are known: f and m."""
    if not path.is_file():
        return {}
    with reading(path, 'lines {"language": ..., "speaker": ..., "gender": ...}'):
        rows = [parse_json(line) for line in path.read_text("utf-8").splitlines()]
        known = [row for row in rows if row["language"] == language and row["gender"] in ("F", "M")]
        return {str(row["speaker"]): row["gender"].lower() for row in known}


def recordings_of(folder: Path, utts: list[str]) -> list[tuple[str, Path]]:
    """Return the file of each recording."""
    missing = [utt for utt in utts if not (folder / f"{utt}.wav").is_file()]
    if missing:
        raise DataError(
            f"{folder}: {len(missing)} of the {len(utts)} recordings of the manifest are missing, {missing[0]}.wav "
            "first; `python -m discophon.prepare` fetches them (README.md)"
        )
    return [(utt, (folder / f"{utt}.wav").absolute()) for utt in utts]


def add_labels(data: DataDir, alignment: Path, items: Path) -> None:
    """Put phones and items of ABX into a data directory."""
    phones = read_alignment(alignment)
    odd = sorted(set(phones) ^ set(data.utts))
    if odd:
        raise DataError(f"{alignment}: expected the recordings of the manifest; {shown(odd[0])} is in one of both only")
    read_items(items)
    write_alignment(data, phones)
    shutil.copyfile(alignment, data.path / "alignment.txt")
    shutil.copyfile(items, data.path / "triphone.item")


def prepare(corpus: Path, out: Path) -> list[str]:
    """Write the data directory; return a line to print."""
    language, split = out.parent.name, out.name
    if language not in read_languages() or split not in SPLITS:
        wanted = f"{'|'.join(read_languages())} and in it {'|'.join(SPLITS)}"
        raise DataError(f"{out}: expected a folder {wanted}, got {language}/{split}")
    speakers = read_manifest(corpus / "manifest" / f"manifest-{language}-{split}.csv")
    genders = read_genders(corpus / "manifest" / "speakers.jsonl", language)
    known = {speaker: genders[speaker] for speaker in set(speakers.values()) if speaker in genders}
    recordings = recordings_of(corpus / "audio" / language / split, list(speakers))
    data = write_data_dir(out, recordings, speakers, spk2gender=known or None)
    if split in SCORED:
        name = f"{language}-{split}"
        add_labels(data, corpus / "alignment" / f"alignment-{name}.txt", corpus / "item" / f"triphone-{name}.item")
    return [f"{data.path}: {len(data.utts)} utterances, {len(data.spk2utt)} speakers"]


def main() -> None:
    """Parse, prepare, print."""
    reads = ("corpus/manifest/*", "corpus/alignment/*", "corpus/item/triphone-*", "local/languages.txt")
    makes = Output("out", ("wav.scp", "utt2spk"), reads)
    run(prepare, "corpus", "out", makes=makes)


if __name__ == "__main__":
    main()
