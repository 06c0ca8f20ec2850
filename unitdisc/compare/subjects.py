"""What is compared: the speech, and everything that stands for it."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from unitdisc.compare.kept import data_key, key_of, once
from unitdisc.compare.options import ITEMS, PHONES
from unitdisc.data.alignment import read_alignment
from unitdisc.data.kaldi import DataDir
from unitdisc.data.phones import SILENCES
from unitdisc.data.units import read_header, read_units, unit_file, vectors_of, write_units
from unitdisc.digests import digest
from unitdisc.errors import DataError
from unitdisc.evaluate.items import make_items, write_items
from unitdisc.evaluate.scores import file_hash


@dataclass(frozen=True)
class Speech:
    """The data directories of a comparison: what is fitted is fitted on `train`, all is scored on `test`."""

    train: DataDir
    test: DataDir
    train_phones: Path | None
    test_phones: Path | None
    items: Path | None  # of ABX
    key: str  # of the sound
    labels: str  # hash of phones and items
    fitted: bool  # both have phones, of one set: what needs fitting is fitted on `train`
    silences: frozenset[str] = SILENCES  # labels that are no phones


class Subject(NamedTuple):
    """What stands for the speech: vectors, units, or both."""

    name: str  # in tables, and of its file of scores
    title: str
    key: str  # hash of what it was made of
    kept: Path  # folder where its scores are kept
    period: float  # s
    vectors: Path | None = None  # of the test speech
    train_vectors: Path | None = None
    units: Path | None = None
    train_units: Path | None = None
    codes: int = 0
    model: Path | None = None  # folder of the model that encodes
    head: bool = False  # it hears phones by itself
    dev: Path | None = None  # data directory whose phones its head hears, too


def open_speech(
    train: Path,
    test: Path,
    cache: Path,
    *,
    alignment: Path | None = None,
    train_alignment: Path | None = None,
    items: Path | None = None,
    silences: frozenset[str] = SILENCES,
) -> Speech:
    """Open data directories with the phones and items that are given, or lie in them, or follow from the phones."""
    train_dir, test_dir = DataDir.read(train), DataDir.read(test)
    common = sorted(set(train_dir.utts) & set(test_dir.utts))
    if common:
        raise DataError(f"{test}: {common[0]!r} ({len(common)} in all) is in {train}, too; score on other utterances")
    phones = _found(train_alignment, train / PHONES), _found(alignment, test / PHONES)
    items = _found(items, test / ITEMS)
    key = key_of(data_key(train_dir), data_key(test_dir))
    hashes = [file_hash(path) if path else "" for path in (*phones, items)]
    if items is None and phones[1] is not None:
        folder = cache / f"items-{key_of(hashes, test_dir.utt2spk, sorted(silences))}"
        items = _items_of(test_dir, phones[1], silences, folder)
    labels = key_of(hashes, sorted(silences))
    return Speech(train_dir, test_dir, *phones, items, key, labels, _same_phones(*phones), silences)


def _found(given: Path | None, usual: Path) -> Path | None:
    if given is not None and not given.exists():
        raise DataError(f"{given}: no such file or folder")
    return given or (usual if usual.exists() else None)


def _same_phones(train: Path | None, test: Path | None) -> bool:
    """Tell whether a mapping that is fitted on one alignment can be scored on the other: most phones are in both."""
    if train is None or test is None:
        return False
    ours, theirs = ({i.label for utt in a for i in a[utt]} for a in map(read_alignment, (train, test)))
    return len(ours & theirs) > len(ours) / 2


def _items_of(data: DataDir, phones: Path, silences: frozenset[str], folder: Path) -> Path:
    def make(folder: Path) -> None:
        items = make_items(read_alignment(phones), data.utt2spk, "triphone", silences, where=str(phones))
        write_items(folder / ITEMS, items)

    return once(folder, make) / ITEMS


def outside(path: Path, name: str, test: DataDir, cache: Path, say: Callable[[str], object]) -> Subject:
    """Return the units of another system: a unit file of the test speech, or a folder with test and train."""
    split = path / "test" if (path / "test").is_dir() else path
    given = unit_file(split)
    units = _of_speech(given, name, test, cache, say)
    header = read_header(units)
    train = unit_file(path / "train") if split != path and (path / "train").is_dir() else None
    vectors = vectors_of(given.parent)
    return Subject(
        name,
        f"units of {header.origin.get('source', path)}",
        key_of([file_hash(file) for file in (units, train) if file], _codewords_of(units), digest(vectors)),
        cache / "scores",
        header.period,
        vectors=vectors if vectors.exists() else None,
        units=units,
        train_units=train,
        codes=header.cardinality,
    )


def _of_speech(units: Path, name: str, test: DataDir, cache: Path, say: Callable[[str], object]) -> Path:
    """Return units of the test speech alone, or all columns would not be of the same utterances."""
    utts, here = [line.utt for line in read_units(units)], set(test.utts)
    common = here.intersection(utts)
    if not common:
        raise DataError(
            f"{name}: has no utterance of {test.path}: its first is {next(iter(utts), None)!r}, "
            f"that of the data is {test.utts[0]!r}; name them alike"
        )
    if len(common) < len(here):
        say(f"{name}: lacks {len(here) - len(common)} of {len(here)} utterances of {test.path}; scored on the others")
    if len(common) == len(utts):
        return units
    say(f"{name}: {len(utts) - len(common)} utterances that are not in {test.path} are left out")

    def make(folder: Path) -> None:
        write_units(folder / "units.jsonl", read_header(units), (one for one in read_units(units) if one.utt in here))
        if (units.parent / "codebook.npy").exists():
            shutil.copy(units.parent / "codebook.npy", folder)

    key = key_of(file_hash(units), _codewords_of(units), sorted(common))
    return once(cache / f"beside-{key}", make) / "units.jsonl"


def _codewords_of(units: Path) -> str | None:
    return digest(units.with_name("codebook.npy"))
