"""The embedded corpus: the same bytes for the same seed, true phone times, and nothing shared by the splits."""

import filecmp
import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import kaldiio
import numpy as np
import pytest
import soundfile
from lhotse.kaldi import load_kaldi_data_dir
from scipy import signal

pytest.importorskip("espeakng_loader")

from places import TOP

from unitdisc.data.alignment import Interval, read_alignment
from unitdisc.data.kaldi import DataDir

LOCAL = TOP / "egs" / "mini" / "local"
sys.path.insert(0, str(LOCAL))

import channel  # noqa: E402
import espeak  # noqa: E402
import golden  # noqa: E402
import make_corpus  # noqa: E402
import prepare  # noqa: E402

RATE = make_corpus.RATE
VOWELS = frozenset("AA AE AH AO AW AX AY EH ER EY IH IY OW OY UH UW".split())  # noqa: SIM905
HISSES = frozenset(["S", "SH"])


def make(corpus: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(LOCAL / "make_corpus.py"), str(corpus), "--speakers", "6", "--minutes", "1.5"]
    return subprocess.run([*command, *options], text=True, capture_output=True)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mini") / "corpus"
    made = make(path, "--jobs", "2")
    assert made.returncode == 0, made.stderr
    return path


def utterances(corpus: Path) -> list[tuple[str, np.ndarray, list[Interval]]]:
    alignment = read_alignment(corpus / "phones.ctm")
    return [
        (utt, soundfile.read(corpus / "wav" / utt.split("-")[0] / f"{utt}.wav")[0], alignment[utt]) for utt in alignment
    ]


def table(corpus: Path, name: str) -> list[list[str]]:
    return [line.split("\t") for line in (corpus / name).read_text("utf-8").splitlines()]


def test_the_same_seed_gives_the_same_bytes_for_any_number_of_jobs(corpus: Path, tmp_path: Path):
    assert make(tmp_path / "again", "--jobs", "1").returncode == 0
    files = sorted(str(p.relative_to(corpus)) for p in corpus.rglob("*") if p.is_file())
    assert files == sorted(str(p.relative_to(tmp_path / "again")) for p in (tmp_path / "again").rglob("*.*"))
    same, other, missing = filecmp.cmpfiles(corpus, tmp_path / "again", files, shallow=False)
    assert (sorted(same), other, missing) == (files, [], [])


def test_another_seed_gives_other_sentences_and_another_room():
    speakers = make_corpus.read_speakers(6)
    one, other = (make_corpus.plan(Path("unused"), speakers, 2.0, seed) for seed in (1, 2))
    assert all(a.speaker == b.speaker and a.sentences != b.sentences for a, b in zip(one, other, strict=True))
    rooms = [channel.draw_channel(make_corpus.generator_for(seed, "channel", "f01"), RATE).room for seed in (1, 2)]
    assert np.abs(rooms[0] - rooms[1]).max() > 0.01


def test_phones_tile_the_audio_with_silence_at_both_ends(corpus: Path):
    known = {phone for _, phone in make_corpus.read_rows("phones.txt")} | {"SIL"}
    for utt, samples, phones in utterances(corpus):
        assert phones[0].start == 0, utt
        assert phones[-1].end == pytest.approx(len(samples) / RATE, abs=1e-9), utt
        assert all(
            one.end == pytest.approx(two.start, abs=1e-9) and one.start < one.end for one, two in pairwise(phones)
        )
        assert phones[0].label == phones[-1].label == "SIL"
        assert min(phones[0].end, phones[-1].end - phones[-1].start) >= 0.1
        assert {phone.label for phone in phones} <= known


def test_there_are_forty_phones_or_so():
    assert len({phone for _, phone in make_corpus.read_rows("phones.txt")}) == 40


def test_silences_are_silent(corpus: Path):
    for utt, samples, phones in utterances(corpus):
        power = {"SIL": [], "vowel": []}
        for start, end, label in phones:
            kind = "SIL" if label == "SIL" else "vowel" if label in VOWELS else None
            # The last silence holds the room's echo; its first half second is no measure.
            if kind and (kind == "vowel" or start == 0):
                power[kind].append((samples[round(start * RATE) : round(end * RATE)] ** 2).mean())
        assert 10 * np.log10(np.median(power["vowel"]) / np.median(power["SIL"])) > 12, utt


def step_place(values: np.ndarray) -> int:
    """Return where a sequence is best cut into two constant parts."""
    errors = [values[:i].var() * i + values[i:].var() * (len(values) - i) for i in range(1, len(values))]
    return 1 + int(np.argmin(errors))


def test_boundaries_lie_where_the_signal_changes(corpus: Path):
    # Between a hiss and a vowel the balance of high and low frequencies jumps; where, is found without the labels.
    high = signal.butter(4, 3000, "highpass", fs=RATE, output="sos")
    low = signal.butter(4, 1500, "lowpass", fs=RATE, output="sos")
    hop, errors = 32, []
    for _, samples, phones in utterances(corpus):
        bands = [signal.sosfiltfilt(sos, samples) ** 2 for sos in (high, low)]
        energies = [np.convolve(band, np.ones(160) / 160, "same")[::hop] for band in bands]
        balance = np.log(energies[0] + 1e-9) - np.log(energies[1] + 1e-9)
        for one, two in pairwise(phones):
            if {one.label in HISSES, two.label in HISSES} == {True, False} and {one.label, two.label} & VOWELS:
                first = int((one.start + one.end) / 2 * RATE / hop)
                last = int((two.start + two.end) / 2 * RATE / hop)
                errors.append((first + step_place(balance[first:last])) * hop / RATE - one.end)
    assert len(errors) >= 20
    assert abs(np.median(errors)) < 0.006
    assert np.quantile(np.abs(errors), 0.9) < 0.025


def test_splits_share_neither_speakers_nor_sentences():
    everyone = make_corpus.read_speakers(None)
    tasks = make_corpus.plan(Path("unused"), everyone, make_corpus.FULL_MINUTES, seed=1)
    texts = {split: set() for split in make_corpus.SHARES}
    for task in tasks:
        texts[task.speaker.split] |= {text for _, text in task.sentences}
    assert not texts["train"] & texts["dev"] | texts["train"] & texts["test"] | texts["dev"] & texts["test"]
    assert len({speaker.name for speaker in everyone}) == len(everyone) >= 24
    assert {split: len([s for s in everyone if s.split == split]) for split in texts} == {
        "train": 23,
        "dev": 4,
        "test": 6,
    }


def test_sentences_are_many_and_different():
    lines = (LOCAL / "sentences.txt").read_text("utf-8").splitlines()
    assert len(lines) >= 400
    assert len({line.lower() for line in lines}) == len(lines)
    assert len({len(line.split()) for line in lines}) >= 6
    assert all(line.isascii() and line[-1] in ".?" and line == line.strip() for line in lines)


def test_no_two_speakers_have_the_same_voice():
    everyone = make_corpus.read_speakers(None)
    assert len({(s.voice.split("+")[1], s.tract) for s in everyone}) == len(everyone)
    tested = {s.voice.split("+")[1] for s in everyone if s.split == "test"}
    assert not tested & {s.voice.split("+")[1] for s in everyone if s.split != "test"}


def test_a_few_speakers_are_taken_from_all_splits_and_of_both_sexes():
    few = make_corpus.read_speakers(6)
    assert sorted((s.split, s.name[0]) for s in few) == [
        (split, sex) for split in ("dev", "test", "train") for sex in "fm"
    ]
    assert len(make_corpus.read_speakers(20)) == 20


def test_segments_give_closures_to_stops_and_pauses_to_silence():
    rate, samples = 1000, np.ones(1000, np.int16)
    samples[:100] = samples[250:300] = samples[400:410] = samples[500:580] = samples[700:900] = samples[950:] = 0
    places = [(100, "ə"), (300, "t"), (410, "l"), (580, "i"), (900, "k"), (920, ""), (930, "ə")]
    speech = espeak.Speech(samples, [espeak.Phone(*place) for place in places])
    table = dict(make_corpus.read_rows("phones.txt"))
    assert make_corpus.segments_of(speech, rate, table) == [
        (0, "SIL"), (100, "AX"), (250, "T"), (400, "L"), (500, "SIL"), (580, "IY"), (700, "SIL"), (850, "K"),
        (930, "AX"), (950, "SIL"),
    ]  # fmt: skip


def test_a_channel_keeps_length_and_time_and_never_clips():
    generator = np.random.default_rng(0)
    click = np.zeros(RATE)
    click[RATE // 2] = 1
    for _ in range(5):
        heard = channel.apply_channel(click, channel.draw_channel(generator, RATE), generator)
        assert len(heard) == RATE
        assert np.abs(heard).max() <= 0.98
        assert abs(int(np.abs(heard).argmax()) - RATE // 2) < 0.001 * RATE


def test_a_corpus_that_is_there_is_kept_and_another_needs_force(corpus: Path):
    before = (corpus / "corpus.json").stat().st_mtime_ns
    kept = make(corpus)
    assert kept.returncode == 0
    assert kept.stdout == f"{corpus}: unchanged\n"
    refused = make(corpus, "--seed", "7")
    assert refused.returncode == 1
    assert "--force" in refused.stderr
    assert (corpus / "corpus.json").stat().st_mtime_ns == before


def test_too_few_speakers_are_refused(tmp_path: Path):
    refused = make(tmp_path / "c", "--speakers", "3")
    assert refused.returncode == 2
    assert "expected 6 or more" in refused.stderr


def test_an_unknown_voice_is_named(tmp_path: Path):
    code = "from espeak import Voice; Voice('xx-none+m1', 50, 50, 160)"
    made = subprocess.run([sys.executable, "-c", code], cwd=LOCAL, text=True, capture_output=True)
    assert "could not choose voice 'xx-none+m1'" in made.stderr


def test_data_directories_are_whole(corpus: Path, tmp_path: Path):
    lines = prepare.prepare(corpus, tmp_path / "data")
    assert len(lines) == 3
    split_of = {row[0]: row[1] for row in table(corpus, "speakers.tsv")}
    seen: list[str] = []
    for split in ("train", "dev", "test"):
        data = DataDir.read(tmp_path / "data" / split)
        seen += data.utts
        assert {split_of[speaker] for speaker in data.spk2utt} == {split}
        alignment = read_alignment(tmp_path / "data" / split / "phones.ctm")
        for utt in data.utts:
            assert data.source(utt).samples(RATE) == pytest.approx(alignment[utt][-1].end * RATE)
            assert data.text[utt] == data.text[utt].lower().rstrip(".?")
    assert sorted(seen) == sorted(read_alignment(corpus / "phones.ctm"))
    assert json.loads((corpus / "corpus.json").read_text())["utterances"] == len(seen)


def test_a_missing_corpus_names_the_stage_that_makes_it(tmp_path: Path):
    command = [sys.executable, str(LOCAL / "prepare.py"), str(tmp_path / "none"), str(tmp_path / "data")]
    refused = subprocess.run(command, text=True, capture_output=True)
    assert refused.returncode == 1
    assert "--stage corpus" in refused.stderr


# Golden scores.


def golden_run(folder: Path, *values: float) -> subprocess.CompletedProcess[str]:
    """Compare made-up scores with golden ones of 0.25 +- 0.05 and 60 +- 4."""
    (folder / "scores").mkdir(exist_ok=True)
    abx, codes = values
    (folder / "scores/abx.json").write_text(json.dumps({"definition": "abx-across", "value": abx}))
    rows = [{"definition": "pnmi", "value": 0}, {"definition": "active-codes", "value": codes}]
    (folder / "scores/units.json").write_text(json.dumps({"scores": rows}))
    command = [sys.executable, str(LOCAL / "golden.py"), str(folder / "golden.json"), str(folder)]
    return subprocess.run(command, text=True, capture_output=True)


def test_scores_out_of_their_tolerance_are_named(tmp_path: Path):
    rows = [["abx", "abx-across", 0.25, 0.05], ["units", "active-codes", 60, 4]]
    (tmp_path / "golden.json").write_text(json.dumps({"scores": rows}))
    good = golden_run(tmp_path, 0.29, 56)
    assert (good.returncode, good.stderr) == (0, "")
    bad = golden_run(tmp_path, 0.31, 60)
    assert bad.returncode == 1
    line = next(line for line in bad.stdout.splitlines() if "OUT" in line)
    assert line.split() == ["abx", "abx-across", "0.25", "0.31", "0.06", "0.05", "OUT"]
    assert "1 of 2 scores of" in bad.stderr
    assert golden_run(tmp_path, float("nan"), 60).returncode == 1
    (tmp_path / "golden.json").write_text(json.dumps({"scores": [*rows, ["metrics", "loss", 0.5, 0.1]]}))
    assert "metrics.jsonl" in golden_run(tmp_path, 0.25, 60).stderr
    logged = [
        {"step": 1, "kind": "dev", "loss": 2.0},
        {"step": 2, "kind": "dev", "loss": 0.55},
        {"step": 3, "kind": "train"},
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in logged))
    assert golden_run(tmp_path, 0.25, 60).returncode == 0
    (tmp_path / "golden.json").write_text(json.dumps({"scores": [["none", "abx-across", 0.25, 0.05]]}))
    assert "none.json: no such file; run ./run.sh --stage score" in golden_run(tmp_path, 0.25, 60).stderr


def test_golden_scores_can_be_taken_from_a_run(tmp_path: Path):
    rows = [golden.Wanted("abx", "abx-across", 0.25, 0.05)]
    golden.write(tmp_path / "golden.json", rows, [0.123456])
    assert golden.read_golden(tmp_path / "golden.json") == [rows[0]._replace(value=0.1235)]
    for text in ("", "{}", '{"scores": []}', '{"scores": [["a", "b", 1, 0]]}', '{"scores": [["a", "b", 1]]}'):
        (tmp_path / "golden.json").write_text(text)
        with pytest.raises(golden.DataError, match="expected"):
            golden.read_golden(tmp_path / "golden.json")


@pytest.mark.slow
def test_the_whole_corpus_is_as_large_as_promised(tmp_path: Path):
    command = [sys.executable, str(LOCAL / "make_corpus.py"), str(tmp_path / "corpus")]
    subprocess.run(command, check=True)
    figures = json.loads((tmp_path / "corpus" / "corpus.json").read_text())
    assert figures["minutes"] >= 45
    assert figures["speakers"] >= 24
    assert figures["sentences"] >= 400
    counts: dict[str, int] = {}
    for _, phones in read_alignment(tmp_path / "corpus" / "phones.ctm").items():
        for phone in phones:
            counts[phone.label] = counts.get(phone.label, 0) + 1
    assert len(counts) == 41
    assert min(counts.values()) >= 25, "the rarest phone (ZH) must be there often enough to be learned"


def test_paths_of_wav_scp_are_found_by_other_tools_from_anywhere(corpus: Path, tmp_path: Path):
    done = subprocess.run(
        [sys.executable, str(LOCAL / "prepare.py"), str(corpus), "data"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    recordings = kaldiio.load_scp(str(tmp_path / "data/train/wav.scp"))
    assert len(recordings)
    rate, samples = recordings[next(iter(recordings))]
    assert rate == RATE
    assert len(samples)
    found, _, _ = load_kaldi_data_dir(tmp_path / "data/train", sampling_rate=RATE)
    assert len(found) == len(recordings)
