"""The fixer of data directories: sorts, drops what cannot be used and says so, and keeps what was there as a backup."""

import shutil
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from unitdisc.data.kaldi import FORMS, DataDir, data_digest, parse_recording, parse_segment, spk2utt_of
from unitdisc.data.store import FeatureReader
from unitdisc.data.subsets import FEATURES, STATISTICS, read_note, write_note
from unitdisc.data.tables import BLANKS, scan_rows, write_table
from unitdisc.errors import DataError, shown

# Tables that other tools put into a data directory, besides those of FORMS.
PER_UTT = ("text", "utt2dur", *(f"{stem}.scp" for stem in FEATURES), "vad.scp", "utt2num_frames", "utt2lang")
PER_SPK = ("spk2gender", *(f"{stem}.scp" for stem in STATISTICS))
PAIRS = ("utt2spk", "spk2gender", "utt2dur")  # tables of one word after the key
MOST = 0.5  # share of the utterances; dropping more is no fix


class Fixed(NamedTuple):
    """What the fixer did."""

    backup: Path | None  # folder with the tables as they were; None: nothing had to be done
    changes: list[str]  # one line each
    dropped: list[str]  # utterances that are gone


def fix_data_dir(path: str | Path, allow_pipes: bool | None = None) -> Fixed:
    """Mend a data directory in place.

    Lines are sorted, converted to UTF-8 and Unix line ends; second lines for a key, lines that cannot be read, and
    utterances without audio that can be opened or without a speaker are dropped, and all tables made to agree.
    """
    path = Path(path)
    changes: list[str] = []
    tables = _load(path, changes)
    main = next((name for name in ("segments", "wav.scp", "images.scp") if name in tables), None)
    if main is None:
        raise DataError(f"{path}: expected wav.scp (or images.scp), got neither; there is nothing to mend")
    before = set(tables[main])
    if "utt2spk" not in tables and "spk2utt" in tables:
        pairs = [(utt, spk) for spk, utts in tables["spk2utt"].items() for utt in BLANKS.split(utts)]
        tables["utt2spk"] = dict(reversed(pairs))
        changes.append("utt2spk: made of spk2utt")
    if "utt2spk" not in tables:
        raise DataError(f"{path}: expected utt2spk or spk2utt, got neither; nobody but you knows the speakers")
    speakerless = {utt: "no speaker in utt2spk" for utt in tables[main] if utt not in tables["utt2spk"]}
    _drop(tables[main], speakerless, changes)
    if "wav.scp" in tables:
        _drop(tables[main], _without_audio(path, tables, allow_pipes), changes)
    utts = set(tables[main])
    if len(before - utts) > MOST * len(before):
        raise DataError(
            f"{path}: nothing changed, since {len(before - utts)} of {len(before)} utterances would go: {changes[-1]}"
        )
    _agree(tables, utts, main, changes)
    gone = sorted(before - utts)
    if not changes and not _lacks_speakers(path):
        return Fixed(None, changes, gone)
    fresh = _fresh_features(path)
    backup = _store(path, tables)
    for stem, note in fresh.items():
        if not FeatureReader(path / f"{stem}.scp").is_whole():
            continue
        failed = {utt: why for utt, why in note.get("failed", {}).items() if utt in utts}
        write_note(path, stem, {**note, "failed": failed}, fresh=True)
    return Fixed(backup, changes, gone)


def _load(path: Path, changes: list[str]) -> dict[str, dict[str, str]]:
    tables = {}
    for name in dict.fromkeys([*FORMS, *PER_UTT, *PER_SPK]):
        if not (path / name).exists():
            continue
        table, mended = {}, Counter[str]()
        for row, problem in scan_rows(path / name, FORMS.get(name, "<key> <value>")):
            if row is not None and name in PAIRS and BLANKS.search(row.rest):
                got = shown(f"{row.key} {row.rest}")
                changes.append(f"dropped {path / name}:{row.line}: expected '{FORMS[name]}', got {got}")
                continue
            if row is not None and (row.rest or name == "text"):
                table[row.key] = row.rest
            if problem and row is not None:  # all of a file may be so: say it once
                mended[problem.split(": expected ", 1)[1].split(", got ")[0]] += 1
            elif problem:
                changes.append("dropped " + problem.split("; ")[0])
            elif row is not None and not row.rest and name != "text":
                changes.append(f"dropped {path / name}:{row.line}: {row.key!r} alone")
        changes += [f"mended {path / name}: {count} lines where {what} is expected" for what, count in mended.items()]
        tables[name] = table
    return tables


def _drop(table: dict[str, str], reasons: Mapping[str, str], changes: list[str]) -> None:
    for utt, reason in reasons.items():
        del table[utt]
        changes.append(f"dropped {utt}: {reason}")


def _without_audio(path: Path, tables: dict[str, dict[str, str]], allow_pipes: bool | None) -> dict[str, str]:
    """Open the audio of every utterance; return those for which that fails, and why."""
    data, bad = DataDir(path), {}
    for utt, line in tables.get("segments", {}).items():
        try:
            data.segments[utt] = parse_segment(line, str(path / "segments"))
        except DataError as error:
            bad[utt] = str(error)
    for utt in tables.get("segments", tables["wav.scp"]):
        if utt in bad:
            continue
        recording = data.segments[utt].recording if utt in data.segments else utt
        try:
            if recording not in tables["wav.scp"]:
                raise DataError(f"recording {recording!r} is not in wav.scp")
            if recording not in data.recordings:
                entry = tables["wav.scp"][recording]
                data.recordings[recording] = parse_recording(entry, 0, recording, allow_pipes)
            data.source(utt).seconds()
        except DataError as error:
            bad[utt] = str(error)
    return bad


def _agree(tables: dict[str, dict[str, str]], utts: Collection[str], main: str, changes: list[str]) -> None:
    """Leave in every table what belongs to the utterances that are left."""
    if main == "segments":
        used = {line.split()[0] for line in tables["segments"].values()}
        _restrict(tables, "wav.scp", used, "is used by no segment", changes)
    for name in dict.fromkeys(("utt2spk", *PER_UTT, "images.scp")):
        _restrict(tables, name, utts, "is no utterance", changes)
    spk2utt = {spk: " ".join(names) for spk, names in spk2utt_of(tables["utt2spk"]).items()}
    if tables.get("spk2utt") != spk2utt:
        changes.append("spk2utt: made of utt2spk")
    tables["spk2utt"] = spk2utt
    for name in PER_SPK:
        _restrict(tables, name, spk2utt, "is no speaker", changes)


def _restrict(
    tables: dict[str, dict[str, str]], name: str, keys: Collection[str], why: str, changes: list[str]
) -> None:
    gone = [key for key in tables.get(name, {}) if key not in keys]
    for key in gone:
        del tables[name][key]
    if gone:
        changes.append(f"dropped {len(gone)} from {name}, as {gone[0]!r}, which {why}")


def _fresh_features(path: Path) -> dict[str, dict[str, Any]]:
    """Return the notes of features that are of the tables as they are: of those that are left, they stay so."""
    digest, notes = data_digest(path), {stem: read_note(path, stem) for stem in FEATURES}
    return {stem: note for stem, note in notes.items() if note is not None and note.get("data") == digest}


def _lacks_speakers(path: Path) -> bool:
    return not (path / "spk2utt").exists()


def _store(path: Path, tables: dict[str, dict[str, str]]) -> Path:
    number = 1
    while (backup := path / ".backup" / str(number)).exists():
        number += 1
    backup.mkdir(parents=True)
    for name, table in tables.items():
        if (path / name).exists():
            shutil.copy2(path / name, backup / name)
        write_table(path / name, table.items())
    return backup
