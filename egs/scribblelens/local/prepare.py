"""Turn lines of handwriting into data directories: images.scp, text, utt2spk and, where known, chars.ctm.

python local/prepare.py CORPUS DATA    writes DATA/train, DATA/dev and DATA/test

CORPUS is ScribbleLens (its zip, or the folder unpacked from it), or a folder with lines.tsv: on each line, separated by
tabs, an image, who wrote it, train|dev|test, and what is written; chars.ctm beside it may say where characters lie, as
the alignments within ScribbleLens do.
"""

import os
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from places import read_places
from scripts import Output, run

from unitdisc.data.alignment import Interval, read_alignment, write_ctm
from unitdisc.data.kaldi import write_data_dir
from unitdisc.errors import DataError

ROOT = "scribblelens.corpus.v1"  # within its zip
LISTS = {"train": "corpora/nl.bw.lines.train.dat", "test": "corpora/nl.bw.lines.test.dat"}
PLACES = "corpora/scribblelens.paths.1.4b.zip"  # of characters; not in every version
DEV = 20  # every 20th line of ScribbleLens' training list is for validation
SPLITS = ("train", "dev", "test")


class Line(NamedTuple):
    """One line of a corpus."""

    utt: str
    image: Path
    hand: str
    split: str
    text: str


def read_table(corpus: Path) -> list[Line]:
    """Read lines.tsv."""
    lines = []
    for number, row in enumerate((corpus / "lines.tsv").read_text("utf-8").splitlines(), start=1):
        cells = row.split("\t")
        if len(cells) != 4 or cells[2] not in SPLITS:
            raise DataError(
                f"{corpus / 'lines.tsv'}:{number}: expected 'image<tab>hand<tab>train|dev|test<tab>text', got {row!r}"
            )
        image, hand, split, text = cells
        lines.append(Line(utt_of(hand, PurePosixPath(image).stem), corpus / image, hand, split, text))
    return lines


def utt_of(hand: str, name: str) -> str:
    """Return a line's id, which begins with its hand and has no blanks."""
    name = re.sub(r"\s+", "_", name)
    return name if name.startswith(hand) else f"{hand}-{name}"


def read_scribblelens(root: Path) -> tuple[list[Line], Mapping[str, list[Interval]] | None]:
    """Read ScribbleLens' lists of transcribed lines in black and white: 'image transcript' on each line."""
    lines = []
    for split, name in LISTS.items():
        for number, row in enumerate((root / name).read_text("utf-8").splitlines(), start=1):
            if not (words := row.split()):
                continue
            if len(words) != 2:
                raise DataError(f"{root / name}:{number}: expected '<image> <transcript>', got {row!r}")
            parts = PurePosixPath(words[0]).with_suffix("").parts  # nl / scribe / page / line
            text = " ".join((root / words[1]).read_text("utf-8").split())
            kind = "dev" if split == "train" and number % DEV == 0 else split
            lines.append(Line("-".join(parts[1:]), root / words[0], parts[1], kind, text))
    if not (root / PLACES).exists():
        return lines, None
    names = {line.utt: f"{ROOT}/{line.image.relative_to(root).with_suffix('.ali').as_posix()}" for line in lines}
    return lines, read_places(root / PLACES, {line.utt: (names[line.utt], line.text) for line in lines}) or None


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack the lines of ScribbleLens' zip that its lists name; return the corpus' root."""
    with zipfile.ZipFile(archive) as files:
        try:
            for name in LISTS.values():
                listed = files.read(f"{ROOT}/{name}").decode().split()
                files.extractall(folder, [f"{ROOT}/{word}" for word in [name, *listed]])
            if f"{ROOT}/{PLACES}" in files.namelist():
                files.extract(f"{ROOT}/{PLACES}", folder)
        except KeyError as error:
            raise DataError(f"{archive}: expected ScribbleLens' zip, but {error.args[0]}") from None
    return folder / ROOT


def read_corpus(corpus: Path, data: Path) -> tuple[list[Line], Mapping[str, list[Interval]] | None]:
    """Read a corpus of either kind: its lines, and where it is known, where their characters lie."""
    if corpus.is_file() and zipfile.is_zipfile(corpus):
        return read_scribblelens(unpack(corpus, data / "unpacked"))
    if (corpus / "lines.tsv").exists():
        places = corpus / "chars.ctm"
        return read_table(corpus), read_alignment(places) if places.exists() else None
    for root in (corpus, corpus / ROOT):
        if (root / LISTS["train"]).exists():
            return read_scribblelens(root)
    raise DataError(f"{corpus}: expected lines.tsv, or {ROOT}/{LISTS['train']} as ScribbleLens has, got neither")


def prepare(corpus: Path, data: Path) -> list[str]:
    """Write the data directories; return a line to print for each."""
    lines, alignment = read_corpus(corpus, data)
    report = []
    for split in SPLITS:
        own = {line.utt: line for line in sorted(lines) if line.split == split}
        if not own:
            raise DataError(f"{corpus}: has no lines for {split}")
        # Relative to the data directory, so that the recipe's folder can be moved.
        write_data_dir(
            data / split,
            [],
            {utt: line.hand for utt, line in own.items()},
            text={utt: line.text for utt, line in own.items()},
            images={u: os.path.relpath(line.image.resolve(), (data / split).resolve()) for u, line in own.items()},
        )
        (data / split / "chars.ctm").unlink(missing_ok=True)
        told = f"{data / split}: {len(own)} lines by {len({line.hand for line in own.values()})} hands"
        if alignment is not None:
            placed = [utt for utt in own if utt in alignment]
            write_ctm(data / split / "chars.ctm", ((utt, alignment[utt]) for utt in placed))
            told += f", {len(placed)} with places of their characters"
        report.append(told)
    return report


if __name__ == "__main__":
    parts = ("train/images.scp", "dev/images.scp", "test/images.scp")
    run(prepare, "corpus", "data", makes=Output("data", parts, ("corpus", "local/places.py")))
