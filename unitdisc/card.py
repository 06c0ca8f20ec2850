"""The model card: what a packed model is, what it was trained on, how good its units are, how to use it."""

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

from unitdisc import __version__
from unitdisc.data.kaldi import DataDir
from unitdisc.errors import UnitdiscError
from unitdisc.evaluate.scores import Score
from unitdisc.features.manifest import read_manifest
from unitdisc.model import UnitModel
from unitdisc.report.collect import read_found, read_starts


class Training(NamedTuple):
    """What a run's folder tells of a training; nothing of what it does not."""

    start: dict[str, Any]  # the newest of env.json
    hours: float | None
    scores: list[Score]


class Facts(NamedTuple):
    """What is said in a card beside what the model itself says."""

    name: str
    licence: str
    data: str
    training: Training


def training_facts(exp: Path) -> Training:
    """Read what a run's folder tells of its training and of its units."""
    folder = exp if exp.is_dir() else exp.parent.parent if exp.parent.name == "checkpoints" else exp.parent
    start = (read_starts(folder / "env.json") or [{}])[-1]
    train = start.get("train")
    data = Path(train["data"]) if isinstance(train, dict) and train.get("data") else None
    return Training(start, None if data is None else _hours(data, folder), _scores(folder))


def _hours(data: Path, exp: Path) -> float | None:
    """Return the hours of a data directory, by its list of durations or by its features; none if neither is there."""
    try:
        seconds = DataDir.read(data).utt2dur.values()
        if seconds:
            return sum(seconds) / 3600
        made = read_manifest(data, "feats") or read_manifest(exp / "data" / "train", "feats")
    except UnitdiscError:  # moved or removed since: the card says nothing of it
        return None
    return None if made is None else made.frames * made.period / 3600


def _scores(exp: Path) -> list[Score]:
    """Return the scores of a run's folder, and those beside its units."""
    found = read_found(exp, None)
    for path in sorted(exp.glob("units/**/scores.json")):
        found += read_found(path.parent, path)
    unique = {json.dumps(one.score.to_json(), sort_keys=True): one.score for one in found}
    return [score for score in unique.values() if math.isfinite(score.value)]


def card(model: UnitModel, about: dict[str, Any], facts: Facts) -> str:
    """Return the card of a model that is ready to be packed, as Markdown."""
    parts = [_head(facts), _table(model, about), _trained_on(facts, about), _scored(facts.training.scores)]
    parts += [_use(model, about, facts)]
    return "\n".join(part for part in parts if part)


def _head(facts: Facts) -> str:
    licence = f"license: {json.dumps(facts.licence)}\n" if facts.licence else ""
    tags = "library_name: unitdisc\ntags: [speech, speech-units, unsupervised]\n"
    said = f"Licence of the weights: {facts.licence}." if facts.licence else "The licence of the weights is not stated."
    return (
        f"---\n{licence}{tags}---\n# {facts.name}\n\nSpeech to discrete units, learnt without transcripts by "
        f"unitdisc {__version__}. {said}\n"
    )


def _table(model: UnitModel, about: dict[str, Any]) -> str:
    config, codes = model.config, model.quantizer.codes
    kinds = {part: getattr(config, part).kind for part in ("features", "encoder", "quantizer", "decoder")}
    units = " x ".join(map(str, codes)) if codes else "none: vectors only"
    rows = {
        "units": f"{units}, {1 / model.unit_grid.period:g} a second",
        "input": f"speech of any sample rate, made into {kinds['features']} at {model.grid.sample_rate} Hz",
        "encoder, quantiser": f"{kinds['encoder']}, {kinds['quantizer']}",
        "decoder": kinds["decoder"] if model.decoder is not None else "none: it does not speak",
        "parameters": f"{sum(p.numel() for p in model.parameters()):,}",
        "voices": f"{len(about['speakers'])} speakers" if model.decoder is not None else "",
        "after step": str(about["step"]),
        "hashes, as in its unit files": f"codebook `{about['codebook']}`, model `{about['model']}`",
    }
    return "| | |\n|---|---|\n" + "".join(f"| {key} | {value} |\n" for key, value in rows.items() if value)


def _trained_on(facts: Facts, about: dict[str, Any]) -> str:
    start, train = facts.training.start, facts.training.start.get("train")
    train = train if isinstance(train, dict) else {}
    data = facts.data or (f"`{Path(str(train['data'])).name}`" if train.get("data") else "not recorded")
    hours = "" if facts.training.hours is None else f"{facts.training.hours:.2f} h"
    counts = [hours, *(f"{train[noun]} {noun}" for noun in ("utterances", "speakers") if noun in train)]
    lines = ["## Training\n", f"- Data: {', '.join([data, *filter(None, counts)])}"]
    if start:
        commit = f", commit {start['commit']}" if start.get("commit") else ""
        lines.append(f"- By unitdisc {start.get('unitdisc', '?')}{commit}, seed {start.get('seed', '?')}")
    return "\n".join([*lines, "- Settings: `config.yaml`, which `unitdisc train` takes"]) + "\n"


def _scored(scores: list[Score]) -> str:
    if not scores:
        return ""
    rows = [f"| {score.definition} | {score.value:.4g} | {_interval(score)} | {_used(score)} |\n" for score in scores]
    head = "## Scores\n\n| definition | value | 95 % interval | of |\n|---|---|---|---|\n"
    return f"{head}{''.join(rows)}\nEach definition is explained in docs/scores.md of unitdisc.\n"


def _interval(score: Score) -> str:
    return f"{score.interval.low:.4g} to {score.interval.high:.4g}" if score.interval else ""


def _used(score: Score) -> str:
    return ", ".join(f"{count} {noun}" for noun, count in list(score.counts.used.items())[:2])


def _use(model: UnitModel, about: dict[str, Any], facts: Facts) -> str:
    speaks = model.decoder is not None and bool(about["speakers"])
    speaker = about["speakers"][0] if speaks else ""
    say = f'model.speak(units, speaker="{speaker}")  # samples at model.rate' if speaks else "model.vectors(wave, rate)"
    shell = [f"unitdisc encode {facts.name} DATA OUT  # a Kaldi data directory; `unitdisc import` makes one"]
    shell += [f"unitdisc convert {facts.name} speech.wav OUT --to {speaker}"] if speaks else []
    return (
        f"## Use\n\nWith unitdisc {__version__} or newer, in the folder that this one lies in:\n\n"
        "```bash\n" + "\n".join(shell) + "\n```\n\n```python\nimport soundfile\nimport unitdisc\n\n"
        f'model = unitdisc.load_model("{facts.name}")  # or hf://ORGANISATION/NAME\n'
        'wave, rate = soundfile.read("speech.wav", dtype="float32")\n'
        f"units = model.units(wave, rate)  # one for each {1000 * model.unit_grid.period:g} ms\n{say}\n```\n"
    )
