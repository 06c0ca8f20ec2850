"""Data to units: shard by shard, by any number of processes, with the same bytes.

    OUT/units.jsonl     the unit file (docs/formats.md); units.txt and units.ctm say the same to other tools
    OUT/vectors.scp     the codeword vector of every frame, [T', D]
    OUT/projection.scp  if asked for: what was compared with the codewords, [T', D]
    OUT/codebook.npy    the codewords, [K, D] (several codebooks: one under the other)
    OUT/failed.txt      utterances that could not be encoded, and why

A model without a codebook (quantizer.kind: none) has no units: of it there are vectors alone, and vectors.json,
which says how often they come. A killed encoding goes on where it was.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from unitdisc import __version__, dist
from unitdisc import config as configs
from unitdisc.checkpoint import load_model
from unitdisc.corpus import open_features
from unitdisc.data.change import check_change
from unitdisc.data.exports import ctm_lines, text_line
from unitdisc.data.kaldi import DataDir, data_digest
from unitdisc.data.store import write_features
from unitdisc.data.units import UnitHeader, UnitLine, read_header, read_units, unit_line
from unitdisc.errors import MOST_FAILED, CheckpointError, ConfigError, DataError
from unitdisc.files import lock_file, locked, whole_file
from unitdisc.live import LiveFrames
from unitdisc.model import Encoded, UnitModel
from unitdisc.processes import Part, in_order
from unitdisc.reading import json_if_any, parse_json
from unitdisc.shard_files import (
    SHARD,
    Shard,
    begin_shards,
    failures_of,
    join_shards,
    make_shards,
    missing_shards,
    records_of,
    shard_path,
)


@dataclass(frozen=True)
class EncodeOptions:
    """What to write besides units, and what to do to the audio first."""

    vectors: bool = True  # vectors.scp
    projection: bool = False  # projection.scp
    change: str = ""  # encode changed audio: a name of data/change.py, such as noise-10
    max_failed: float = MOST_FAILED  # share of utterances


class Summary(NamedTuple):
    """What was encoded."""

    utterances: int
    frames: int
    seconds: float  # of audio
    failed: dict[str, str]  # utterance: reason
    kept: bool  # it had all been there before


def encode(
    exp: str | Path,
    data: str | Path,
    out: str | Path,
    options: EncodeOptions | None = None,
    *,
    jobs: int = 1,
    force: bool = False,
    device: str = "cpu",
    progress: Callable[[int], object] = lambda utterances: None,
    part: Part | None = None,
) -> Summary:
    """Encode a data directory into a folder of unit files; what was made of the same model and data is kept.

    One of several jobs encodes its `part` alone, and leaves it there for a last call without a part, which encodes
    what is missing and puts all together.
    """
    out, options = Path(out), options or EncodeOptions()
    check_change(options.change)
    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: expected a folder to write to, got a file")
    data_dir, model = DataDir.read(data), load_model(exp, device)
    if not model.quantizer.codes and not (options.vectors or options.projection):
        raise ConfigError(f"{exp}: its model has no codebook (quantizer.kind: none): it gives vectors, and no units")
    header = unit_header(model, data_dir, options.change)
    stamp = _stamp(header, data_dir, options)
    if _kept(out, header, stamp, force):
        return _summary(out, header, kept=True)
    job = _Job(str(exp), str(data_dir.path), str(out), options, device)
    if part is not None:
        return _encode_part(job, model, list(make_shards(data_dir.utts)), stamp, jobs, progress, part)
    with locked(out, "encoding into it") if dist.is_main() else nullcontext():
        _encode_all(job, model, data_dir.utts, header, stamp, jobs, progress)
    dist.barrier()
    return _summary(out, header, kept=False)


def _encode_all(
    job: "_Job",
    model: UnitModel,
    utts: list[str],
    header: UnitHeader,
    stamp: str,
    jobs: int,
    progress: Callable[[int], object],
) -> None:
    out = Path(job.out)
    shards = list(make_shards(utts))
    if dist.is_main():
        begin_shards(out / ".shards", stamp)
    dist.barrier()
    _encode_missing(job, model, shards[dist.rank() :: dist.world_size()], jobs, progress)
    dist.barrier()
    if dist.is_main():
        options = job.options
        join_shards(
            out, header, shards, stamp,
            vectors=["vectors"] * options.vectors + ["projection"] * options.projection,
            codewords=codebook_of(model) if header.codes else None,
            max_failed=options.max_failed,
        )  # fmt: skip


def _encode_part(
    job: "_Job",
    model: UnitModel,
    shards: list[Shard],
    stamp: str,
    jobs: int,
    progress: Callable[[int], object],
    part: Part,
) -> Summary:
    """Encode one job's share of the shards."""
    work = Path(job.out) / ".shards"
    work.parent.mkdir(parents=True, exist_ok=True)
    with lock_file(work.with_name(".beginning"), "", wait=lambda who: None):  # jobs begin all at once
        begin_shards(work, stamp)
    ours = shards[part.number - 1 :: part.of]
    _encode_missing(job, model, ours, jobs, progress)
    failed = failures_of(records_of(work, ours))
    return Summary(sum(len(shard.utts) for shard in ours) - len(failed), 0, 0.0, failed, kept=False)


def _encode_missing(
    job: "_Job", model: UnitModel, shards: list[Shard], jobs: int, progress: Callable[[int], object]
) -> None:
    """Encode those of the shards that are not there yet."""
    todo = missing_shards(Path(job.out) / ".shards", shards)
    progress(sum(len(shard.utts) for shard in shards) - sum(len(shard.utts) for shard in todo))
    for count in _run(job, model, todo, jobs):
        progress(count)


def unit_header(model: UnitModel, data: DataDir, change: str = "") -> UnitHeader:
    """Return the header of what a model makes of a data directory."""
    grid = model.unit_grid
    return UnitHeader(
        period=grid.period,
        codes=tuple(model.quantizer.codes),
        offset=grid.offset,
        codebook=model.codebook_hash(),
        model=model.model_hash(),
        origin={
            "tool": f"unitdisc {__version__}",
            "data": str(data.path),
            **({"change": change} if change else {}),
        },
    )


def _stamp(header: UnitHeader, data: DataDir, options: EncodeOptions) -> str:
    """Hash what the units follow from: the model, the tables of the data, and what is asked for."""
    wanted = {**asdict(header), **asdict(options), "utts": data.utts, "data": data_digest(data.path)}
    return configs.digest({name: value for name, value in wanted.items() if name not in ("origin", "max_failed")})


def compound_units(units: np.ndarray, codes: tuple[int, ...]) -> np.ndarray:
    """Return one number in mixed radix for the units [T', G] of several codebooks."""
    compound = np.zeros(len(units), dtype=np.int64)
    for group, count in enumerate(codes):
        compound = compound * count + units[:, group]
    return compound


@dataclass(frozen=True)
class _Job:
    """What a process needs to encode shards."""

    exp: str
    data: str
    out: str
    options: EncodeOptions
    device: str


class _Encoder:
    """One process's model and data."""

    def __init__(self, job: _Job, model: UnitModel | None = None) -> None:
        self.model = model if model is not None else load_model(job.exp, job.device)
        self.data = DataDir.read(job.data)
        self.frames = open_features(self.model.config.features, self.data, job.options.change, job.device)
        self.job, self.header = job, unit_header(self.model, self.data, job.options.change)

    def encode(self, shard: Shard) -> int:
        """Write a shard's files; return its number of utterances."""
        out, options = Path(self.job.out), self.job.options
        lines, codes, projections, failed = [], [], [], {}
        rows: dict[str, torch.Tensor] = {}
        if isinstance(self.frames, LiveFrames):
            self.frames.look_ahead_(shard.utts)
        for utt in shard.utts:
            try:
                rows[utt] = torch.from_numpy(self.frames[utt])
            except (DataError, KeyError) as error:
                failed[utt] = str(error) if isinstance(error, DataError) else "has no features; see feats.json"
        for utt, encoded, projection in self._encoded(rows):
            if bool((encoded.units < 0).any()):
                raise CheckpointError(
                    f"{self.job.exp}: its training was still in the warm-up, before the codebook is used "
                    "(quantizer.schedule.warm_up); train longer"
                )
            lines.append(UnitLine.of_frames(utt, compound_units(encoded.units.numpy(), self.model.quantizer.codes)))
            if options.vectors:
                codes.append((utt, encoded.values.numpy()))
            if options.projection:
                projections.append((utt, projection.numpy()))
        for name, items in (("vectors", codes), ("projection", projections)):
            if items:
                (out / name).mkdir(parents=True, exist_ok=True)
                write_features(out / name / f"{shard.number:05d}", items)
            else:  # nothing of another encoding is left
                (out / name / f"{shard.number:05d}.scp").unlink(missing_ok=True)
        # What is put together in the end stands here as it will stand there.
        texts = {
            ".jsonl": map(unit_line, lines),
            ".txt": map(text_line, lines),
            ".ctm": (row for line in lines for row in ctm_lines(line, self.header)),
        }
        stem = out / ".shards" / f"{shard.number:05d}"
        for ending, written in texts.items():
            with whole_file(stem.with_name(stem.name + ending)) as file:
                file.writelines(written)
        frames = sum(int(line.durations.sum()) for line in lines)
        with whole_file(shard_path(out / ".shards", shard)) as file:  # last: a shard is done when this is there
            json.dump({"utterances": len(lines), "frames": frames, "failed": failed}, file, ensure_ascii=False)
        return len(shard.utts)

    def _encoded(self, rows: dict[str, torch.Tensor]) -> Iterator[tuple[str, Encoded, torch.Tensor]]:
        """Yield units, values and, if asked for, projections [T', D] of utterances; a GPU takes many at once."""
        utts, device = list(rows), torch.device(self.job.device)
        count = 1 if device.type == "cpu" else SHARD
        for some in (utts[first : first + count] for first in range(0, len(utts), count)):
            frames = torch.nn.utils.rnn.pad_sequence([rows[utt] for utt in some], True).to(device)
            lengths = torch.tensor([len(rows[utt]) for utt in some])
            units, values, counts = (part.cpu() for part in self.model.encode(frames, lengths))
            projected = torch.zeros(len(some), 0, 0)
            if self.job.options.projection:
                projected = self.model.probe(frames, lengths, "projection")[0].cpu()
            for n, utt in enumerate(some):
                kept = slice(int(counts[n]))
                yield utt, Encoded(units[n, kept], values[n, kept], counts[n]), projected[n, kept]


def _run(job: _Job, model: UnitModel, shards: list[Shard], jobs: int) -> Iterator[int]:
    if jobs <= 1 or len(shards) <= 1:
        encoder = _Encoder(job, model)
        for shard in shards:
            yield encoder.encode(shard)
        return
    yield from in_order(_encode, shards, min(jobs, len(shards)), _start, (job,), preload=__name__)


_here: list[_Encoder] = []  # in one of several processes: its encoder, made once


def _start(job: _Job) -> None:
    torch.set_num_threads(1)
    _here.append(_Encoder(job))


def _encode(shard: Shard) -> int:
    return _here[0].encode(shard)


def _kept(out: Path, header: UnitHeader, stamp: str, force: bool) -> bool:
    units, mark = out / "units.jsonl", out / "encode.json"
    there = (units,) if header.codes else (out / "vectors.json", out / "codes.json")  # the latter of version 0.1.0
    if force or not any(path.exists() for path in there):
        return False
    if json_if_any(mark).get("stamp") != stamp:  # or the units are of another tool, say
        theirs = read_header(units) if header.codes else header
        what = "the same model" if theirs.model == header.model else f"model {theirs.model}, not {header.model}"
        raise DataError(
            f"{units}: there are units of {what}, of other data or with other options; --force replaces them"
        )
    return True


def codebook_of(model: UnitModel) -> np.ndarray:
    """Return the codewords of a model, [K, d]; those of several codebooks one after the other."""
    with model.inference(model.mean.device):
        return np.concatenate([words.cpu().numpy() for words in model.quantizer.codewords()])


def _summary(out: Path, header: UnitHeader, kept: bool) -> Summary:
    record = parse_json((out / "encode.json").read_text("utf-8"))
    frames = record.get("frames")
    if frames is None:  # of version 0.1.0
        frames = sum(int(line.durations.sum()) for line in read_units(out))
    return Summary(record["utterances"], frames, frames * header.period, record["failed"], kept)
