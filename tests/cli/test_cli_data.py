"""The verbs of cli/data.py: check, import, subset, split, combine."""

import json
from pathlib import Path

import pytest
from made_data import put_audio, put_data

from unitdisc.cli import main
from unitdisc.data.kaldi import DataDir
from unitdisc.data.store import FeatureReader
from unitdisc.features.extract import ExtractConfig, extract


def run(capsys, *arguments: object) -> tuple[int, str, str]:
    """Return exit code, stdout, stderr."""
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    code = end.value.code
    assert isinstance(code, int)
    return code, *capsys.readouterr()


def test_check_prints_a_line_for_each_data_dir(tmp_path: Path, capsys):
    one, two = put_data(tmp_path / "one"), put_data(tmp_path / "two", 6, 3)
    code, out, err = run(capsys, "check", one, two)
    assert code == 0
    assert out == (
        f"{one}: 4 utterances, 2 speakers, 0.00 h, 16000 Hz: fine, 1 warnings\n"
        f"{two}: 6 utterances, 3 speakers, 0.00 h, 16000 Hz: fine, 1 warnings\n"
    )
    assert err.count("warning: ") == 2
    assert "no spk2utt" in err


def test_check_exits_with_1_and_shows_the_first_errors(tmp_path: Path, capsys):
    path = put_data(tmp_path, 30)
    (path / "wav.scp").write_text((path / "wav.scp").read_text().replace("\n", "\r\n"), newline="")
    code, out, err = run(capsys, "check", path)
    assert (code, out) == (1, f"{path}: 0 utterances, 0 speakers: 30 errors\n")
    assert err.count("error: ") == 21
    assert err.endswith("error: 10 more; --all shows them\n")
    assert run(capsys, "check", path, "--all")[2].count("expected a Unix line end") == 30
    code, out, err = run(capsys, "check", path, "--fix")
    assert (code, out) == (0, f"{path}: 30 utterances, 2 speakers, 0.00 h, 16000 Hz: fine\n")
    assert "fixed: mended" in err
    assert f"{path}: the tables as they were are in {path}/.backup/1\n" in err


def test_check_writes_json(tmp_path: Path, capsys):
    path = put_data(tmp_path)
    (path / "wav" / "s0-u0.wav").unlink()
    code, out, _ = run(capsys, "check", path, "--json")
    (report,) = json.loads(out)
    assert code == 1
    assert report["errors"] == [f"s0-u0: {path}/wav.scp:1: {path}/wav/s0-u0.wav: no such audio file"]
    assert (report["utts"], report["speakers"], report["rates"]) == (4, 2, {"16000": 3})


def test_import_says_what_it_found(tmp_path: Path, capsys):
    for n in range(10):
        put_audio(tmp_path / "rec" / f"k{n % 2}_{n}.wav", 16000)
    (tmp_path / "rec" / "k0_bad.wav").write_bytes(b"abc")
    code, out, err = run(capsys, "import", tmp_path / "rec", tmp_path / "d", "--speaker", "k.")
    assert (code, out) == (0, f"{tmp_path}/d: 10 utterances, 2 speakers, 0.00 h; 1 left out\n")
    assert err.startswith("left out: ")
    code, out, err = run(capsys, "import", tmp_path / "rec", tmp_path / "d")
    assert (code, err[:60]) == (1, f"unitdisc import: {tmp_path}/d: made of something else"[:60])
    assert err.endswith('(speaker: "k." there, null here); --renew makes it anew\n')
    assert run(capsys, "import", tmp_path / "rec", tmp_path / "d", "--force")[0] == 0
    assert list(DataDir.read(tmp_path / "d").spk2utt) == ["rec"]


@pytest.mark.parametrize(
    ("choice", "utts"),
    [
        (["--speakers", "s1"], ["s1-u1", "s1-u3", "s1-u5"]),
        (["--not-speakers", "s1"], ["s0-u0", "s0-u2", "s0-u4"]),
        (["--per-speaker", "1"], ["s0-u0", "s1-u1"]),
        (["--utts", "LIST"], ["s0-u2", "s1-u5"]),
    ],
)
def test_subset_chooses(tmp_path: Path, capsys, choice, utts):
    path = put_data(tmp_path / "d", 6)
    (tmp_path / "list").write_text("s1-u5 and more\ns0-u2\n")
    choice = [str(tmp_path / "list") if word == "LIST" else word for word in choice]
    code, out, _ = run(capsys, "subset", path, tmp_path / "o", *choice)
    assert (code, out.split(":")[1].split(",")[0]) == (0, f" {len(utts)} utterances")
    assert DataDir.read(tmp_path / "o").utts == utts


def test_a_random_subset_depends_on_its_seed_alone(tmp_path: Path, capsys):
    path = put_data(tmp_path / "d", 12)
    drawn = []
    for n, seed in enumerate((1, 1, 2)):
        run(capsys, "subset", path, tmp_path / str(n), "--random", 5, "--seed", seed)
        drawn.append(DataDir.read(tmp_path / str(n)).utts)
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(drawn[0]) == 5


def test_split_and_combine_give_back_the_whole(tmp_path: Path, capsys):
    path = put_data(tmp_path / "d", 6)
    assert run(capsys, "split", path, tmp_path / "parts", "--parts", 2)[0] == 0
    code, out, _ = run(capsys, "combine", tmp_path / "o", tmp_path / "parts" / "1", tmp_path / "parts" / "2")
    assert (code, out) == (0, f"{tmp_path}/o: 6 utterances, 2 speakers\n")
    assert DataDir.read(tmp_path / "o").text == DataDir.read(path).text
    assert run(capsys, "split", path, tmp_path / "parts", "--parts", 0)[0] == 2


def test_combine_notices_features_of_its_sources(tmp_path: Path, capsys):
    put_data(tmp_path / "d", 4)
    run(capsys, "split", tmp_path / "d", tmp_path / "parts", "--parts", 2)
    words = ["combine", tmp_path / "o", tmp_path / "parts" / "1", tmp_path / "parts" / "2", "--renew"]
    assert run(capsys, *words)[1] == f"{tmp_path}/o: 4 utterances, 2 speakers\n"
    assert run(capsys, *words)[1] == f"{tmp_path}/o: unchanged\n"
    for part in "12":
        extract(DataDir.read(tmp_path / "parts" / part), ExtractConfig())
    assert run(capsys, *words)[1] == f"{tmp_path}/o: 4 utterances, 2 speakers\n"
    assert len(FeatureReader(tmp_path / "o" / "feats.scp")) == 4


def test_what_is_there_is_replaced_only_with_force(tmp_path: Path, capsys):
    path = put_data(tmp_path / "d", 6)
    commands = {
        "subset": ("subset", path, tmp_path / "subset", "--random", 2),
        "split": ("split", path, tmp_path / "split", "--parts", 2),
        "combine": ("combine", tmp_path / "combine", path),
    }
    for verb, command in commands.items():
        assert run(capsys, *command)[0] == 0
        where = tmp_path / verb / "1" if verb == "split" else tmp_path / verb
        before = (where / "wav.scp").stat()
        refused = (1, f"unitdisc {verb}: {where}: there already; --force writes over it\n")
        assert run(capsys, *command)[::2] == ((0, "") if verb == "combine" else refused)  # which is made of the same
        assert (where / "wav.scp").stat() == before
        assert run(capsys, *command, "--force")[0] == 0
        assert (where / "wav.scp").stat() != before
    (tmp_path / "file").write_text("x")
    code, _, err = run(capsys, "subset", path, tmp_path / "file", "--random", 2, "--force")
    assert (code, err) == (1, f"unitdisc subset: {tmp_path}/file: expected a folder to write to, got a file\n")


def test_parts_of_an_older_split_are_not_left_beside_the_new(tmp_path: Path, capsys):
    path = put_data(tmp_path / "d", 6, 3)
    assert run(capsys, "split", path, tmp_path / "o", "--parts", 3)[0] == 0
    code, _, err = run(capsys, "split", path, tmp_path / "o", "--parts", 2, "--force")
    wanted = f"unitdisc split: {tmp_path}/o/3: a part of an older split into more parts; remove it first\n"
    assert (code, err) == (1, wanted)


def test_a_file_in_place_of_a_folder_is_said_to_be_one(tmp_path: Path, capsys):
    (tmp_path / "file").write_text("x")
    path = put_data(tmp_path / "d")
    code, _, err = run(capsys, "import", tmp_path / "file", tmp_path / "o")
    assert (code, err) == (1, f"unitdisc import: {tmp_path}/file: expected a folder of recordings, got a file\n")
    code, _, err = run(capsys, "subset", tmp_path / "file", tmp_path / "o", "--random", 1)
    assert (code, err) == (1, f"unitdisc subset: {tmp_path}/file: expected a data directory, got a file\n")
    assert run(capsys, "combine", tmp_path / "file" / "o", path)[::2] == (
        1,
        f"unitdisc combine: {tmp_path}/file/o: Not a directory\n",
    )
    assert run(capsys, "subset", path, tmp_path / "o", "--not-in", path)[::2] == (
        1,
        f"unitdisc subset: {path}: no utterance is left of its 4\n",
    )
