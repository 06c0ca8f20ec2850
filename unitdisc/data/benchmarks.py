"""Units as benchmarks want them handed in: DiscoPhon, ZeroSpeech 2019; and as a folder for Hugging Face's datasets."""

import json
from pathlib import Path

from unitdisc.data.kaldi import DataDir
from unitdisc.data.units import read_header, read_units
from unitdisc.errors import DataError
from unitdisc.files import file_name, whole_file

CARD = """---
configs:
- config_name: default
  data_files: data.jsonl
---
Speech as discrete units, made by unitdisc: `units` with their `durations` in frames of `period` seconds.
"""


def write_discophon(units: Path, folder: Path, data: DataDir | None = None, longer: Path | None = None) -> None:
    """Write DiscoPhon's JSON lines, a unit for each frame; it wants the file called units-LANGUAGE-SPLIT.jsonl."""
    with whole_file(folder / "discophon.jsonl") as out:
        for line in read_units(units):
            print(json.dumps({"file": line.utt, "units": line.frames.tolist()}, ensure_ascii=False), file=out)


def write_zerospeech2019(units: Path, folder: Path, data: DataDir | None = None, longer: Path | None = None) -> None:
    """Write a file for each utterance with a one-hot vector for each unit, equal neighbours being one."""
    codes = read_header(units).cardinality
    if codes > 65536:
        raise DataError(f"{units}: {codes} codes make vectors too long for ZeroSpeech 2019; 65536 are possible")
    for line in read_units(units):
        with whole_file(folder / vector_name(line.utt)) as out:
            for unit in line.units.tolist():
                print(" ".join(["0"] * unit + ["1"] + ["0"] * (codes - unit - 1)), file=out)


def vector_name(utt: str) -> str:
    """Return the name of an utterance's file for ZeroSpeech 2019."""
    return f"{file_name(utt)}.txt"


def write_datasets(units: Path, folder: Path, data: DataDir | None = None, longer: Path | None = None) -> None:
    """Write a folder that `datasets.load_dataset(folder)` reads: data.jsonl, and the card that says so."""
    header = read_header(units)
    with whole_file(folder / "data.jsonl") as out:
        for line in read_units(units):
            seconds = int(line.durations.sum()) * header.period
            record = {"id": line.utt, "units": line.units.tolist(), "durations": line.durations.tolist()}
            record |= {"period": header.period, "seconds": round(seconds, 6)}
            if data is not None:
                if line.utt not in data.utt2spk:
                    raise DataError(f"{data.path}: does not have utterance {line.utt!r} of the unit file")
                source = data.source(line.utt)
                record |= {"speaker": data.utt2spk[line.utt], "audio_path": str(source.file().resolve())}
                record |= {"audio_start": round(source.start, 6)}
            print(json.dumps(record, ensure_ascii=False), file=out)
    with whole_file(folder / "README.md") as out:
        out.write(CARD)
