"""Shell completion: `unitdisc --print-completion bash`, written by shtab from the parser itself."""

import argparse
from typing import Any

from unitdisc.errors import UnitdiscError

SHELLS = ("bash", "zsh", "tcsh")


class PrintCompletion(argparse.Action):
    """Print a script of completions for a shell, and end."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: Any, values: Any, option: str | None = None) -> None:
        """Print it; shtab is asked for here alone, so that other starts do not wait for it."""
        try:
            import shtab
        except ImportError:
            raise UnitdiscError("--print-completion needs a package: pip install 'unitdisc[completion]'") from None
        print(shtab.complete(parser, values))
        parser.exit(0)
