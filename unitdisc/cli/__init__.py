"""The command `unitdisc`: each verb parses, calls one public function, and prints.

Results go to stdout (with --json for machines), progress to stderr. Exit code 0: fine; 1: a UnitdiscError, in one
line, or a mistake of ours, in one line that says where its traceback is kept; 2: usage; 130: Ctrl-C. A module of this
folder has `add_verbs(verbs)` and imports what it runs only when it runs, so that `--help` is instant.
"""

import argparse
import errno
import os
import shlex
import sys
import tempfile
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

from unitdisc import __version__
from unitdisc.cli.arguments import add_allow_pipes
from unitdisc.cli.completion import SHELLS, PrintCompletion
from unitdisc.cli.foreign import units_of_others
from unitdisc.data.pipes import ALLOW
from unitdisc.errors import UnitdiscError, clipped

# Verbs that read a wav.scp.
WITH_AUDIO = (
    "check",
    "subset",
    "split",
    "combine",
    "features",
    "train",
    "kmeans",
    "encode",
    "compare",
    "convert",
    "copy",
    "export",
    "import-units",
    "words",
    "items",
    "report",
)
MODULES = (
    "data",
    "features",
    "train",
    "kmeans",
    "units",
    "abx",
    "score",
    "segment",
    "convert",
    "compare",
    "report",
    "share",
    "foreign",
    "words",
    "recipe",
)


class _Verb(argparse.ArgumentParser):
    """A verb that refuses what it does not know itself, so that the usage beside the error is its own."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        known, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return known, unknown


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command."""
    top = argparse.ArgumentParser(
        prog="unitdisc", description="Unsupervised speech unit discovery.", allow_abbrev=False
    )
    top.add_argument("--version", action="version", version=f"unitdisc {__version__}")
    top.add_argument(
        "--print-completion",
        action=PrintCompletion,
        choices=SHELLS,
        help="print a completion script, and exit",
    )
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=_Verb)
    for name in MODULES:
        import_module(f"unitdisc.cli.{name}").add_verbs(verbs)
    for verb in WITH_AUDIO:
        add_allow_pipes(verbs.choices[verb])
    return top


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit with its code."""
    name = "unitdisc"
    try:
        options = parser().parse_args(arguments)
        name = f"unitdisc {options.verb}"
        if getattr(options, "allow_pipes", False):
            os.environ[ALLOW] = "1"
        with units_of_others(options):
            code = options.run(options)
        sys.stdout.flush()  # a full disk behind a > is to be told here
    except UnitdiscError as error:
        _end(f"{name}: {error}", 1)
    except KeyboardInterrupt:
        _end(f"{name}: interrupted; start it again to go on", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left is flushed at the end
        sys.exit(0)
    except OSError as error:  # a full disk, a folder that is a file, no permission: nothing to trace
        where = f"{error.filename}: " if error.filename else ""
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        what = "the disk is full; nothing half-written was kept" if full else error.strerror or str(error)
        _end(f"{name}: {where}{what}", 1)
    except Exception as error:  # the last resort: a mistake of ours, which its user can do nothing about but report
        _end(f"{name}: {_report(error)}", 1)
    sys.exit(code or 0)


def _report(error: Exception) -> str:
    """Keep a traceback in a file, and ask for it in one line."""
    what = clipped(f"{type(error).__name__}: {error}")
    try:
        descriptor, path = tempfile.mkstemp(prefix="unitdisc-error-", suffix=".txt", text=True)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as out:
            out.write(f"unitdisc {__version__}\n{shlex.join(sys.argv)}\n{traceback.format_exc()}")
    except OSError as problem:
        path = f"no file, since {problem.strerror}"
    return f"{what}; this is a mistake in unitdisc, please report it with its traceback, which is kept in {path}"


def _end(message: str, code: int) -> NoReturn:
    print(message, file=sys.stderr)
    sys.exit(code)
