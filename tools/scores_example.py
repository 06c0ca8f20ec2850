"""One short utterance, scored by each definition that the field has for a score: the second table of docs/scores.md.

python tools/scores_example.py
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from unitdisc.data.units import UnitHeader, UnitLine, write_units
from unitdisc.evaluate.aligned import AlignedUnits, Labeller
from unitdisc.evaluate.bitrate import bitrate_scores
from unitdisc.evaluate.boundaries import boundary_scores
from unitdisc.evaluate.clusters import cluster_scores
from unitdisc.evaluate.discophon import discophon_scores
from unitdisc.evaluate.mapping import fit_mapping
from unitdisc.evaluate.per import mapping_per
from unitdisc.evaluate.scores import Score

PERIOD = 0.02
PHONES = ((0.0, 0.05, "SIL"), (0.05, 0.12, "a"), (0.12, 0.2, "a"), (0.2, 0.31, "b"), (0.31, 0.36, "SIL"))
UNITS = (0, 0, 0, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 0, 0, 3)


class Way(NamedTuple):
    """How somebody defines a score."""

    score: str
    whose: str
    how: str
    definition: str


WAYS = (
    Way("PNMI", "HuBERT (Hsu et al., 2021), the default here", "frames as the units have them, silence is a phone",
        "pnmi"),
    Way("PNMI", "here, `--silence drop`", "frames of silence left out", "pnmi-nosil"),
    Way("PNMI", "DiscoPhon", "one frame every 10 ms, units repeated, silence is a phone", "pnmi-discophon"),
    Way("PER", "the default here", "`a a` of the reference stays two; silence left out",
        "per-mapping-many-to-one-oracle-nosil"),
    Way("PER", "here, `--silence keep`", "likewise, silence is a phone", "per-mapping-many-to-one-oracle-sil"),
    Way("PER", "DiscoPhon", "`a a` of the reference becomes one; silence is a phone", "per-discophon-many-to-one"),
    Way("boundary F1", "the default here",
        "one to one, as many as possible; none within 20 ms of the ends; `a a` has a boundary",
        "boundary-f1-mapped-oracle-20ms"),
    Way("boundary F1", "Räsänen et al., 2009 (`--match rasanen`)",
        "likewise, by search regions that end half-way to the next",
        "boundary-f1-mapped-oracle-20ms-rasanen"),
    Way("boundary F1", "DiscoPhon", "search regions; ends count as they are; `a a` has no boundary",
        "boundary-f1-discophon"),
    Way("R-value", "the default here", "as for F1", "boundary-r-value-mapped-oracle-20ms"),
    Way("R-value", "DiscoPhon", "as for F1", "boundary-r-value-discophon"),
    Way("bitrate", "ZeroSpeech 2019 and 2020, of a submission with a symbol for each frame", "every frame is a symbol",
        "bitrate-zr2020"),
    Way("bitrate", "ZeroSpeech 2019 and 2020, of a submission without repetitions", "equal neighbours are one symbol",
        "bitrate-zr2020-dedup"),
    Way("bitrate", "here, what is needed to decode with times", "a symbol is a unit and how long it lasts",
        "bitrate-with-durations"),
    Way("bitrate", "codecs", "frames per second times log2 K", "bitrate-nominal"),
)  # fmt: skip


def example_scores(folder: Path) -> dict[str, Score]:
    """Score the utterance, whose files are written to a folder, by all definitions."""
    units, phones = folder / "units.jsonl", folder / "phones.txt"
    rows = [f"u {start} {end} {label}" for start, end, label in PHONES]
    phones.write_text("\n".join(["#file onset offset #phone", *rows]) + "\n", "utf-8")
    write_units(units, UnitHeader(PERIOD, (4,)), [UnitLine.of_frames("u", list(UNITS))])
    labeller = Labeller(phones)
    pairs = AlignedUnits(units, labeller)
    mapping = fit_mapping(pairs, len(labeller.names))
    scores = [*discophon_scores(units, phones, resamples=0), *bitrate_scores(units, resamples=0)]
    for silence in ("keep", "drop"):
        scores += cluster_scores(pairs, silence, resamples=0)
        scores.append(mapping_per(pairs, None, silence=silence, resamples=0))
    for match in ("maximum", "rasanen"):
        scores += boundary_scores(pairs, mapping, match=match, name="mapped-oracle", resamples=0)
    return {score.definition: score for score in scores}


def table() -> list[str]:
    """Return the utterance and the table of the page."""
    with TemporaryDirectory() as folder:
        scores = example_scores(Path(folder))
    said = ", ".join(f"{label} {start:g} to {end:g}" for start, end, label in PHONES)
    lines = [
        f"Phones, in seconds: {said}. Units, one every {PERIOD:g} s: {' '.join(map(str, UNITS))}.",
        "",
        "| score | whose definition | how | name here | value |",
        "|---|---|---|---|---|",
    ]
    for score, whose, how, definition in WAYS:
        lines.append(f"| {score} | {whose} | {how} | `{definition}` | {scores[definition].value:.3f} |")
    return lines


if __name__ == "__main__":
    print("\n".join(table()))
