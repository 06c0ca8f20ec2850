"""The recipe of LibriSpeech: what a download looks like, and the phones that are published for it."""

import os
import sys
from pathlib import Path

import pytest
from made_data import put_grid
from recipe_files import STUB, copy_of_recipes, program, run_recipe
from test_recipes_speech import EGS, prepared, put_librispeech, script

from unitdisc.data.alignment import read_alignment
from unitdisc.data.kaldi import DataDir

PREPARE = EGS / "librispeech/local/prepare.py"
TRAIN, DEV = "train-clean-5", "dev-clean-2"


def put_download(corpus: Path) -> Path:
    """Two subsets as they are unpacked, and beside them a third one with a reader of the second."""
    put_librispeech(corpus / "LibriSpeech", r174=DEV, r1272=DEV, r251=TRAIN, r777="train-clean-100")
    copy = corpus / "LibriSpeech" / "dev-clean" / "174" / "1"
    copy.mkdir(parents=True)
    for path in (corpus / "LibriSpeech" / DEV / "174" / "1").iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    return corpus


def test_only_the_subsets_asked_for_are_used(tmp_path: Path):
    _, parts = prepared("librispeech", tmp_path, put_download, subsets=f"{TRAIN} {DEV}")
    assert {name: sorted(part.spk2utt) for name, part in parts.items()} == {
        "train": ["251"], "dev": ["251"], "test": ["1272", "174"]
    }  # fmt: skip
    assert all(DEV in str(parts["test"].source(utt).path) for utt in parts["test"].utts)
    assert parts["test"].spk2gender == {"1272": "f", "174": "m"}  # SPEAKERS.TXT lies one folder below
    got = script(
        PREPARE, tmp_path / "corpus", tmp_path / "again", "--subsets", "train-clean-100", "dev-clean", "--renew"
    )
    assert got.returncode == 0, got.stderr
    assert DataDir.read(tmp_path / "again" / "test").utts == [f"174-1-{n:04d}" for n in range(5)]
    got = script(PREPARE, tmp_path / "corpus", tmp_path / "again", "--subsets", "test-other", "--renew")
    assert "corpus: expected a folder test-other of LibriSpeech in it, or one below it, got none" in got.stderr


def test_the_phones_of_mfa_lose_their_stress_and_its_silences_are_one(tmp_path: Path):
    put_librispeech(tmp_path / "corpus")
    names = ("HH", "AH0", "L", "OW1", "sp", "AH1", "spn", "sil")
    rows = [(n / 10, (n + 1) / 10, name) for n, name in enumerate(names)]
    for utt in ("174-1-0000", "251-1-0000"):
        path = tmp_path / "mfa" / "dev-clean" / utt.split("-")[0] / f"{utt}.TextGrid"
        path.parent.mkdir(parents=True)
        put_grid(path, words=[(0.0, 0.4, "hello")], phones=rows)
    said, parts = prepared(
        "librispeech", tmp_path, lambda corpus: corpus, test_speakers="174 777", alignment=tmp_path / "mfa"
    )
    assert said[0].endswith("mfa: silver phones (made by an aligner) of 2 of 20 utterances, 4 different ones")
    (phones,) = (read_alignment(parts["test"].path / "phones.ctm")[utt] for utt in ("174-1-0000",))
    assert [i.label for i in phones] == ["HH", "AH", "L", "OW", "SIL", "AH", "SIL", "SIL"]


def test_phones_without_stress_stay_what_they_are(tmp_path: Path):
    put_librispeech(tmp_path / "corpus")
    alignment = tmp_path / "corpus" / "phones.ctm"
    prepared("librispeech", tmp_path, lambda corpus: corpus, test_speakers="174", alignment=alignment)
    assert dict(read_alignment(tmp_path / "data/all/phones.ctm")) == dict(read_alignment(alignment))


@pytest.fixture
def egs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of egs/ whose downloads are empty archives, or for training subsets none; verbs do nothing."""
    copy = copy_of_recipes(tmp_path / "egs")
    (copy / "common/download.py").write_text(
        "import os, sys, tarfile\nos.makedirs('corpus', exist_ok=True)\nwith open(sys.argv[2], 'wb') as file:\n"
        "    file.write(b'no tar') if 'train' in sys.argv[2] else tarfile.open(fileobj=file, mode='w:gz').close()\n"
    )
    program(tmp_path / "bin" / "unitdisc", STUB)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    return copy


def test_an_archive_that_cannot_be_unpacked_ends_the_run(egs: Path):
    corpus = egs / "librispeech" / "corpus"
    got = run_recipe(egs / "librispeech", "--subsets", "dev-clean train-clean-5 dev-clean-2", "--stop-stage", "corpus")
    assert got.returncode != 0
    assert sorted(path.name for path in corpus.iterdir()) == [".dev-clean.done", "train-clean-5.tar.gz"]


def test_other_subsets_are_other_data(egs: Path):
    corpus = put_download(egs / "librispeech" / "corpus")
    for subset in (TRAIN, DEV, "train-clean-100", "dev-clean"):
        (corpus / f".{subset}.done").touch()
    for subsets, readers in ((f"{TRAIN} {DEV}", {"251"}), ("train-clean-100 dev-clean", {"777"})):
        got = run_recipe(egs / "librispeech", "--subsets", subsets, "--stop-stage", "data")
        assert got.returncode == 0, got.stderr
        assert set(DataDir.read(egs / "librispeech/data/train").spk2utt) == readers


def test_phones_that_are_not_there_are_missed_before_anything_is_fetched(egs: Path):
    got = run_recipe(egs / "librispeech", "--alignment", "/nowhere")
    assert got.returncode == 2
    assert "--alignment: no such file or folder: /nowhere; README.md says where there are published ones" in got.stderr
    assert not (egs / "librispeech/corpus").exists()
