"""Unit files as other tools read them: Kaldi text, CTM, TextGrid, ELAN, fairseq, ESPnet, lhotse, benchmarks."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from unitdisc.data.benchmarks import vector_name, write_datasets, write_discophon, write_zerospeech2019
from unitdisc.data.eaf import eaf_name, write_eaf
from unitdisc.data.kaldi import DataDir
from unitdisc.data.resample import resampled_count
from unitdisc.data.spans import spans
from unitdisc.data.tiers import Rows, recordings_of, tiers_of
from unitdisc.data.units import UnitHeader, UnitLine, read_header, read_units, unit_file
from unitdisc.errors import DataError
from unitdisc.files import file_name, whole_file


def text_line(line: UnitLine) -> str:
    """Return an utterance as Kaldi text, one unit per frame: '<utt> 7 7 3 ...'."""
    return " ".join([line.utt, *map(str, line.frames.tolist())]) + "\n"


def ctm_lines(line: UnitLine, header: UnitHeader) -> Iterator[str]:
    """Yield an utterance as CTM: '<utt> 1 <start> <duration> <unit>'."""
    for start, end, unit in spans(line, header):
        yield f"{line.utt} 1 {start:.4f} {end - start:.4f} {unit}\n"


def write_textgrids(
    units: Path, folder: Path, data: DataDir | None = None, longer: Path | None = None, by_recording: bool = False
) -> None:
    """Write one Praat TextGrid per utterance, with a tier `units`, and one `longer units` if there are such.

    With `by_recording` there is one for each sound file, in its times and under its name. With a data directory, a
    script open.praat opens each TextGrid with its sound.
    """
    script: list[str] = []
    for name, utt, tiers in tiers_of(units, longer, data if by_recording else None):
        end = max((rows[-1][1] for rows in tiers.values() if rows), default=0.0)
        if by_recording and data is not None:
            end = max(end, round(replace(data.source(utt), start=0.0, end=None).seconds(), 6))
        with whole_file(folder / _grid_name(name)) as out:
            print('File type = "ooTextFile"\nObject class = "TextGrid"\n', file=out)
            print(f"xmin = 0\nxmax = {end:.6f}\ntiers? <exists>\nsize = {len(tiers)}\nitem []:", file=out)
            for number, (tier, rows) in enumerate(tiers.items(), start=1):
                print(f'    item [{number}]:\n        class = "IntervalTier"\n        name = "{tier}"', file=out)
                _print_tier(_filled(rows, end) if by_recording else rows, end, out)
        if data is not None:
            script += _opening(_known(data, utt), utt, name if by_recording else "")
    if script:
        with whole_file(folder / "open.praat") as out:
            print(*script, sep="\n", file=out)


def _filled(rows: Rows, end: float) -> list[tuple[float, float, int | str]]:
    """Return rows without a gap: between utterances, and before and after them, nothing is said."""
    whole: list[tuple[float, float, int | str]] = []
    last = 0.0
    for start, stop, unit in rows:
        if start - last > 1e-6:
            whole.append((last, start, ""))
        whole.append((start, stop, unit))
        last = stop
    return [*whole, (last, end, "")] if end - last > 1e-6 else whole


def _print_tier(rows: Sequence[tuple[float, float, int | str]], end: float, out: IO[Any]) -> None:
    print(f"        xmin = 0\n        xmax = {end:.6f}\n        intervals: size = {len(rows)}", file=out)
    for number, (start, stop, unit) in enumerate(rows, start=1):
        start, stop = 0.0 if number == 1 else start, end if number == len(rows) else stop
        print(f"        intervals [{number}]:\n            xmin = {start:.6f}", file=out)
        print(f'            xmax = {stop:.6f}\n            text = "{unit}"', file=out)


def _opening(data: DataDir, utt: str, whole: str) -> list[str]:
    """Return the lines of a Praat script that open an utterance's sound, or the whole file, and its TextGrid."""
    source = data.source(utt)
    if source.command:
        raise DataError(f"{data.path}: {utt} comes from a command; Praat opens files only")
    path = str(source.file().resolve()).replace('"', '""')
    lines = [f'Read from file: "{path}"']
    if not whole and (source.start or source.end is not None):
        end = source.start + source.seconds()
        lines += [f'sound = selected ("Sound")\nExtract part: {source.start:.6f}, {end:.6f}, "rectangular", 1, "no"']
        lines += ["part = selected ()\nselectObject: sound\nRemove\nselectObject: part"]
    name = file_name(whole or utt).replace('"', '""')
    return [*lines, f'Rename: "{name}"', f'Read from file: "{name}.TextGrid"']


def write_fairseq(units: Path, folder: Path, data: DataDir | None = None, longer: Path | None = None) -> None:
    """Write fairseq's pair of files: units.tsv (root, then path and samples) and units.km (one unit per frame)."""
    if data is None:
        raise DataError("fairseq's .tsv names audio files and their samples: give the data directory with --data")
    with whole_file(folder / "units.tsv") as tsv, whole_file(folder / "units.km") as km:
        print("/", file=tsv)
        for line in read_units(units):
            source = _known(data, line.utt).source(line.utt)
            if source.start or source.end is not None or source.command:
                raise DataError(
                    f"{data.path}: {line.utt} is a segment or comes from a command; fairseq names whole files only"
                )
            path = os.path.relpath(source.file().resolve(), "/")
            print(path, source.info().samples, sep="\t", file=tsv)
            print(*line.frames.tolist(), file=km)


def write_espnet(units: Path, folder: Path, data: DataDir | None = None, longer: Path | None = None) -> None:
    """Write ESPnet's token text (de-duplicated units as tokens <7>) and its token list."""
    header = read_header(units)
    with whole_file(folder / "text.units") as out:
        for line in read_units(units):
            print(line.utt, *(f"<{unit}>" for unit in _merged(line)), file=out)
    with whole_file(folder / "token_list") as out:
        print("<blank>", "<unk>", *(f"<{unit}>" for unit in range(header.cardinality)), "<sos/eos>", sep="\n", file=out)


def write_lhotse(units: Path, folder: Path, data: DataDir | None = None, longer: Path | None = None) -> None:
    """Write lhotse's supervision segments, units as an alignment, and with a data directory its recordings."""
    header = read_header(units)
    with whole_file(folder / "supervisions.jsonl") as out:
        for line in read_units(units):
            length = header.offset + int(line.durations.sum()) * header.period
            place = {"recording_id": line.utt, "start": 0.0, "channel": 0}
            if data is not None:
                source = _known(data, line.utt).source(line.utt)
                recording = data.segments[line.utt].recording if line.utt in data.segments else line.utt
                channel = source.channel if isinstance(source.channel, int) else 0
                place = {"recording_id": recording, "start": round(source.start, 6), "channel": channel}
                length = min(length, source.seconds())  # the last frame may stick out by half a hop
            start = float(str(place["start"]))
            # In lhotse the times of an alignment count from the start of the recording, as the segment's own do.
            rows = [
                [str(unit), round(start + first, 6), round(min(last, length) - first, 6), None]
                for first, last, unit in spans(line, header)
                if first < length
            ]
            record = {
                "id": line.utt,
                **place,
                "duration": round(length, 6),
                "text": " ".join(str(unit) for unit in _merged(line)),
                "alignment": {"unit": rows},
            }
            if data is not None:
                record["speaker"] = data.utt2spk[line.utt]
            print(json.dumps(record, ensure_ascii=False), file=out)
    if data is not None:
        _write_recordings(units, folder, data)
        _write_cuts(folder)


def _write_recordings(units: Path, folder: Path, data: DataDir) -> None:
    """Write lhotse's manifest of the recordings that the units' utterances lie in."""
    done: set[str] = set()
    with whole_file(folder / "recordings.jsonl") as out:
        for line in read_units(units):
            name = data.segments[line.utt].recording if line.utt in data.segments else line.utt
            if name in done:
                continue
            done.add(name)
            source, entry = data.source(line.utt), data.recordings[name]
            info = source.info()
            if entry.is_command and (source.command or source.program or source.decode_rate):
                audio = {"type": "command", "source": entry.entry.rstrip().removesuffix("|").rstrip()}
            else:
                audio = {"type": "file", "source": str(source.file().resolve())}
            channels = list(range(1 if source.channel == "mix" and audio["type"] == "command" else info.channels))
            rate = source.decode_rate or info.rate
            samples = resampled_count(info.samples, info.rate, rate)
            record = {
                "id": name,
                "sources": [{**audio, "channels": channels}],
                "sampling_rate": rate,
                "num_samples": samples,
                "duration": samples / rate,
                "channel_ids": channels,
            }
            print(json.dumps(record, ensure_ascii=False), file=out)


def _write_cuts(folder: Path) -> None:
    """Write a cut of lhotse for each supervision, with its recording; alignments stay in the recording's time."""
    with (folder / "recordings.jsonl").open(encoding="utf-8") as lines:
        recordings = {record["id"]: record for record in map(json.loads, lines)}
    with (folder / "supervisions.jsonl").open(encoding="utf-8") as lines, whole_file(folder / "cuts.jsonl") as out:
        for supervision in map(json.loads, lines):
            cut = {name: supervision[name] for name in ("id", "start", "duration", "channel")}
            cut |= {"supervisions": [supervision | {"start": 0.0}], "type": "MonoCut"}
            cut["recording"] = recordings[supervision["recording_id"]]
            print(json.dumps(cut, ensure_ascii=False), file=out)


def _merged(line: UnitLine) -> list[int]:
    return UnitLine.of_frames(line.utt, line.units).units.tolist()


def _known(data: DataDir, utt: str) -> DataDir:
    if utt not in data.utt2spk:
        raise DataError(
            f"{data.path}: does not have utterance {utt!r} of the unit file; give the directory it was made from"
        )
    return data


def _grid_name(utt: str) -> str:
    return f"{file_name(utt)}.TextGrid"


Writer = Callable[[Path, Path, DataDir | None, Path | None], None]
FORMATS: dict[str, Writer] = {
    "textgrid": write_textgrids,
    "eaf": write_eaf,
    "fairseq": write_fairseq,
    "espnet": write_espnet,
    "lhotse": write_lhotse,
    "discophon": write_discophon,
    "zerospeech2019": write_zerospeech2019,
    "datasets": write_datasets,
}
TIERED: dict[str, Callable[[Path, Path, DataDir | None, Path | None, bool], None]] = {
    "textgrid": write_textgrids,
    "eaf": write_eaf,
}
FILES = {
    "fairseq": ("units.tsv", "units.km"),
    "espnet": ("text.units", "token_list"),
    "lhotse": ("supervisions.jsonl", "recordings.jsonl", "cuts.jsonl"),
    "discophon": ("discophon.jsonl",),
    "datasets": ("data.jsonl", "README.md"),
}
NAMES: dict[str, Callable[[str], str]] = {"textgrid": _grid_name, "eaf": eaf_name, "zerospeech2019": vector_name}


def export_names(format: str) -> tuple[str, ...]:
    """Return the patterns of the files that there always are of a format."""
    return FILES[format][:1] if format in FILES else (NAMES[format]("*"),)


def export_units(
    units: str | Path,
    folder: str | Path,
    formats: Iterable[str],
    data: DataDir | None = None,
    force: bool = False,
    longer: str | Path | None = None,
    by_recording: bool = False,
) -> int:
    """Write a unit file in the formats of other tools; return the number of utterances.

    `longer` is a unit file of longer units of the same speech, which TextGrids and ELAN show as a tier of their own.
    `by_recording` makes these of whole sound files, named as they are; it needs the data directory.
    """
    units, folder, formats = unit_file(units), Path(folder), list(dict.fromkeys(formats))
    if by_recording and (data is None or not set(formats) <= set(TIERED)):
        raise DataError("files by recording are TextGrids or ELAN's, and need the data directory: give --data")
    if longer and not set(formats) & set(TIERED):
        raise DataError(f"{longer}: longer units are a tier of TextGrids and ELAN's files; {formats[0]} has no tiers")
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder}: expected a folder to write to, got a file")
    utts = [line.utt for line in read_units(units)]
    called = list(recordings_of(data, utts)) if by_recording and data is not None else utts
    for name in formats:
        names = FILES.get(name) or [NAMES[name](one) for one in called]
        there = [folder / file for file in names if (folder / file).exists()]
        if there and not force:
            raise DataError(f"{there[0]}: there already; --force replaces it")
    more = unit_file(longer) if longer else None
    for name in formats:
        if by_recording:
            TIERED[name](units, folder, data, more, True)
        else:
            FORMATS[name](units, folder, data, more)
    return len(utts)
