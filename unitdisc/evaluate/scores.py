"""What every score is stored as: a value with its definition, options, counts and interval."""

import functools
import hashlib
import json
import math
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unitdisc import __version__
from unitdisc.digests import add_file
from unitdisc.errors import shown
from unitdisc.evaluate.definitions import define
from unitdisc.files import whole_file
from unitdisc.reading import parse_json, reading

if TYPE_CHECKING:
    from scipy import sparse  # slow to import

FORMAT = "unitdisc-scores-1"
DRAWN = 500_000  # numbers of resampled sums in memory at once
Statistic = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class ConfidenceInterval:
    """A bootstrap confidence interval and how it was made."""

    low: float
    high: float
    level: float = 0.95
    over: str = "utterances"  # what was drawn with replacement
    groups: int = 0  # how many of them there are
    resamples: int = 1000
    seed: int = 0
    method: str = "percentile"  # or "centred": percentiles moved so that their median is the value, as far as it can be


@dataclass(frozen=True)
class Counts:
    """What was used and what was left out, and why."""

    used: dict[str, int] = field(default_factory=dict)  # noun -> count, for instance {"utterances": 10}
    dropped: dict[str, int] = field(default_factory=dict)  # reason -> count


@dataclass(frozen=True)
class Score:
    """One number that says what it is.

    `definition` names the formula with all that changes it: the same definition and options, the same number.
    """

    name: str  # short, the key of the value in JSON: "abx"
    value: float  # NaN where it is not defined
    definition: str  # "abx-triphone-within-within-angular"
    options: dict[str, Any] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)
    interval: ConfidenceInterval | None = None
    period: float | None = None  # seconds per frame of what was scored
    hashes: dict[str, str] = field(default_factory=dict)  # "units", "alignment", "items", "codebook", ...
    parts: dict[str, Any] = field(default_factory=dict)  # what the value is made of, or goes with it
    version: str = __version__

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; the value stands under "value" and under the score's own name."""
        return _plain({self.name: self.value, **asdict(self)})

    @classmethod
    def from_json(cls, record: dict[str, Any], where: str | Path = "scores") -> "Score":
        """Build a score from what to_json made; `where` it stands is said if it is none."""
        with reading(where, "a score of unitdisc", got=partial(shown, record)):
            fields = {key: record[key] for key in cls.__dataclass_fields__}
            fields["counts"] = Counts(**fields["counts"])
            fields["interval"] = ConfidenceInterval(**fields["interval"]) if fields["interval"] else None
            fields["value"] = math.nan if fields["value"] is None else float(fields["value"])
            return cls(**fields)


def _plain(value: Any) -> Any:
    """Turn numpy scalars, arrays and NaN into what JSON has: numbers, lists and null."""
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def write_scores(path: str | Path, scores: Iterable[Score], subject: str = "") -> None:
    """Write scores as one JSON file, there whole or not at all; `subject` names what they are of."""
    about = {"subject": subject} if subject else {}
    record = {"format": FORMAT, **about, "scores": [score.to_json() for score in scores]}
    with whole_file(Path(path)) as out:
        out.write(json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_scores(path: str | Path) -> list[Score]:
    """Read what write_scores wrote."""
    path = Path(path)
    what = f'a file of scores, {{"format": "{FORMAT}", "scores": [...]}}'
    with reading(path, what, none="`unitdisc score all` makes one"):
        record = parse_json(path.read_text("utf-8"))
        if record["format"] != FORMAT:
            raise ValueError(f"format {shown(record['format'])}")
        return [Score.from_json(score, path) for score in record["scores"]]


def table(scores: Iterable[Score]) -> str:
    """Return scores as a table of text, one line each: definition, what it is, value, interval, what was used."""
    rows = [("score", "what it is", "value", "95 % interval", "used", "dropped")]
    for score in scores:
        row = define(score.definition)
        interval = f"{row.text(score.interval.low)} .. {row.text(score.interval.high)}" if score.interval else ""
        used = ", ".join(f"{count} {noun}" for noun, count in score.counts.used.items())
        dropped = ", ".join(f"{count} {why}" for why, count in score.counts.dropped.items() if count)
        codes = f" (K = {score.parts['codes']})" if "codes" in score.parts else ""
        rows.append(
            (score.definition + codes, row.headed(score.definition), row.text(score.value), interval, used, dropped)
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def file_hash(path: str | Path) -> str:
    """Hash a file, or the names and contents of a folder's files, to 12 hexadecimal digits."""
    path = Path(path)
    whole = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]:
        if path.is_dir():
            whole.update(str(file.relative_to(path)).encode() + b"\0")
        add_file(whole, file)
    return whole.hexdigest()[:12]


class Rows:
    """The row of each name. The first `most` names have one each; names beyond share them by their hash.

    This leaves the bootstrap right: its groups are then random sets of utterances.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._rows: dict[str, int] = {}

    def of(self, name: str) -> int:
        """Return the row of a name."""
        if len(self._rows) < self.most:
            return self._rows.setdefault(name, len(self._rows))
        return self._rows.get(name, zlib.crc32(name.encode()) % self.most)


class Groups:
    """Sufficient statistics summed per utterance (or speaker), for the bootstrap, in at most `most` rows."""

    def __init__(self, most: int = 4096) -> None:
        self._rows = Rows(most)
        self._sums: dict[int, np.ndarray] = {}

    def add(self, name: str, sums: Sequence[float] | np.ndarray) -> None:
        """Add one utterance's sums [S] to the row of `name`."""
        row = self._rows.of(name)
        sums = np.asarray(sums, dtype=np.float64)
        self._sums[row] = self._sums[row] + sums if row in self._sums else sums

    def table(self) -> np.ndarray:
        """Return the rows [N, S]."""
        return np.stack([self._sums[row] for row in sorted(self._sums)])


def ratio(sums: np.ndarray) -> np.ndarray:
    """Return numerator over denominator of [R, 2]; NaN over nothing."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(sums[:, 1] > 0, sums[:, 0] / sums[:, 1], np.nan)


def bootstrap(
    rows: "np.ndarray | sparse.spmatrix",
    statistic: Statistic = ratio,
    *,
    over: str = "utterances",
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
    centred: bool = False,
    within: tuple[float, float] = (-math.inf, math.inf),
) -> ConfidenceInterval | None:
    """Return the interval of a pooled statistic by drawing the rows with replacement.

    rows [N, S] holds each group's sufficient statistics (dense or sparse); they are summed over the drawn groups, and
    `statistic` maps such sums [R, S] to values [R]. The default is numerator over denominator. Estimates that few data
    bias, as they do entropies, need `centred`, and `within`, the range of what the value can be. None with fewer than
    two groups: there is nothing to draw.
    """
    return bootstrap_many(
        rows,
        statistic,
        over=over,
        level=level,
        resamples=resamples,
        seed=seed,
        centred=centred,
        within=within,
        values=1,
    )[0]


def bootstrap_many(
    rows: "np.ndarray | sparse.spmatrix",
    statistic: Statistic,
    *,
    values: int,
    over: str = "utterances",
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
    centred: bool = False,
    within: tuple[float | Sequence[float], float | Sequence[float]] = (-math.inf, math.inf),
) -> list[ConfidenceInterval | None]:
    """Return the intervals of several statistics of the same draws; `statistic` maps sums [R, S] to [R, values]."""
    groups, width = rows.shape
    if groups < 2 or resamples < 2:
        return [None] * values
    rng = np.random.default_rng(seed)
    columns = np.asarray(rows, dtype=np.float64).T if isinstance(rows, np.ndarray) else rows.tocsr().T.tocsr()
    step = max(1, min(resamples, DRAWN // max(width, groups)))
    drawn_values: list[np.ndarray] = []
    for first in range(0, resamples, step):
        drawn = rng.multinomial(groups, np.full(groups, 1 / groups), size=min(step, resamples - first))
        drawn_values.append(statistic((columns @ drawn.T).T).reshape(len(drawn), values))
    spread = np.concatenate(drawn_values)
    whole = np.asarray(rows.sum(axis=0), dtype=np.float64).reshape(1, -1)
    centres = statistic(whole).reshape(values) if centred else [None] * values
    made = functools.partial(ConfidenceInterval, level=level, over=over, groups=groups, resamples=resamples, seed=seed)
    ranges = np.stack([np.broadcast_to(end, values) for end in within], axis=1)
    return [_interval(spread[:, i], level, centres[i], ranges[i], made) for i in range(values)]


def _interval(
    spread: np.ndarray, level: float, centre: float | None, within: np.ndarray, made: Callable[..., ConfidenceInterval]
) -> ConfidenceInterval | None:
    spread = spread[np.isfinite(spread)]
    if not len(spread):
        return None
    low, middle, high = np.quantile(spread, [(1 - level) / 2, 0.5, (1 + level) / 2])
    shift = 0.0 if centre is None else centre - middle
    ends = np.clip([low + shift, high + shift], *within)
    return made(*ends.tolist(), method="percentile" if centre is None else "centred")


def pooled(
    numerators: Sequence[float], denominators: Sequence[float], **options: Any
) -> tuple[float, ConfidenceInterval | None]:
    """Return sum(numerators) / sum(denominators) with its interval; one entry per utterance."""
    rows = np.stack([np.asarray(numerators, dtype=np.float64), np.asarray(denominators, dtype=np.float64)], axis=1)
    return float(ratio(rows.sum(axis=0, keepdims=True))[0]), bootstrap(rows, **options)
