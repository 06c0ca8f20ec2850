"""What can be heard and looked at together: utterances with units, phones and voices, and examples of each unit."""

import zlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from unitdisc.data.audio import AudioSource
from unitdisc.data.units import UnitLine, read_units, units_of
from unitdisc.evaluate.aligned import SILENCES
from unitdisc.report.collect import Experiment
from unitdisc.report.facts import Place, UnitFacts
from unitdisc.report.judged import key_of, recording_key
from unitdisc.report.sounds import CONTEXT, LONGEST, PAUSE, RATE, Budget, encode, load

MOST_VOICES = 6  # conversions of one utterance that are shown
LABELS = {"same": "resynthesis", "copy": "copy-synthesis"}  # of targets that are no voices


def choose_utterances(
    exps: Sequence[Experiment], facts: Sequence[UnitFacts | None], count: int, seed: int
) -> list[str]:
    """Choose utterances that as many experiments as possible have units of: converted ones first, speakers in turn."""
    having = Counter(utt for fact in facts if fact is not None for utt in fact.utts)
    if not having:
        return []
    most = max(having.values())
    converted = {conversion.source for exp in exps for conversion in exp.conversions}
    speakers = {utt: speaker for exp in exps if exp.data is not None for utt, speaker in exp.data.utt2spk.items()}
    aligned = [exp.alignment for exp in exps if exp.alignment is not None]
    rows = sorted(
        (utt for utt, times in having.items() if times == most),
        key=lambda utt: (
            utt not in converted,
            not any(utt in alignment for alignment in aligned),
            zlib.crc32(f"{seed} {utt}".encode()),
        ),
    )
    turn: dict[str, int] = {}
    ranked = []
    for place, utt in enumerate(rows):
        speaker = speakers.get(utt, utt)
        turn[speaker] = turn.get(speaker, 0) + 1
        ranked.append((utt not in converted, turn[speaker], place, utt))
    return [utt for *_, utt in sorted(ranked)[:count]]


def utterances(exps: Sequence[Experiment], names: Sequence[str], budget: Budget) -> list[dict[str, Any]]:
    """Return what the page shows of each utterance, with sound as far as the budget goes."""
    wanted = set(names)
    lines, longer = {}, {}  # type: tuple[dict[tuple[int, str], UnitLine], dict[tuple[int, str], UnitLine]]
    for number, exp in enumerate(exps):
        if exp.units is not None:
            lines |= {(number, utt): line for utt, line in units_of(exp.units, names).items()}
        if exp.longer is not None:
            longer |= {(number, line.utt): line for line in read_units(exp.longer) if line.utt in wanted}
    return [_utterance(exps, utt, lines, longer, budget) for utt in names]


def _utterance(
    exps: Sequence[Experiment],
    utt: str,
    lines: dict[tuple[int, str], UnitLine],
    longer: dict[tuple[int, str], UnitLine],
    budget: Budget,
) -> dict[str, Any]:
    shown: dict[str, Any] = {"utt": utt, "speaker": "", "text": "", "phones": [], "units": [], "tracks": []}
    seconds = 0.0
    for number, exp in enumerate(exps):
        if (line := lines.get((number, utt))) is not None and exp.header is not None:
            header = exp.header
            rows = [(line, False)] + ([(longer[number, utt], True)] if (number, utt) in longer else [])
            shown["units"] += [
                {
                    "exp": number,
                    "longer": is_longer,
                    "period": header.period,
                    "offset": header.offset,
                    "units": row.units.tolist(),
                    "durations": row.durations.tolist(),
                }
                for row, is_longer in rows
            ]
            seconds = max(seconds, header.offset + int(line.durations.sum()) * header.period)
        if not shown["phones"] and exp.alignment is not None and utt in exp.alignment:
            shown["phones"] = [
                [round(start, 4), round(end, 4), "" if label in SILENCES else label]
                for start, end, label in exp.alignment[utt]
            ]
        if exp.data is not None and utt in exp.data.utt2spk and not shown["speaker"]:
            shown["speaker"], shown["text"] = exp.data.utt2spk[utt], exp.data.text.get(utt, "")
            source = exp.data.source(utt)
            shown["file"] = source.path.stem if (source.start, source.end, source.offset) == (0.0, None, None) else utt
            heard = exp.judged.get(recording_key(utt), "")
            _add_track(shown, "original", load(exp.data.source(utt)), budget, heard)
    for exp in exps:
        for conversion in [c for c in exp.conversions if c.source == utt][:MOST_VOICES]:
            label = LABELS.get(conversion.target, f"as {conversion.target}")
            label += f" · {exp.name}" if len(exps) > 1 else ""
            heard = exp.judged.get(key_of(conversion.path), "")
            _add_track(shown, label, load(AudioSource(conversion.path)), budget, heard)
    shown["seconds"] = min(seconds, LONGEST)
    shown["cut"] = seconds > LONGEST
    return shown


def _add_track(shown: dict[str, Any], label: str, wave: np.ndarray | None, budget: Budget, figures: str = "") -> None:
    if wave is None:
        shown.setdefault("unreadable", []).append(label)
        return
    sound = encode(wave)
    if budget.take(sound):
        shown["tracks"].append({"label": label, "sound": sound, "figures": figures})
    else:
        shown.setdefault("left_out", []).append(label)


def unit_examples(exp: Experiment, facts: UnitFacts, budget: Budget) -> dict[int, dict[str, Any]]:
    """Return, for each unit, one sound with all its examples, and where they lie in it; frequent units first."""
    if exp.data is None or exp.header is None:
        return {}
    found: dict[int, dict[str, Any]] = {}
    for unit, _ in facts.usage.most_common():
        parts: list[np.ndarray] = []
        clips: list[dict[str, Any]] = []
        time = 0.0
        for place in facts.places.get(unit, []):
            start = exp.header.offset + place.first * exp.header.period
            end = start + place.count * exp.header.period
            wave = exp.sounds.around(exp.data.source(place.utt), start, end)
            if wave is None:
                continue
            before = min(start, CONTEXT)
            clips.append(
                {
                    "utt": place.utt,
                    "speaker": exp.data.utt2spk[place.utt],
                    "at": round(start, 3),
                    "seconds": round(end - start, 3),
                    "phone": _phone_at(exp, place, (start + end) / 2),
                    "from": round(time, 4),
                    "to": round(time + len(wave) / RATE, 4),
                    "mark": [round(time + before, 4), round(time + before + end - start, 4)],
                }
            )
            parts += [wave, np.zeros(int(PAUSE * RATE), np.float32)]
            time += len(wave) / RATE + int(PAUSE * RATE) / RATE
        if not clips:
            continue
        sound = encode(np.concatenate(parts))
        if not budget.take(sound + str(clips)):
            break
        found[unit] = {"sound": sound, "clips": clips}
    return found


def _phone_at(exp: Experiment, place: Place, time: float) -> str:
    if exp.alignment is None or place.utt not in exp.alignment:
        return ""
    return next((label for start, end, label in exp.alignment[place.utt] if start <= time < end), "")
