"""Data directories made of others: a subset, parts, all together. Audio stays where it is."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

from unitdisc.data.alignment import read_alignment, write_ctm
from unitdisc.data.kaldi import DataDir, Recording, Segment, data_digest, resolve, write_data_dir
from unitdisc.data.members import split_place
from unitdisc.data.pipes import replace_path
from unitdisc.data.store import FeatureReader
from unitdisc.data.tables import read_table, write_table
from unitdisc.errors import DataError
from unitdisc.files import whole_file
from unitdisc.reading import json_if_any

ALIGNMENTS = ("phones.ctm", "words.ctm")
FEATURES = ("feats", "targets", "excitation")  # <stem>.scp with <stem>.json beside it
STATISTICS = ("cmvn", "targets_cmvn", "excitation_cmvn")  # <stem>.scp, of each speaker's features


def subset(data: DataDir, out: str | Path, utts: Iterable[str]) -> DataDir:
    """Write the data directory of some utterances, with their alignments and features."""
    chosen = sorted(set(utts))
    unknown = next((utt for utt in chosen if utt not in data.utt2spk), None)
    if unknown is not None or not chosen:
        raise DataError(f"{data.path}: expected utterances of it, got {'none' if unknown is None else repr(unknown)}")
    return _write([data], Path(out), chosen)


def utts_of(data: DataDir, speakers: Collection[str]) -> list[str]:
    """Return the utterances of some speakers."""
    unknown = [speaker for speaker in speakers if speaker not in data.spk2utt]
    if unknown:
        raise DataError(
            f"{data.path}: expected speakers of it ({', '.join(list(data.spk2utt)[:5])}, ...), got {unknown[0]!r}"
        )
    return sorted(utt for speaker in speakers for utt in data.spk2utt[speaker])


def split(data: DataDir, outs: Sequence[str | Path], by_speaker: bool = True) -> list[DataDir]:
    """Write parts of about equal numbers of utterances; with by_speaker nobody is in two of them."""
    parts: list[list[str]] = [[] for _ in outs]
    if by_speaker:
        if len(outs) > len(data.spk2utt):
            raise DataError(
                f"{data.path}: expected {len(outs)} speakers or more for as many parts, got {len(data.spk2utt)}"
            )
        for speaker in sorted(data.spk2utt, key=lambda speaker: (-len(data.spk2utt[speaker]), speaker)):
            min(parts, key=len).extend(data.spk2utt[speaker])  # the longest first, always into the shortest part
    else:
        bounds = [len(data.utts) * i // len(outs) for i in range(len(outs) + 1)]
        parts = [data.utts[a:b] for a, b in pairwise(bounds)]
    return [subset(data, out, utts) for out, utts in zip(outs, parts, strict=True)]


def combine(datas: Sequence[DataDir], out: str | Path) -> DataDir:
    """Write one data directory of several that have no utterance and no recording in common."""
    for n, one in enumerate(datas):
        for other in datas[n + 1 :]:
            common = sorted(one.utt2spk.keys() & other.utt2spk.keys() | one.recordings.keys() & other.recordings.keys())
            if common:
                raise DataError(f"{other.path}: has {common[0]!r} ({len(common)} in all) in common with {one.path}")
            if bool(one.segments) != bool(other.segments):
                raise DataError(f"{other.path}: only one of it and {one.path} has segments; write segments for both")
            for speaker in one.spk2gender.keys() & other.spk2gender.keys():
                if one.spk2gender[speaker] != other.spk2gender[speaker]:
                    raise DataError(
                        f"{other.path}: speaker {speaker!r} has another gender than in {one.path}; rename one"
                    )
    return _write(datas, Path(out), sorted(utt for data in datas for utt in data.utts))


def _write(datas: Sequence[DataDir], out: Path, utts: list[str]) -> DataDir:
    if any(out.resolve() == data.path.resolve() for data in datas):
        raise DataError(f"{out}: expected another folder than the one to choose from")
    home = {utt: data for data in datas for utt in data.utt2spk}
    segments = {utt: home[utt].segments[utt] for utt in utts if utt in home[utt].segments}
    recordings: dict[str, tuple[DataDir, Recording]] = {}
    for utt in utts:
        name = segments[utt].recording if utt in segments else utt
        if name in home[utt].recordings:
            recordings[name] = home[utt], home[utt].recordings[name]
    utt2spk = {utt: home[utt].utt2spk[utt] for utt in utts}
    speakers = set(utt2spk.values())
    gender = {spk: g for data in datas for spk, g in data.spk2gender.items() if spk in speakers}
    try:
        return _write_tables(datas, home, utts, out, segments, recordings, utt2spk, gender)
    except BaseException:  # a full disk, say: without wav.scp nothing takes the folder for a data directory
        for name in ("wav.scp", "images.scp"):
            with suppress(OSError):
                (out / name).unlink()
        raise


def _write_tables(
    datas: Sequence[DataDir],
    home: Mapping[str, DataDir],
    utts: list[str],
    out: Path,
    segments: dict[str, Segment],
    recordings: Mapping[str, tuple[DataDir, Recording]],
    utt2spk: dict[str, str],
    gender: dict[str, str],
) -> DataDir:
    made = write_data_dir(
        out,
        [(name, _entry(data, recording)) for name, (data, recording) in recordings.items()],
        utt2spk,
        {utt: home[utt].text[utt] for utt in utts if utt in home[utt].text} or None,
        gender or None,
        segments or None,
        {utt: home[utt].utt2dur[utt] for utt in utts if utt in home[utt].utt2dur} or None,
        {utt: home[utt].images[utt].absolute() for utt in utts if utt in home[utt].images} or None,
    )
    _carry_alignments(datas, home, utts, out)
    _carry_features(datas, set(utts), out)
    return made


def _entry(data: DataDir, recording: Recording) -> str:
    """Return a line of wav.scp that means the same from anywhere."""
    if not recording.is_command:
        name, offset = split_place(recording.entry)
        return str(resolve(data.path, name).absolute()) + ("" if offset is None else f":{offset}")
    if recording.decode is None:
        return recording.entry
    path = str(resolve(data.path, recording.decode.path).absolute())
    return replace_path(recording.entry, recording.decode.path, path)


def _carry_alignments(datas: Sequence[DataDir], home: Mapping[str, DataDir], utts: list[str], out: Path) -> None:
    for name in ALIGNMENTS:
        (out / name).unlink(missing_ok=True)
        alignments = {id(data): read_alignment(data.path / name) for data in datas if (data.path / name).exists()}
        known = [utt for utt in utts if utt in alignments.get(id(home[utt]), ())]
        if known:
            write_ctm(out / name, ((utt, alignments[id(home[utt])][utt]) for utt in known))


def _carry_features(datas: Sequence[DataDir], utts: Collection[str], out: Path) -> None:
    for stem in FEATURES:
        notes = [note for data in datas if (note := read_note(data.path, stem)) is not None]
        rows: list[tuple[str, str]] = []
        # All of them have features, of one configuration.
        if len(notes) == len(datas) and len({str(note.get("digest")) for note in notes}) == 1:
            for data in datas:
                rows += [(utt, place) for utt, place in _places(data.path / f"{stem}.scp") if utt in utts]
        (out / f"{stem}.json").unlink(missing_ok=True)
        _replace_index(out, stem, rows)
        if rows:
            failed = {utt: why for note in notes for utt, why in note.get("failed", {}).items() if utt in utts}
            fresh = all(note.get("data") == data_digest(data.path) for note, data in zip(notes, datas, strict=True))
            write_note(out, stem, {**notes[0], "failed": failed}, fresh)
    _carry_statistics(datas, {data.utt2spk[utt] for data in datas for utt in utts if utt in data.utt2spk}, out)


def read_note(folder: Path, stem: str) -> dict[str, Any] | None:
    """Return what stands beside an archive, if both are there."""
    return (json_if_any(folder / f"{stem}.json") or None) if (folder / f"{stem}.scp").exists() else None


def write_note(out: Path, stem: str, note: Mapping[str, Any], fresh: bool) -> None:
    """Say what the archive has of this directory; features that were out of date stay so."""
    if fresh:
        reader = FeatureReader(out / f"{stem}.scp")
        frames = sum(reader.frames(utt) for utt in reader)  # from the headers
        reader.close()
        note = {**note, "data": data_digest(out), "utterances": len(reader), "frames": frames}
    with whole_file(out / f"{stem}.json") as file:
        file.write(json.dumps(note, indent=1, ensure_ascii=False) + "\n")


def _places(scp: Path) -> Iterator[tuple[str, str]]:
    """Go through an index whose paths mean the same from anywhere."""
    for key, place in read_table(scp, "<key> <ark>:<byte>").items():
        name, _, offset = place.rpartition(":")
        ark = Path(name) if Path(name).exists() else scp.parent / Path(name).name
        yield key, f"{ark.absolute()}:{offset}"


def _replace_index(out: Path, stem: str, rows: list[tuple[str, str]]) -> None:
    """Write an index, and delete the archive of an older one unless the new one needs it."""
    ark = (out / f"{stem}.ark").absolute()
    (out / f"{stem}.scp").unlink(missing_ok=True)
    if str(ark) not in {place.rpartition(":")[0] for _, place in rows}:
        ark.unlink(missing_ok=True)
    if rows:
        write_table(out / f"{stem}.scp", rows)


def _carry_statistics(datas: Sequence[DataDir], speakers: Collection[str], out: Path) -> None:
    """Keep the statistics that speakers' features are normalised by, so that a subset's frames stay what they were."""
    shared = sum(len(data.spk2utt) for data in datas) > len({spk for data in datas for spk in data.spk2utt})
    for stem in STATISTICS:
        rows: list[tuple[str, str]] = []
        # Of a speaker in two directories neither's statistics are right.
        if not shared and all((data.path / f"{stem}.scp").exists() for data in datas):
            for data in datas:
                rows += [(spk, place) for spk, place in _places(data.path / f"{stem}.scp") if spk in speakers]
        _replace_index(out, stem, rows)
