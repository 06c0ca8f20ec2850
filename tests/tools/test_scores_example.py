"""The example of docs/scores.md: what differs between definitions, worked out by hand."""

import math
from pathlib import Path

import pytest
from places import TOP


@pytest.fixture
def values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    monkeypatch.syspath_prepend(str(TOP / "tools"))
    from scores_example import WAYS, example_scores

    scores = example_scores(tmp_path)
    return {way.definition: scores[way.definition].value for way in WAYS}


def entropy(*counts: int) -> float:
    """Return the entropy of counts, nats."""
    return -sum(n / sum(counts) * math.log(n / sum(counts)) for n in counts if n)


def test_phone_error_rates(values: dict[str, float]):
    """Units say SIL a b SIL."""
    assert values["per-mapping-many-to-one-oracle-nosil"] == 1 / 3  # of a a b one a is deleted
    assert values["per-mapping-many-to-one-oracle-sil"] == 1 / 5  # of SIL a a b SIL
    assert values["per-discophon-many-to-one"] == 0  # of SIL a b SIL nothing


def test_boundaries(values: dict[str, float]):
    """True: 0.05, 0.12 (between a and a), 0.20, 0.31 s. The mapped units change at 0.06, 0.18, 0.30 s."""
    recall = 3 / 4
    assert values["boundary-f1-mapped-oracle-20ms"] == pytest.approx(2 * recall / (1 + recall))
    assert values["boundary-f1-mapped-oracle-20ms-rasanen"] == pytest.approx(2 * recall / (1 + recall))
    one, other = math.hypot(1 - recall, recall - 1), (recall - 1 - (recall - 1)) / math.sqrt(2)
    assert values["boundary-r-value-mapped-oracle-20ms"] == pytest.approx(1 - (abs(one) + abs(other)) / 2)
    assert values["boundary-f1-discophon"] == values["boundary-r-value-discophon"] == 1  # 0.12 is none


def test_pnmi(values: dict[str, float]):
    """Counts of phone and unit; a frame of 20 ms has the phone at its centre."""
    # SIL 0: 2 at the start and 2 at the end (the centre 0.31 is of SIL), SIL 3: 1; a 0: 1, a 1: 6, a 2: 1; b 2: 5.
    tables = {
        "pnmi": {"SIL0": 4, "SIL3": 1, "a0": 1, "a1": 6, "a2": 1, "b2": 5},
        "pnmi-nosil": {"a0": 1, "a1": 6, "a2": 1, "b2": 5},
        # On 10 ms: SIL 0 to 5 and 31 to 36, a 5 to 20, b 20 to 31; units 0 to 6, 6 to 18, 18 to 30, 30 to 34, 34 to 36.
        "pnmi-discophon": {"SIL0": 8, "SIL3": 2, "a0": 1, "a1": 12, "a2": 2, "b2": 10, "b0": 1},
    }
    for name, counts in tables.items():
        phones, units = (dict.fromkeys(keys, 0) for keys in ({k[:-1] for k in counts}, {k[-1] for k in counts}))
        for key, count in counts.items():
            phones[key[:-1]] += count
            units[key[-1]] += count
        phone, unit, both = (entropy(*table.values()) for table in (phones, units, counts))
        assert values[name] == pytest.approx((phone + unit - both) / phone), name


def test_bitrates(values: dict[str, float]):
    seconds = 18 * 0.02
    assert values["bitrate-nominal"] == pytest.approx(2 / 0.02)
    assert values["bitrate-zr2020"] == pytest.approx(18 * entropy(5, 6, 6, 1) / math.log(2) / seconds)
    assert values["bitrate-zr2020-dedup"] == pytest.approx(5 * entropy(2, 1, 1, 1) / math.log(2) / seconds)
