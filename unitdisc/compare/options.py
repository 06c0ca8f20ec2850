"""What is compared, and where it is written; nothing here loads torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from unitdisc.data.phones import SILENCES
from unitdisc.errors import MOST_FAILED

PHONES, ITEMS = "phones.ctm", "triphone.item"  # where a data directory has them
NAMES = ("mfcc", "mfcc-floor", "input", "lda", "kmeans")  # of the baselines


@dataclass(frozen=True)
class CompareOptions:
    """What is compared, and how."""

    train: Path  # data directories
    test: Path
    dev: Path | None = None  # whose phones a model's own head hears, too
    alignment: Path | None = None  # of test; phones.ctm in it by default
    train_alignment: Path | None = None
    items: Path | None = None  # triphone.item in test by default, or made of its phones
    beside: tuple[Path, ...] = ()  # unit files of other systems
    silences: frozenset[str] = SILENCES  # labels of the phones that are no phones
    baselines: tuple[str, ...] = NAMES  # which of these
    cache: Path | None = None  # `compared` beside test by default: what no model's scores depend on
    out: Path | None = None  # of the table; EXP/compare by default
    jobs: int = 1
    device: str = "cpu"
    max_failed: float = MOST_FAILED
    renew: bool = False  # encode again what another model encoded


@dataclass(frozen=True)
class ScoreOptions:
    """How the comparison is scored."""

    changes: tuple[str, ...] = ()  # of the sound: units are robust if they stay the same (data/change.py)
    downstream: tuple[str, ...] = ()  # subjects on which a small ASR is trained, by name; "all": on each
    seed: int = 0
    resamples: int = 1000  # of the bootstrap
    device: str = "cpu"  # of a model's own head


def table_folder(exps: Sequence[str | Path], options: CompareOptions) -> Path:
    """Return where the table is written."""
    if options.out is not None or not exps:
        return options.out or cache_folder(options)
    exp = Path(exps[0])
    return (exp.parent if exp.is_file() else exp) / "compare"


def cache_folder(options: CompareOptions) -> Path:
    """Return where baselines and their scores are kept."""
    return options.cache or options.test.parent / "compared"
