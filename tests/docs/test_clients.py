"""What is exported is read by the tools themselves, where they are installed: docs/interop.md has a row for each."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from places import TOP

from unitdisc.data.exports import export_units
from unitdisc.data.kaldi import DataDir
from unitdisc.data.units import UnitHeader, UnitLine, write_units


@pytest.fixture
def made(tmp_path: Path) -> tuple[Path, DataDir]:
    """Units of two segments of a recording, and longer units of them."""
    data = tmp_path / "data"
    data.mkdir()
    soundfile.write(data / "r.wav", np.random.default_rng(0).uniform(-0.5, 0.5, 32000), 16000)
    (data / "wav.scp").write_text("r r.wav\n")
    (data / "segments").write_text("a-1 r 0.1 0.5\na-2 r 1.2 2.0\n")
    (data / "utt2spk").write_text("a-1 a\na-2 a\n")
    lines = [UnitLine.of_frames("a-1", [5] * 10 + [2] * 10), UnitLine.of_frames("a-2", [1] * 25 + [3] * 15)]
    write_units(tmp_path / "units.jsonl", UnitHeader(0.02, (8,)), lines)
    write_units(tmp_path / "longer.jsonl", UnitHeader(0.02, (8,)), [UnitLine.of_frames("a-1", [2] * 20)])
    return tmp_path, DataDir.read(data)


def test_pympi_reads_tiers_and_the_sound(made: tuple[Path, DataDir]):
    elan = pytest.importorskip("pympi.Elan", reason="pympi-ling is not installed")
    folder, data = made
    export_units(folder / "units.jsonl", folder / "out", ["eaf"], data, longer=folder / "longer.jsonl")
    eaf = elan.Eaf(str(folder / "out" / "a-1.eaf"))
    assert eaf.get_annotation_data_for_tier("units") == [(0, 200, "5"), (200, 400, "2")]
    assert eaf.get_annotation_data_for_tier("longer units") == [(0, 400, "2")]
    (media,) = eaf.get_linked_files()
    assert media["MEDIA_URL"].endswith("/data/r.wav")
    assert media["TIME_ORIGIN"] == "100"  # ms of the recording before the segment


def test_praat_reads_tiers_and_opens_the_sounds(made: tuple[Path, DataDir]):
    parselmouth = pytest.importorskip("parselmouth", reason="praat-parselmouth is not installed")
    folder, data = made
    export_units(folder / "units.jsonl", folder / "out", ["textgrid"], data, longer=folder / "longer.jsonl")
    grid = parselmouth.Data.read(str(folder / "out" / "a-1.TextGrid"))
    assert parselmouth.praat.call(grid, "Get number of tiers") == 2
    assert parselmouth.praat.call(grid, "Get label of interval", 1, 2) == "2"
    assert parselmouth.praat.call(grid, "Get start time of interval", 1, 2) == pytest.approx(0.2)
    objects = parselmouth.praat.run_file(str(folder / "out" / "open.praat"), capture_output=False)
    assert objects[-1].name == "a-2"
    sounds = parselmouth.praat.run(
        'Read from file: "' + str(folder / "data" / "r.wav") + '"\nExtract part: 0.1, 0.5, "rectangular", 1, "no"'
    )
    assert sounds[-1].get_total_duration() == pytest.approx(0.4)


def test_lhotse_reads_cuts_that_validate(made: tuple[Path, DataDir]):
    lhotse = pytest.importorskip("lhotse", reason="lhotse is not installed")
    folder, data = made
    export_units(folder / "units.jsonl", folder / "out", ["lhotse"], data)
    cuts = lhotse.CutSet.from_jsonl(folder / "out" / "cuts.jsonl")
    lhotse.validate(cuts)
    assert [(cut.id, cut.start, cut.duration) for cut in cuts] == [("a-1", 0.1, 0.4), ("a-2", 1.2, 0.8)]
    first = next(iter(cuts))
    assert first.supervisions[0].text == "5 2"
    assert first.load_audio().shape == (1, 6400)


def test_datasets_loads_the_folder(made: tuple[Path, DataDir], monkeypatch: pytest.MonkeyPatch):
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    folder, data = made
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    export_units(folder / "units.jsonl", folder / "out", ["datasets"], data)
    rows = datasets.load_dataset(str(folder / "out"), cache_dir=str(folder / "cache"))["train"]
    assert rows[1]["units"] == [1, 3]
    assert (rows[1]["durations"], rows[1]["speaker"], rows[1]["audio_start"]) == ([25, 15], "a", 1.2)


def test_jiwer_compares_text_of_units(made: tuple[Path, DataDir]):
    jiwer = pytest.importorskip("jiwer", reason="jiwer is not installed")
    folder, _ = made
    export_units(folder / "units.jsonl", folder / "out", ["espnet"])
    texts = [line.split(" ", 1)[1] for line in (folder / "out" / "text.units").read_text().splitlines()]
    assert jiwer.wer(texts, ["<5> <2>", "<1> <4>"]) == 0.25


def test_discophon_and_zerospeech_get_what_they_ask_for(made: tuple[Path, DataDir]):
    folder, _ = made
    export_units(folder / "units.jsonl", folder / "out", ["discophon"])
    rows = [json.loads(line) for line in (folder / "out" / "discophon.jsonl").read_text().splitlines()]
    assert rows[0] == {"file": "a-1", "units": [5] * 10 + [2] * 10}
    export_units(folder / "units.jsonl", folder / "vectors", ["zerospeech2019"])
    assert (folder / "vectors" / "a-1.txt").read_text() == "0 0 0 0 0 1 0 0\n0 0 1 0 0 0 0 0\n"


def test_every_client_of_the_page_has_its_test():
    page = (TOP / "docs" / "interop.md").read_text("utf-8")
    rows = re.findall(r"^\|.*\| `(tests/\S+\.py)::(\w+)` \|$", page.split("## Units for others")[1], re.M)
    assert len(rows) >= 13
    for path, name in rows:
        assert f"\ndef {name}(" in (TOP / path).read_text("utf-8"), f"{path}::{name}"
