"""The essentials of a unit file on one screen."""

from pathlib import Path

import numpy as np

from unitdisc.data.units import read_header, read_units
from unitdisc.evaluate.clusters import codes_for_share, perplexity
from unitdisc.evaluate.contingency import CellCounter

TOP = 10


def summary(path: str | Path) -> str:
    """Describe a unit file: its contract, how much is in it, how its codes are used, and what looks wrong."""
    header, counter = read_header(path), CellCounter(most=1)
    utterances = units = frames = longest = empty = 0
    for line in read_units(path):
        length = int(line.durations.sum())
        utterances, units, frames = utterances + 1, units + len(line.units), frames + length
        longest, empty = max(longest, int(line.durations.max(initial=0))), empty + (length == 0)
        counter.add("all", line.frames)
    codes = header.cardinality
    rows = [
        ("file", str(path)),
        ("codes", " x ".join(map(str, header.codes)) + (f" = {codes}" if len(header.codes) > 1 else "")),
        ("frames", f"every {1000 * header.period:g} ms, the first centred at {header.offset + header.period / 2:g} s"),
        ("codebook", header.codebook or "unknown"),
        ("model", header.model or "unknown"),
        *((f"origin: {key}", value) for key, value in header.origin.items()),
        ("utterances", f"{utterances}" + (f", of which {empty} are empty" if empty else "")),
    ]
    if frames:
        found, table = counter.result()
        usage = np.asarray(table.sum(axis=0)).ravel()
        order = np.argsort(-usage, kind="stable")[:TOP]
        seconds = frames * header.period
        rows += [
            ("speech", f"{frames} frames, {seconds:.1f} s ({seconds / 3600:.2f} h)"),
            ("units", f"{units}: {units / seconds:.2f} per second, {1000 * seconds / units:.0f} ms on average, "
             f"{1000 * longest * header.period:.0f} ms the longest"),
            ("used", f"{len(found)} of {codes} codes; perplexity {perplexity(usage[None])[0]:.1f}; "
             f"{int(codes_for_share(usage[None])[0])} codes carry 90 % of the frames"),
            ("most frequent", "  ".join(f"{found[i]}: {usage[i] / frames:.1%}" for i in order)),
        ]  # fmt: skip
        if usage.max() > 0.5 * frames or (len(found) < 0.1 * codes and frames > 50 * codes):
            rows.append(("warning", "few codes carry nearly all frames: has the codebook collapsed?"))
    width = max(len(key) for key, _ in rows)
    return "\n".join(f"{key.ljust(width)}  {value}" for key, value in rows)
