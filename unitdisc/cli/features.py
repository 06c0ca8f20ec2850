"""The verb `features`."""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unitdisc.cli.arguments import (
    add_device,
    add_job,
    add_max_failed,
    add_renew,
    add_set,
    add_ssl,
    numbers,
    positive,
    ssl_tree,
)
from unitdisc.errors import ConfigError, counted

if TYPE_CHECKING:
    from unitdisc.features.archives import ExtractConfig, LayersConfig
    from unitdisc.made import Making
    from unitdisc.processes import Part


def add_verbs(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add this module's verbs."""
    parser = verbs.add_parser(
        "features",
        help="features of data directories: feats.scp, feats.ark (and targets.*)",
        description="Compute the features that CONFIG names for each data directory, beside it: what the model of a "
        "training config needs, or the sections `features` and `targets` at its top. A run that was stopped goes on "
        "where it was; features that are there are kept.",
        allow_abbrev=False,
    )
    parser.add_argument("config", metavar="CONFIG", nargs="?", help="YAML file; none with --hubert and its like")
    parser.add_argument("data", metavar="DATA", nargs="+", help="Kaldi data directories")
    parser.add_argument(
        "--jobs", type=positive, default=1, metavar="N", help="number of processes (default: %(default)s)"
    )
    add_ssl(parser)
    parser.add_argument(
        "--layers", type=numbers, metavar="N,N,...",
        help="several layers in one pass, in archives side by side: layer-6.scp, layer-9.scp, ...",
    )  # fmt: skip
    parser.add_argument(
        "--half", action="store_true",
        help="archives of 16 bits a value, half as large: Kaldi's compressed matrices, which all readers know",
    )  # fmt: skip
    parser.add_argument("--force", action="store_true", help="replace features that are there")
    add_max_failed(parser)
    add_job(parser)
    add_renew(parser)
    add_set(parser)
    add_device(parser, ", for self-supervised features")
    parser.add_argument("--json", action="store_true", help="print one JSON object for each directory")
    parser.set_defaults(run=run)


def load_config(path: str, changes: Sequence[str] = ()) -> "ExtractConfig":
    """Read `features` and `targets` from the top of a config, or what the model of a training config needs."""
    from dataclasses import make_dataclass, replace

    from unitdisc.config import from_tree, read_tree, with_overrides
    from unitdisc.features.archives import ExtractConfig

    tree = read_tree(Path(path))
    if "features" in tree or "targets" in tree:
        return from_tree(ExtractConfig, with_overrides(ExtractConfig, tree, changes), path)
    from unitdisc.model_config import ModelConfig

    tree = with_overrides(make_dataclass("Whole", [("model", ModelConfig)]), tree, changes)
    model = from_tree(ModelConfig, tree.get("model", {}), f"{path}: model")
    archives: dict[str, Any] = model.decoder.archives(model.targets)
    return replace(ExtractConfig(model.features), **archives)


def run(options: argparse.Namespace) -> int:
    """Make the features of each data directory and print what became of it."""
    from unitdisc import dist

    if options.jobs > 1 and options.device != "cpu":
        raise ConfigError(f"--jobs {options.jobs}: expected 1 with --device {options.device}")
    dist.check_device(options.device)
    if options.layers and options.layer is None:
        options.layer = max(options.layers)
    named = ssl_tree(options)
    if named is None and (options.config is None or options.layers):
        raise ConfigError("expected CONFIG and DATA, or DATA and a self-supervised model, as --hubert FOLDER --layer 9")
    if named is not None and options.config is not None:  # it is the first of the data directories
        options.data, options.config = [options.config, *options.data], None
    with dist.group(options.device):
        for path in map(Path, options.data):
            if dist.world_size() > 1:  # each process does its parts, then the first puts them together
                parts = _our_parts(path)
                dist.barrier()  # all have looked before one begins
                for part in parts:
                    _run_one(options, path, part)
                dist.barrier()
            if dist.is_main():
                _run_one(options, path, options.job)
            dist.barrier()
    return 0


def _our_parts(path: Path) -> "list[Part]":
    """Return the parts of this one of several processes: of a division that others have begun, if there is one."""
    from unitdisc import dist
    from unitdisc.features.partial import parts_of
    from unitdisc.processes import Part

    begun = parts_of(path)
    count = begun[0].of if begun else dist.world_size()
    return [Part(number, count) for number in range(dist.rank() + 1, count + 1, dist.world_size())]


def _run_one(options: argparse.Namespace, path: Path, part: "Part | None") -> None:
    from unitdisc.cli.making import making, part_of_making

    named = ssl_tree(options)
    if named is None:
        wanted = making_of(options.config, path, options.set, options.half)
    else:
        wanted = making_of_layers(options, named, path)
    if part is not None and not options.unchanged:
        task = part_of_making(options, wanted)
        if not task.unchanged:
            extract_and_print(options, path, task.force, part)
        return
    with making(options, wanted) as task:
        if not task.unchanged:
            task.result = extract_and_print(options, path, task.force)


def making_of_layers(options: argparse.Namespace, named: dict[str, Any], data: Path) -> "Making":
    """Say of what layers of a self-supervised model are made."""
    from unitdisc.config import with_overrides
    from unitdisc.made import Making

    names = [f"layer-{layer}" for layer in options.layers] if options.layers else ["feats"]
    wanted = with_overrides(None, {"features": named}, options.set)["features"]
    settings = {"features": wanted, "layers": options.layers or [], **({"half": True} if options.half else {})}
    places = {"data": data, "weights": Path(named["checkpoint"])}
    return Making(
        data, settings, places, lambda: ("weights", "data/wav.scp", "data/segments", "data/utt2spk"),
        holds=tuple(f"{name}.scp" for name in names), noun="layers" if options.layers else "features",
    )  # fmt: skip


def making_of(config: str, data: Path, changes: Sequence[str] = (), half: bool = False) -> "Making":
    """Say of what the features of a data directory are made, without loading what makes them."""
    from unitdisc.config import read_tree, with_overrides
    from unitdisc.made import Making

    tree = with_overrides(None, read_tree(Path(config)), changes)
    model = tree if "features" in tree or "targets" in tree else tree.get("model") or {}
    settings: dict[str, Any] = {name: model.get(name) for name in ("features", "targets")}
    if isinstance(settings["features"], dict):  # archives hold frames that are not normalised
        settings["features"] = {k: v for k, v in settings["features"].items() if not k.startswith("cmvn")}
    if half:
        settings["half"] = True
    # The decoder says which archives there are, of which each is kept or made by itself.
    decoder = model.get("decoder") or {}
    settings["decoder"] = decoder.get("kind") if isinstance(decoder, dict) else decoder
    return Making(
        data, settings, {"data": data}, lambda: ("data/wav.scp", "data/segments", "data/utt2spk"),
        holds=("feats.scp",), loose=("decoder",), noun="features",
    )  # fmt: skip


def layers_config(options: argparse.Namespace, named: dict[str, Any]) -> "ExtractConfig | LayersConfig":
    """Return what the options of a self-supervised model ask for."""
    from typing import cast

    from unitdisc.config import of_tree
    from unitdisc.features.archives import ExtractConfig, LayersConfig
    from unitdisc.features.configs import SSLConfig

    one = of_tree(ExtractConfig, {"features": named}, f"--{named['kind']}", options.set)
    return LayersConfig(cast("SSLConfig", one.features), tuple(options.layers)) if options.layers else one


def extract_and_print(
    options: argparse.Namespace, path: Path, force: bool, part: "Part | None" = None
) -> dict[str, Any]:
    """Make the features of a data directory, or a job's part of them, print what became of it, and return it."""
    from tqdm import tqdm

    from unitdisc.data.kaldi import DataDir
    from unitdisc.features.archives import is_to_compute
    from unitdisc.processes import expect_processes

    named = ssl_tree(options)
    config = load_config(options.config, options.set) if named is None else layers_config(options, named)
    start = time.perf_counter()
    data = DataDir.read(path)
    if force or is_to_compute(path, config, part):
        expect_processes(options.jobs, "unitdisc.features.extract")
    from unitdisc.features.extract import extract  # takes time to import: once other processes do the same

    with tqdm(total=len(data.utts), desc=str(path), unit="utt", disable=None, file=sys.stderr) as bar:

        def progress(done: int, total: int) -> None:
            bar.update(done - bar.n)

        summary = extract(
            data, config, options.jobs, force, options.max_failed, options.device, progress, part, options.half
        )
    about = {"data": str(path), **summary._asdict(), "seconds": round(time.perf_counter() - start, 3)}
    if options.json:
        print(json.dumps(about))
        return about
    what = ", ".join(summary.made) if summary.made else "kept what was there"
    later = "" if part is None else "; the same command without --job puts the parts together"
    if part is not None and summary.made:
        what = f"part {part.number} of {part.of} of {what}"
    failed = f", {len(summary.failed)} failed (listed in feats.json)" if summary.failed else ""
    if summary.short:
        most = 1000 * max(summary.short.values())
        failed += f", {len(summary.short)} up to {most:.0f} ms shorter than their headers say (filled with silence)"
    print(
        f"{path}: {what}: {counted(summary.utterances, 'utterance')}, {counted(summary.frames, 'frame')}{failed}; "
        f"{about['seconds']:.1f} s{later}"
    )
    return about
