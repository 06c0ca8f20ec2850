"""The recipe of TIMIT: stops for ABX, and silence as a phone to be learnt."""

import shutil
from pathlib import Path

import pytest
from test_recipes_speech import EGS, module, prepared

from unitdisc import config as configs
from unitdisc.corpus import phone_set
from unitdisc.data.alignment import Interval, read_alignment, write_ctm
from unitdisc.data.kaldi import DataDir
from unitdisc.evaluate.items import read_items
from unitdisc.train_config import Config


def spoken(labels: str) -> list[Interval]:
    return [Interval(i / 10, (i + 1) / 10, label) for i, label in enumerate(labels.split())]


def test_a_closure_is_part_of_its_stop():
    prepare = module(EGS / "timit/local/prepare.py")
    rows = prepare.whole_stops(spoken("h# TCL T iy dcl jh kcl pcl t bcl d t"))
    assert [(round(i.start, 1), round(i.end, 1), i.label) for i in rows] == [
        (0.0, 0.1, "h#"), (0.1, 0.3, "t"), (0.3, 0.4, "iy"), (0.4, 0.6, "jh"), (0.6, 0.7, "k"), (0.7, 0.8, "p"),
        (0.8, 0.9, "t"), (0.9, 1.0, "b"), (1.0, 1.1, "d"), (1.1, 1.2, "t"),
    ]  # fmt: skip
    apart = prepare.whole_stops([Interval(0.0, 0.1, "tcl"), Interval(0.2, 0.3, "t")])
    assert apart == [(0.0, 0.1, "t"), (0.2, 0.3, "t")]


def test_abx_has_items_of_stops(tmp_path: Path):
    said, parts = prepared("timit", tmp_path)
    items = read_items(parts["test"].path / "triphone.item")
    assert set(items.phones.tolist()) == set(items.before.tolist()) == {"iy", "s", "t", "ah"}
    assert len(items) == 10 * (14 - 2)  # ten utterances of fourteen phones between two silences
    assert said[-1].endswith("120 items of 4 phones for ABX")
    shutil.rmtree(tmp_path / "data")
    prepared("timit", tmp_path, lambda corpus: corpus, phones=61)
    assert not (parts["test"].path / "triphone.item").exists()  # made of the 61 labels, which know closures


def test_words_that_share_a_phone_meet_where_the_second_begins(tmp_path: Path):
    _, parts = prepared("timit", tmp_path)
    words = read_alignment(parts["train"].path / "words.ctm")["FCJF0_SI1"]
    assert [(pytest.approx(i.start), pytest.approx(i.end), i.label) for i in words] == [
        (0.1, 0.8, "had"),
        (0.8, 1.5, "your"),
    ]


def test_a_supervised_model_learns_timits_silence_and_no_aligners(tmp_path: Path):
    config = configs.load(EGS / "timit/conf/supervised.yaml", Config).model
    (tmp_path / "wav.scp").write_text("u a.wav\n")
    (tmp_path / "utt2spk").write_text("u s\n")
    data = DataDir.read(tmp_path)
    for labels, learnt in (
        ("sil t iy sil", ["iy", "sil", "t"]),
        ("h# tcl t pau epi", ["epi", "h#", "pau", "t", "tcl"]),
        ("SIL HH AH sp spn +NSN+", ["AH", "HH"]),
    ):
        write_ctm(tmp_path / "phones.ctm", [("u", spoken(labels))])
        assert phone_set(config, data) == learnt
