"""Features of data directories: audio in, archives out, by one process or many, with the same bytes."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple, get_args

import torch

from unitdisc.data.audio import AudioSource, short_tails
from unitdisc.data.kaldi import DataDir, data_digest
from unitdisc.data.store import FeatureReader, FloatMatrix, record
from unitdisc.errors import MOST_FAILED, DataError
from unitdisc.features.archives import POOL, ExtractConfig, LayersConfig
from unitdisc.features.build import feature_dim
from unitdisc.features.cmvn import frame_sums
from unitdisc.features.configs import ArchiveConfig, SSLConfig, archive_tree
from unitdisc.features.frames import FrameMaker
from unitdisc.features.manifest import Manifest, outdated, read_manifest, tree_digest
from unitdisc.features.partial import MadeFeatures, PartialArchives, parts_of, remove_parts
from unitdisc.processes import Part, in_order, single_thread

TASK = 8  # utterances that a process is given at a time


class FeaturesSummary(NamedTuple):
    """What became of one data directory."""

    made: tuple[str, ...]  # names of the archives; none if all were there
    utterances: int  # in the archives
    frames: int
    failed: dict[str, str]  # utterance -> reason
    short: dict[str, float]  # utterance -> s by which its recording ended before its header says; filled with silence


def extract(
    data: DataDir,
    config: ExtractConfig | LayersConfig,
    jobs: int = 1,
    force: bool = False,
    max_failed: float = MOST_FAILED,
    device: str = "cpu",
    progress: Callable[[int, int], None] = lambda done, total: None,
    part: Part | None = None,
    half: bool = False,
) -> FeaturesSummary:
    """Write feats.{ark,scp,json} and, if the config has targets, targets.{ark,scp,json} into a data directory.

    One of several jobs does its `part` alone, and leaves it there for a last call without a part, which makes what is
    missing and puts all together: the bytes are those of one job. What is there already is kept, if the same config
    made it of the same data; else `force` replaces it. More than a share of `max_failed` of all utterances that cannot
    be read stops the run. `progress` is told (done, total). `half`: write 16 bits a value.
    """
    wanted = config.archives
    trees = {name: archive_tree(feature) for name, feature in wanted.items()}
    digest = data_digest(data.path)
    there = {} if force else {name: _present(data.path, name, tree, digest) for name, tree in trees.items()}
    missing = [name for name in wanted if there.get(name) is None]
    if not missing:
        kept = there[next(iter(wanted))]
        assert kept is not None
        return FeaturesSummary((), kept.utterances, kept.frames, kept.failed, kept.short)
    key = f"{digest} {' '.join(tree_digest(trees[name]) for name in missing)}{' half' if half else ''}"
    archives = PartialArchives(data.path, missing, key if part is None else f"{key} {part}", data.utt2spk, part)
    make = partial(_fill, archives, data, [wanted[name] for name in missing], jobs, max_failed, device, progress, half)
    try:
        count = len(data.utts)
        if part is not None:
            first, last = part.bounds(count)
            make((first, last), last - first)
            utterances = archives.done - len(archives.failed)
            return FeaturesSummary(tuple(missing), utterances, archives.frames, archives.failed, archives.short)
        parts = parts_of(data.path)
        for one in parts:
            with closing(PartialArchives(data.path, missing, f"{key} {one}", data.utt2spk, one)) as theirs:
                first, last = one.bounds(count)
                make((0, first), count)  # of a part that is not there
                for made in islice(theirs.made(), archives.done - first, None):
                    archives.append(made)
                make((0, last), count)
        make((0, count), count)
        archives.finish({name: _manifest(wanted[name], digest, archives) for name in missing})
        remove_parts(data.path)
    except _TooManyFailed:
        for one in parts_of(data.path) if part is None else ():  # so that the next start tries them again
            with closing(PartialArchives(data.path, missing, f"{key} {one}", data.utt2spk, one)) as theirs:
                theirs.forget_failures()
        raise
    finally:
        archives.close()
    utterances = archives.done - len(archives.failed)
    return FeaturesSummary(tuple(missing), utterances, archives.frames, archives.failed, archives.short)


def _manifest(config: ArchiveConfig, digest: str, archives: PartialArchives) -> str:
    """Say of what an archive was made, and what is in it."""
    tree, grid, utterances = archive_tree(config), config.grid, archives.done - len(archives.failed)
    return Manifest(
        tree_digest(tree), tree, digest, feature_dim(config), grid.period, grid.offset,
        utterances, archives.frames, archives.failed, archives.short,
    ).to_json()  # fmt: skip


def _present(data_dir: Path, name: str, tree: dict[str, object], digest: str) -> Manifest | None:
    manifest = read_manifest(data_dir, name)
    if manifest is None:
        return None
    if problem := outdated(manifest, tree, digest):
        raise DataError(f"{data_dir / f'{name}.json'}: {problem}; --force makes the features again")
    scp = data_dir / f"{name}.scp"
    return manifest if scp.exists() and FeatureReader(scp).is_whole() else None


def _fill(
    archives: PartialArchives,
    data: DataDir,
    configs: Sequence[ArchiveConfig],
    jobs: int,
    max_failed: float,
    device: str,
    progress: Callable[[int, int], None],
    half: bool,
    bounds: tuple[int, int],
    total: int,
) -> None:
    """Make the utterances between two places of the list, of which the archives hold the first; of so many in all."""
    start, last = bounds[0] + archives.done, bounds[1]
    begin, end, size = start, last, TASK
    if any(isinstance(config, get_args(SSLConfig)) for config in configs):
        # What is made together is always made of the same utterances, of whatever part, also after an interruption.
        begin, end, size = start - start % POOL, -(-last // POOL) * POOL, POOL
    todo = ((utt, data.source(utt)) for utt in (data.utts[begin:end] if start < last else ()))
    tasks = iter(lambda: list(islice(todo, size)), [])
    for made in islice(_results(tasks, tuple(configs), jobs, device, half), start - begin, max(last, start) - begin):
        archives.append(made)
        progress(archives.done, total)
        _check_failures(archives, data, max_failed)
    _check_failures(archives, data, max_failed)
    if archives.done == len(data.utts) == len(archives.failed):
        raise DataError(f"{data.path}: no utterance could be used, of {total}")


class _TooManyFailed(DataError):
    """More utterances failed than may."""


def _check_failures(archives: PartialArchives, data: DataDir, max_failed: float) -> None:
    """Stop where too many of all utterances failed; a job's part does not know how many fail in the others."""
    total = len(data.utts)
    if len(archives.failed) <= max_failed * total:
        return
    failed = list(archives.failed.items())
    archives.forget_failures()
    listed = "; ".join(f"{utt}: {reason}" for utt, reason in failed[:10])
    raise _TooManyFailed(
        f"{data.path}: {len(failed)} of {total} utterances cannot be used, and --max-failed allows a share of "
        f"{max_failed:g}. Mend or remove them, then start again to go on. The first: {listed}"
    )


Task = list[tuple[str, AudioSource]]


def _results(
    tasks: Iterable[Task], configs: tuple[ArchiveConfig, ...], jobs: int, device: str, half: bool
) -> Iterator[MadeFeatures]:
    """Make all utterances, in order."""
    if jobs == 1:
        with single_thread():  # so that the bytes are those of any number of jobs
            for task in tasks:
                yield from _make_task(task, configs, device, half)
        return
    work = partial(_make_task, configs=configs, device=device, half=half)
    for made in in_order(work, tasks, jobs, torch.set_num_threads, (1,), preload=__name__):
        yield from made


@lru_cache(maxsize=4)
def _maker(config: ArchiveConfig, device: str, layers: tuple[int, ...] = ()) -> FrameMaker:
    return FrameMaker(config, device, layers=layers)


def _make_task(task: Task, configs: tuple[ArchiveConfig, ...], device: str, half: bool) -> list[MadeFeatures]:
    """Read utterances and make their features; what is wrong with their audio is their own failure, not the run's."""
    rate, failed, short = configs[0].sample_rate, {}, {}
    waves: dict[str, FloatMatrix] = {}
    for utt, source in task:
        try:
            with short_tails() as tails:
                waves[utt] = source.load(rate)
            short[utt] = sum(tails.values())
        except (DataError, OSError) as error:
            failed[utt] = str(error)
    made = dict(zip(waves, _matrices(list(waves.values()), rate, configs, device), strict=True))
    results = []
    for utt, _ in task:
        matrices = made.get(utt) or DataError(failed[utt])
        if isinstance(matrices, DataError):
            results.append(MadeFeatures(utt, (), (), str(matrices)))
            continue
        records = tuple(record(utt, m, half) for m in matrices)
        results.append(MadeFeatures(utt, records, tuple(frame_sums(m) for m in matrices), short=short[utt]))
    return results


def _matrices(
    waves: list[FloatMatrix], rate: int, configs: tuple[ArchiveConfig, ...], device: str
) -> list[tuple[FloatMatrix, ...] | DataError]:
    """Return the features of each wave by each config, or what is wrong with it."""
    layers = tuple(config.layer for config in configs if isinstance(config, get_args(SSLConfig)))
    if len(layers) == len(configs) > 1:  # they differ in nothing else
        return _maker(replace(configs[0], layer=max(layers)), device, layers).raw_of_layers(waves, rate)
    columns = [_maker(config, device).raw_of_all(waves, rate) for config in configs]
    return [next((x for x in row if isinstance(x, DataError)), row) for row in zip(*columns, strict=True)]
