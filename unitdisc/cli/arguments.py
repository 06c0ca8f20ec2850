"""Types of the command line's values: what is wrong is said before anything is loaded."""

import argparse
from typing import TYPE_CHECKING, Any

from unitdisc.errors import MOST_FAILED

if TYPE_CHECKING:
    from unitdisc.processes import Part

SSL_KINDS = {"hubert": "HuBERT", "wav2vec2": "wav2vec 2.0", "wavlm": "WavLM", "data2vec": "data2vec (audio)"}


def count(text: str) -> int:
    """Return a number, 0 or more."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a number, 0 or more; got {text!r}")
    return int(text)


def positive(text: str) -> int:
    """Return a number, 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number, 1 or more; got {text!r}")
    return int(text)


def numbers(text: str) -> list[int]:
    """Return numbers above 0, as 6,9,12, without those that stand there twice."""
    return sorted({positive(part) for part in text.split(",")})


def positive_or_none(text: str) -> int | None:
    """Return a number, 1 or more, or none."""
    if text.lower() == "none":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number above 0, or none; got {text!r}")
    return int(text)


def share(text: str) -> float:
    """Return a share, as 0.01 or 1%."""
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a share as 0.01 or 1%, got {text!r}")
    return value


def above_zero(text: str) -> float:
    """Return a finite number above 0."""
    value = zero_or_more(text)
    if value == 0:
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return value


def zero_or_more(text: str) -> float:
    """Return a finite number that is not negative."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number, 0 or more; got {text!r}")
    return value


def part(text: str) -> "Part":
    """Return one of several jobs, given as 3/8."""
    from unitdisc.processes import Part

    number, slash, of = text.partition("/")
    if not (slash and number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise argparse.ArgumentTypeError(f"expected a job as 3/8, the third of eight; got {text!r}")
    return Part(int(number), int(of))


def add_job(verb: argparse.ArgumentParser) -> None:
    """Add --job, for verbs whose work may be shared by an array of jobs."""
    verb.add_argument(
        "--job", type=part, metavar="J/N",
        help="do the J-th of N parts, as one of an array of jobs; the same command without --job puts them together",
    )  # fmt: skip


def device(text: str) -> str:
    """Return the name of a device as torch writes it."""
    kind, colon, number = text.partition(":")
    if kind not in ("cpu", "cuda") or (colon and not number.isdecimal()):
        raise argparse.ArgumentTypeError(f"expected cpu, cuda or cuda:N, got {text!r}")
    return text


def add_device(verb: argparse.ArgumentParser, note: str = "") -> None:
    """Add --device."""
    help_text = f"cpu, cuda or cuda:N{note} (default: %(default)s)"
    verb.add_argument("--device", type=device, default="cpu", metavar="DEVICE", help=help_text)


def add_max_failed(verb: argparse.ArgumentParser, done: str = "used") -> None:
    """Add --max-failed."""
    verb.add_argument(
        "--max-failed", type=share, default=MOST_FAILED, metavar="SHARE",
        help=f"stop if more than this share of the utterances cannot be {done} (default: %(default)s)",
    )  # fmt: skip


def add_scoring(verb: argparse.ArgumentParser) -> None:
    """Add what all scores take: how they are printed, and how their intervals are made."""
    verb.add_argument("--json", action="store_true", help="print whole scores as JSON instead of a table")
    verb.add_argument("--seed", type=count, default=0, help="seed of everything random (default: %(default)s)")
    verb.add_argument(
        "--resamples",
        type=count,
        default=1000,
        metavar="N",
        help="resamples of the bootstrap, which makes the intervals; 0: no intervals (default: %(default)s)",
    )


def add_renew(verb: argparse.ArgumentParser) -> None:
    """Add --renew, for verbs whose output knows what it was made of (`cli/making.py`)."""
    verb.add_argument(
        "--renew", action="store_true", help="make the output again if it was made of something else; "
        "if another process is writing it, wait",
    )  # fmt: skip
    verb.add_argument(
        "--unchanged", action="store_true",
        help="make nothing; exit with 0 if the output is there and up to date, else with 3",
    )  # fmt: skip


def add_json(verb: argparse.ArgumentParser) -> None:
    """Add --json."""
    verb.add_argument("--json", action="store_true", help="print the result as JSON")


def add_allow_pipes(verb: argparse.ArgumentParser) -> None:
    """Add --allow-pipes."""
    verb.add_argument(
        "--allow-pipes", action="store_true", help="let a shell run commands of wav.scp that do more than decode a file"
    )


def add_ssl(verb: argparse.ArgumentParser) -> None:
    """Add the options that name a layer of a self-supervised model, in place of a configuration."""
    models = verb.add_mutually_exclusive_group()
    for kind in SSL_KINDS:
        models.add_argument(
            f"--{kind}", metavar="FOLDER", help=f"weights of {SSL_KINDS[kind]}: a folder or file on disk"
        )
    verb.add_argument("--layer", type=positive, metavar="N", help="layer of that model, counted from 1")
    verb.add_argument(
        "--precision",
        choices=("float32", "bfloat16", "float16"),
        help="kind of numbers that the model computes with; without it, float32",
    )


def ssl_tree(options: argparse.Namespace) -> dict[str, Any] | None:
    """Return the section `features` of the options of `add_ssl`; None without a model."""
    from unitdisc.errors import ConfigError

    for kind in SSL_KINDS:
        if (folder := getattr(options, kind)) is not None:
            if options.layer is None:
                raise ConfigError(f"--{kind} {folder}: which of its layers? Add --layer N")
            given = {"layer": options.layer, "precision": options.precision}
            return {"kind": kind, "checkpoint": folder, **{key: value for key, value in given.items() if value}}
    if options.layer is not None or options.precision is not None:
        raise ConfigError("--layer and --precision are of a self-supervised model: name one, as --hubert FOLDER")
    return None


def add_set(verb: argparse.ArgumentParser) -> None:
    """Add --set."""
    verb.add_argument(
        "--set", nargs="+", action="extend", type=_change, default=[], metavar="A.B=C",
        help="change values of the configuration, whose keys `unitdisc config` prints; repeatable",
    )  # fmt: skip


def _change(text: str) -> str:
    key, equals, _ = text.partition("=")
    if not equals or not key.strip():
        raise argparse.ArgumentTypeError(f"expected A.B=C, got {text!r}; what is no change stands before --set")
    return text
