"""The report holds what there is, says what is missing, stays small, and lets nothing of the data run."""

import base64
import io
import json
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from report_files import EVIL, put_data, put_exp, put_units
from score_files import write_alignment, write_unit_file

from unitdisc.cli import main
from unitdisc.data.alignment import frame_labels, read_alignment
from unitdisc.data.units import read_units
from unitdisc.errors import ConfigError, DataError
from unitdisc.evaluate.aligned import AlignedUnits, Labeller
from unitdisc.evaluate.clusters import perplexity
from unitdisc.evaluate.per import mapping_per
from unitdisc.evaluate.scores import Counts, Score
from unitdisc.report.collect import (
    Experiment,
    FoundScore,
    ReportOptions,
    open_experiment,
    read_conversions,
    short_names,
)
from unitdisc.report.facts import gather, heat_map
from unitdisc.report.html import write_report
from unitdisc.report.judged import key_of, read_judged, recording_key
from unitdisc.report.plots import Axes, NamedLine, figure, nice_ticks, png
from unitdisc.report.sounds import Budget, encode
from unitdisc.report.tables import differences, score_rows, subject

pytest.importorskip("jinja2")


class Page(HTMLParser):
    """What a browser makes of a page: its text, its elements, its scripts."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text("utf-8")
        self.text, self.scripts, self.tags, self.addresses = "", [], [], []
        self.inside = ""
        self.feed(self.source)
        self.content: dict[str, Any] = json.loads(self.scripts[0])

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.inside = tag if tag in ("script", "style") else self.inside
        self.addresses += [value or "" for name, value in attributes if name in ("src", "href", "action")]
        assert not any(name.startswith("on") for name, _ in attributes)

    def handle_endtag(self, tag: str) -> None:
        self.inside = "" if tag == self.inside else self.inside

    def handle_data(self, data: str) -> None:
        if self.inside == "script":
            self.scripts.append(data)
        elif not self.inside:
            self.text += data


def decoded(sound: str) -> np.ndarray:
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(sound)), dtype="float32")
    assert rate == 16000
    return samples


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return put_data(tmp_path_factory.mktemp("d") / "test")


@pytest.fixture(scope="module")
def exp(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return put_exp(tmp_path_factory.mktemp("e") / "run-a", data)


@pytest.fixture(scope="module")
def page(exp: Path, tmp_path_factory: pytest.TempPathFactory) -> Page:
    out = tmp_path_factory.mktemp("r") / "report.html"
    write_report([exp], out, ReportOptions(samples=3))
    return Page(out)


def test_scores_stand_with_intervals_and_baselines(page: Page):
    rows = re.findall(r"<tr>.*?</tr>", page.source, re.S)
    abx = next(row for row in rows if "abx-across-within-angular" in row)
    assert "ABX across speakers, %<" in abx
    assert ">12.5<" in abx
    assert "10.0 to 15.0" in abx
    assert "mfcc&nbsp;31.2" in abx
    assert "lower" in abx
    assert "chance&nbsp;50.0" in next(row for row in rows if "speaker-accuracy-histogram" in row)


def test_what_recipes_put_beside_an_experiment_is_a_baseline(exp: Path):
    opened = open_experiment(exp, "x", ReportOptions())
    ours, theirs = {"codebook": "c0de"}, {"codebook": "other"}
    names = {
        ("units-all", "c0de"): "", ("kmeans-256-abx-across", "o"): "kmeans-256", ("kmeans-64", "o"): "kmeans-64",
        ("kmeans-input-256-abx-within", "o"): "kmeans-input-256", ("mfcc-abx-across", ""): "mfcc",
        ("input-abx-within", ""): "input", ("codes-abx-across", ""): "", ("downstream-mfcc", ""): "mfcc",
        ("downstream-units", "c0de"): "", ("bitrate", "c0de"): "", ("conversion", ""): "",
    }  # fmt: skip
    for (file, codebook), name in names.items():
        hashes = ours if codebook == "c0de" else theirs if codebook else {}
        assert subject(opened, FoundScore(file, Score("per", 0.5, "d", hashes=hashes))) == name, file


def test_what_a_comparison_says_of_a_score_counts(exp: Path):
    score = Score("abx", 0.25, "abx-across-within-angular", hashes={"codebook": "f0e1"})
    assert subject(open_experiment(exp, "x", ReportOptions()), FoundScore("lda-8", score, "lda-8")) == "lda-8"
    assert subject(open_experiment(exp, "x", ReportOptions()), FoundScore("units", score, "exp")) == ""


def test_what_is_looked_at_first_is_open_and_one_definition_may_score_several_folders(exp: Path):
    opened = open_experiment(exp, "x", ReportOptions())
    scores = [
        Score("per", 0.5, "conversion-per-probe-ctc-lstm-nosil", options={"scored": "exp/converted"}),
        Score("per", 0.4, "conversion-per-probe-ctc-lstm-nosil", options={"scored": "exp/resynthesised"}),
        Score("per", 0.3, "source-per-probe-ctc-lstm-nosil", options={"scored": "work/converted-mfcc"}),
        *(
            Score("x", 1.0, name)
            for name in ("ami", "bitrate-zr2020-dedup", "abx-across-within-identical", "per-ctc-head-nosil", "pnmi")
        ),
    ]
    rows = score_rows([replace(opened, scores=[FoundScore("units", score) for score in scores])])
    assert [row.title for row in rows if not row.folded] == [
        "PNMI",
        "PER, the model's own head, %",
        "PER of conversions, small ASR of converted, %",
        "PER of conversions, small ASR of resynthesised, %",
        "PER of sources, small ASR of converted, %",
    ]
    assert [row.definition for row in rows if row.folded] == [
        "abx-across-within-identical",
        "bitrate-zr2020-dedup",
        "ami",
    ]


def test_cards_say_what_it_was_trained_on_and_with(page: Page):
    for fact in ("abc123", "12345", "7", "cpu, 2 CPUs", "data/train: 9 utterances of 2 speakers", "50.0 s in steps",
                 "codebook c0de, model m0de1", "licence", "not stated"):  # fmt: skip
        assert fact in page.text


def test_an_utterance_has_its_phones_units_and_voices(page: Page, exp: Path, data: Path):
    assert "3 of 6 utterances" in page.text
    units = {line.utt: line for line in read_units(exp / "units/test/units.jsonl")}
    phones = read_alignment(data / "phones.ctm")
    shown = page.content["utterances"]
    assert len({about["speaker"] for about in shown}) == 2
    assert sum(len(about["tracks"]) == 3 for about in shown) == 2  # converted ones come first
    for about in shown:
        line = units[about["utt"]]
        assert about["units"][0]["units"] == line.units.tolist()
        assert about["units"][0]["durations"] == line.durations.tolist()
        assert about["phones"] == [[pytest.approx(s), pytest.approx(e), p] for s, e, p in phones[about["utt"]]]
        assert about["text"].startswith("words")
        original = decoded(about["tracks"][0]["sound"])
        assert len(original) == 12800
        source = soundfile.read(data / f"{int(about['utt'][-2:])}.wav")[0]
        assert np.corrcoef(original, source)[0, 1] > 0.95
    assert [track["label"] for track in shown[0]["tracks"]] == ["original", "resynthesis", "as b"]


def test_examples_of_a_unit_sound_like_it(page: Page, exp: Path):
    """Unit 2 p + h is half h of a tone of (p + 2) * 180 Hz."""
    examples = page.content["examples"][0]
    assert sorted(map(int, examples)) == sorted(
        {u for line in read_units(exp / "units/test/units.jsonl") for u in line.units}
    )
    for unit, found in examples.items():
        wave = decoded(found["sound"])
        assert 1 <= len(found["clips"]) <= 10
        for clip in found["clips"]:
            start, end = (round(t * 16000) for t in clip["mark"])
            part = wave[start:end] * np.hanning(end - start)
            peak = np.abs(np.fft.rfft(part, 16000)).argmax()
            assert abs(peak - 180 * (int(unit) // 2 + 2)) < 25
            assert clip["phone"] == "ABCD"[int(unit) // 2]
            assert clip["from"] <= clip["mark"][0] < clip["mark"][1] <= clip["to"] + 1e-9


def test_examples_come_from_as_many_utterances_as_there_are(exp: Path):
    facts = gather(open_experiment(exp, "x", ReportOptions()), 3)
    for unit, places in facts.places.items():
        having = {line.utt for line in read_units(exp / "units/test/units.jsonl") if unit in line.units}
        assert len({place.utt for place in places}) == min(3, len(having))


def test_counts_are_those_of_the_whole_file(exp: Path, data: Path):
    facts = gather(open_experiment(exp, "x", ReportOptions()), 3)
    frames = np.concatenate([line.frames for line in read_units(exp / "units/test/units.jsonl")])
    assert facts.frames == len(frames)
    assert facts.usage == dict(zip(*np.unique(frames, return_counts=True), strict=True))
    assert facts.perplexity == pytest.approx(perplexity(np.bincount(frames)[None])[0])
    found = heat_map(facts)
    assert found is not None
    alignment, together = read_alignment(data / "phones.ctm"), {}
    for line in read_units(exp / "units/test/units.jsonl"):
        for phone, unit in zip(frame_labels(alignment[line.utt], len(line.frames), 0.02), line.frames, strict=True):
            together[phone, unit] = together.get((phone, unit), 0) + 1
    for row, phone in enumerate(found.phones):
        for column, unit in enumerate(found.units):
            assert found.shares[row, column] == pytest.approx(together.get((phone, unit), 0) / facts.usage[unit])
    best = found.shares.argmax(axis=0)
    assert (np.diff(best) >= 0).all()  # units stand below their phones: the picture is a staircase


def test_a_page_fetches_nothing_and_runs_its_own_script_alone(page: Page):
    assert all(address.startswith(("#", "data:")) for address in page.addresses)
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page.source)
    assert policy is not None
    assert "default-src 'none'" in policy[1]
    assert "script-src 'sha256-" in policy[1]
    assert not re.search(r"url\(|@import", page.source[page.source.index("<style>") : page.source.index("</style>")])
    assert len(page.scripts) == 2


def test_nothing_of_the_data_becomes_markup(tmp_path: Path):
    data = put_data(tmp_path / "data", evil=EVIL)
    exp = put_exp(tmp_path / "exp<b>&", data, evil=EVIL)
    (exp / "LICENSE").write_text(f"licence {EVIL}\n")
    write_report([exp], tmp_path / "r.html")
    page = Page(tmp_path / "r.html")
    clean = put_exp(tmp_path / "clean", put_data(tmp_path / "data2"))
    write_report([clean], tmp_path / "c.html")
    assert len(page.scripts) == 2
    assert sorted(set(page.tags)) == sorted(set(Page(tmp_path / "c.html").tags))
    assert "<script>window.hacked" not in page.source
    assert "<img/src=x" not in page.source
    about = page.content["utterances"][0]
    assert EVIL in about["utt"]
    assert EVIL in about["phones"][0][2]
    assert any(EVIL in track["label"] for track in about["tracks"])
    assert f"pnmi{EVIL}" in page.text


def test_several_experiments_and_units_of_others_stand_side_by_side(exp: Path, data: Path, tmp_path: Path):
    other = put_exp(tmp_path / "run-b", data)
    foreign = put_units(tmp_path / "theirs" / "units.jsonl", data, period=0.01)
    write_report([exp, other], tmp_path / "r.html", units=[foreign])
    page = Page(tmp_path / "r.html")
    assert page.content["names"] == ["run-a", "run-b", "theirs"]
    assert [row["exp"] for row in page.content["utterances"][0]["units"]] == [0, 1, 2]
    assert [row["period"] for row in page.content["utterances"][0]["units"]] == [0.02, 0.02, 0.01]
    assert "theirs: No model card: this is a unit file" in page.text
    assert {track["label"] for track in page.content["utterances"][0]["tracks"]} >= {"original", "as b · run-b"}
    assert sum('class="best"' in row for row in page.source.split("<tr>")) >= 1


def test_differences_of_configurations_stand_side_by_side(exp: Path, data: Path, tmp_path: Path):
    other = put_exp(tmp_path / "run-b", data)
    (other / "config.yaml").write_text("model: {decoder: {kind: waveform}, jitter: 0.5}\nnote: ''\n")
    opened = [open_experiment(path, path.name, ReportOptions()) for path in (exp, other)]
    assert differences(opened) == [("model.decoder.kind", ["frame", "waveform"]), ("model.jitter", ["", "0.5"])]
    write_report([exp, other], tmp_path / "r.html")
    assert "In what the configurations differ" in Page(tmp_path / "r.html").text


def test_units_of_others_need_no_run(data: Path, tmp_path: Path):
    foreign = put_units(tmp_path / "units.jsonl", data)
    write_report([], tmp_path / "r.html", ReportOptions(data=data), units=[foreign])
    page = Page(tmp_path / "r.html")
    assert len(page.content["examples"][0]) == 8
    assert "No scores" in page.text


def test_what_is_missing_is_said(data: Path, tmp_path: Path):
    exp = tmp_path / "empty"
    exp.mkdir()
    write_report([exp], tmp_path / "r.html")
    text = Page(tmp_path / "r.html").text
    for part in ("scores", "learning curves", "units", "conversions", "audio", "phones", "model card", "speaker leak"):
        assert f"No {part}:" in text, part


def test_without_labels(tmp_path: Path):
    data = put_data(tmp_path / "data")
    exp = put_exp(tmp_path / "exp", data)
    (data / "phones.ctm").unlink()
    write_report([exp], tmp_path / "r.html")
    page = Page(tmp_path / "r.html")
    assert "No phones: " in page.text
    assert "phones.ctm is not there" in page.text
    assert page.content["heat"] == [None]
    assert len(page.content["examples"][0]) == 8


def test_without_a_decoder(data: Path, tmp_path: Path):
    exp = put_exp(tmp_path / "exp", data)
    (exp / "converted" / "manifest.jsonl").unlink()
    (exp / "config.yaml").write_text("model:\n  decoder:\n    kind: none\n  heads:\n    layers: 2\n")
    write_report([exp], tmp_path / "r.html")
    assert "the model has no decoder (decoder.kind: none)" in Page(tmp_path / "r.html").text


def test_with_one_speaker_and_a_single_utterance(tmp_path: Path):
    data = put_data(tmp_path / "data", utterances=1, speakers="a")
    exp = put_exp(tmp_path / "exp", data)
    (exp / "scores" / "units-all.json").unlink()
    write_report([exp], tmp_path / "r.html")
    page = Page(tmp_path / "r.html")
    assert "No speaker leak: the data have one speaker." in page.text
    assert "1 of 1 utterances" in page.text
    assert len(page.content["utterances"]) == 1


def test_without_audio(tmp_path: Path):
    data = put_data(tmp_path / "data")
    exp = put_exp(tmp_path / "exp", data)
    for name in ("wav.scp", "0.wav"):
        (data / name).unlink()
    write_report([exp], tmp_path / "r.html", ReportOptions(alignment=data / "phones.ctm"))
    page = Page(tmp_path / "r.html")
    assert "No audio: " in page.text
    assert page.content["heat"][0] is not None
    assert page.content["examples"] == [{}]


def test_audio_that_cannot_be_read_is_said(tmp_path: Path):
    data = put_data(tmp_path / "data", utterances=2)
    exp = put_exp(tmp_path / "exp", data)
    (data / "0.wav").write_bytes(b"no!")
    write_report([exp], tmp_path / "r.html")
    shown = {about["utt"]: about for about in Page(tmp_path / "r.html").content["utterances"]}
    assert shown["a-00"]["unreadable"] == ["original"]
    assert "unreadable" not in shown["b-01"]


def test_a_page_stays_below_its_size(exp: Path, tmp_path: Path):
    write_report([exp], tmp_path / "whole.html")
    whole, bare = (tmp_path / "whole.html").stat().st_size, 120_000
    for limit in (bare, (bare + whole) // 2):
        size = write_report([exp], tmp_path / "r.html", ReportOptions(max_mb=limit / 1e6), force=True)
        page = Page(tmp_path / "r.html")
        assert size == (tmp_path / "r.html").stat().st_size <= limit
        left_out = sum(len(about.get("left_out", [])) for about in page.content["utterances"])
        assert left_out or len(page.content["examples"][0]) < 8
        assert f"for {len(page.content['examples'][0])} units" in page.text
    with pytest.raises(ConfigError, match=r"needs .* MB even without sound, more than --max-mb 0\.01"):
        write_report([exp], tmp_path / "r.html", ReportOptions(max_mb=0.01), force=True)
    assert (tmp_path / "r.html").stat().st_size == size


def test_a_long_utterance_is_cut(tmp_path: Path):
    data = put_data(tmp_path / "data", utterances=1)
    exp = put_exp(tmp_path / "exp", data)
    soundfile.write(data / "0.wav", np.random.default_rng(0).standard_normal(16000 * 40) * 0.1, 16000)
    text = (exp / "units/test/units.jsonl").read_text().splitlines()
    line = {"utt": "a-00", "frames": 2000, "units": [1], "durations": [2000]}
    (exp / "units/test/units.jsonl").write_text(f'{text[0]}\n{json.dumps(line)}\n{{"utterances": 1}}\n')
    write_report([exp], tmp_path / "r.html")
    about = Page(tmp_path / "r.html").content["utterances"][0]
    assert about["cut"]
    assert about["seconds"] == 15
    assert len(decoded(about["tracks"][0]["sound"])) == 15 * 16000


def test_a_page_that_is_there_is_kept(exp: Path, tmp_path: Path):
    (tmp_path / "r.html").write_text("mine")
    with pytest.raises(DataError, match="is there already; --force replaces it"):
        write_report([exp], tmp_path / "r.html")
    assert (tmp_path / "r.html").read_text() == "mine"


def test_the_same_experiment_gives_the_same_page(exp: Path, tmp_path: Path):
    pages = []
    for name in ("a", "b"):
        write_report([exp], tmp_path / name)
        text = Page(tmp_path / name).source
        # A Vorbis stream's serial number is drawn at random by libsndfile.
        pages.append(re.sub(r'"sound":"[^"]*"', "", text))
    assert pages[0] == pages[1]


def test_missing_jinja_is_one_line(exp: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(SystemExit) as stop:
        main(["report", str(exp), "--out", str(tmp_path / "r.html")])
    assert stop.value.code == 1
    assert capsys.readouterr().err.strip() == (
        "unitdisc report: a report needs jinja2, which is not installed; pip install 'unitdisc[report]'"
    )


def test_the_verb_reports(exp: Path, tmp_path: Path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["report", str(exp), "--out", str(tmp_path / "r.html"), "--samples", "1", "--examples", "2"])
    assert stop.value.code == 0
    assert re.fullmatch(r".*r\.html: 0\.\d\d MB\n", capsys.readouterr().out)
    assert len(Page(tmp_path / "r.html").content["utterances"]) == 1


@pytest.mark.parametrize(
    "changed",
    ["run/scores/judged.jsonl", "run/judged-2.jsonl", "run/manifest.jsonl", "run/LICENSE", "data/COPYING",
     "data/phones.ctm", "data/text", "units/scores.json", "run/units/longer/test/units.jsonl"],
)  # fmt: skip
def test_whatever_the_page_shows_is_a_change(changed: str, tmp_path: Path, capsys):
    data = put_data(tmp_path / "data")
    run, other = put_exp(tmp_path / "run", data), put_units(tmp_path / "units" / "units.jsonl", data)
    if "longer" in changed:
        (run / "units" / "longer").mkdir()
        (run / "units" / "test").rename(run / "units" / "longer" / "test")
    words = ["report", str(run), "--units", str(other), "--out", str(tmp_path / "r.html"), "--samples", "1", "--renew"]

    def code(*more: str) -> int:
        with pytest.raises(SystemExit) as stop:
            main([*words, *more])
        return int(stop.value.code or 0)

    assert code() == 0
    assert code("--unchanged") == 0
    with (tmp_path / changed).open("a") as file:
        file.write("\n")
    assert code("--unchanged") == 3


@pytest.mark.parametrize(
    ("exps", "message"),
    [([], "nothing to report on: name the folder"), (["/nowhere"], "/nowhere: no such folder; expected that of a")],
)
def test_what_is_no_experiment_is_refused(exps: list[str], message: str, tmp_path: Path):
    with pytest.raises((ConfigError, DataError), match=message):
        write_report(exps, tmp_path / "r.html")
    assert not (tmp_path / "r.html").exists()


def test_a_damaged_manifest_is_refused_with_its_line(tmp_path: Path):
    (tmp_path / "manifest.jsonl").write_text(
        '{"utt": "u", "source": "a", "speaker": "s", "target": "b", "path": "c"}\n{"nothing": 1}\n'
    )
    with pytest.raises(DataError, match=r"manifest\.jsonl:2: expected"):
        read_conversions(tmp_path)


def test_names_are_the_shortest_that_differ():
    assert short_names([Path("/x/a"), Path("/x/b")]) == ["a", "b"]
    assert short_names([Path("/x/a/u"), Path("/x/b/u")]) == ["a/u", "b/u"]
    assert short_names([Path("/x"), Path("/x")]) == ["x (1)", "x (2)"]


def test_a_png_says_what_it_was_given():
    image = pytest.importorskip("PIL.Image")
    shares = np.random.default_rng(0).random((5, 7))
    file = base64.b64decode(png(shares).partition(",")[2])
    alpha = np.asarray(image.open(io.BytesIO(file)).convert("RGBA"))[:, :, 3]
    assert np.array_equal(alpha, np.rint(shares * 15).astype(int) * 17)


def test_ticks_are_round_and_inside():
    assert nice_ticks((0.0, 1.0), 5) == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert nice_ticks((12.0, 987.0), 5) == [200.0, 400.0, 600.0, 800.0]


def test_a_histogram_shows_its_highest_bar():
    drawn = str(figure([NamedLine("n", [1, 2, 3] * 20, [0.8] + [0.01] * 59)], Axes("x", from_zero=True), steps=True))
    assert ">0.8</text>" in drawn
    falling = str(figure([NamedLine("loss", range(100), [50.0] + [1.0 + n / 100 for n in range(99)])], Axes("x")))
    assert ">50</text>" not in falling  # the first steps of a loss may leave the figure


def test_sound_keeps_its_length_and_shape():
    time = np.arange(16000 * 3) / 16000
    wave = (0.4 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)
    heard = decoded(encode(wave))
    assert len(heard) == len(wave)
    assert np.corrcoef(heard, wave)[0, 1] > 0.98


def test_a_budget_is_never_overdrawn():
    budget = Budget(10)
    assert budget.take("abcde")
    assert not budget.take("abcdef")
    assert budget.take("abcde")
    assert not budget.take("a")
    assert budget.left == 0


def scored(name: str, *scores: Score) -> Experiment:
    """Return an experiment of which there is nothing but scores."""
    return Experiment(name, Path(name), scores=[FoundScore("units", score) for score in scores])


def test_the_best_is_bold_only_among_scores_of_the_same_speech():
    def pnmi(value: float, alignment: str, utterances: int) -> Score:
        counts = Counts({"utterances": utterances})
        return Score("pnmi", value, "pnmi", counts=counts, hashes={"units": str(value), "alignment": alignment})

    for alignment, utterances, bold in (("a", 5, [False, True]), ("b", 5, [False] * 2), ("a", 6, [False] * 2)):
        (row,) = score_rows([scored("x", pnmi(0.4, "a", 5)), scored("y", pnmi(0.6, alignment, utterances))])
        assert [cell.best for cell in row.cells] == bold


def test_one_to_one_per_calls_nothing_best(tmp_path: Path):
    """A collapse to four units has a lower one than 512 that tell every phone, 64 of them for each."""
    random = np.random.default_rng(0)
    phones = {f"u{n}": np.repeat(random.permutation(np.arange(8)), 5) for n in range(20)}
    many = {utt: 64 * p + random.integers(0, 64, 40) for utt, p in phones.items()}
    collapsed = {utt: np.where(p < 3, p, 3) for utt, p in phones.items()}
    ctm = write_alignment(tmp_path / "phones.ctm", phones, "abcdefgh")
    columns = []
    for name, units in (("many", many), ("collapsed", collapsed)):
        aligned = AlignedUnits(write_unit_file(tmp_path / name, units, 512), Labeller(ctm))
        columns.append(scored(name, mapping_per(aligned, None, kind="one-to-one")))
    (row,) = score_rows(columns)
    assert row.cells[1].value < row.cells[0].value
    assert row.better == ""
    assert not any(cell.best for cell in row.cells)
    assert row.folded


def test_figures_of_judges_are_found_by_sound_and_say_whose_voice_it_is(tmp_path: Path):
    rows = [
        {"utt": "u", "side": "recording", "audio": "/a/b/u.wav", "mos-overall": 3.44, "wer": None},
        {"utt": "x-u", "side": "conversion", "audio": "/moved/exp/converted/x/u.wav", "wer": 0.125, "per": 0.2,
         "f0-correlation": 0.931, "voicing-error": 0.06, "nearest-is-target": 0.0, "nearest-is-source": 1.0},
    ]  # fmt: skip
    (tmp_path / "judged-mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = read_judged(tmp_path)
    assert found == {
        recording_key("u"): "DNSMOS 3.4",
        key_of(
            "/here/x/converted/x/u.wav"
        ): "WER 12% · PER 20% · F0 0.93 · voicing 6% off · nearest voice the source's",
    }
    (tmp_path / "judged-mine.jsonl").write_text("{}\n")
    with pytest.raises(DataError, match=r"judged-mine\.jsonl:1: expected .*--rows writes such a file"):
        read_judged(tmp_path)
