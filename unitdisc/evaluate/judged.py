"""Conversions before judges from outside: words, phones, voice, quality, pitch, level; each beside recordings.

A sound is one of four sides: `recording`, the utterance that was converted; `copy`, from `unitdisc copy`, what the
synthesiser alone makes of it; `resynthesis`, its units in its own voice; `conversion`.
"""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unitdisc.data.alignment import read_alignment
from unitdisc.data.audio import AudioSource
from unitdisc.data.kaldi import DataDir
from unitdisc.data.phones import SILENCES, plain
from unitdisc.errors import DataError
from unitdisc.evaluate.converted import COPY, read_manifest
from unitdisc.evaluate.definitions import DEFINITIONS
from unitdisc.evaluate.edits import edits
from unitdisc.evaluate.judges import RATE, Judge, Wave, find_judges, prepared, words_of
from unitdisc.evaluate.scores import Counts, Groups, Score, bootstrap, ratio
from unitdisc.files import whole_file

SIDES = ("recording", COPY, "resynthesis", "conversion")
ENROL = 10  # recordings of a voice that its vector is the mean of, at most
BLOCK = RATE // 100  # samples: levels are taken of 10 ms
QUIET = 50.0  # dB below full scale: what is fainter is silence
CLIPPED = 0.999  # of full scale
FEW = 20  # frames with a pitch in both, under which there is no correlation

# What an utterance's row holds, as sums and counts: of which score, what the score means.
WHAT = {
    row.name.removeprefix("judged-").removesuffix("-HEARDJUDGE"): row.gloss
    for row in DEFINITIONS
    if row.name.startswith("judged-")
}

# Which judge a score is by, by its name's first part; the rest needs none.
BY = {
    "wer": "words", "cer": "words", "per": "phones", "mos": "quality", "nearest": "voice", "alike": "voice",
    "f0": "pitch", "voicing": "pitch",
}  # fmt: skip

Row = dict[str, tuple[float, float]]  # name of a score: numerator, denominator


class Sound(NamedTuple):
    """Something to be judged."""

    utt: str
    side: str
    source: str  # utterance
    speaker: str  # of the source
    target: str  # whose voice it should have
    audio: AudioSource


class Reference(NamedTuple):
    """What is known of a source utterance."""

    audio: AudioSource
    words: list[str]
    phones: list[str]


def judge(
    converted: Sequence[str | Path],
    sources: Sequence[str | Path],
    real: Sequence[str | Path] = (),
    *,
    alignment: str | Path | None = None,
    judges: Mapping[str, Judge] | None = None,
    most: int | None = None,
    rows: str | Path | None = None,
    resamples: int = 1000,
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> list[Score]:
    """Return what judges say of converted folders and of the recordings that they were made from.

    Real speech of targets and sources (data directories) lets the judge of voices know them; utterances that were
    converted are left out of it. `most` limits the sounds of each side, `rows` is a file to write what was heard of
    each sound to. Without `judges`, all that are installed are asked.
    """
    asked = find_judges()[0] if judges is None else dict(judges)
    homes = {utt: data for data in map(DataDir.read, sources) for utt in data.utts}
    labels = _phones(sources, alignment)
    sounds, dropped = _sounds(converted, homes, most)
    known = _voices(asked["voice"], real, {sound.source for sound in sounds}) if "voice" in asked and real else {}
    groups: dict[tuple[str, str], Groups] = {}
    count: Counter[tuple[str, str]] = Counter()  # of sounds
    lines: list[dict[str, Any]] = []
    heard = _Recordings(asked)
    for done, sound in enumerate(sounds):
        home = homes[sound.source]
        reference = Reference(
            home.source(sound.source), words_of(home.text.get(sound.source, "")), labels.get(sound.source, [])
        )
        row = _row(sound, reference, asked, known, heard)
        for name, sums in row.items():
            groups.setdefault((name, sound.side), Groups()).add(sound.source, sums)
            count[name, sound.side] += 1
        values = {name: _value(sums) for name, sums in row.items()}
        lines.append({**sound._asdict(), "audio": str(sound.audio.path), **values})
        progress(done + 1, len(sounds))
    if rows is not None:
        with whole_file(Path(rows)) as out:
            out.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    return [
        _score(name, side, groups[name, side].table(), count[name, side], asked, len(known), dropped, resamples)
        for name in WHAT
        for side in SIDES
        if (name, side) in groups
    ]


def _score(
    name: str,
    side: str,
    table: NDArray[np.float64],
    sounds: int,
    judges: Mapping[str, Judge],
    voices: int,
    dropped: Mapping[str, int],
    resamples: int,
) -> Score:
    """Return one score of one side, with the judge in its definition: another judge, another score."""
    who = BY.get(name.split("-")[0])
    return Score(
        f"{name}-{side}",
        float(ratio(table.sum(axis=0, keepdims=True))[0]),
        f"judged-{name}-{side}" + (f"-{judges[who].name}" if who else ""),
        options={"what": WHAT[name], "voices": voices},
        counts=Counts({"sounds": sounds}, dict(dropped)),
        interval=bootstrap(table, resamples=resamples, over="source utterances"),
    )


def _value(sums: tuple[float, float]) -> float | None:
    return round(sums[0] / sums[1], 4) if sums[1] else None


def _sounds(
    converted: Sequence[str | Path], homes: Mapping[str, DataDir], most: int | None
) -> tuple[list[Sound], Counter[str]]:
    """Return what is to be judged, side by side, and what is left out and why."""
    sides: dict[str, list[Sound]] = {side: [] for side in SIDES}
    dropped: Counter[str] = Counter()
    sources: dict[str, Sound] = {}
    for folder in converted:
        for row in read_manifest(folder):
            if row.source not in homes:
                dropped["sounds of other data"] += 1
                continue
            home = homes[row.source]
            target = row.target if row.side == "conversion" else row.speaker
            sides[row.side].append(Sound(row.utt, row.side, row.source, row.speaker, target, AudioSource(row.path)))
            sources[row.source] = Sound(
                row.source, "recording", row.source, row.speaker, row.speaker, home.source(row.source)
            )
    if not sources:
        raise DataError(f"{converted[0]}: none of its sounds was made of an utterance of the given sources")
    sides["recording"] = list(sources.values())
    ordered = (sorted(sides[side], key=lambda sound: (sound.utt, str(sound.audio.path))) for side in SIDES)
    chosen = [_spread(sounds, most) for sounds in ordered]
    return [sound for side in chosen for sound in side], dropped


def _spread(sounds: list[Sound], most: int | None) -> list[Sound]:
    return sounds if most is None else sounds[:: math.ceil(len(sounds) / most) or 1]


def _phones(sources: Sequence[str | Path], alignment: str | Path | None) -> dict[str, list[str]]:
    """Return the phones of the sources, silence left out."""
    phones: dict[str, list[str]] = {}
    for path in dict.fromkeys(Path(alignment or Path(source) / "phones.ctm") for source in sources):
        if path.exists():
            table = read_alignment(path)
            for utt in table:
                names = [plain(interval.label) for interval in table[utt] if interval.label not in SILENCES]
                phones[utt] = [name for name in names if name not in SILENCES]
    return phones


def _voices(judge: Judge, real: Sequence[str | Path], used: set[str]) -> dict[str, NDArray[np.float64]]:
    """Return a vector for each speaker of real speech that was not converted."""
    vectors: dict[str, list[NDArray[np.float64]]] = {}
    for data in map(DataDir.read, real):
        for speaker, utts in data.spk2utt.items():
            rest = [utt for utt in utts if utt not in used]
            for utt in rest[:: math.ceil(len(rest) / ENROL) or 1]:
                vectors.setdefault(speaker, []).append(judge.hear(prepared(data.source(utt).load(RATE))))
    means = {speaker: np.mean(rows, axis=0) for speaker, rows in vectors.items()}
    return {speaker: mean / np.linalg.norm(mean) for speaker, mean in means.items()}


class _Recordings:
    """What was measured of recordings, which every sound made from them is compared with."""

    def __init__(self, judges: Mapping[str, Judge]) -> None:
        self._judges = judges
        self._last: tuple[str, Wave, Any] | None = None

    def of(self, sound: Sound, reference: Reference) -> tuple[Wave, Any]:
        """Return the samples and the pitch of a sound's source."""
        if self._last is None or self._last[0] != sound.source:
            wave = reference.audio.load(RATE)
            contour = self._judges["pitch"].hear(prepared(wave)) if "pitch" in self._judges else None
            self._last = (sound.source, wave, contour)
        return self._last[1:]


def _row(
    sound: Sound,
    reference: Reference,
    judges: Mapping[str, Judge],
    voices: Mapping[str, NDArray[np.float64]],
    recordings: _Recordings,
) -> Row:
    """Return all that is said of a sound."""
    wave = sound.audio.load(RATE)
    original, contour = recordings.of(sound, reference)
    row: Row = {}
    heard = prepared(wave)
    if "words" in judges and reference.words:
        words = judges["words"].hear(heard)
        row["wer"] = _errors(reference.words, words)
        row["cer"] = _errors(list(" ".join(reference.words)), list(" ".join(words)))
    if "phones" in judges and reference.phones:
        row["per"] = _errors(reference.phones, judges["phones"].hear(heard))
    if "quality" in judges:
        row |= {f"mos-{name}": (value, 1.0) for name, value in judges["quality"].hear(heard).items()}
    if "voice" in judges and sound.target in voices:
        row |= _likeness(judges["voice"].hear(heard), sound, voices)
    if contour is not None and sound.side != "recording":
        row |= _intonation(judges["pitch"].hear(heard), contour)
    return row | _signal(wave, original)


def _errors(wanted: Sequence[str], heard: Sequence[str]) -> tuple[float, float]:
    numbers: dict[str, int] = {}
    one, other = (np.array([numbers.setdefault(word, len(numbers)) for word in words]) for words in (wanted, heard))
    return float(edits([one], [other]).total[0]), float(len(wanted))


def _likeness(vector: NDArray[np.float64], sound: Sound, voices: Mapping[str, NDArray[np.float64]]) -> Row:
    alike = {speaker: float(vector @ voice) for speaker, voice in voices.items()}
    nearest = max(alike, key=lambda speaker: alike[speaker])
    row: Row = {"nearest-is-target": (float(nearest == sound.target), 1.0), "alike-target": (alike[sound.target], 1.0)}
    others = [value for speaker, value in alike.items() if speaker not in (sound.target, sound.speaker)]
    if others:
        row["alike-other"] = (max(others), 1.0)
    if sound.target != sound.speaker and sound.speaker in alike:
        row["nearest-is-source"] = (float(nearest == sound.speaker), 1.0)
        row["alike-source"] = (alike[sound.speaker], 1.0)
    return row


def _intonation(heard: NDArray[np.float64], wanted: NDArray[np.float64]) -> Row:
    frames = min(len(heard), len(wanted))
    heard, wanted = heard[:frames], wanted[:frames]
    both = (heard > 0) & (wanted > 0)
    row: Row = {"voicing-error": (float(((heard > 0) != (wanted > 0)).sum()), float(frames))}
    if both.sum() >= FEW:
        logs = np.log(np.stack([heard[both], wanted[both]]))
        if (logs.std(axis=1) > 1e-6).all():
            row["f0-correlation"] = (float(np.corrcoef(logs)[0, 1]), 1.0)
    return row


def _signal(wave: Wave, original: Wave) -> Row:
    """Return what needs no judge: level, silence and clipping."""
    level, wanted = _levels(wave), _levels(original)
    row: Row = {"silence": (float((level < -QUIET).sum()), float(len(level)))}
    row["clipping"] = (float((np.abs(wave) >= CLIPPED).sum()), float(max(len(wave), 1)))
    if (level >= -QUIET).any() and (wanted >= -QUIET).any():
        row["loudness"] = (_loudness(level) - _loudness(wanted), 1.0)
    return row


def _levels(wave: Wave) -> NDArray[np.float64]:
    """Return the level of each 10 ms [N], dB below full scale."""
    whole = wave[: len(wave) // BLOCK * BLOCK] if len(wave) >= BLOCK else np.pad(wave, (0, BLOCK - len(wave)))
    power = np.square(whole.reshape(-1, BLOCK), dtype=np.float64).mean(axis=1)
    return 10 * np.log10(np.maximum(power, 1e-12))


def _loudness(levels: NDArray[np.float64]) -> float:
    return float(10 * np.log10((10 ** (levels[levels >= -QUIET] / 10)).mean()))


def beside(scores: Iterable[Score]) -> Iterator[tuple[str, ...]]:
    """Yield lines of a table: a score's name, then its value on each side."""
    values: dict[str, dict[str, float]] = {}
    for score in scores:
        for side in SIDES:
            if score.name.endswith(f"-{side}"):
                values.setdefault(score.name.removesuffix(f"-{side}"), {})[side] = score.value
    yield ("judged", *SIDES)
    for name, row in values.items():
        yield (name, *(f"{row[side]:.3f}" if side in row else "" for side in SIDES))
