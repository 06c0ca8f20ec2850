"""Subsets, parts and combinations of data directories mean the same audio."""

import errno
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_data import put_audio, put_data, put_tables
from made_up import make_data, tiny_model

from unitdisc.data.alignment import read_alignment
from unitdisc.data.kaldi import DataDir
from unitdisc.data.store import FeatureReader
from unitdisc.data.subsets import combine, split, subset, utts_of
from unitdisc.errors import DataError
from unitdisc.features.cmvn import load_normalised
from unitdisc.features.configs import ExcitationConfig
from unitdisc.features.extract import ExtractConfig, extract


def test_a_subset_has_the_same_audio_from_anywhere(tmp_path: Path, monkeypatch):
    path = put_data(tmp_path / "d")
    (path / "phones.ctm").write_text("s0-u0 1 0.0 0.2 K\ns0-u2 1 0.0 0.1 T\n")
    (path / "feats.scp").write_text("s0-u0 feats.ark:5\ns0-u2 feats.ark:99\n")
    (path / "feats.ark").write_bytes(b"")
    (path / "feats.json").write_text('{"digest": "d"}')
    monkeypatch.chdir(tmp_path)
    data = DataDir.read("d")
    part = subset(data, "elsewhere/part", ["s1-u1", "s0-u2"])
    monkeypatch.chdir("/")
    part = DataDir.read(tmp_path / "elsewhere" / "part")
    assert part.utts == ["s0-u2", "s1-u1"]
    assert part.text == {utt: f"WORDS OF {utt}" for utt in part.utts}
    assert part.spk2gender == {"s0": "m", "s1": "f"}
    for utt in part.utts:
        np.testing.assert_array_equal(part.source(utt).load(16000), DataDir.read(path).source(utt).load(16000))
    assert dict(read_alignment(part.path / "phones.ctm")) == {"s0-u2": [(0, 0.1, "T")]}
    assert (part.path / "feats.scp").read_text() == f"s0-u2 {path}/feats.ark:99\n"
    assert json.loads((part.path / "feats.json").read_text()) == {"digest": "d", "failed": {}}


def test_segments_and_commands_keep_their_meaning(tmp_path: Path, monkeypatch):
    path = tmp_path / "d"
    put_audio(path / "my wavs" / "r.flac", 16000, seed=1)
    put_audio(path / "q.wav", 16000, seed=2)
    put_tables(
        path,
        {
            "wav.scp": "q q.wav\nr flac -dcs 'my wavs/r.flac' | sox - -t wav -r 8000 - |\n",
            "segments": "a q 0.1 0.2\nb r 0.5 0.75\nc q 0.5 -1\n",
            "utt2spk": "a a\nb b\nc c\n",
        },
    )
    data = DataDir.read(path)
    part = subset(data, tmp_path / "part", ["b"])
    monkeypatch.chdir("/")
    assert list(part.recordings) == ["r"]
    assert part.segments == {"b": data.segments["b"]}
    np.testing.assert_array_equal(part.source("b").load(16000), data.source("b").load(16000))
    assert part.source("b").native_rate() == 8000


def test_what_is_not_there_cannot_be_chosen(tmp_path: Path):
    data = DataDir.read(put_data(tmp_path / "d"))
    with pytest.raises(DataError, match="expected utterances of it, got 'x'"):
        subset(data, tmp_path / "o", ["x"])
    with pytest.raises(DataError, match="expected utterances of it, got none"):
        subset(data, tmp_path / "o", [])
    with pytest.raises(DataError, match=r"expected speakers of it \(s0, s1, \.\.\.\), got 'z'"):
        utts_of(data, ["z"])
    with pytest.raises(DataError, match="expected another folder than the one to choose from"):
        subset(data, tmp_path / "x" / ".." / "d", data.utts)
    assert utts_of(data, ["s1"]) == ["s1-u1", "s1-u3"]


@given(speakers=st.integers(1, 5), utts=st.integers(5, 12), parts=st.integers(1, 5), by_speaker=st.booleans())
@settings(max_examples=20, deadline=None)
def test_parts_are_disjoint_and_together_are_the_whole(tmp_path_factory, speakers, utts, parts, by_speaker):
    path = tmp_path_factory.mktemp("split")
    names = sorted(f"s{n % speakers}-u{n}" for n in range(utts))
    put_tables(
        path / "d",
        {
            "wav.scp": "".join(f"{name} {name}.wav\n" for name in names),
            "utt2spk": "".join(f"{name} {name.split('-')[0]}\n" for name in names),
        },
    )
    data = DataDir.read(path / "d")
    outs = [path / str(n) for n in range(parts)]
    if by_speaker and parts > speakers:
        with pytest.raises(DataError, match=f"expected {parts} speakers or more for as many parts, got {speakers}"):
            split(data, outs)
        return
    made = split(data, outs, by_speaker)
    assert sorted(itertools.chain(*(part.utts for part in made))) == data.utts
    if by_speaker:
        assert sum(len(part.spk2utt) for part in made) == speakers
    else:
        assert max(len(part.utts) for part in made) - min(len(part.utts) for part in made) <= 1
    whole = combine(made, path / "whole")
    assert (whole.utts, whole.utt2spk) == (data.utts, data.utt2spk)


def test_what_does_not_go_together_is_not_combined(tmp_path: Path):
    one = DataDir.read(put_data(tmp_path / "one"))
    with pytest.raises(DataError, match=r"has 's0-u0' \(4 in all\) in common with"):
        combine([one, one], tmp_path / "o")
    put_tables(tmp_path / "two", {"wav.scp": "x x.wav\n", "utt2spk": "x s0\n", "spk2gender": "s0 f\n"})
    with pytest.raises(DataError, match="speaker 's0' has another gender than in"):
        combine([one, DataDir.read(tmp_path / "two")], tmp_path / "o")
    put_tables(tmp_path / "three", {"wav.scp": "y y.wav\n", "utt2spk": "x s0\n", "segments": "x y 0 1\n"})
    with pytest.raises(DataError, match=r"only one of it and .* has segments; write segments for both"):
        combine([one, DataDir.read(tmp_path / "three")], tmp_path / "o")


def test_a_subset_keeps_the_statistics_of_its_speakers(tmp_path: Path):
    path = put_data(tmp_path / "d")
    (path / "cmvn.scp").write_text("s0 cmvn.ark:3\ns1 cmvn.ark:77\n")
    (path / "cmvn.ark").write_bytes(b"")
    data = DataDir.read(path)
    subset(data, tmp_path / "part", data.spk2utt["s1"][:1])
    assert (tmp_path / "part" / "cmvn.scp").read_text() == f"s1 {path}/cmvn.ark:77\n"


def test_features_of_a_subset_are_its_own_and_need_not_be_made_again(tmp_path: Path):
    data = make_data(tmp_path / "d", 6)
    model = tiny_model()
    config = ExtractConfig(model.features, model.targets, ExcitationConfig())
    extract(data, config, force=True)
    part = subset(data, tmp_path / "part", data.utts[:2])
    summary = extract(part, config)
    frames = sum(FeatureReader(data.path / "feats.scp").frames(utt) for utt in part.utts)
    assert summary == ((), 2, frames, {}, {})
    rest = subset(data, tmp_path / "rest", data.utts[2:])
    assert extract(combine([part, rest], tmp_path / "whole"), config) == extract(data, config)
    halves = split(data, [tmp_path / "x", tmp_path / "y"])
    assert [len(load_normalised(one.path, config.features)) for one in (part, *halves)] == [2, 3, 3]
    assert len(load_normalised(tmp_path / "whole", config.features)) == 6
    assert not list(tmp_path.glob("[prw]*/*.ark"))
    table = data.path / "wav.scp"  # changed by hand, and what was made before is out of date
    table.write_text(table.read_text().replace("a-00.wav", "./a-00.wav"))
    stale = subset(DataDir.read(data.path), tmp_path / "stale", data.utts[:2])
    with pytest.raises(
        DataError, match=r"stale/feats\.json: made before wav\.scp, segments or utt2spk changed; --force"
    ):
        extract(stale, config)
    with pytest.raises(DataError, match=r"stale/feats\.json: made before wav\.scp, segments or utt2spk changed; run"):
        load_normalised(stale.path, config.features)


def test_an_older_archive_goes_unless_it_is_needed(tmp_path: Path):
    data = make_data(tmp_path / "d", 4)
    make_data(tmp_path / "old", 4)
    subset(data, tmp_path / "old", data.utts[:2])
    assert not list((tmp_path / "old").glob("*.ark"))
    part = subset(data, tmp_path / "part", data.utts[:2])
    subset(part, data.path, part.utts)
    assert len(FeatureReader(data.path / "feats.scp")[part.utts[0]]) > 0


def test_a_directory_is_not_combined_into_itself(tmp_path: Path):
    data = DataDir.read(put_data(tmp_path / "d"))
    with pytest.raises(DataError, match="d: expected another folder than the one to choose from"):
        combine([data], tmp_path / "d")


@pytest.mark.parametrize("failing", ["_carry_alignments", "_carry_features"])
def test_a_subset_that_the_disk_is_too_full_for_is_no_data_directory(tmp_path: Path, failing: str, monkeypatch):
    data = DataDir.read(put_data(tmp_path / "d"))

    def full(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(f"unitdisc.data.subsets.{failing}", full)
    with pytest.raises(OSError, match="No space"):
        subset(data, tmp_path / "part", ["s0-u0"])
    with pytest.raises(DataError, match=r"expected wav\.scp"):
        DataDir.read(tmp_path / "part")
