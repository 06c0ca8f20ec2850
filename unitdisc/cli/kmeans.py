"""The verb `kmeans`."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unitdisc.cli.arguments import add_device, add_json, add_renew, add_set, add_ssl, count, positive, ssl_tree
from unitdisc.errors import counted

if TYPE_CHECKING:
    from unitdisc.made import Making
    from unitdisc.quantizers.clustering import Clusters

PASSES = 10


def add_verbs(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add this module's verbs."""
    kmeans = verbs.add_parser(
        "kmeans",
        help="cluster features: units without a training",
        description="Cluster the features of a data directory, and write a model that `unitdisc encode` takes. The "
        "features are those of CONFIG, or a layer of a self-supervised model (--hubert FOLDER --layer 9), or what the "
        "encoder of a trained model makes of speech (--encoder EXP). Archives of features (`unitdisc features`) are "
        "used where they are there; none is needed.",
        allow_abbrev=False,
    )
    kmeans.add_argument(
        "config", metavar="CONFIG", nargs="?",
        help="YAML file; its section `features` is used, at its top or below `model`",
    )  # fmt: skip
    kmeans.add_argument("exp", metavar="EXP", help="folder to write to")
    add_ssl(kmeans)
    kmeans.add_argument(
        "--encoder", metavar="EXP", help="a trained model: other numbers of units of its encoder, without a training"
    )
    kmeans.add_argument("--train", metavar="DATA", help="data directory, or folder of recordings, to cluster")
    kmeans.add_argument("--codes", type=positive, metavar="K", help="how many units")
    kmeans.add_argument(
        "--centroids", metavar="FILE",
        help="in place of --train and --codes: the centres [K, D] of a file, .npy or a tensor of torch, as they are",
    )  # fmt: skip
    kmeans.add_argument(
        "--splice", type=count, default=0, metavar="N",
        help="put this many frames from each side beside each frame (default: %(default)s)",
    )  # fmt: skip
    kmeans.add_argument(
        "--lda", type=count, default=0, metavar="ROUNDS",
        help="unsupervised LDA: so many times, cluster the frames and take the directions that tell the clusters apart "
        "(with --splice 6, 2 is good) (default: %(default)s)",
    )  # fmt: skip
    kmeans.add_argument("--dim", type=positive, metavar="N", help="directions of --lda that are kept; without it, 32")
    kmeans.add_argument(
        "--stride", type=positive, default=1, metavar="N", help="a unit for the mean of N frames (default: %(default)s)"
    )
    kmeans.add_argument(
        "--jobs",
        type=positive,
        default=1,
        metavar="N",
        help="number of processes that compute features (default: %(default)s)",
    )
    add_device(kmeans, ", for self-supervised features")
    kmeans.add_argument(
        "--passes", type=count, default=PASSES, metavar="N", help="passes over all frames (default: %(default)s)"
    )
    kmeans.add_argument("--seed", type=count, default=0, help="seed of the first centres (default: %(default)s)")
    add_set(kmeans)
    kmeans.add_argument("--force", action="store_true", help="replace a model that is there")
    add_renew(kmeans)
    add_json(kmeans)
    kmeans.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Cluster and print what was found."""
    from unitdisc import dist
    from unitdisc.cli.making import making
    from unitdisc.errors import ConfigError

    if options.jobs > 1 and options.device != "cpu":
        raise ConfigError(f"--jobs {options.jobs}: expected 1 with --device {options.device}")
    dist.check_device(options.device)
    asked = [name for name in ("splice", "lda", "dim") if getattr(options, name)]
    if options.centroids is not None and (options.train or options.codes or asked or options.stride > 1):
        raise ConfigError("--centroids are complete: leave out --train, --codes, --splice, --lda, --dim and --stride")
    if options.centroids is None and (options.train is None or options.codes is None):
        raise ConfigError("expected --train DATA and --codes K, or --centroids FILE")
    if options.encoder is not None:
        _check_alone(options, asked)
    if options.dim is not None and not options.lda:
        raise ConfigError(f"--dim {options.dim}: there are directions only with --lda ROUNDS, such as 2")
    tree, where = features_tree(options) if options.encoder is None else ({}, options.encoder)
    with making(options, making_of(options, tree)) as task:
        if not task.unchanged:
            task.result = cluster_and_print(options, tree, where, task.force)


def _check_alone(options: argparse.Namespace, asked: list[str]) -> None:
    """Refuse what a trained model has chosen already."""
    from unitdisc.errors import ConfigError

    given = [f"--{name}" for name in asked]
    given += [
        f"--{name}"
        for name in ("hubert", "wav2vec2", "wavlm", "data2vec", "centroids", "set")
        if getattr(options, name)
    ]
    given += ["CONFIG"] * (options.config is not None) + ["--stride"] * (options.stride != 1)
    given += ["--passes"] * (options.passes != PASSES)  # over all frames, where a sample of outputs is clustered
    given += ["--jobs"] * (options.jobs != 1) + ["--device"] * (options.device != "cpu")
    if given:
        raise ConfigError(f"--encoder {options.encoder}: has features and frames of its own; leave out {given[0]}")


def features_tree(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """Return a configuration's tree, and where it is from: a file, or the name of a self-supervised model."""
    from unitdisc.config import read_tree
    from unitdisc.errors import ConfigError

    named = ssl_tree(options)
    if (options.config is None) == (named is None):
        raise ConfigError("expected either CONFIG or one of --hubert, --wav2vec2, --wavlm, --data2vec with a FOLDER")
    if named is not None:
        return _only(named), f"--{named['kind']}"
    tree = read_tree(Path(options.config))
    if "features" in tree:
        if more := tree.keys() - {"features", "targets"}:
            raise ConfigError(f"{options.config}: unknown key {sorted(more)[0]!r} beside `features`")
        tree = _only(tree["features"])
    return tree, options.config


def _only(features: Any) -> dict[str, Any]:
    """Return the configuration of a model that has nothing but features."""
    return {"model": {"features": features, "quantizer": {"kind": "kmeans"}, "decoder": {"kind": "none"}}}


def making_of(options: argparse.Namespace, tree: dict[str, Any]) -> "Making":
    """Say of what the model is made, without loading what makes it."""
    from unitdisc.config import with_overrides
    from unitdisc.data.kaldi import is_data_dir
    from unitdisc.made import Making

    features = (with_overrides(None, tree, options.set).get("model") or {}).get("features")
    given = {name: getattr(options, name) for name in ("codes", "passes", "seed", "splice", "lda", "dim", "stride")}
    later = {"splice": 0, "lda": 0, "dim": None, "stride": 1}  # as they were before there were these options
    given = {name: value for name, value in given.items() if name not in later or value != later[name]}
    places, reads = {}, []
    if options.centroids is not None:
        given, places["centroids"] = {}, Path(options.centroids)
        reads = ["centroids"]
    elif not is_data_dir(train := Path(options.train)):  # a plain folder of recordings
        places["train"], reads = train, ["train"]
    else:
        archive = (train / "feats.scp").is_file()
        places["train"] = train
        reads = ["train/feats.scp"] if archive else ["train/wav.scp", "train/segments", "train/utt2spk"]
    if options.encoder is not None:
        places["encoder"] = Path(options.encoder)
        reads += ["encoder"] if places["encoder"].is_file() else ["encoder/**/*.pt", "encoder/**/*.safetensors"]
    if isinstance(features, dict) and "checkpoint" in features:
        places["weights"] = Path(features["checkpoint"])
        reads.append("weights")
    settings = {"features": features, "kmeans": given}
    return Making(Path(options.exp), settings, places, lambda: reads, holds=("config.yaml", "checkpoints/*.pt"))


def cluster_and_print(options: argparse.Namespace, tree: dict[str, Any], where: str, force: bool) -> dict[str, object]:
    """Cluster, print what was found, and return it."""
    from unitdisc import config
    from unitdisc.cluster import fit_codebook, fit_kmeans, import_centroids
    from unitdisc.quantizers.configs import LdaConfig
    from unitdisc.train_config import Config

    if options.encoder is not None:
        found = fit_codebook(where, options.exp, options.train, options.codes, seed=options.seed, force=force)
        return _print_found(options, found, "outputs")
    wanted = config.of_tree(Config, tree, where, options.set)
    if options.centroids is not None:
        codes = import_centroids(wanted, options.exp, options.centroids, force=force)
        about: dict[str, object] = {"exp": options.exp, "codes": codes}
        print(json.dumps(about, ensure_ascii=False) if options.json else f"{options.exp}: {counted(codes, 'unit')}")
        return about
    found = fit_kmeans(
        wanted, options.exp, options.train, options.codes,
        seed=options.seed, passes=options.passes, stride=options.stride,
        lda=LdaConfig(options.lda, options.splice, options.dim or LdaConfig.dim), force=force,
        jobs=options.jobs, device=options.device,
    )  # fmt: skip
    return _print_found(options, found, "frames")


def _print_found(options: argparse.Namespace, found: "Clusters", noun: str) -> dict[str, object]:
    vectors = int(found.counts.sum())
    about: dict[str, object] = {"exp": options.exp, "codes": options.codes, noun: vectors, "inertia": found.inertia}
    if options.json:
        print(json.dumps(about, ensure_ascii=False))
    else:
        print(f"{options.exp}: {options.codes} units of {vectors} {noun}, mean squared distance {found.inertia:.4g}")
    return about
