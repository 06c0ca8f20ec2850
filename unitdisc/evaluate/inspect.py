"""The essentials of a unit file on one screen."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from unitdisc.data.units import read_header, read_units
from unitdisc.errors import clipped
from unitdisc.evaluate.clusters import codes_for_share, perplexity
from unitdisc.evaluate.contingency import CellCounter

TOP = 10


def essentials(path: str | Path, given: str | Path | None = None) -> dict[str, Any]:
    """Return the essentials of a unit file, or of what it was made of; without frames there are no rates."""
    header, counter = read_header(path), CellCounter(most=1)
    utterances = units = frames = longest = empty = 0
    for line in read_units(path):
        length = int(line.durations.sum())
        utterances, units, frames = utterances + 1, units + len(line.units), frames + length
        longest, empty = max(longest, int(line.durations.max(initial=0))), empty + (length == 0)
        counter.add("all", line.frames)
    about: dict[str, Any] = {
        "file": str(given or path),
        **asdict(header),
        "cardinality": header.cardinality,
        "utterances": utterances,
        "empty": empty,
        "frames": frames,
        "units": units,
    }
    if frames:
        found, table = counter.result()
        usage = np.asarray(table.sum(axis=0)).ravel()
        order = np.argsort(-usage, kind="stable")[:TOP]
        few = len(found) < 0.1 * header.cardinality and frames > 50 * header.cardinality
        about |= {
            "seconds": frames * header.period,
            "units_per_second": units / (frames * header.period),
            "longest": longest * header.period,
            "used": len(found),
            "perplexity": float(perplexity(usage[None])[0]),
            "codes_for_90_percent": int(codes_for_share(usage[None])[0]),
            "most_frequent": {str(found[i]): float(usage[i] / frames) for i in order},
            "collapsed": bool(usage.max() > 0.5 * frames or few),
        }
    return about


def summary(path: str | Path, given: str | Path | None = None) -> str:
    """Describe a unit file: its contract, how much is in it, how its codes are used, and what looks wrong."""
    about = essentials(path, given)
    codes, period = about["cardinality"], about["period"]
    rows = [
        ("file", about["file"]),
        ("codes", " x ".join(map(str, about["codes"])) + (f" = {codes}" if len(about["codes"]) > 1 else "")),
        ("frames", f"every {1000 * period:g} ms, the first centred at {about['offset'] + period / 2:g} s"),
        ("codebook", about["codebook"] or "unknown"),
        ("model", about["model"] or "unknown"),
        *((f"origin: {key}", clipped(value)) for key, value in about["origin"].items()),
        ("utterances", f"{about['utterances']}" + (f", of which {about['empty']} are empty" if about["empty"] else "")),
    ]
    if about["frames"]:
        seconds = about["seconds"]
        rows += [
            ("speech", f"{about['frames']} frames, {seconds:.1f} s ({seconds / 3600:.2f} h)"),
            ("units", f"{about['units']}: {about['units_per_second']:.2f} per second, "
             f"{1000 / about['units_per_second']:.0f} ms on average, {1000 * about['longest']:.0f} ms the longest"),
            ("used", f"{about['used']} of {codes} codes; perplexity {about['perplexity']:.1f}; "
             f"{about['codes_for_90_percent']} codes carry 90 % of the frames"),
            ("most frequent", "  ".join(f"{unit}: {share:.1%}" for unit, share in about["most_frequent"].items())),
        ]  # fmt: skip
        if about["collapsed"]:
            rows.append(("warning", "few codes carry nearly all frames: has the codebook collapsed?"))
    width = max(len(key) for key, _ in rows)
    return "\n".join(f"{key.ljust(width)}  {value}" for key, value in rows)
