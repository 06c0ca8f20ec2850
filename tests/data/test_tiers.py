"""Units of cut recordings as tiers of the whole sound file."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile
import textgrid

from unitdisc.data.exports import export_units
from unitdisc.data.kaldi import DataDir, Segment, write_data_dir
from unitdisc.data.units import UnitHeader, UnitLine, write_units
from unitdisc.errors import DataError

PERIOD = 0.1


@pytest.fixture
def data(tmp_path: Path) -> DataDir:
    """Two utterances of one sound file with a gap between them, and one that is a file of its own."""
    for name, seconds in (("tape one", 5.0), ("b", 1.0)):
        soundfile.write(tmp_path / f"{name}.wav", np.zeros(round(8000 * seconds)), 8000)
    recordings = [("a", tmp_path / "tape one.wav"), ("b", tmp_path / "b.wav")]
    segments = {"a-1": Segment("a", 0.5, 1.5), "a-2": Segment("a", 2.0, 3.0), "b": Segment("b", 0.0, None)}
    return write_data_dir(tmp_path / "data", recordings, {"a-1": "a", "a-2": "a", "b": "b"}, segments=segments)


def put(path: Path, utts: dict[str, list[int]]) -> Path:
    header = UnitHeader(PERIOD, (8,), codebook="c0de", model="m0de1")
    write_units(path, header, [UnitLine.of_frames(utt, utts[utt]) for utt in sorted(utts)])
    return path


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    units = {"a-1": [1] * 4 + [2] * 6, "a-2": [3] * 10, "b": [4] * 5 + [5] * 5}
    return put(tmp_path / "units.jsonl", units), put(tmp_path / "longer.jsonl", {utt: [7] * 10 for utt in units})


def test_each_sound_file_has_a_file_of_its_name_in_its_own_times(
    tmp_path: Path, data: DataDir, files: tuple[Path, Path]
):
    units, longer = files
    export_units(units, tmp_path / "out", ["textgrid", "eaf"], data, longer=longer, by_recording=True)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"tape one.TextGrid", "tape one.eaf", "b.TextGrid", "b.eaf", "open.praat"}
    grid = textgrid.TextGrid.fromFile(str(tmp_path / "out" / "tape one.TextGrid"))
    assert [tier.name for tier in grid.tiers] == ["units", "longer units"]
    assert grid.maxTime == pytest.approx(5.0)
    said = [(round(m.minTime, 3), round(m.maxTime, 3), m.mark) for m in grid.tiers[0] if m.mark]
    assert said == [(0.5, 0.9, "1"), (0.9, 1.5, "2"), (2.0, 3.0, "3")]
    document = ElementTree.parse(tmp_path / "out" / "tape one.eaf")
    times = {slot.get("TIME_SLOT_ID"): int(slot.get("TIME_VALUE", "")) for slot in document.iter("TIME_SLOT")}
    rows = [
        (times[a.get("TIME_SLOT_REF1")], times[a.get("TIME_SLOT_REF2")], a.findtext("ANNOTATION_VALUE"))
        for a in document.findall("TIER")[0].iter("ALIGNABLE_ANNOTATION")
    ]
    assert rows == [(500, 900, "1"), (900, 1500, "2"), (2000, 3000, "3")]
    media = document.find("HEADER/MEDIA_DESCRIPTOR")
    assert media is not None
    assert media.get("TIME_ORIGIN") is None
    assert "Extract part" not in (tmp_path / "out" / "open.praat").read_text()


def test_overlapping_utterances_do_not_overlap_in_a_tier(tmp_path: Path, data: DataDir, files: tuple[Path, Path]):
    (data.path / "segments").write_text("a-1 a 0.5 1.5\na-2 a 1.2 2.2\nb b 0 1\n")
    export_units(files[0], tmp_path / "out", ["textgrid"], DataDir.read(data.path), by_recording=True)
    grid = textgrid.TextGrid.fromFile(str(tmp_path / "out" / "tape one.TextGrid"))
    said = [(round(m.minTime, 3), round(m.maxTime, 3), m.mark) for m in grid.tiers[0] if m.mark]
    assert said == [(0.5, 0.9, "1"), (0.9, 1.2, "2"), (1.2, 2.2, "3")]


def test_sound_files_of_one_name_are_told_apart(tmp_path: Path, files: tuple[Path, Path]):
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        soundfile.write(tmp_path / folder / "1.wav", np.zeros(8000), 8000)
    recordings = [("a-1", tmp_path / "x" / "1.wav"), ("a-2", tmp_path / "y" / "1.wav")]
    data = write_data_dir(tmp_path / "d", recordings, {"a-1": "a", "a-2": "a"})
    units = put(tmp_path / "two.jsonl", {"a-1": [1] * 10, "a-2": [2] * 10})
    export_units(units, tmp_path / "out", ["eaf"], data, by_recording=True)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a-1.eaf", "a-2.eaf"}


def test_files_by_recording_need_the_data_directory(tmp_path: Path, data: DataDir, files: tuple[Path, Path]):
    with pytest.raises(DataError, match="give --data"):
        export_units(files[0], tmp_path / "out", ["eaf"], by_recording=True)
    with pytest.raises(DataError, match="TextGrids or ELAN's"):
        export_units(files[0], tmp_path / "out", ["espnet"], data, by_recording=True)


def test_longer_units_are_for_files_with_tiers(tmp_path: Path, files: tuple[Path, Path]):
    with pytest.raises(DataError, match="longer units are a tier of TextGrids and ELAN's files; espnet has no tiers"):
        export_units(files[0], tmp_path / "out", ["espnet"], longer=tmp_path / "none.jsonl")
