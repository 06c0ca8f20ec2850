"""Cluster scores: how units and phones go together frame by frame, and how the codebook is used."""

from typing import Any

import numpy as np

from unitdisc.errors import DataError
from unitdisc.evaluate.aligned import AlignedUnits, Labeller
from unitdisc.evaluate.contingency import CellCounter, count_pairs
from unitdisc.evaluate.scores import Counts, Score, bootstrap, bootstrap_many
from unitdisc.evaluate.units import AnyUnits, Units


def entropy(counts: np.ndarray) -> np.ndarray:
    """Return the entropy in nats of counts [R, S] as [R]."""
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.where(totals > 0, totals, 1)
    return -(shares * np.log(np.where(shares > 0, shares, 1.0))).sum(axis=1)


def perplexity(counts: np.ndarray) -> np.ndarray:
    """Return exp of the entropy of counts [R, S] as [R]."""
    return np.exp(entropy(counts))


def codes_for_share(counts: np.ndarray, share: float = 0.9) -> np.ndarray:
    """Return the least number of codes that together carry a share of the frames of counts [R, S], as [R]."""
    carried = np.cumsum(np.sort(counts, axis=1)[:, ::-1], axis=1)
    return 1 + (carried < share * carried[:, -1:] - 1e-9).sum(axis=1)


def _flat(counts: np.ndarray) -> np.ndarray:
    return counts.reshape(len(counts), -1)


def _over(numerator: np.ndarray, denominator: np.ndarray, empty: float = 1.0) -> np.ndarray:
    """Divide; where nothing is to be explained, sklearn's convention says perfectly explained."""
    little = np.abs(denominator) < 1e-12
    return np.where(little, empty, numerator / np.where(little, 1.0, denominator))


def expected_information(phones: np.ndarray, units: np.ndarray) -> float:
    """Return the mean mutual information in nats of tables with these margins, [P] and [K], drawn at random.

    The sum over each cell's hypergeometric distribution starts at its mode and stops where its terms vanish. All cells
    go on at once, those that have not ended; compiled loops would take longer to load than this takes.
    """
    total = phones.sum()
    a, b = (side.ravel() for side in np.meshgrid(phones[phones > 0], units[units > 0], indexing="ij"))
    mode = np.floor((a + 1) * (b + 1) / (total + 2))
    mass, sums = np.zeros_like(mode), np.zeros_like(mode)
    for step in (1, -1):
        cells, n, weight = np.arange(len(mode)), mode, np.ones_like(mode)
        while len(cells):
            x, y = a[cells], b[cells]
            if step > 0 or (n < mode[cells]).all():  # the mode itself counts once
                mass[cells] += weight
                sums[cells] += weight * n * np.log(np.maximum(total * n, 1.0) / (x * y))
            if step > 0:
                weight = weight * (x - n) * (y - n) / ((n + 1) * (total - x - y + n + 1))
                alive = n + 1 <= np.minimum(x, y)
            else:
                weight = weight * n * (total - x - y + n) / ((x - n + 1) * (y - n + 1))
                alive = n - 1 >= np.maximum(0.0, x + y - total)
            alive &= weight > 1e-18
            cells, n, weight = cells[alive], (n + step)[alive], weight[alive]
    return float((sums / mass).sum() / total)


MEASURES = ("pnmi", "phone-purity", "cluster-purity", "v-measure", "ami")


def measures(counts: np.ndarray, expected: float | None = None) -> np.ndarray:
    """Return all MEASURES of counts [R, P, K] as [R, 5]."""
    total = counts.sum(axis=(1, 2))
    phone, unit, joint = entropy(counts.sum(axis=2)), entropy(counts.sum(axis=1)), entropy(_flat(counts))
    information = phone + unit - joint
    if expected is None:
        chance = np.array([expected_information(c.sum(axis=1), c.sum(axis=0)) for c in counts.astype(np.float64)])
    else:
        chance = np.full(len(counts), expected)
    homogeneity, completeness = _over(information, phone), _over(information, unit)
    columns = [
        homogeneity,
        counts.max(axis=1).sum(axis=1) / total,
        counts.max(axis=2).sum(axis=1) / total,
        _over(2 * homogeneity * completeness, homogeneity + completeness, empty=0.0),
        _over(information - chance, (phone + unit) / 2 - chance),
    ]
    return np.stack(columns, axis=1)


def cluster_scores(pairs: AlignedUnits, silence: str = "keep", seed: int = 0, resamples: int = 1000) -> list[Score]:
    """Score a unit file by its phones on frames; silence "keep" or "drop" says whether frames of silence count."""
    labeller, codes = pairs.labeller, pairs.header.cardinality
    pair = count_pairs(pairs, len(labeller.names), silence_to_drop(silence, labeller))
    if not pair.counts.sum():
        raise DataError(f"{pairs.path}: no frame is left to score; all are silence in {labeller.where}")
    table = pair.counts[None].astype(np.float64)
    # In the draws, the chance level of AMI is held at that of the whole set: it moves little, and costs most.
    expected = float(expected_information(table[0].sum(axis=1), table[0].sum(axis=0)))
    intervals = bootstrap_many(
        pair.rows,
        lambda sums: measures(sums.reshape(-1, *pair.counts.shape), expected),
        values=len(MEASURES),
        seed=seed,
        resamples=resamples,
        centred=True,
        within=([0.0, 0.0, 0.0, 0.0, -1.0], 1.0),  # AMI alone can be below 0
    )
    parts = {"codes": codes, "phones": int((pair.counts.sum(axis=1) > 0).sum())}
    about: dict[str, Any] = {
        "options": {"silence": silence, "codes": codes},
        "counts": Counts({**pairs.counts.used, "frames": int(pair.counts.sum())}, pairs.counts.dropped),
        "period": pairs.header.period,
        "hashes": pairs.hashes,
        "parts": parts,
    }
    suffix = "" if silence == "keep" else "-nosil"
    return [
        Score(name, float(value), f"{name}{suffix}", interval=interval, **about)
        for name, value, interval in zip(MEASURES, measures(table, expected)[0], intervals, strict=True)
    ]


def silence_to_drop(silence: str, labeller: Labeller) -> int | None:
    """Return the number of the phone to leave out: that of silence, or none."""
    if silence not in ("keep", "drop"):
        raise DataError(f"silence can be kept or dropped, got {silence!r}")
    return labeller.silence if silence == "drop" else None


def usage_scores(path: AnyUnits, seed: int = 0, resamples: int = 1000) -> list[Score]:
    """Score how a unit file uses its codes, over all of its frames."""
    source, counter = Units.of(path), CellCounter()
    header = source.header
    utterances = 0
    for line in source:
        utterances += 1
        counter.add(line.utt, line.frames)
    found, rows = counter.result()
    if not len(found):
        raise DataError(f"{path}: has no units to score; is it empty?")
    usage = np.asarray(rows.sum(axis=0))
    about: dict[str, Any] = {
        "options": {"codes": header.cardinality},
        "counts": Counts({"utterances": utterances, "frames": int(usage.sum())}),
        "period": header.period,
        "hashes": source.hashes,
        "parts": {"codes": header.cardinality},
    }

    def share_of_codes(counts: np.ndarray) -> np.ndarray:
        return codes_for_share(counts) / header.cardinality

    draws: dict[str, Any] = {"seed": seed, "resamples": resamples, "centred": True}
    return [
        Score("active-codes", len(found), "active-codes", **about),
        Score(
            "perplexity",
            float(perplexity(usage)[0]),
            "perplexity",
            interval=bootstrap(rows, perplexity, within=(1.0, header.cardinality), **draws),
            **about,
        ),
        Score(
            "codes-90",
            float(share_of_codes(usage)[0]),
            "share-of-codes-that-carry-90-percent",
            interval=bootstrap(rows, share_of_codes, within=(0.0, 1.0), **draws),
            **about,
        ),
    ]
