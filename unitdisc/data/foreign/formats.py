"""All formats of other tools whose units are read, and which of them a source is of."""

from unitdisc.data.foreign.arrays import ARRAYS
from unitdisc.data.foreign.base import Format, Source
from unitdisc.data.foreign.fairseq import FAIRSEQ
from unitdisc.data.foreign.jsonl import JSONL
from unitdisc.data.foreign.lhotse import LHOTSE
from unitdisc.data.foreign.text import BARS, ESPNET, TEXT, ZEROSPEECH
from unitdisc.data.foreign.timed import CTM, TEXTGRID
from unitdisc.data.foreign.zerospeech2019 import ZEROSPEECH2019
from unitdisc.errors import DataError, shown

FORMATS: dict[str, Format] = {
    each.name: each
    for each in (FAIRSEQ, TEXT, ESPNET, CTM, TEXTGRID, JSONL, ZEROSPEECH, ZEROSPEECH2019, BARS, LHOTSE, ARRAYS)
}


def format_of(source: Source, name: str = "", option: str = "--units-format", features: bool = True) -> Format | None:
    """Return the format of a source: the one that is named, or the only one that its content fits; None: none fits.

    Without `features`, what a score of features would take for features is none, either.
    """
    if name:
        if name not in FORMATS:
            raise DataError(f"units are read in the formats {', '.join(FORMATS)}, got {name!r}")
        return FORMATS[name]
    fitting = [each for each in FORMATS.values() if (features or not each.like_features) and each.fits(source)]
    if len(fitting) > 1:
        names = " or ".join(each.name for each in fitting)
        raise DataError(f"{source.path}: can be read as {names}; say which it is by {option}")
    return fitting[0] if fitting else None


def not_units(source: Source, option: str = "--units-format") -> DataError:
    """Return the error of a source that no format fits."""
    got = "a folder" if source.is_folder else shown(source.first[0]) if source.first else "no text"
    return DataError(
        f"{source.path}: expected a unit file, or units in a format of other tools ({', '.join(FORMATS)}; "
        f"{option} names it), got {got}"
    )
