"""Robustness: how far units move when the audio is changed but what is said is not."""

from collections.abc import Iterator
from itertools import zip_longest

from unitdisc.data.units import UnitLine, check_same_codebook
from unitdisc.errors import DataError
from unitdisc.evaluate.edits import edits
from unitdisc.evaluate.mapping import merged
from unitdisc.evaluate.scores import Counts, Groups, Score, bootstrap
from unitdisc.evaluate.units import AnyUnits, Units

MAX_MISSING = 0.01  # share of the clean utterances that the changed file may lack


def unit_edit_distance(
    clean: AnyUnits, changed: AnyUnits, condition: str = "", seed: int = 0, resamples: int = 1000
) -> Score:
    """Compare two unit files of the same utterances: pooled edits of the de-duplicated units over the clean ones.

    `condition` names the change ("noise-10") and goes into the definition; by default the changed file says it.
    """
    ours, theirs = Units.of(clean), Units.of(changed)
    one, other = ours.header, theirs.header
    check_same_codebook(one, other, (str(clean), str(changed)))
    if one.codes != other.codes or abs(one.period - other.period) > 1e-9:
        raise DataError(
            f"{changed}: has {other.codes} codes and a period of {other.period:g} s, but {clean} has {one.codes} and "
            f"{one.period:g} s; encode both with the same checkpoint"
        )
    condition = condition or other.change or theirs.path.stem
    rows, missing, extra, used, equal = Groups(), 0, 0, 0, 0
    for left, right in common(ours, theirs):
        if left is None or right is None:
            missing, extra = missing + (right is None), extra + (left is None)
            continue
        used += 1
        result = edits([merged(left.units)], [merged(right.units)])
        rows.add(left.utt, [result.total[0], result.lengths[0]])
        equal += int(result.total[0] == 0)
    if not used:
        raise DataError(f"{changed}: has no utterance of {clean}; is it of another corpus?")
    if missing > MAX_MISSING * (used + missing):
        raise DataError(f"{changed}: lacks {missing} of the {used + missing} utterances of {clean}; encode it again")
    table = rows.table()
    edited, length = table.sum(axis=0)
    if not length:
        raise DataError(f"{clean}: has no units to compare")
    return Score(
        "ued",
        float(edited / length),
        f"unit-edit-distance-{condition}",
        options={"condition": condition, "codes": one.cardinality},
        counts=Counts(
            {"utterances": used, "units": int(length)},
            {"utterances without a changed copy": missing, "utterances without a clean copy": extra},
        ),
        interval=bootstrap(table, seed=seed, resamples=resamples),
        period=one.period,
        hashes=ours.hashes | {"changed": theirs.hashes["units"]},
        parts={"edits": int(edited), "exactly equal utterances": equal},
    )


def common(clean: AnyUnits, changed: AnyUnits) -> Iterator[tuple[UnitLine | None, UnitLine | None]]:
    """Walk two unit files side by side; at the end, None stands for an utterance that one of them lacks.

    In memory are those that wait for the other file to come to them: few, if both are in about the same order.
    """
    ours, theirs = dict[str, UnitLine](), dict[str, UnitLine]()
    for left, right in zip_longest(Units.of(clean), Units.of(changed)):
        if left is not None:
            ours[left.utt] = left
        if right is not None:
            theirs[right.utt] = right
        for utt in {line.utt: None for line in (left, right) if line is not None}:
            if utt in ours and utt in theirs:
                yield ours.pop(utt), theirs.pop(utt)
    yield from ((left, None) for left in ours.values())
    yield from ((None, right) for right in theirs.values())
