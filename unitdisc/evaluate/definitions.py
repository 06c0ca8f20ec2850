"""What each score is: one row a score, which every table, report and page reads.

The name of a row is that of the scores' definitions, with words in capitals for what differs among them: PLACES holds
what may stand there, and what is said of it in a title ("" of what is usual).
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

Better = Literal["higher", "lower", ""]
ARROWS: Mapping[Better, str] = {"higher": " ↑", "lower": " ↓", "": ""}

PLACES: Mapping[str, Mapping[str, str]] = {
    "SPEAKER": {"across": "across speakers", "within": "within speakers"},
    "CONTEXT": {"within": "", "any": "any context"},
    "DISTANCE": {
        "angular": "",
        "euclidean": "Euclidean distance",
        "kl": "KL divergence",
        "identical": "same unit or not",
        "codebook": "between codewords",
        "balanced": "between codewords, balanced",
        "edit": "edit distance",
    },
    "FRAMES": {"": "", "-nosil": "without silence"},
    "PHONES": {"nosil": "", "sil": "silence counted"},
    "FIT": {"": "", "-oracle": "fitted on the scored side"},
    "PROBE": {"lstm": "", "linear": "linear", "two-layer": "two layers"},
    "SIDE": {"source": "sources", "copy": "copy-synthesis", "resynthesis": "resyntheses", "conversion": "conversions"},
    "OF": {"units": "units", "mapped": "mapped phones", "mapped-oracle": "mapped phones, fitted on the scored side"},
    "TOLERANCE": {"20ms": ""},
    "MATCH": {"": "", "-rasanen": "Räsänen's search regions", "-greedy": "greedy"},
    "VECTOR": {"histogram": "unit histograms", "mean-code": "mean codewords"},
    "CHANGE": {},
    "HEARD": {
        "recording": "recordings",
        "copy": "copy-synthesis",
        "resynthesis": "resyntheses",
        "conversion": "conversions",
    },
    "JUDGE": {},
}
# What may stand in a place besides what is listed: a value, or one that says nothing that a title should say.
OTHERS = {"TOLERANCE": r"[0-9.]+ms", "CHANGE": r"[^/]+", "JUDGE": r"(?:-.+)?"}
UNSAID = {"JUDGE"}


@dataclass(frozen=True)
class Definition:
    """One score: what it is called, how it is written and read."""

    name: str  # as in Score.definition; words in capitals are PLACES
    title: str  # {PLACE}: what PLACES says; other places follow in brackets
    unit: str  # "%": the value is a share, and shown times 100
    better: Better  # which values are; "": neither
    gloss: str  # for those who see it for the first time
    how: str = ""  # what it takes to compute it again, for docs/scores.md
    reference: str = ""
    first: bool = False  # among those that one looks at first

    @cached_property
    def pattern(self) -> "re.Pattern[str]":
        """Return what its definitions look like."""
        parts = re.split(rf"({'|'.join(PLACES)})", self.name)
        return re.compile("".join(_choice(part) if part in PLACES else re.escape(part) for part in parts))

    def values(self, definition: str) -> dict[str, str] | None:
        """Return what stands in the places of a score's definition; None if it is another score's."""
        match = self.pattern.fullmatch(definition)
        return None if match is None else match.groupdict()

    def titled(self, definition: str) -> str:
        """Return the title of a score: what is usual is not said."""
        values = self.values(definition) or {}
        said = {place: PLACES[place].get(value, value) for place, value in values.items()}
        rest = [words for place, words in said.items() if words and place not in UNSAID | self._inside]
        return self.title.format(**said) + (f" ({', '.join(rest)})" if rest else "")

    def headed(self, definition: str) -> str:
        """Return the title of a score with its unit, and an arrow to what is better."""
        return self.titled(definition) + (f", {self.unit}" if self.unit else "") + ARROWS[self.better]

    def is_first(self, definition: str) -> bool:
        """Tell whether a score is among those that one looks at first: of the usual kind."""
        return self.first and not self.titled(definition).endswith(")")

    def text(self, value: float) -> str:
        """Return a value without its unit, in as many digits as it is worth."""
        if not math.isfinite(value):
            return "undefined"
        if self.unit == "%":
            return f"{100 * value:.1f}"
        if value == round(value) and abs(value) >= 10:
            return f"{value:.0f}"
        return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}" if abs(value) < 1000 else f"{value:.0f}"

    @property
    def _inside(self) -> set[str]:
        return set(re.findall(r"\{(\w+)\}", self.title))


def _choice(place: str) -> str:
    known = sorted(map(re.escape, PLACES[place]), key=len, reverse=True)
    return f"(?P<{place}>{'|'.join([*known, *([OTHERS[place]] if place in OTHERS else [])])})"


_PER = "Phone error rate: insertions, deletions and substitutions over the phones of the reference; may exceed 100 %."
_BITS = "Bits per second that are needed to write the units down; less is better only at equal quality."
_EDGES = "How well the places where units change agree with the edges of phones."
_TOLD = "How well a classifier finds the speaker from the units: less is better, chance is best."
_JUDGES = "docs/scores.md, Judges from outside"

_JUDGED: tuple[tuple[str, str, str, Better, str], ...] = (
    ("wer", "WER", "%", "lower", "word errors / words"),
    ("cer", "CER", "%", "lower", "character errors / characters"),
    ("per", "PER by a judge", "%", "lower", "phone errors / phones"),
    ("mos-overall", "DNSMOS", "", "higher", "DNSMOS overall, 1 to 5"),
    ("mos-signal", "DNSMOS signal", "", "higher", "DNSMOS signal, 1 to 5"),
    ("mos-background", "DNSMOS background", "", "higher", "DNSMOS background, 1 to 5"),
    ("mos-p808", "DNSMOS P.808", "", "higher", "DNSMOS P.808, 1 to 5"),
    ("nearest-is-target", "nearest to the target", "%", "higher", "sounds whose nearest voice is the target's / all"),
    ("nearest-is-source", "nearest to the source", "%", "lower", "sounds whose nearest voice is the source's / all"),
    ("alike-target", "likeness with the target", "", "higher", "similarity to the target's voice, -1 to 1"),
    ("alike-source", "likeness with the source", "", "lower", "similarity to the source's voice, -1 to 1"),
    ("alike-other", "likeness with others", "", "", "similarity to the most similar of all other voices, -1 to 1"),
    ("f0-correlation", "F0 correlation", "", "higher", "correlation of log F0 with the recording's"),
    ("voicing-error", "voicing error", "%", "lower",
     "share of the frames that are voiced in only one of sound and recording"),
    ("loudness", "loudness", "dB", "", "dB above the recording, of what is not silent"),
    ("silence", "silence", "%", "", "share of stretches of 10 ms that are silent"),
    ("clipping", "clipping", "%", "lower", "samples at full scale / all"),
)  # fmt: skip

DEFINITIONS: tuple[Definition, ...] = (
    Definition(
        "abx-SPEAKER-CONTEXT-DISTANCE", "ABX {SPEAKER}", "%", "lower",
        "How often a sound X is nearer to a sound of another phone than to a sound of its own phone; chance is 50 %.",
        "See abx.md.", "Schatz, 2016; fastabx", first=True,
    ),
    Definition(
        "pnmiFRAMES", "PNMI", "", "higher",
        "Share of the information about a frame's phone that its unit carries; grows with the number of codes.",
        "I(phone; unit) / H(phone) on frames. Grows with K, so K stands beside it.", "Hsu et al., 2021", first=True,
    ),
    Definition(
        "per-mapping-many-to-oneFIT-PHONES", "PER, many-to-one mapping", "%", "lower", _PER,
        "Each unit stands for the phone that it meets on most frames of the fitting side (`--train`, or other speakers "
        "by `--data`); units never seen stand for the most frequent phone. Equal neighbours are merged, then silence "
        "is dropped. Edits over reference phones. The reference is the phones of the alignment, unchanged: equal "
        "phones in a row stay two.",
        first=True,
    ),
    Definition(
        "per-probe-ctc-PROBE-PHONES", "PER, small ASR", "%", "lower", _PER,
        "Greedy decoding of a CTC probe (64-dimensional embeddings or standardised features, one BiLSTM of 2 x 128 or "
        "none, one linear layer) trained on the fitting side, in stretches of 1 s cut at phone edges.", first=True,
    ),
    Definition(
        "per-ctc-head-PHONES", "PER, the model's own head", "%", "lower", _PER,
        "Best path of the CTC head of a supervised model; equal phones in a row merged where no blank is between.",
        "Graves et al., 2006", first=True,
    ),
    Definition(
        "unit-edit-distance-CHANGE", "unit edit distance, {CHANGE}", "%", "lower",
        "How much of the units changes when the sound changes: noise, a room, another speed.",
        "Levenshtein of de-duplicated units of clean and changed audio over the clean length, for the changes of "
        "`unitdisc encode --change`: noise-20, noise-10, noise-0, reverberation, speed-90, speed-110, gain-up, "
        "gain-down, band-limit.", "Gat et al., 2023", first=True,
    ),
    Definition(
        "speaker-accuracy-VECTOR", "speaker told from {VECTOR}", "%", "lower", _TOLD,
        "Classification of the speaker of an utterance from its share of each code, or from its mean codeword. "
        "Logistic regression, 5 folds that divide each speaker's utterances; all speakers have the same weight; chance "
        "is 1 / speakers. Of more than 200 speakers, 200 are drawn; of more than 20,000 utterances, every n-th.",
        first=True,
    ),
    Definition(
        "speaker-eer-VECTOR-cosine", "EER of the speaker by {VECTOR}", "%", "higher",
        "Error in deciding if two utterances are by one speaker: 50 % means that units do not show it.",
        "EER of all pairs of utterances by cosine after centring. Of more than 200 speakers, 200 are drawn; of more "
        "than 3,000 utterances, every n-th.",
    ),
    Definition(
        "boundary-r-value-OF-TOLERANCEMATCH", "R-value of boundaries of {OF}", "", "higher", _EDGES + " Best is 1.",
        "Recall and over-segmentation in one number.", "Räsänen et al., 2009", first=True,
    ),
    Definition(
        "boundary-precision-OF-TOLERANCEMATCH", "precision of boundaries of {OF}", "%", "higher", _EDGES,
        "Changes of the unit (`mapped`: of the phones that the many-to-one mapping gives) against changes of the "
        "phone. They are matched one to one, as many as possible. Boundaries within the tolerance of an utterance's "
        "ends are left out on both sides. `-rasanen`: a true boundary is hit if a found one lies in its search region, "
        "which is the tolerance, but goes no further than half-way to the next boundary. `-greedy`: each found "
        "boundary in turn takes the nearest true one that is free.",
    ),
    Definition(
        "boundary-recall-OF-TOLERANCEMATCH", "recall of boundaries of {OF}", "%", "higher", _EDGES, "Likewise.",
    ),
    Definition("boundary-f1-OF-TOLERANCEMATCH", "F1 of boundaries of {OF}", "%", "higher", _EDGES, "Likewise."),
    Definition(
        "boundary-os-OF-TOLERANCEMATCH", "over-segmentation of {OF}", "%", "",
        "How many boundaries are too many, as a share of the true ones; below 0: too few.", "Recall / precision - 1.",
    ),
    Definition(
        "bitrate-zr2020", "bitrate", "bit/s", "", _BITS,
        "(N / D) H(symbol), one symbol per frame, entropy over the whole file.", "Dunbar et al., 2019", first=True,
    ),
    Definition(
        "bitrate-with-durations", "bitrate with durations", "bit/s", "", _BITS,
        "The same of (unit, duration) pairs, which are needed to decode with times.",
    ),
    Definition(
        "bitrate-zr2020-dedup", "bitrate without durations", "bit/s", "", _BITS, "The same of de-duplicated units.",
    ),
    Definition("bitrate-nominal", "nominal bitrate", "bit/s", "", _BITS, "Frames per second times log2 K."),
    Definition(
        "bitrate-nominal-dedup", "nominal bitrate without durations", "bit/s", "", _BITS,
        "Units per second times log2 K.",
    ),
    Definition(
        "units-per-second", "units per second", "1/s", "", "How often the unit changes.",
        "Equal neighbours are one unit.", first=True,
    ),
    Definition("frames-per-second", "frames per second", "1/s", "", "How often there is a unit."),
    Definition(
        "active-codes", "codes in use", "", "",
        "How many different units occur; far fewer than there are codes: the codebook has collapsed.",
        "Over all frames of the file (`unitdisc score usage` needs no labels), as the next two scores.", first=True,
    ),
    Definition(
        "perplexity", "perplexity of the codes", "", "",
        "How many codes would have the same entropy if all were used equally often.",
        "exp of the entropy of the units.", first=True,
    ),
    Definition(
        "share-of-codes-that-carry-90-percent", "codes that carry 90 % of the frames", "%", "",
        "Share of the codebook that stands for 90 % of all frames.",
    ),
    Definition(
        "phone-purityFRAMES", "phone purity", "%", "higher",
        "Share of the frames whose phone is the most frequent one of their unit.", reference="Hsu et al., 2021",
    ),
    Definition(
        "cluster-purityFRAMES", "cluster purity", "%", "higher",
        "Share of the frames whose unit is the most frequent one of their phone.", reference="Hsu et al., 2021",
    ),
    Definition(
        "v-measureFRAMES", "V-measure", "", "higher",
        "How much units say about phones, and phones about units, in one number.",
        "Harmonic mean of PNMI and I / H(unit).", "Rosenberg and Hirschberg, 2007",
    ),
    Definition(
        "amiFRAMES", "AMI", "", "higher", "How much units and phones say about each other, beyond chance.",
        "Mutual information adjusted for chance (arithmetic mean; the interval holds the chance level fixed).",
        "Vinh et al., 2010",
    ),
    Definition(
        "per-mapping-one-to-oneFIT-PHONES", "PER, one-to-one mapping", "%", "",
        "Phone error rate if each phone has at most one unit. It is low after a collapse, too: do not rank by it.",
        "The assignment of units to phones that matches most frames (Hungarian algorithm). The other units stand for "
        "nothing, so the error is low if few units stand for a phone. No table of unitdisc marks a best value of it.",
    ),
    Definition(
        "frame-accuracy-PROBE-PHONES", "phones of frames told by a probe", "%", "higher",
        "Share of the frames whose phone a small classifier finds.",
        "A linear probe, and one with 128 hidden units.",
    ),
    Definition(
        "pnmi-discophon", "PNMI as DiscoPhon has it", "", "higher",
        "Share of the information about a phone that the unit carries; silence is a phone.",
        "On a 10 ms grid, on which units are repeated; with all labels unchanged, also silence.", "DiscoPhon 0.2",
    ),
    Definition(
        "per-discophon-many-to-one", "PER as DiscoPhon has it", "%", "lower", _PER,
        "The many-to-one mapping is fitted on all frames that are scored; silence counts; equal neighbours are merged "
        "in the reference, too.", "DiscoPhon 0.2",
    ),
    Definition(
        "per-discophon-one-to-one", "PER as DiscoPhon has it, one-to-one", "%", "lower", _PER,
        "Likewise, by the mapping that gives each phone one unit and matches most frames. The benchmark's other track.",
        "DiscoPhon 0.2",
    ),
    Definition(
        "boundary-f1-discophon", "F1 of boundaries as DiscoPhon has it", "%", "higher", _EDGES,
        "Changes of the mapped phones; search regions of 20 ms in whole milliseconds; the ends of utterances count.",
        "DiscoPhon 0.2",
    ),
    Definition(
        "boundary-r-value-discophon", "R-value of boundaries as DiscoPhon has it", "", "higher", _EDGES, "Likewise.",
        "DiscoPhon 0.2",
    ),
    Definition(
        "boundary-f1-discophon-one-to-one", "F1 of boundaries as DiscoPhon has it, one-to-one", "%", "higher", _EDGES,
        "Likewise, of the phones by the one-to-one mapping.", "DiscoPhon 0.2",
    ),
    Definition(
        "boundary-r-value-discophon-one-to-one", "R-value of boundaries as DiscoPhon has it, one-to-one", "", "higher",
        _EDGES, "Likewise, of the phones by the one-to-one mapping.", "DiscoPhon 0.2",
    ),
    Definition(
        "conversion-heard-as-target", "heard as the target's voice", "%", "higher",
        "How often a classifier trained on real speech hears the target's voice in a conversion.",
        "Logistic regression on the mean and deviation over time of each feature, trained on real utterances of all "
        "speakers of `--real`, who have the same weight. Resyntheses are not counted. Beside it stands how often the "
        "classifier is right on real utterances that it has not seen.", first=True,
    ),
    Definition(
        "conversion-heard-as-source", "heard as the source's voice", "%", "lower",
        "How often a classifier trained on real speech still hears the source's voice in a conversion.", "Likewise.",
        first=True,
    ),
    Definition(
        "SIDE-per-probe-ctc-PROBE-PHONES", "PER of {SIDE}, small ASR", "%", "lower", _PER,
        "PER on sources, copies, resyntheses and conversions of one CTC probe. It is trained on the real speech of "
        "`--train`, without the utterances that were converted. A conversion has the phones of its source.", first=True,
    ),
    Definition(
        "mcd-13-resynthesis", "mel-cepstral distance of resyntheses", "dB", "lower",
        "How far the spectrum of a resynthesis is from that of its source.",
        "10 / ln 10 sqrt(2 sum of squared differences of c1..c13) between resynthesis and source, frame by frame "
        "without warping. It is the mean over the frames that are at most 40 dB below the loudest one of the source. "
        "One-sided cepstra of 40 log mel bands.", "Kubichek, 1993",
    ),
    *(
        Definition(f"judged-{name}-HEARDJUDGE", title + " of {HEARD}", unit, better, gloss, reference=_JUDGES)
        for name, title, unit, better, gloss in _JUDGED
    ),
)  # fmt: skip


@lru_cache(maxsize=4096)
def define(definition: str) -> Definition:
    """Return the row of a score; of one that nobody here defined, a row that says no more than its name."""
    for row in DEFINITIONS:
        if row.values(definition) is not None:
            return row
    return Definition(definition, definition.replace("{", "{{").replace("}", "}}"), "", "", "")


def place_of(definition: str) -> tuple[int, str]:
    """Return where a score stands in a table: in the order of the rows, the usual kinds first."""
    row = define(definition)
    known = row in DEFINITIONS
    usual = not row.titled(definition).endswith(")")
    return (DEFINITIONS.index(row) if known else len(DEFINITIONS)), f"{not usual} {definition}"


def glossary(definitions: Iterable[str]) -> list[tuple[str, str]]:
    """Return titles and glosses of the scores that are there, those of one gloss together."""
    titles: dict[str, dict[str, None]] = {}
    for definition in definitions:
        row = define(definition)
        if row.gloss:
            titles.setdefault(row.gloss, {})[row.titled(definition).split(" (")[0]] = None
    return [("; ".join(names), gloss) for gloss, names in titles.items()]
