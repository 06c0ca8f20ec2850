"""Corpora are taken as their makers publish them: small trees of the same shape."""

import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from made_data import noise, put_audio

from unitdisc.data.alignment import Alignment, read_alignment
from unitdisc.data.check import check_data_dir
from unitdisc.data.corpora import (
    TIMIT_CORE_TEST,
    TIMIT_DEV,
    emodb,
    librispeech,
    speechocean762,
    timit,
    write_alignment,
)
from unitdisc.data.labels import Label
from unitdisc.errors import DataError


def put_librispeech(root: Path) -> None:
    for reader, chapter in (("1272", "128104"), ("174", "50561")):
        folder = root / "dev-clean" / reader / chapter
        for n in range(2):
            put_audio(folder / f"{reader}-{chapter}-000{n}.flac", 3000, seed=n)
        lines = [f"{reader}-{chapter}-000{n} MISTER QUILTER {n}\n" for n in range(2)]
        (folder / f"{reader}-{chapter}.trans.txt").write_text("".join(lines))
    (root / "SPEAKERS.TXT").write_text(
        "; Some pipe(|) separated metadata\n;ID  |SEX| SUBSET|MINUTES| NAME\n"
        "174  | M | dev-clean        |  8.04 | Peter Eastman\n1272 | F | dev-clean | 8.0 | Judy | Bieber\n"
    )


def test_librispeech(tmp_path: Path):
    put_librispeech(tmp_path / "LibriSpeech")
    for path in list((tmp_path / "LibriSpeech").rglob("*-*.*")):  # what macOS puts beside files in an archive
        path.with_name(f"._{path.name}").write_bytes(b"\0\x05\x16\x07\xb0")
    data = librispeech(tmp_path / "LibriSpeech", tmp_path / "data")
    assert data.utts == ["1272-128104-0000", "1272-128104-0001", "174-50561-0000", "174-50561-0001"]
    assert data.utt2spk["174-50561-0001"] == "174"
    assert data.text["1272-128104-0001"] == "MISTER QUILTER 1"
    assert data.spk2gender == {"1272": "f", "174": "m"}
    assert check_data_dir(data.path, decode=True).findings == []
    one = librispeech(tmp_path / "LibriSpeech" / "dev-clean", tmp_path / "one", speakers=["174"])
    assert one.utts == ["174-50561-0000", "174-50561-0001"]
    assert one.spk2gender == {"174": "m"}


def test_subsets_of_a_downloaded_librispeech(tmp_path: Path):
    put_librispeech(tmp_path / "LibriSpeech")  # SPEAKERS.TXT is one folder below the root
    data = librispeech(tmp_path, tmp_path / "data", subsets=["dev-clean"])
    assert (len(data.utts), data.spk2gender) == (4, {"1272": "f", "174": "m"})
    with pytest.raises(DataError, match="expected a folder dev-other of LibriSpeech in it, or one below it, got none"):
        librispeech(tmp_path, tmp_path / "data", subsets=["dev-other"])


def test_an_alignment_is_read_once_cut_and_renamed(tmp_path: Path):
    put_librispeech(tmp_path / "LibriSpeech")
    data = librispeech(tmp_path / "LibriSpeech", tmp_path / "data")
    labels = {"174-50561-0000": [Label("x", 0.0, 0.1, "AH0"), Label("x", 0.1, 9.0, "B")], "174-50561-0001": []}
    reads = []

    def read(utt: str) -> list[Label]:
        reads.append(utt)
        return labels[utt]

    given = Alignment({utt: partial(read, utt) for utt in labels})
    assert write_alignment(data, given, name=str.lower) == 1
    assert reads == ["174-50561-0000", "174-50561-0001"]
    written = {"174-50561-0000": [(0.0, 0.1, "ah0"), (0.1, 0.1875, "b")]}
    assert dict(read_alignment(data.path / "phones.ctm")) == written
    assert write_alignment(data, Alignment({})) == 0
    assert not (data.path / "phones.ctm").exists()


def test_a_half_downloaded_librispeech_is_refused(tmp_path: Path):
    put_librispeech(tmp_path)
    (tmp_path / "dev-clean/174/50561/174-50561-0001.flac").unlink()
    with pytest.raises(DataError, match=r"174-50561\.trans\.txt: expected audio of 174-50561-0001 beside it, got none"):
        librispeech(tmp_path, tmp_path / "data")
    with pytest.raises(DataError, match=r"expected audio files as <reader>/<chapter>/\*\.trans\.txt, got none"):
        librispeech(tmp_path / "dev-clean/174/50561/..", tmp_path / "data", speakers=["1"])


@pytest.mark.parametrize("case", [str.upper, str.lower])
def test_timit(tmp_path: Path, case):
    waves = {}
    for part, speaker in (("train", "fcjf0"), ("test", "mdab0")):
        for sentence in ("sa1", "si1027"):
            folder = tmp_path / "timit" / case(part) / case("dr1") / case(speaker)
            waves[speaker, sentence] = put_audio(folder / f"{case(sentence)}.{case('wav')}", 4000, format="NIST")
            stem = folder / case(sentence)
            stem.with_suffix(case(".txt")).write_text("0 4000 She had your dark suit.\n")
            stem.with_suffix(case(".phn")).write_text("0 1600 h#\n1600 2400 sh\n2400 4000 iy\n")
            stem.with_suffix(case(".wrd")).write_text("1600 3200 she\n2400 4000 had\n")  # they share a phone
    test = timit(tmp_path / "timit", tmp_path / "test", part="test", speakers=TIMIT_CORE_TEST)
    utt = f"{case('mdab0')}_{case('si1027')}"
    assert test.utts == [utt]
    assert test.spk2gender == {case("mdab0"): "m"}
    assert test.text == {utt: "She had your dark suit."}
    np.testing.assert_array_equal(test.source(utt).load(16000), waves["mdab0", "si1027"])
    assert dict(read_alignment(test.path / "phones.ctm")) == {
        utt: [(0, 0.1, "h#"), (0.1, 0.15, "sh"), (0.15, 0.25, "iy")]
    }
    assert dict(read_alignment(test.path / "words.ctm")) == {utt: [(0.1, 0.15, "she"), (0.15, 0.25, "had")]}
    report = check_data_dir(test.path, decode=True, rate=16000, alignment=test.path / "phones.ctm")
    assert report.findings == []
    assert len(timit(tmp_path / "timit", tmp_path / "all", dialect_sentences=True).utts) == 4


def test_timits_own_headers_are_read(tmp_path: Path):
    """They do not name their coding."""
    fields = (
        "database_id -s5 TIMIT\nutterance_id -s8 fcjf0_sa\nchannel_count -i 1\nsample_count -i 4000\n"
        "sample_rate -i 16000\nsample_n_bytes -i 2\nsample_byte_format -s2 01\nsample_sig_bits -i 16\nend_head\n"
    )
    wave = noise(4000)
    head = f"NIST_1A\n   1024\n{fields}".encode().ljust(1024, b" ")
    folder = tmp_path / "TIMIT" / "TRAIN" / "DR1" / "FCJF0"
    folder.mkdir(parents=True)
    (folder / "SI648.WAV").write_bytes(head + (wave * 32768).astype("<i2").tobytes())
    data = timit(tmp_path / "TIMIT", tmp_path / "data")
    np.testing.assert_array_equal(data.source("FCJF0_SI648").load(16000), wave)
    (folder / "SI648.WAV").write_bytes(head + b"\0" * 7998)
    with pytest.raises(DataError, match="truncated: the header announces 8000 bytes of audio, the file has 7998"):
        data.source("FCJF0_SI648").load(16000)


def test_the_speaker_lists_of_timit():
    assert (len(TIMIT_CORE_TEST), len(TIMIT_DEV), len(TIMIT_CORE_TEST & TIMIT_DEV)) == (24, 50, 0)
    assert sum(speaker[0] == "F" for speaker in TIMIT_CORE_TEST) == 8  # two men and a woman of each dialect
    assert all(len(speaker) == 5 and speaker[0] in "FM" for speaker in TIMIT_CORE_TEST | TIMIT_DEV)


@pytest.mark.parametrize("beside", [True, False], ids=["paths relative to the part", "paths relative to the root"])
def test_speechocean762(tmp_path: Path, beside):
    root = tmp_path / "speechocean762"
    put_audio((root / "train" if beside else root) / "WAVE/SPEAKER0001/000010011.WAV", 4000)
    tables = {"wav.scp": "WAVE/SPEAKER0001/000010011.WAV", "utt2spk": "0001", "text": "WE CALL IT BEAR"}
    (root / "train").mkdir(exist_ok=True)
    for name, rest in tables.items():
        (root / "train" / name).write_text(f"000010011\t{rest}\n")  # tabs, and no spk2utt
    (root / "train" / "spk2gender").write_text("0001\tm\n")
    (root / "train" / "phones.ctm").write_text("000010011 1 0.00 0.30 SIL\n")
    data = speechocean762(root, tmp_path / "data")
    assert data.spk2utt == {"0001": ["000010011"]}
    assert data.text == {"000010011": "WE CALL IT BEAR"}
    assert (data.path / "spk2utt").read_text() == "0001 000010011\n"
    assert read_alignment(data.path / "phones.ctm")["000010011"] == [(0, 0.25, "SIL")]  # cut with the audio
    assert check_data_dir(data.path, decode=True).errors == []


def test_emodb(tmp_path: Path):
    root = tmp_path / "emodb"
    (root / "lablaut").mkdir(parents=True)
    header = "signal wochenAO\ntype 0\nseparator ;\nnfields 1\n#\n"
    for utt in ("03a01Fa", "08a01Ab", "14b09Ea"):
        put_audio(root / "wav" / f"{utt}.wav", 32000, 16000)
        rows = "" if utt == "08a01Ab" else "    0.10   -1 d\n    0.50   -1 \xe4\t+nas\n    2.40   -1 .\t-eng]\n"
        (root / "lablaut" / f"{utt}xx.lablaut").write_text(header + rows, "latin-1")
    (root / "lablaut" / "14b09Ea.lablaut").write_text(header)  # as in the original, beside the finished one
    data = emodb(root, tmp_path / "data")
    assert data.spk2utt == {"03": ["03a01Fa"], "08": ["08a01Ab"], "14": ["14b09Ea"]}
    assert data.spk2gender == {"03": "m", "08": "f", "14": "f"}
    alignment = read_alignment(data.path / "phones.ctm")
    assert list(alignment) == ["03a01Fa", "14b09Ea"]
    assert alignment["14b09Ea"] == [(0.1, 0.5, "d"), (0.5, 2.0, "ä")]  # the audio ends at 2 s
    assert check_data_dir(data.path, alignment=data.path / "phones.ctm").errors == []


def test_an_empty_folder_is_no_corpus(tmp_path: Path):
    for read in (librispeech, timit, emodb):
        with pytest.raises(DataError, match=r"expected audio files as .*, got none"):
            read(tmp_path, tmp_path / "data")
    with pytest.raises(DataError, match="no such folder"):
        emodb(tmp_path / "x", tmp_path / "data")


@pytest.mark.skipif("UNITDISC_SPEECH" not in os.environ, reason="set UNITDISC_SPEECH to a folder of corpora")
def test_real_corpora(tmp_path: Path):
    root = Path(os.environ["UNITDISC_SPEECH"])
    libri = librispeech(root / "LibriSpeech", tmp_path / "libri")
    ocean = speechocean762(root / "speechocean762", tmp_path / "ocean")
    berlin = emodb(root / "emodb", tmp_path / "berlin")
    sizes = [(len(d.utts), len(d.spk2utt), len(d.text)) for d in (libri, ocean, berlin)]
    assert sizes == [(917, 14, 917), (1340, 67, 1340), (535, 10, 0)]
    assert check_data_dir(libri.path, alignment=root / "LibriSpeech" / "phones.ctm").errors == []
    for data in (ocean, berlin):
        assert check_data_dir(data.path, alignment=data.path / "phones.ctm").errors == []
