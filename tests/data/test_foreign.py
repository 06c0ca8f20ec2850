"""Units of other tools: read as written, told by content, refused where they cannot be what they say."""

import gzip
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unitdisc.cli import main
from unitdisc.data.exports import FORMATS as EXPORTS
from unitdisc.data.exports import ctm_lines, export_units, text_line
from unitdisc.data.foreign.base import Source
from unitdisc.data.foreign.formats import FORMATS, format_of
from unitdisc.data.foreign.importing import ImportOptions, import_units
from unitdisc.data.foreign.options import ReadOptions
from unitdisc.data.kaldi import DataDir
from unitdisc.data.units import UnitHeader, UnitLine, read_header, read_units, write_units
from unitdisc.errors import DataError

FRAMES = {"a-1": [7, 7, 3], "a-2": [0, 1, 1, 1]}


def imported(path: Path, **options: object) -> dict[str, list[int]]:
    """Import units and return them by utterance, one a frame."""
    import_units(path, path.parent / "imported.jsonl", ImportOptions(**options))
    return {line.utt: line.frames.tolist() for line in read_units(path.parent / "imported.jsonl")}


def put_km(folder: Path, samples: tuple[int, int] = (960, 1280)) -> Path:
    (folder / "x.tsv").write_text(f"/corpus\nspk/a-1.flac\t{samples[0]}\nspk/a-2.flac\t{samples[1]}\n")
    (folder / "x.km").write_text("7 7 3\n0 1 1 1\n")
    return folder / "x.km"


def put_arrays(folder: Path) -> Path:
    for utt, units in FRAMES.items():
        np.save(folder / f"{utt}.npy", np.array(units, dtype=np.int32))
    return folder


def put_tensors(folder: Path) -> Path:
    torch.save({utt: torch.tensor(units) for utt, units in FRAMES.items()}, folder / "units.pt")
    return folder / "units.pt"


def put_one_hot(folder: Path) -> Path:
    for utt, units in FRAMES.items():
        np.savetxt(folder / f"{utt}.txt", np.eye(8)[units], fmt="%d")
    return folder


def put_vectors(folder: Path) -> Path:
    book = np.random.default_rng(0).normal(size=(8, 3))
    for utt, units in FRAMES.items():
        np.savetxt(folder / f"{utt}.txt", book[units])
    return folder


def put_gzip(folder: Path) -> Path:
    with gzip.open(folder / "x.jsonl.gz", "wt") as out:
        out.writelines(json.dumps({"name": utt, "units": units}) + "\n" for utt, units in reversed(FRAMES.items()))
    return folder / "x.jsonl.gz"


def put(text: str, name: str = "x.txt"):
    """Return a function that writes a text."""

    def write(folder: Path) -> Path:
        (folder / name).write_text(text)
        return folder / name

    return write


LHOTSE = (
    '{"id": "a-1", "recording_id": "r", "start": 1.0, "duration": 0.06, "channel": 0, "alignment": '
    '{"unit": [["7", 1.0, 0.04, null], ["3", 1.04, 0.02, null]]}}\n'
    '{"id": "a-2", "recording_id": "r", "start": 2.0, "duration": 0.08, "channel": 0, "alignment": '
    '{"unit": [["0", 2.0, 0.02, null], ["1", 2.02, 0.06, null]]}}\n'
)
CUT = {"id": "cut", "start": 0, "supervisions": [json.loads(line) for line in LHOTSE.splitlines()]}

WRITTEN = {
    "text": put("a-2 0 1 1 1\na-1 7 7 3\n"),
    "fairseq": put_km,
    "espnet": put("a-1 <7> <7> <3>\na-2 <0> <1> <1> <1>\n"),
    "espnet-cjk": put("a-1 \u4e07\u4e07\u4e03\na-2 \u4e00\u4e01\u4e01\u4e01\n"),
    "ctm": put(";; units\na-1 1 0.00 0.04 7\na-1 1 0.04 0.02 3\na-2 1 0.00 0.02 0\na-2 1 0.02 0.06 1\n"),
    "jsonl": put('{"file": "a-1", "units": [7, 7, 3]}\n{"file": "a-2", "units": [0, 1, 1, 1]}\n', "x.jsonl"),
    "jsonl-gz": put_gzip,
    "jsonl-audio": put('{"audio": "d/a-1.wav", "units": [7, 7, 3]}\n{"audio": "d/a-2.wav", "units": [0,1,1,1]}\n'),
    "zerospeech2021": put("a-1\t7,7,3\na-2\t0,1,1,1\n"),
    "zerospeech2019": put_one_hot,
    "textless": put("a-1|7 7 3\na-2.wav|0 1 1 1\n"),
    "lhotse": put(LHOTSE, "supervisions.jsonl"),
    "lhotse-cut": put(json.dumps(CUT) + "\n", "cuts.jsonl"),
    "arrays": put_arrays,
    "arrays-pt": put_tensors,
}


@pytest.mark.parametrize("name", WRITTEN)
def test_units_are_read_and_their_format_is_told_by_content(name: str, tmp_path: Path):
    (tmp_path / "in").mkdir()
    path = WRITTEN[name](tmp_path / "in")
    found = format_of(Source(path))
    assert found is not None
    assert found.name == name.split("-")[0]
    import_units(path, tmp_path / "out.jsonl", ImportOptions(period=0.02, codes=16))
    assert {line.utt: line.frames.tolist() for line in read_units(tmp_path / "out.jsonl")} == FRAMES
    assert read_header(tmp_path / "out.jsonl").codes == (16,)


def test_every_format_has_an_example_here():
    assert {name.split("-")[0] for name in WRITTEN} | {"textgrid"} == set(FORMATS)


def test_vectors_that_are_not_one_hot_are_numbered_as_they_first_appear(tmp_path: Path):
    (tmp_path / "in").mkdir()
    assert imported(put_vectors(tmp_path / "in"), period=0.02) == {"a-1": [0, 0, 1], "a-2": [2, 3, 3, 3]}


LINES = st.lists(
    st.lists(st.tuples(st.integers(0, 7), st.integers(1, 4)), min_size=1, max_size=12), min_size=1, max_size=3
)


@pytest.mark.parametrize("name", ["text", "ctm", *EXPORTS])
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(runs=LINES, period=st.sampled_from([0.01, 0.02, 256 / 22050]))
def test_what_is_exported_is_imported_as_it_was(tmp_path_factory: pytest.TempPathFactory, name: str, runs, period):
    folder = tmp_path_factory.mktemp("round")
    frames = {f"a-{n}": np.repeat(*np.array(run).T) for n, run in enumerate(runs)}
    lines = [UnitLine.of_frames(utt, units) for utt, units in frames.items()]
    if name in ("espnet", "zerospeech2019"):  # neither has durations: what they keep is the string
        lines = [line._replace(durations=np.ones_like(line.durations)) for line in lines]
    write_units(folder / "units.jsonl", UnitHeader(period, (8,)), lines)
    out = folder / "out"
    if name in ("text", "ctm"):
        out = folder / f"units.{name}"
        header = UnitHeader(period, (8,))
        rows = [text_line(line) if name == "text" else "".join(ctm_lines(line, header)) for line in lines]
        out.write_text("".join(rows))
    else:
        export_units(folder / "units.jsonl", out, [name], data_of(folder, lines, period))
    if name in NOT_READ:
        return
    import_units(out, folder / "back.jsonl", ImportOptions(period=period, codes=8))
    assert read_header(folder / "back.jsonl").period == period
    again = {line.utt: line for line in read_units(folder / "back.jsonl")}
    assert {utt: line.frames.tolist() for utt, line in again.items()} == {x.utt: x.frames.tolist() for x in lines}


NOT_READ = {"eaf"}  # ELAN is for those who look


def data_of(folder: Path, lines: list[UnitLine], period: float) -> DataDir:
    """Return a data directory of silence as long as units."""
    data = folder / "data"
    data.mkdir()
    for line in lines:
        soundfile.write(data / f"{line.utt}.wav", np.zeros(round(sum(line.durations) * period * 16000)), 16000)
    (data / "wav.scp").write_text("".join(f"{line.utt} {line.utt}.wav\n" for line in lines))
    (data / "utt2spk").write_text("".join(f"{line.utt} a\n" for line in lines))
    return DataDir.read(data)


def test_an_offset_is_found_in_times(tmp_path: Path):
    lines = [UnitLine.of_frames("a", [5, 5, 2, 2, 2, 7]), UnitLine.of_frames("b", [0, 1, 2, 2])]
    header = UnitHeader(0.02, (8,), 0.0125)
    write_units(tmp_path / "units.jsonl", header, lines)
    (tmp_path / "units.ctm").write_text("".join(row for line in lines for row in ctm_lines(line, header)))
    export_units(tmp_path / "units.jsonl", tmp_path / "grids", ["textgrid"])
    for source in (tmp_path / "units.ctm", tmp_path / "grids"):
        done = import_units(source, tmp_path / "back.jsonl")
        assert (round(done.header.period, 9), done.header.offset) == (0.02, 0.0125)
        back = {line.utt: line.frames.tolist() for line in read_units(tmp_path / "back.jsonl")}
        assert back == {line.utt: line.frames.tolist() for line in lines}


def test_the_period_is_told_by_the_length_of_the_audio(tmp_path: Path):
    done = import_units(put_km(tmp_path), tmp_path / "out.jsonl")
    assert done.header.period == 0.02
    assert "the period, 0.02 s, is that of the length of the audio" in done.notes[0]


@pytest.mark.parametrize(
    ("write", "options", "message"),
    [
        (lambda to: put_km(to, (96000, 1280)), {"period": 0.02}, "0.02 s make 0.06 s, its audio has 6.00 s"),
        (lambda to: put_km(to, (9600, 14000)), {"period": 0.02}, "2 of 2 utterances are so"),
        (put("a-1 7 7 3\na-2 0 9 1\n"), {"period": 0.02, "codes": 8}, "x.txt:2: expected units of 0..7, got 9"),
        (put("a-1 7 7 3\na-1 0 9 1\n"), {"period": 0.02}, "x.txt:2: expected each utterance once, got 'a-1' again"),
        (put("a-1 7 7 3\n"), {}, "does not say how long a frame is; give --period SECONDS"),
        (put("7 7 3\n1 2 2\n", "x.km"), {"period": 0.02}, "expected x.tsv beside it"),
        (put("a-1 1 0.00 0.04 7\na-1 1 0.06 0.02 3\n"), {"period": 0.02}, "without a gap, got none from 0.04 to 0.06"),
        (put("a 1 0 0.04 7\na 1 0.04 0.02 3\nb 1 0 0.05 1\nb 1 0.05 0.01 0\n"), {"period": 0.02}, "of 0.02 s, got"),
        (put("seven\n"), {"period": 0.02}, r"expected a unit file, or units in a format of other tools .*--format"),
        (put('{"file": "a", "units": [1.5]}\n', "x.jsonl"), {"period": 0.02}, "expected a list of units"),
        (put("a b <7> <8>\n"), {"period": 0.02, "format": "espnet"}, "expected units as whole numbers, got 'b'"),
        (put("a-1 1 2\n"), {"format": "kaldi"}, "formats fairseq, text, .*, got 'kaldi'"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_told_in_one_line(tmp_path: Path, write, options: dict, message: str):
    with pytest.raises(DataError, match=message) as caught:
        import_units(write(tmp_path), tmp_path / "out.jsonl", ImportOptions(**options))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out.jsonl").exists()


def test_a_km_with_an_utterance_without_units_names_it(tmp_path: Path):
    path = put_km(tmp_path)
    path.write_text("\n0 1 1 1\n")
    with pytest.raises(DataError, match=r"x\.km:1: expected the units of 'spk/a-1\.flac', got none; remove its line"):
        import_units(path, tmp_path / "out.jsonl", ImportOptions(period=0.02))
    path.write_text("7 7 3\n0 1 1 1\n\n")  # an empty line behind the last is of no account
    assert imported(path, period=0.02) == FRAMES


def test_a_list_of_audio_files_is_for_fairseq_alone(tmp_path: Path):
    (tmp_path / "text").write_text("a-1 7 7 3\n")
    read = ReadOptions(tsv=tmp_path / "none.tsv")
    with pytest.raises(DataError, match=r"none\.tsv: --tsv is of fairseq's \.km files, and .*text is read as text"):
        import_units(tmp_path / "text", tmp_path / "out.jsonl", ImportOptions(period=0.02, read=read))


@pytest.mark.parametrize("packed", [False, True])
def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path, packed: bool):
    blob = "\ufeffa-1 7 7 3\na-2 0 1 1 1\n".encode()
    (tmp_path / "text").write_bytes(gzip.compress(blob) if packed else blob)
    assert imported(tmp_path / "text", period=0.02) == FRAMES


def test_a_km_of_fewer_lines_than_its_tsv_is_refused(tmp_path: Path):
    path = put_km(tmp_path)
    path.write_text("7 7 3\n")
    with pytest.raises(DataError, match=r"x.tsv: has more lines than .*x.km"):
        import_units(path, tmp_path / "out.jsonl", ImportOptions(period=0.02))


def test_a_separator_behind_a_number_of_samples_is_a_blank(tmp_path: Path):
    path = put_km(tmp_path)
    tsv = path.with_suffix(".tsv")
    tsv.write_text(tsv.read_text().replace("960", "960\x1d"))
    assert imported(path, period=0.02) == {"a-1": [7, 7, 3], "a-2": [0, 1, 1, 1]}


@pytest.mark.parametrize("name", ["units.pkl", "units.bin", "units.npy", "units.pt"])
def test_a_pickle_is_refused_with_the_safe_way(tmp_path: Path, name: str):
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "ran",))

    path = tmp_path / name
    if name == "units.npy":
        np.save(path, np.array([Evil()], dtype=object))
    elif name == "units.pt":
        torch.save({"a": Evil()}, path)
    else:
        path.write_bytes(pickle.dumps({"a": Evil()}))
    with pytest.raises(DataError, match=r"a pickle can run any code.*numpy.savez"):
        import_units(path, tmp_path / "out.jsonl", ImportOptions(period=0.02))
    assert not (tmp_path / "ran").exists()


def test_what_could_be_two_formats_asks_for_the_option(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = put("174 7 7 3\n777 0 1 1\n", "x.txt")(tmp_path)
    (tmp_path / "x.tsv").write_text("/\na.wav\t1280\nb.wav\t1280\n")
    with pytest.raises(SystemExit):
        main(["inspect", str(path), "--period", "0.02"])
    assert "can be read as fairseq or text; say which it is by --units-format" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main(["inspect", str(path), "--period", "0.02", "--units-format", "text"])
    assert ended.value.code == 0
    assert "read as text: 2 utterances, 8 codes" in capsys.readouterr().err


def run(*arguments: object) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert ended.value.code == 0


def test_every_verb_that_takes_units_takes_those_of_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    rng = np.random.default_rng(0)
    phones = {f"{speaker}-{n}": rng.integers(0, 4, 30) for speaker in "abcd" for n in range(5)}
    (tmp_path / "utt2spk").write_text("".join(f"{utt} {utt[0]}\n" for utt in phones))
    with (tmp_path / "phones.ctm").open("w") as ctm, (tmp_path / "units.txt").open("w") as text:
        for utt, string in phones.items():
            ctm.writelines(f"{utt} 1 {0.1 * n:.1f} 0.1 P{phone}\n" for n, phone in enumerate(string))
            print(utt, *np.repeat(2 * string + rng.integers(0, 2, 30), 5), file=text)
    import_units(tmp_path / "units.txt", tmp_path / "native" / "units.jsonl", ImportOptions(period=0.02))
    aligned = ("--alignment", tmp_path / "phones.ctm", "--resamples", 0)
    for verb in (
        ["score", "per", "{}", *aligned, "--oracle"],
        ["score", "clusters", "{}", *aligned],
        ["score", "boundaries", "{}", *aligned],
        ["score", "bitrate", "{}"],
        ["score", "usage", "{}"],
        ["score", "speaker", "{}", "--data", tmp_path / "utt2spk"],
        ["score", "robustness", "{}", "{}"],
        ["inspect", "{}"],
    ):
        said = []
        for units in (tmp_path / "native" / "units.jsonl", tmp_path / "units.txt"):
            period = ["--period", 0.02] if units.suffix == ".txt" else []
            run(*[units if word == "{}" else word for word in verb], *period, "--json")
            lines = capsys.readouterr()
            said.append(json.loads(lines.out))
            assert ("read as text: 20 utterances, 8 codes, a frame every 20 ms" in lines.err) == bool(period)
        if verb[0] == "inspect":
            assert [Path(each["file"]).name for each in said] == ["units.jsonl", "units.txt"]
        if verb[0] == "score":
            ours, theirs = ([score["value"] for score in each["scores"]] for each in said)
            assert ours == theirs
    run("score", "all", tmp_path / "units.txt", *aligned, "--period", 0.02)
    assert (tmp_path / "scores.json").exists()
    run("segment", tmp_path / "units.txt", tmp_path / "long.jsonl", "--period", 0.02, "--identity", "--penalty", 1)
    run("export", tmp_path / "units.txt", tmp_path / "out", "--format", "espnet", "--period", 0.02)
    run("import-units", tmp_path / "units.txt", tmp_path / "imported.jsonl", "--period", 0.02)
    assert (tmp_path / "imported.jsonl").read_bytes() == (tmp_path / "native" / "units.jsonl").read_bytes()


def test_abx_takes_units_of_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "units.jsonl").write_text('{"file": "f", "units": [1, 1, 2, 2, 1, 1]}\n')
    items = "#file onset offset #phone prev-phone next-phone speaker\n"
    items += "f 0 0.04 A x y s\nf 0.04 0.08 B x y s\nf 0.08 0.12 A x y s\n"
    (tmp_path / "items").write_text(items)
    run("score", "abx", tmp_path / "units.jsonl", tmp_path / "items", "--frame-shift", 0.02,
        "--distance", "identical", "--json")  # fmt: skip
    assert json.loads(capsys.readouterr().out)["abx"] == 0
