"""Unit files as other tools read them: Kaldi text, CTM, TextGrid, fairseq, ESPnet, lhotse."""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from unitdisc.data.kaldi import DataDir
from unitdisc.data.resample import resampled_count
from unitdisc.data.units import UnitHeader, UnitLine, read_header, read_units, unit_file
from unitdisc.errors import DataError
from unitdisc.files import file_name, whole_file


def spans(line: UnitLine, header: UnitHeader) -> Iterator[tuple[float, float, int]]:
    """Yield (start, end, unit) in seconds; a run of frames reaches from edge to edge of its frames."""
    frame = 0
    for unit, duration in zip(line.units.tolist(), line.durations.tolist(), strict=True):
        yield header.offset + frame * header.period, header.offset + (frame + duration) * header.period, unit
        frame += duration


def write_text(units: Path, path: Path) -> None:
    """Write Kaldi text, one unit per frame: '<utt> 7 7 3 ...'."""
    with whole_file(path) as out:
        for line in read_units(units):
            print(line.utt, *line.frames.tolist(), file=out)


def write_ctm(units: Path, path: Path) -> None:
    """Write CTM: '<utt> 1 <start> <duration> <unit>'."""
    header = read_header(units)
    with whole_file(path) as out:
        for line in read_units(units):
            for start, end, unit in spans(line, header):
                print(f"{line.utt} 1 {start:.4f} {end - start:.4f} {unit}", file=out)


def write_textgrids(units: Path, folder: Path, data: DataDir | None = None) -> None:
    """Write one Praat TextGrid per utterance, with a tier `units`."""
    header = read_header(units)
    for line in read_units(units):
        rows = list(spans(line, header))
        end = rows[-1][1] if rows else 0.0
        with whole_file(folder / _grid_name(line)) as out:
            print('File type = "ooTextFile"\nObject class = "TextGrid"\n', file=out)
            print(f"xmin = 0\nxmax = {end:.6f}\ntiers? <exists>\nsize = 1\nitem []:", file=out)
            print('    item [1]:\n        class = "IntervalTier"\n        name = "units"', file=out)
            print(f"        xmin = 0\n        xmax = {end:.6f}\n        intervals: size = {len(rows)}", file=out)
            for number, (start, stop, unit) in enumerate(rows, start=1):
                start = 0.0 if number == 1 else start
                print(f"        intervals [{number}]:\n            xmin = {start:.6f}", file=out)
                print(f'            xmax = {stop:.6f}\n            text = "{unit}"', file=out)


def write_fairseq(units: Path, folder: Path, data: DataDir | None = None) -> None:
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
            path = os.path.relpath(source.path.resolve(), "/")
            print(path, source.info().samples, sep="\t", file=tsv)
            print(*line.frames.tolist(), file=km)


def write_espnet(units: Path, folder: Path, data: DataDir | None = None) -> None:
    """Write ESPnet's token text (de-duplicated units as tokens <7>) and its token list."""
    header = read_header(units)
    with whole_file(folder / "text.units") as out:
        for line in read_units(units):
            print(line.utt, *(f"<{unit}>" for unit in _merged(line)), file=out)
    with whole_file(folder / "token_list") as out:
        print("<blank>", "<unk>", *(f"<{unit}>" for unit in range(header.cardinality)), "<sos/eos>", sep="\n", file=out)


def write_lhotse(units: Path, folder: Path, data: DataDir | None = None) -> None:
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
                audio = {"type": "file", "source": str(source.path.resolve())}
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


def _merged(line: UnitLine) -> list[int]:
    return UnitLine.of_frames(line.utt, line.units).units.tolist()


def _known(data: DataDir, utt: str) -> DataDir:
    if utt not in data.utt2spk:
        raise DataError(
            f"{data.path}: does not have utterance {utt!r} of the unit file; give the directory it was made from"
        )
    return data


def _grid_name(line: UnitLine) -> str:
    return f"{file_name(line.utt)}.TextGrid"


FORMATS: dict[str, Callable[[Path, Path, DataDir | None], None]] = {
    "textgrid": write_textgrids,
    "fairseq": write_fairseq,
    "espnet": write_espnet,
    "lhotse": write_lhotse,
}
FILES = {
    "fairseq": ("units.tsv", "units.km"),
    "espnet": ("text.units", "token_list"),
    "lhotse": ("supervisions.jsonl", "recordings.jsonl"),
}


def export_units(
    units: str | Path, folder: str | Path, formats: Iterable[str], data: DataDir | None = None, force: bool = False
) -> int:
    """Write a unit file in the formats of other tools; return the number of utterances."""
    units, folder, formats = unit_file(units), Path(folder), list(dict.fromkeys(formats))
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder}: expected a folder to write to, got a file")
    names = [_grid_name(line) for line in read_units(units)]
    for name in formats:
        there = [folder / file for file in FILES.get(name, names) if (folder / file).exists()]
        if there and not force:
            raise DataError(f"{there[0]}: there already; --force replaces it")
    for name in formats:
        FORMATS[name](units, folder, data)
    return len(names)
