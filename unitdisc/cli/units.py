"""Verbs `encode`, `export` and `inspect`."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unitdisc.cli.arguments import add_device, add_job, add_json, add_max_failed, add_renew, positive
from unitdisc.cli.foreign import add_units_options
from unitdisc.errors import counted

if TYPE_CHECKING:
    from unitdisc.made import Making

ONNX = ("onnx", "onnx-stream")  # formats of models, not of units


def add_verbs(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add this module's verbs."""
    _add_encode(verbs)
    _add_export(verbs)
    _add_inspect(verbs)


def _add_encode(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    encode = verbs.add_parser(
        "encode",
        help="turn a data directory into units",
        description="Write OUT/units.jsonl, units.txt, units.ctm, vectors.scp and codebook.npy. The units are the same "
        "for any number of jobs. An encoding that was interrupted goes on where it was.",
        allow_abbrev=False,
    )
    encode.add_argument("exp", metavar="EXP", help="folder of a training run, or a checkpoint file")
    encode.add_argument(
        "data", metavar="DATA", help="data directory, or folder of recordings; features are computed if it has none"
    )
    encode.add_argument("out", metavar="OUT", help="folder to write to")
    encode.add_argument(
        "--jobs", type=positive, default=1, metavar="N", help="number of processes (default: %(default)s)"
    )
    add_job(encode)
    add_device(encode)
    encode.add_argument("--no-vectors", action="store_true", help="leave out vectors.scp, one vector per frame")
    encode.add_argument("--projection", action="store_true", help="also write projection.scp, the vectors before VQ")
    encode.add_argument(
        "--change", default="", metavar="NAME",
        help="change the audio first: noise-20, noise-10, noise-0, reverberation, speed-90, speed-110, gain-up, "
        "gain-down, band-limit",
    )  # fmt: skip
    add_max_failed(encode, "encoded")
    encode.add_argument("--force", action="store_true", help="replace units that are there")
    add_renew(encode)
    add_json(encode)
    encode.set_defaults(run=run_encode)


def _add_export(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    export = verbs.add_parser(
        "export",
        help="write a unit file for other tools, or a model as ONNX",
        description="Write units for other tools; or a trained model as ONNX, a graph of samples at the model's rate > "
        "units, whole or (onnx-stream) piece by piece with a state.",
        allow_abbrev=False,
    )
    export.add_argument(
        "units", metavar="UNITS|EXP",
        help="unit file, or a folder that `unitdisc encode` wrote; for onnx a trained model",
    )  # fmt: skip
    export.add_argument("out", metavar="OUT", help="folder to write to; for onnx a file NAME.onnx")
    export.add_argument(
        "--format",
        action="append",
        required=True,
        choices=(
            "textgrid",
            "eaf",
            "fairseq",
            "espnet",
            "lhotse",
            "discophon",
            "zerospeech2019",
            "datasets",
            *ONNX,
        ),
        help="which program to write for; repeatable",
    )
    export.add_argument(
        "--data",
        help="data directory the units are of; fairseq needs it, lhotse takes recordings and segments from it, ELAN "
        "and Praat open its sounds",
    )
    export.add_argument(
        "--longer", metavar="UNITS", help="longer units (`unitdisc segment`): a tier of TextGrid and ELAN"
    )
    export.add_argument(
        "--by-recording",
        action="store_true",
        help="TextGrid and ELAN: one file for each sound file, named as it is and in its times, not for each utterance",
    )
    export.add_argument("--force", action="store_true", help="replace files that are there")
    add_renew(export)
    add_units_options(export, "units", when=lambda options: not set(options.format) & set(ONNX))
    export.set_defaults(run=run_export)


def _add_inspect(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    inspect = verbs.add_parser(
        "inspect",
        help="print the essentials of a unit file",
        description="Print how many utterances, units and codes a unit file has, and how many units a second.",
        allow_abbrev=False,
    )
    inspect.add_argument("units", metavar="UNITS", help="unit file, or a folder that `unitdisc encode` wrote")
    add_json(inspect)
    add_units_options(inspect, "units")
    inspect.set_defaults(run=run_inspect)


def run_encode(options: argparse.Namespace) -> None:
    """Encode and print what came of it."""
    from unitdisc.cli.making import making, part_of_making
    from unitdisc.data.kaldi import is_data_dir
    from unitdisc.made import Making

    data = Path(options.data)
    feats = ("data/feats.scp",) if (data / "feats.scp").is_file() else ("data/wav.scp", "data/segments")
    if options.change:  # that of the audio
        feats = ("data/wav.scp", "data/segments")
    plain = data.is_dir() and not is_data_dir(data)  # a folder of recordings
    feats = ("data",) if plain else ("data/utt2spk", *feats)
    settings = {"vectors": not options.no_vectors, "projection": options.projection, "change": options.change}
    wanted = Making(
        Path(options.out), settings, {"model": Path(options.exp), "data": data},
        lambda: ("model/**/*.pt", "model/**/*.safetensors", *feats),
        # units.jsonl, or vectors.json of a model without a codebook
        holds=("*s.json*", "encode.json", *(["vectors.scp"] if not options.no_vectors else [])),
    )  # fmt: skip
    if options.job is not None and not options.unchanged:
        task = part_of_making(options, wanted)
        if not task.unchanged:
            encode_and_print(options, task.force)
        return
    with making(options, wanted) as task:
        if not task.unchanged:
            task.result = encode_and_print(options, task.force)


def encode_and_print(options: argparse.Namespace, force: bool) -> dict[str, Any]:
    """Encode, print what came of it, and return it."""
    from tqdm import tqdm

    from unitdisc import dist
    from unitdisc.data.folder import data_of
    from unitdisc.processes import expect_processes
    from unitdisc.shard_files import make_shards, missing_shards

    dist.check_device(options.device)
    data, out = data_of(options.data, Path(options.out) / "data"), Path(options.out)
    shards = list(make_shards(data.utts))
    if options.job is not None:
        shards = shards[options.job.number - 1 :: options.job.of]
    jobs = options.jobs if options.device == "cpu" else 1  # they would share the GPU
    if (force or not (out / "encode.json").exists()) and len(missing_shards(out / ".shards", shards)) > 1:
        expect_processes(jobs, "unitdisc.encode")
    from unitdisc.encode import EncodeOptions, encode  # takes time to import: once other processes do the same

    wanted = EncodeOptions(not options.no_vectors, options.projection, options.change, options.max_failed)
    with dist.group(options.device), tqdm(unit="utt", disable=None, file=sys.stderr) as bar:
        bar.total = len(data.utts)
        done = encode(
            options.exp, data.path, options.out, wanted,
            jobs=jobs, force=force, device=options.device, progress=bar.update, part=options.job,
        )  # fmt: skip
        about = {"out": str(options.out), **done._asdict()}
        if not dist.is_main():
            return about
    for utt, reason in list(done.failed.items())[:5]:
        print(f"failed: {utt}: {reason}", file=sys.stderr)
    if options.json:
        print(json.dumps(about, ensure_ascii=False))
        return about
    if options.job is not None:
        print(f"{options.out}: part {options.job.number} of {options.job.of}: "
              f"{counted(done.utterances, 'utterance')} encoded; "
              f"{len(done.failed)} failed; the same command without --job puts the parts together")  # fmt: skip
        return about
    what = "kept" if done.kept else "encoded"
    print(
        f"{options.out}: {what} {counted(done.utterances, 'utterance')}, {counted(done.frames, 'frame')}, "
        f"{done.seconds / 3600:.2f} h; "
        f"{len(done.failed)} failed" + (" (failed.txt)" if done.failed else "")
    )
    return about


def run_export(options: argparse.Namespace) -> None:
    """Write units, or a model, for other tools."""
    from unitdisc.cli.making import making

    of_model = bool(set(options.format) & set(ONNX))
    with making(options, _model_export(options) if of_model else _units_export(options)) as task:
        if not task.unchanged:
            (_export_onnx if of_model else _export_units)(options, task.force)


def _units_export(options: argparse.Namespace) -> "Making":
    """Say of what files for other tools are made; one folder may hold those of several calls, of other formats."""
    from unitdisc.data.exports import export_names
    from unitdisc.made import Making

    formats = sorted(set(options.format))
    given = {name: getattr(options, name) for name in ("units", "data", "longer")}
    places = {name: Path(path) for name, path in given.items() if path}
    reads = [name for name in places if name != "data"]
    reads += [f"data/{name}" for name in ("wav.scp", "segments", "utt2spk") if "data" in places]
    settings = {"formats": formats, "by_recording": options.by_recording}
    holds = tuple(name for format in formats for name in export_names(format))
    return Making(Path(options.out), settings, places, lambda: reads, holds, noun="-".join(formats))


def _export_units(options: argparse.Namespace, force: bool) -> None:
    from unitdisc.data.exports import export_units
    from unitdisc.data.kaldi import DataDir

    data = DataDir.read(options.data) if options.data else None
    count = export_units(options.units, options.out, options.format, data, force, options.longer, options.by_recording)
    print(f"{options.out}: {', '.join(dict.fromkeys(options.format))} of {counted(count, 'utterance')}")


def _model_export(options: argparse.Namespace) -> "Making":
    from unitdisc.errors import DataError
    from unitdisc.made import Making

    if len(set(options.format)) > 1 or options.data:
        raise DataError("--format onnx or onnx-stream writes one file of a model: without other formats or --data")
    reads = ("model/**/*.pt", "model/**/*.safetensors")
    return Making(Path(options.out), {"format": options.format[0]}, {"model": Path(options.units)}, lambda: reads)


def _export_onnx(options: argparse.Namespace, force: bool) -> None:
    from unitdisc.onnx_file import export_onnx

    facts = export_onnx(options.units, options.out, stream=options.format[0] == "onnx-stream", force=force)
    print(f"{options.out}: samples at {facts['sample_rate']} Hz to a unit each {facts['period']} s")


def run_inspect(options: argparse.Namespace) -> None:
    """Print the essentials of a unit file."""
    from unitdisc.evaluate.inspect import essentials, summary

    if options.json:
        print(json.dumps(essentials(options.units, options.given_units), ensure_ascii=False))
    else:
        print(summary(options.units, options.given_units))
