"""The scores of what is compared, part by part: each is kept under a hash of all that it follows from."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from unitdisc.compare.kept import key_of
from unitdisc.compare.options import PHONES, ScoreOptions
from unitdisc.compare.subjects import Speech, Subject
from unitdisc.encode import EncodeOptions, encode
from unitdisc.evaluate.abx import score_abx
from unitdisc.evaluate.abx_options import AbxOptions
from unitdisc.evaluate.bitrate import bitrate_scores
from unitdisc.evaluate.clusters import usage_scores
from unitdisc.evaluate.probe import ProbeConfig, probe_ctc
from unitdisc.evaluate.robustness import unit_edit_distance
from unitdisc.evaluate.scores import Score, file_hash, read_scores, write_scores
from unitdisc.evaluate.speaker import read_speakers, speaker_scores
from unitdisc.evaluate.suite import Sides, SuiteOptions, codebook_beside, if_enough, score_all
from unitdisc.head import head_scores
from unitdisc.processes import in_order
from unitdisc.reading import json_if_any

EPOCHS, STEPS = 6, 2400  # of the small ASR: few utterances are gone through more often


class ScorePart(NamedTuple):
    """Scores of one subject that are made and kept together."""

    subject: Subject
    kind: str  # of MAKERS; what stands behind a colon is the maker's to read
    speech: Speech
    options: ScoreOptions

    @property
    def file(self) -> Path:
        """Return where its scores are kept."""
        speech, options = self.speech, self.options
        about = [self.subject.key, self.kind, speech.key, speech.labels, options.seed, options.resamples]
        if self.kind == "head-dev" and self.subject.dev is not None:
            about.append(file_hash(self.subject.dev / PHONES))
        return self.subject.kept / f"{key_of(about)}.json"


def parts_of(subject: Subject, speech: Speech, options: ScoreOptions) -> list[ScorePart]:
    """Return what there is to score of a subject, what takes longest first."""
    kinds = []
    asr = "all" in options.downstream or subject.name in options.downstream
    if asr and speech.test_phones is not None and (subject.train_units or subject.train_vectors):
        kinds.append("downstream")
    if subject.head and speech.test_phones is not None:
        kinds.append("head")
    if subject.head and subject.dev is not None and (subject.dev / PHONES).exists():
        kinds.append("head-dev")
    if subject.units is not None and subject.model is not None:
        kinds += [f"changed:{change}" for change in options.changes]
    if subject.units is not None:
        kinds.append("units")
    if speech.items is not None and subject.vectors is not None:
        kinds += ["abx:across", "abx:within"] if len(speech.test.spk2utt) > 1 else ["abx:within"]
    return [ScorePart(subject, kind, speech, options) for kind in kinds]


def score_parts(
    parts: Iterable[ScorePart], jobs: int, say: Callable[[str], object]
) -> Iterator[tuple[ScorePart, list[Score]]]:
    """Yield the scores of each part, in order; those that are kept are read, others are made by so many processes.

    What is still to be made of a part's subject may be made while `parts` is asked for it: processes score meanwhile.
    """
    seen: list[ScorePart] = []

    def missing() -> Iterator[ScorePart]:
        for part in parts:
            seen.append(part)
            if not part.file.exists():
                yield part

    if jobs > 1:
        threads = max((os.cpu_count() or 1) // jobs, 1)
        # So far ahead that what takes long, a small ASR, does not keep the baselines after it from being made.
        kept = in_order(_keep, missing(), jobs, torch.set_num_threads, (threads,), preload=__name__, ahead=99)
    else:
        kept = map(_keep, missing())
    for part, notes in kept:
        _tell(part, notes, say)
    for part in seen:
        yield part, read_scores(part.file)


def _tell(part: ScorePart, notes: list[str], say: Callable[[str], object]) -> None:
    say(f"scored {part.subject.name}: {part.kind}")
    for note in notes:
        say(f"{part.subject.name}: {note}")


def _keep(part: ScorePart) -> tuple[ScorePart, list[str]]:
    notes: list[str] = []
    write_scores(part.file, MAKERS[part.kind.split(":")[0]](part, notes.append))
    return part, notes


Note = Callable[[str], object]


def _downstream(part: ScorePart, note: Note) -> list[Score]:
    """Train a small ASR on units, or on vectors where there are no units, and score its phones."""
    subject, speech, options = part.subject, part.speech, part.options
    of_units = subject.train_units is not None
    test, train = (subject.units, subject.train_units) if of_units else (subject.vectors, subject.train_vectors)
    assert test is not None
    config = ProbeConfig(epochs=max(EPOCHS, STEPS // len(speech.train.utts)), seed=options.seed)
    sides = _sides(part, test, train)
    if sides.train is None and sides.data is None:
        note("nothing of a small ASR: the training speech has other phones or none, the test speech one speaker")
        return []
    return [probe_ctc(*sides.probed(), config, resamples=options.resamples)]


def _sides(part: ScorePart, test: Path, train: Path | None) -> Sides:
    """Fit on the training speech; on other speakers of the test speech if its phones are others; else on itself."""
    speech, seed = part.speech, part.options.seed
    assert speech.test_phones is not None
    if train is not None and speech.fitted:
        return Sides(
            test, speech.test_phones, train, speech.train_phones, speech.test.path, (), speech.silences, seed=seed
        )
    split = speech.test.path if train is not None and len(speech.test.spk2utt) > 1 else None
    return Sides(test, speech.test_phones, data=split, silences=speech.silences, seed=seed)


def _head(part: ScorePart, note: Note) -> list[Score]:
    return _heard(part, part.speech.test.path, part.speech.test_phones)


def _head_dev(part: ScorePart, note: Note) -> list[Score]:
    assert part.subject.dev is not None
    return _heard(part, part.subject.dev, None)


def _heard(part: ScorePart, data: Path, phones: Path | None) -> list[Score]:
    options = part.options
    assert part.subject.model is not None
    return head_scores(
        part.subject.model,
        data,
        phones,
        silences=part.speech.silences,
        device=options.device,
        seed=options.seed,
        resamples=options.resamples,
    )[0]


def _changed(part: ScorePart, note: Note) -> list[Score]:
    """Encode changed sound, and count the edits of its units."""
    subject, options, change = part.subject, part.options, part.kind.split(":")[1]
    assert subject.units is not None
    assert subject.model is not None
    out = subject.units.parent.with_name(f"test-{change}")
    wanted = EncodeOptions(vectors=False, change=change, max_failed=1.0)
    encode(subject.model, part.speech.test.path, out, wanted, device=options.device, force=True)
    return [unit_edit_distance(subject.units, out, change, options.seed, options.resamples)]


def _units(part: ScorePart, note: Note) -> list[Score]:
    """Score units by all that needs no training; what needs phones where there are some."""
    subject, speech, options = part.subject, part.speech, part.options
    assert subject.units is not None
    draws = {"seed": options.seed, "resamples": options.resamples}
    if speech.test_phones is None:
        scores = [*usage_scores(subject.units, **draws), *bitrate_scores(subject.units, **draws)]
        return scores + _speaker(part, note)
    sides = _sides(part, subject.units, subject.train_units)
    suite = SuiteOptions(speech.items, resamples=options.resamples)

    def progress(said: str) -> None:
        if said.startswith("nothing"):
            note(said)

    scores = score_all(sides, suite, progress)
    return scores if sides.data is not None else scores + _speaker(part, note)


def _speaker(part: ScorePart, note: Note) -> list[Score]:
    units, options = part.subject.units, part.options
    assert units is not None
    draws = {"seed": options.seed, "resamples": options.resamples}
    with if_enough("the speaker", note):
        return speaker_scores(units, read_speakers(part.speech.test.path), codebook_beside(units), **draws)
    return []


def _abx(part: ScorePart, note: Note) -> list[Score]:
    speaker = part.kind.split(":")[1]
    assert part.subject.vectors is not None
    assert part.speech.items is not None
    options = AbxOptions(speaker=speaker, seed=part.options.seed)  # type: ignore[arg-type]
    how: dict[str, Any] = {"workers": torch.get_num_threads(), "resamples": part.options.resamples}
    with if_enough(f"ABX {speaker} speakers", note):
        score = score_abx(part.subject.vectors, part.speech.items, options=options, **how)
        for warning in score.parts["warnings"]:
            note(f"warning: {score.definition}: {warning}")
        return [score]
    return []


MAKERS: dict[str, Callable[[ScorePart, Note], list[Score]]] = {
    "downstream": _downstream,
    "head": _head,
    "head-dev": _head_dev,
    "changed": _changed,
    "units": _units,
    "abx": _abx,
}


def write_subject(path: Path, subject: str, scores: Sequence[Score]) -> None:
    """Write the scores of a subject beside a model's; the report reads by its name what they are of."""
    write_scores(path, scores, subject=subject)


def subject_of(path: Path) -> str | None:
    """Return what a file of scores is of, if a comparison wrote it."""
    return json_if_any(path).get("subject")
