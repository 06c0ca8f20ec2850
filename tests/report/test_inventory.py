"""Recurring stretches on the page."""

from pathlib import Path

from unitdisc.report.collect import Experiment
from unitdisc.report.inventory import words
from unitdisc.report.sounds import Budget


def test_stretches_of_most_speakers_are_first_and_damaged_counts_last(tmp_path: Path):
    (tmp_path / "occurrences.csv").write_text("word,utt,speaker,start,end\n")
    rows = ["1,5 6,9,9,1,0.2", "2,7 8,8,8,3,0.2", "3,9 1,7,7,many,0.2", "4,2 3,6,6,3,0.2", "5,4 4,5"]
    (tmp_path / "words.csv").write_text("\n".join(["word,units,occurrences,utterances,speakers,seconds", *rows]))
    found = words(Experiment("a", tmp_path, words=tmp_path), Budget(1e6))
    assert [word["word"] for word in found] == ["2", "4", "1", "3", "5"]
