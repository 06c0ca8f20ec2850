"""A model's units beside what they must beat: everything is made, encoded and scored that is not there yet."""

import json
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from unitdisc.checkpoint import load_model
from unitdisc.compare.baselines import FLOORED, MFCC, MOST_CODES, Maker
from unitdisc.compare.kept import key_of
from unitdisc.compare.options import NAMES, CompareOptions, ScoreOptions, cache_folder, table_folder
from unitdisc.compare.scoring import ScorePart, parts_of, score_parts, subject_of, write_subject
from unitdisc.compare.subjects import Speech, Subject, open_speech, outside
from unitdisc.compare.table import Column, Comparison, markdown
from unitdisc.data.change import check_change
from unitdisc.data.kaldi import DataDir
from unitdisc.data.store import FeatureReader
from unitdisc.data.units import read_header, vectors_of
from unitdisc.encode import EncodeOptions, encode
from unitdisc.errors import ConfigError, DataError
from unitdisc.evaluate.scores import Score
from unitdisc.files import whole_file
from unitdisc.model import UnitModel
from unitdisc.reading import json_if_any

OWN = "units"  # the name of a model's own scores, beside its baselines


def compare(
    exps: Sequence[str | Path],
    options: CompareOptions,
    scoring: ScoreOptions | None = None,
    say: Callable[[str], object] = lambda _: None,
) -> Comparison:
    """Compare models, or outside units, with baselines; write their scores and the table, and return it."""
    scoring = scoring or ScoreOptions(device=options.device)
    for change in scoring.changes:
        check_change(change)
    cache = cache_folder(options)
    speech = open_speech(
        options.train,
        options.test,
        cache,
        alignment=options.alignment,
        train_alignment=options.train_alignment,
        items=options.items,
        silences=options.silences,
    )
    if not exps and not options.beside:
        raise ConfigError("nothing to compare: name the folder of a training run, or units with --beside")
    maker = Maker(speech, cache, options.jobs, options.device, options.max_failed, scoring.seed, say)
    own: dict[Path, list[Subject]] = {}
    for exp, name in zip(map(Path, exps), _names(exps), strict=True):
        model = load_model(exp, options.device)
        own[exp] = [_encoded(exp, name, model, speech, options, say)]
        own[exp] += _baselines(model, maker, options.baselines)
    others = [outside(path, path.name.removesuffix(".jsonl"), speech.test, cache, say) for path in options.beside]
    if not exps:
        others += _without_model(others[0].codes, others[0].period, maker, options.baselines)
    every = [*(subject for its in own.values() for subject in its), *others]
    named = _named(every)
    subjects = list(named.values())
    for subject in every:
        if subject.name not in {shown.name for shown in subjects}:
            say(f"{subject.name}: the same as {named[subject.key].name}, and shown once")
    scoring = _with_names(scoring, [its[0].name for its in own.values()], subjects, options.baselines)
    scores = _scores(subjects, maker, scoring, say)
    for its in own.values():
        folder, *beside = (named[subject.key] for subject in [*its, *others])
        _write_own(folder.kept.parent, folder.name, [subject.name for subject in beside], scores)
    columns = [Column(subject.name, subject.title, subject.codes, subject.period) for subject in subjects]
    comparison = Comparison(str(options.train), str(options.test), columns, _flat(scores))
    out = table_folder(exps, options)
    with whole_file(out / "table.md") as file:
        file.write(markdown(comparison))
    with whole_file(out / "table.json") as file:
        json.dump(comparison.to_json(), file, ensure_ascii=False, indent=1)
    return comparison


def _names(exps: Sequence[str | Path]) -> list[str]:
    """Return the columns of models: `units` of the only one, else the shortest ends of paths that differ."""
    if len(exps) == 1:
        return [OWN]
    parts = [Path(exp).resolve().parts for exp in exps]
    if len(set(parts)) < len(parts):
        raise ConfigError("the same folder is named twice")
    count = next(n for n in range(1, 99) if len({part[-n:] for part in parts}) == len(parts))
    return ["/".join(part[-count:]) for part in parts]


def _encoded(
    exp: Path, name: str, model: UnitModel, speech: Speech, options: CompareOptions, say: Callable[[str], object]
) -> Subject:
    """Encode the speech where it is not encoded yet, and return what came of it."""
    codes = math.prod(model.quantizer.codes) if model.quantizer.codes else 0
    folder = exp.parent if exp.is_file() else exp
    for part, data in (("train", speech.train), ("test", speech.test)):
        out = folder / "units" / part
        there = _are_there(out, model, data)
        if there is False and not options.renew:
            raise DataError(f"{out}: there are units of another model, or of other data; --renew encodes again")
        if not there:
            say(f"encoding {data.path} with {exp}")
            wanted = EncodeOptions(max_failed=options.max_failed)
            jobs = options.jobs if options.device == "cpu" else 1
            encode(exp, data.path, out, wanted, jobs=jobs, force=there is False, device=options.device)
    test, train = folder / "units" / "test", folder / "units" / "train"
    return Subject(
        name,
        f"{exp}",
        key_of(model.model_hash(), speech.key),
        folder / "scores" / ".kept",
        model.unit_grid.period,
        vectors_of(test),
        vectors_of(train),
        test / "units.jsonl" if codes else None,
        train / "units.jsonl" if codes else None,
        codes,
        exp,
        model.ctc is not None,
        options.dev,
    )


def _are_there(out: Path, model: UnitModel, data: DataDir) -> bool | None:
    """Tell whether a folder has what a model makes of a data directory; None if it has nothing that is whole."""
    note, units, vectors = out / "encode.json", out / "units.jsonl", vectors_of(out)
    if not note.exists() or not vectors.exists() or (model.quantizer.codes and not units.exists()):
        return None
    record = json_if_any(note)
    made_by = read_header(units).model if units.exists() else record.get("model")
    known = set(FeatureReader(vectors)) | set(record.get("failed", ()))
    return made_by == model.model_hash() and known == set(data.utts)


def _baselines(model: UnitModel, maker: Maker, names: Collection[str]) -> list[Subject]:
    """Return what a model is compared with, of as many codes and the same rate as its units."""
    codes = math.prod(model.quantizer.codes) if model.quantizer.codes else 0
    found = _without_model(codes, model.unit_grid.period, maker, names)
    if "input" in names:
        found.insert(sum(name in names for name in ("mfcc", "mfcc-floor")), maker.input(model))
    if "kmeans" in names and 1 < codes <= MOST_CODES:
        found.append(maker.kmeans(model, codes))
    if codes > MOST_CODES:
        maker.say(f"no k-means of {codes} codes: more than {MOST_CODES}")
    return found


def _without_model(codes: int, period: float, maker: Maker, names: Collection[str]) -> list[Subject]:
    """Return the baselines that need to know no more than how many codes there are, and how often units come."""
    unknown = sorted(set(names) - set(NAMES))
    if unknown:
        raise ConfigError(f"--baselines {unknown[0]}: expected some of {', '.join(NAMES)}")
    kinds = (("mfcc", "MFCC", MFCC), ("mfcc-floor", "MFCC with a floor", FLOORED))
    found = [maker.mfcc(*kind) for kind in kinds if kind[0] in names]
    if "lda" in names and 1 < codes <= MOST_CODES:
        found.append(maker.lda(codes, period))
    return found


def _named(subjects: Sequence[Subject]) -> dict[str, Subject]:
    """Return each subject once, by its key, under a name of its own."""
    named: dict[str, Subject] = {}
    taken: Counter[str] = Counter()
    for subject in subjects:
        if subject.key not in named:
            taken[subject.name] += 1
            number = taken[subject.name]
            named[subject.key] = subject if number == 1 else subject._replace(name=f"{subject.name}-{number}")
    return named


def _with_names(
    scoring: ScoreOptions, own: Sequence[str], subjects: Sequence[Subject], baselines: Collection[str]
) -> ScoreOptions:
    """Return the options with what a small ASR is trained on by the names of columns."""
    known = [subject.name for subject in subjects]
    wanted = {name for given in scoring.downstream for name in (own if given == OWN else [given])}
    wanted -= set(NAMES) - set(baselines) - set(known)  # a baseline that is left out is left out here, too
    for name in sorted(wanted - {"all", *known}):
        raise ConfigError(f"--downstream {name}: expected all, or some of {', '.join(known)}")
    return replace(scoring, downstream=tuple(sorted(wanted)))


Parts = dict[str, dict[str, list[Score]]]  # name of a subject -> kind of part -> scores


def _scores(subjects: Sequence[Subject], maker: Maker, scoring: ScoreOptions, say: Callable[[str], object]) -> Parts:
    def parts() -> Iterator[ScorePart]:
        for subject in subjects:  # baselines are made while other processes score what was there before them
            maker.make(subject)
            yield from parts_of(subject, maker.speech, scoring)

    found: Parts = {subject.name: {} for subject in subjects}
    for part, scores in score_parts(parts(), maker.jobs, say):
        found[part.subject.name][part.kind] = scores
    return found


def _flat(scores: Parts) -> dict[str, dict[str, Score]]:
    return {
        name: {score.definition: score for kind, all_ in parts.items() if kind != "head-dev" for score in all_}
        for name, parts in scores.items()
    }


def _write_own(folder: Path, own: str, beside: Sequence[str], scores: Parts) -> None:
    """Write a file of scores for a model and for each that it is compared with; take away those of before."""
    wanted: dict[str, list[Score]] = {}
    for name in (own, *beside):
        parts = dict(scores[name])
        if dev := parts.pop("head-dev", []):
            wanted["head-dev"] = dev
        wanted[OWN if name == own else name] = [score for part in parts.values() for score in part]
    for path in folder.glob("*.json"):
        if path.stem not in wanted and subject_of(path) is not None:
            path.unlink()
    for name, all_ in wanted.items():
        write_subject(folder / f"{name}.json", name, all_)
