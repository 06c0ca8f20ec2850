"""What judges from outside heard in each sound (`unitdisc score conversion --judges --rows FILE`), for the page."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unitdisc.reading import json_lines

ROWS = "judged*.jsonl"  # in the folder of a run, or in its scores
RECORDING = "recording"  # the side of a row that is no sound of a model

Key = tuple[str, ...]
FORMS = {
    "mos-overall": "DNSMOS {:.1f}",
    "wer": "WER {:.0%}",
    "per": "PER {:.0%}",
    "f0-correlation": "F0 {:.2f}",
    "voicing-error": "voicing {:.0%} off",
}


def read_judged(exp: Path) -> dict[Key, str]:
    """Return the figures of each sound below a run's folder, as the page shows them, by key."""
    found: dict[Key, str] = {}
    for file in sorted([*exp.glob(ROWS), *exp.glob(f"scores/{ROWS}")]):
        advice = "unitdisc score conversion --judges --rows writes such a file"
        found.update(json_lines(file, '{"audio", "side", ...}', _judged, advice=advice))
    return found


def _judged(row: dict[str, Any]) -> tuple[Key, str]:
    return recording_key(row["utt"]) if row["side"] == RECORDING else key_of(row["audio"]), figures(row)


def key_of(path: str | Path) -> Key:
    """Return what names a sound that was made, wherever the folder of its run has been moved to."""
    return Path(path).parts[-3:]


def recording_key(utt: str) -> Key:
    """Return what names a recording, of which a file may hold several."""
    return (RECORDING, utt)


def figures(row: Mapping[str, Any]) -> str:
    """Return a row's figures in one line; those that no judge gave are left out."""
    parts = [form.format(float(row[name])) for name, form in FORMS.items() if row.get(name) is not None]
    if row.get("nearest-is-target") is not None:
        source = row.get("nearest-is-source") == 1
        whose = "the target's" if row["nearest-is-target"] == 1 else "the source's" if source else "another's"
        parts.append(f"nearest voice {whose}")
    return " · ".join(parts)
