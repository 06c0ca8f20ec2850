"""One table of features, k-means units and a model's units on any corpora with phones, every score with its interval.

    python tools/results_units.py WORK --corpus NAME TRAIN TEST EXP [--corpus ...] [--codes 50 200 2000]

TRAIN and TEST are data directories with phones.ctm, EXP the folder of a training run ("-": none). k-means is fitted on
MFCC of TRAIN. Units are mapped to phones on TRAIN where it names its phones as TEST does and is another directory, else
on three quarters of the speakers of TEST. Everything is made by verbs of `unitdisc` in WORK; what is there already is
kept, so a run that was stopped goes on where it was. The table is Markdown, on standard output.
"""

import argparse
import contextlib
import hashlib
import io
import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

from unitdisc.cli import main as main_verb
from unitdisc.data.alignment import read_alignment
from unitdisc.data.phones import SILENCES
from unitdisc.evaluate.definitions import define
from unitdisc.files import whole_file

MFCC = Path(__file__).resolve().parent.parent / "egs" / "common" / "conf" / "mfcc.yaml"
CHANGES = ("noise-10", "reverberation", "speed-110")
COLUMNS = (
    "abx-across-within-angular",
    "abx-within-within-angular",
    "pnmi",
    "bitrate-zr2020",
    "bitrate-with-durations",
    "units-per-second",
    "boundary-r-value-units-20ms",
    "boundary-r-value-mapped-20ms",
    "per-mapping-many-to-one-nosil",
    "per-mapping-one-to-one-nosil",
    "speaker-accuracy-histogram",
    *(f"unit-edit-distance-{change}" for change in CHANGES),
)


class Corpus(NamedTuple):
    """What is scored, and what k-means and mappings are fitted on."""

    name: str
    train: Path
    test: Path
    exp: Path | None
    silences: str


class Row(NamedTuple):
    """A line of the table."""

    corpus: str
    what: str
    scores: dict[str, dict[str, Any]]  # definition -> score as JSON


def step(out: Path, *verb: str | Path, stdout: bool = False) -> Path:
    """Run a verb of unitdisc unless `out` is there, made by the same words; with `stdout`, it is what is printed."""
    words = [str(word) for word in verb]
    note = out.with_name(f".{out.name}.command")
    if out.exists() and note.exists() and json.loads(note.read_text("utf-8")) == words:
        return out
    print("unitdisc", *words, file=sys.stderr, flush=True)
    said = io.StringIO()
    try:  # in this process: torch takes longer to import than most of these steps
        with contextlib.redirect_stdout(said if stdout else sys.stderr):
            main_verb(words)
    except SystemExit as end:
        if end.code:
            sys.exit(f"`unitdisc {' '.join(words)}` ended with {end.code}: see above")
    if stdout:
        with whole_file(out) as file:
            file.write(said.getvalue())
    with whole_file(note) as file:
        json.dump(words, file)
    return out


def mfcc_of(work: Path, data: Path) -> Path:
    """Return a copy of a data directory that has MFCC."""
    copy = work / "mfcc" / _slug(data)
    step(copy / "wav.scp", "combine", copy, data)
    step(copy / "feats.scp", "features", MFCC, copy, "--force")
    return copy


def _slug(path: Path) -> str:
    return f"{path.name}-{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:6]}"


def phones(path: Path) -> set[str]:
    """Return the phones of a data directory."""
    alignment = read_alignment(path / "phones.ctm")
    return {i.label for utt in alignment for i in alignment[utt]}


def units_row(work: Path, corpus: Corpus, name: str, exp: Path, train: Path, test: Path, item: Path) -> Row:
    """Encode with a model and score all there is; `train` and `test` are what it encodes."""
    out = work / "units" / _slug(corpus.test) / _slug(exp)
    units = step(out / "test" / "units.jsonl", "encode", exp, test, out / "test", "--projection", "--force").parent
    changed = [
        step(out / c / "units.jsonl", "encode", exp, test, out / c, "--change", c, "--no-vectors", "--force").parent
        for c in CHANGES
    ]
    sides: list[str | Path] = ["--data", corpus.test]
    if same_phones(corpus):
        fitted = step(out / "train" / "units.jsonl", "encode", exp, train, out / "train", "--projection", "--force")
        sides += ["--train", fitted.parent, "--train-alignment", corpus.train / "phones.ctm"]
    scores = suite(out, corpus, units, *sides, "--items", item, "--changed", *changed)
    return Row(corpus.name, name, {s["definition"]: s for s in [*scores, *abx(out, units / "codes.scp", item)]})


def segmented_row(work: Path, corpus: Corpus, name: str, exp: Path, item: Path) -> Row:
    """Segment what units_row encoded, at the knee, and score it; the penalty is found on TEST, without labels."""
    whole = work / "units" / _slug(corpus.test) / _slug(exp)
    out = whole / "segmented"
    out.mkdir(exist_ok=True)
    point = step(
        out / "point.json", "segment", whole / "test", out / "test.jsonl", "--knee", "--json", "--force", stdout=True
    )
    sides: list[str | Path] = ["--data", corpus.test]
    if same_phones(corpus):
        penalty = str(json.loads(point.read_text("utf-8"))["penalty"])
        train = whole / "train"
        step(out / "train.jsonl", "segment", train, out / "train.jsonl", "--penalty", penalty, "--force")
        sides += ["--train", out / "train.jsonl", "--train-alignment", corpus.train / "phones.ctm"]
    how = ("--distance", "codebook", "--codebook", whole / "test" / "codebook.npy")
    scores = {s["definition"]: s for s in suite(out, corpus, out / "test.jsonl", *sides)}
    for score in abx(out, out / "test.jsonl", item, *how):  # the same as angular on codes.scp
        scores[score["definition"].replace("codebook", "angular")] = score
    return Row(corpus.name, f"{name}, segmented", scores)


def same_phones(corpus: Corpus) -> bool:
    """Tell whether a mapping fitted on TRAIN can be scored on TEST."""
    named = phones(corpus.train)
    return corpus.train.resolve() != corpus.test.resolve() and len(named & phones(corpus.test)) > len(named) / 2


def suite(out: Path, corpus: Corpus, units: Path, *words: str | Path) -> list[dict[str, Any]]:
    """Score all."""
    path = step(
        out / f"all-{_slug(corpus.train)}.json", "score", "all", units, "--alignment", corpus.test / "phones.ctm",
        "--silences", corpus.silences, *words, "--json", "--out", out / "scores.json", stdout=True,
    )  # fmt: skip
    return json.loads(path.read_text("utf-8"))["scores"]


def abx(out: Path, features: Path, item: Path, *how: str | Path) -> list[dict[str, Any]]:
    """Score ABX across and within speakers."""
    paths = [
        step(out / f"abx-{s}.json", "score", "abx", features, item, "--speaker", s, *how, "--json", stdout=True)
        for s in ("across", "within")
    ]
    return [json.loads(path.read_text("utf-8")) for path in paths]


def rows_of(work: Path, corpus: Corpus, codes: list[int]) -> list[Row]:
    """Make all rows of one corpus."""
    folder = work / "items" / _slug(corpus.test)
    folder.mkdir(parents=True, exist_ok=True)
    alignment = corpus.test / "phones.ctm"
    item = step(
        folder / "triphone.item", "items", corpus.test, folder / "triphone.item", "--alignment", alignment,
        "--silences", corpus.silences, "--force",
    )  # fmt: skip
    train, test = mfcc_of(work, corpus.train), mfcc_of(work, corpus.test)
    rows = [Row(corpus.name, "MFCC", {s["definition"]: s for s in abx(folder, test / "feats.scp", item)})]
    for count in codes:
        exp = work / "kmeans" / f"{count}-{_slug(corpus.train)}"
        step(exp / "config.yaml", "kmeans", MFCC, exp, "--train", train, "--codes", str(count), "--force")
        rows.append(units_row(work, corpus, f"k-means {count}", exp, train, test, item))
    if corpus.exp is not None:
        rows.append(units_row(work, corpus, "ours", corpus.exp, corpus.train, corpus.test, item))
        rows.append(segmented_row(work, corpus, "ours", corpus.exp, item))
    return rows


def cell(score: dict[str, Any] | None) -> str:
    """Return a value and its interval."""
    if score is None or score["value"] is None:
        return ""
    text, interval = define(score["definition"]).text, score["interval"]
    return text(score["value"]) + (f" ({text(interval['low'])}..{text(interval['high'])})" if interval else "")


def markdown(rows: list[Row]) -> str:
    """Return the table."""
    heads = [define(definition).headed(definition) for definition in COLUMNS]
    lines = [["corpus", "representation", *heads], ["---"] * (2 + len(COLUMNS))]
    lines += [[row.corpus, row.what, *(cell(row.scores.get(name)) for name in COLUMNS)] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def counts(rows: list[Row]) -> str:
    """Return a line for each corpus: what was used and what was left out."""
    lines = []
    for name in dict.fromkeys(row.corpus for row in rows):
        scores: dict[str, dict[str, Any]] = {}
        for row in rows:
            scores |= row.scores if row.corpus == name else {}
        parts = []
        for definition in ("abx-across-within-angular", "pnmi", "per-mapping-one-to-one-nosil"):
            if definition in scores:
                found = scores[definition]["counts"]
                told = [f"{n} {noun}" for noun, n in found["used"].items()]
                told += [f"{n} {why}" for why, n in found["dropped"].items() if n]
                parts.append(f"{definition}: {', '.join(told)}")
        lines.append(f"- {name}. " + "; ".join(parts))
    return "\n".join(lines)


def main() -> None:
    """Make what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="folder for all that is made")
    parser.add_argument("--corpus", nargs=4, action="append", required=True, metavar=("NAME", "TRAIN", "TEST", "EXP"))
    parser.add_argument("--codes", type=int, nargs="+", default=[50, 200, 2000], help="of k-means (50 200 2000)")
    parser.add_argument("--silences", default="", metavar="A,B", help="labels that mean silence besides the usual ones")
    options = parser.parse_args()
    silences = ",".join(sorted(SILENCES | set(options.silences.split(","))))
    rows: list[Row] = []
    for name, train, test, exp in options.corpus:
        corpus = Corpus(name, Path(train), Path(test), None if exp == "-" else Path(exp), silences)
        rows += rows_of(options.work, corpus, options.codes)
    print(markdown(rows))
    print()
    print(counts(rows))


if __name__ == "__main__":
    main()
