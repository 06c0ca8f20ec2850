"""Exports of unit files, read back by other tools or by their written rules."""

import json
from pathlib import Path

import lhotse
import numpy as np
import pytest
import soundfile
import textgrid
from made_data import put_audio, put_tables

from unitdisc.cli import main
from unitdisc.data.exports import ctm_lines, export_units, text_line
from unitdisc.data.kaldi import DataDir
from unitdisc.data.units import UnitHeader, UnitLine, read_header, read_units, write_units
from unitdisc.errors import DataError


@pytest.fixture
def units(tmp_path: Path) -> Path:
    lines = [UnitLine.of_frames("a-1", [5, 5, 2, 2, 2, 7]), UnitLine.of_frames("a-2", [0, 1])]
    write_units(tmp_path / "units.jsonl", UnitHeader(period=0.02, codes=(8,), offset=0.005), lines)
    return tmp_path / "units.jsonl"


@pytest.fixture
def data(tmp_path: Path) -> DataDir:
    folder = tmp_path / "data"
    folder.mkdir()
    for utt, samples in (("a-1", 1920), ("a-2", 640)):
        soundfile.write(folder / f"{utt}.wav", np.zeros(samples), 16000)
    (folder / "wav.scp").write_text("a-1 a-1.wav\na-2 a-2.wav\n")
    (folder / "utt2spk").write_text("a-1 a\na-2 a\n")
    return DataDir.read(folder)


def test_kaldi_text_has_one_unit_per_frame(units: Path):
    assert [text_line(line) for line in read_units(units)] == ["a-1 5 5 2 2 2 7\n", "a-2 0 1\n"]


def test_ctm_has_the_times_of_the_time_contract(units: Path):
    line = next(read_units(units))
    assert list(ctm_lines(line, read_header(units)))[:2] == ["a-1 1 0.0050 0.0400 5\n", "a-1 1 0.0450 0.0600 2\n"]


def test_textgrids_are_read_by_the_textgrid_library(units: Path):
    export_units(units, units.parent / "out", ["textgrid"])
    tier = textgrid.TextGrid.fromFile(str(units.parent / "out" / "a-1.TextGrid")).getFirst("units")
    assert [(round(i.minTime, 4), round(i.maxTime, 4), i.mark) for i in tier] == [
        (0.0, 0.045, "5"),
        (0.045, 0.105, "2"),
        (0.105, 0.125, "7"),
    ]


def test_fairseq_pairs_each_file_with_its_units(units: Path, data: DataDir):
    export_units(units, units.parent / "out", ["fairseq"], data)
    root, *rows = (units.parent / "out" / "units.tsv").read_text().splitlines()
    assert [(Path(root, row.split("\t")[0]).is_file(), row.split("\t")[1]) for row in rows] == [
        (True, "1920"),
        (True, "640"),
    ]
    assert (units.parent / "out" / "units.km").read_text() == "5 5 2 2 2 7\n0 1\n"


def test_espnet_has_deduplicated_tokens_and_their_list(units: Path):
    export_units(units, units.parent / "out", ["espnet"])
    assert (units.parent / "out" / "text.units").read_text() == "a-1 <5> <2> <7>\na-2 <0> <1>\n"
    tokens = (units.parent / "out" / "token_list").read_text().split()
    assert tokens[:3] == ["<blank>", "<unk>", "<0>"]
    assert tokens[-1] == "<sos/eos>"
    assert len(tokens) == 8 + 3


def test_lhotse_has_supervisions_with_times(units: Path, data: DataDir):
    export_units(units, units.parent / "out", ["lhotse"], data)
    first = json.loads((units.parent / "out" / "supervisions.jsonl").read_text().splitlines()[0])
    assert (first["id"], first["speaker"], first["text"]) == ("a-1", "a", "5 2 7")
    assert first["alignment"]["unit"][1] == ["2", 0.045, 0.06, None]


def test_lhotse_itself_reads_cuts_with_their_units(tmp_path: Path):
    lhotse = pytest.importorskip("lhotse")
    wave = put_audio(tmp_path / "long.wav", 32000)
    put_tables(
        tmp_path,
        {
            "wav.scp": f"r {tmp_path}/long.wav\n",
            "utt2spk": "a-1 a\na-2 a\n",
            "segments": "a-1 r 0.1 0.5\na-2 r 1.2 2.0\n",
        },
    )
    header = UnitHeader(period=0.02, codes=(8,), offset=0.005)
    rows = [UnitLine.of_frames("a-1", [5] * 10 + [2] * 10), UnitLine.of_frames("a-2", [1] * 25 + [3] * 15)]
    write_units(tmp_path / "units.jsonl", header, rows)
    export_units(tmp_path / "units.jsonl", tmp_path / "out", ["lhotse"], DataDir.read(tmp_path))
    recordings = lhotse.RecordingSet.from_jsonl(tmp_path / "out/recordings.jsonl")
    supervisions = lhotse.SupervisionSet.from_jsonl(tmp_path / "out/supervisions.jsonl")
    lhotse.validate(recordings)
    lhotse.validate(supervisions)
    lhotse.validate_recordings_and_supervisions(recordings, supervisions)
    cuts = lhotse.CutSet.from_manifests(recordings, supervisions).trim_to_supervisions()
    lhotse.validate(cuts)
    assert [cut.supervisions[0].id for cut in cuts] == ["a-1", "a-2"]
    second = list(cuts)[1]
    assert second.supervisions[0].text == "1 3"
    assert second.supervisions[0].speaker == "a"
    assert [item.symbol for item in second.supervisions[0].alignment["unit"]] == ["1", "3"]
    assert second.supervisions[0].alignment["unit"][0].duration == pytest.approx(0.5)
    # lhotse leaves the times of an alignment as they are when it cuts: they count from the start of the recording.
    assert second.supervisions[0].alignment["unit"][1].end == pytest.approx(2.0)
    np.testing.assert_array_equal(second.load_audio()[0], wave[19200:32000])


def test_lhotse_reads_recordings_with_all_their_supervisions(units: Path, data: DataDir):
    export_units(units, units.parent / "out", ["lhotse"], data)
    recordings = lhotse.RecordingSet.from_file(units.parent / "out" / "recordings.jsonl")
    supervisions = lhotse.SupervisionSet.from_file(units.parent / "out" / "supervisions.jsonl")
    lhotse.validate(recordings)
    lhotse.validate(supervisions)
    lhotse.validate_recordings_and_supervisions(recordings, supervisions)
    cuts = list(lhotse.CutSet.from_manifests(recordings, supervisions))
    assert [[s.id for s in cut.supervisions] for cut in cuts] == [["a-1"], ["a-2"]]
    for cut in cuts:
        (supervision,) = cut.supervisions
        assert supervision.end == cut.duration  # units of 0.125 s do not make 0.12 s of audio longer
        assert supervision.alignment["unit"][-1].end <= cut.duration
        assert cut.load_audio().shape == (1, cut.num_samples)


def test_lhotse_finds_the_segments_of_recordings(tmp_path: Path):
    folder = tmp_path / "data"
    folder.mkdir()
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (16000, 2))
    soundfile.write(folder / "r.wav", noise, 16000, subtype="FLOAT")
    (folder / "wav.scp").write_text("r r.wav\n")
    (folder / "segments").write_text("a-1 r 0.25 0.3701 1\na-2 r 0.9 -1 0\n")
    (folder / "utt2spk").write_text("a-1 a\na-2 b\n")
    lines = [UnitLine.of_frames("a-1", [5, 5, 2, 2, 2, 7]), UnitLine.of_frames("a-2", [0, 1, 1, 1, 1])]
    write_units(tmp_path / "units.jsonl", UnitHeader(period=0.02, codes=(8,)), lines)
    data = DataDir.read(folder)
    export_units(tmp_path, tmp_path / "out", ["lhotse"], data)
    recordings = lhotse.RecordingSet.from_file(tmp_path / "out" / "recordings.jsonl")
    supervisions = lhotse.SupervisionSet.from_file(tmp_path / "out" / "supervisions.jsonl")
    lhotse.validate_recordings_and_supervisions(recordings, supervisions)
    assert [(s.id, s.start, s.channel, s.speaker) for s in supervisions] == [
        ("a-1", 0.25, 1, "a"),
        ("a-2", 0.9, 0, "b"),
    ]
    assert [(i.symbol, i.start, i.duration) for i in next(iter(supervisions)).alignment["unit"]] == [
        ("5", 0.25, 0.04), ("2", 0.29, 0.06), ("7", 0.35, 0.02),
    ]  # fmt: skip
    cuts = lhotse.CutSet.from_manifests(recordings, supervisions).trim_to_supervisions()
    audio = {cut.supervisions[0].id: cut.load_audio()[0] for cut in cuts}
    for utt in ("a-1", "a-2"):
        assert np.abs(audio[utt] - data.source(utt).load(16000)[: len(audio[utt])]).max() < 1e-6


def test_fairseq_without_audio_says_what_to_give(units: Path):
    with pytest.raises(DataError, match="--data"):
        export_units(units, units.parent / "out", ["fairseq"])


@pytest.mark.parametrize("name", ["textgrid", "fairseq", "espnet", "lhotse"])
def test_what_is_there_is_replaced_only_with_force(units: Path, data: DataDir, name: str):
    out = units.parent / "out"
    assert export_units(units, out, [name], data) == 2
    file = sorted(out.iterdir())[0]
    text = file.read_bytes()
    file.write_text("mine")
    with pytest.raises(DataError, match=r"out/.*: there already; --force replaces it"):
        export_units(units, out, ["espnet", name], data)
    assert file.read_text() == "mine"
    export_units(units, out, [name], data, force=True)
    assert file.read_bytes() == text


def test_the_command_knows_what_files_were_made_of(units: Path, capsys: pytest.CaptureFixture[str]):
    out = units.parent / "out"

    def export(*words: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as end:
            main(["export", str(units), str(out), *words])
        said = capsys.readouterr()
        return int(end.value.code or 0), said.out + said.err

    assert export("--format", "textgrid") == (0, f"{out}: textgrid of 2 utterances\n")
    assert export("--format", "espnet") == (0, f"{out}: espnet of 2 utterances\n")  # beside it
    for name in ("textgrid", "espnet"):
        assert export("--format", name) == (0, f"{out}: unchanged\n")
        assert export("--format", name, "--unchanged")[0] == 0
    write_units(units, UnitHeader(period=0.02, codes=(8,)), [UnitLine.of_frames("a", [1, 2])])
    code, said = export("--format", "textgrid")
    assert (code, "units.jsonl has changed); --renew makes it anew" in said) == (1, True), said
    assert export("--format", "textgrid", "--renew") == (0, f"{out}: textgrid of 1 utterance\n")
    next(out.glob("*.TextGrid")).unlink()
    (out / "text.units").unlink()
    assert export("--format", "espnet", "--unchanged")[0] == 3


def test_an_utterance_cannot_name_a_file_elsewhere(tmp_path: Path):
    write_units(tmp_path / "units.jsonl", UnitHeader(period=0.02, codes=(8,)), [UnitLine.of_frames("../x", [1])])
    export_units(tmp_path, tmp_path / "out", ["textgrid"])
    assert [path.name for path in tmp_path.rglob("*.TextGrid")] == ["..%2Fx.TextGrid"]
