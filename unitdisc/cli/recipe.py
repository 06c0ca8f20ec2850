"""The verb `recipe`: a copy of a recipe to work in, for who has installed the package without a clone."""

import argparse
from pathlib import Path

from unitdisc.errors import counted


def add_verbs(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `recipe`."""
    verb = verbs.add_parser(
        "recipe",
        help="copy a recipe to work in, or list them",
        description="Copy a recipe to DEST/NAME, and beside it what it calls. Without NAME, list the recipes.",
        allow_abbrev=False,
    )
    verb.add_argument("name", metavar="NAME", nargs="?", help="own, mini, ...; without it all are listed")
    verb.add_argument("dest", metavar="DEST", type=Path, nargs="?", help="folder to copy to")
    verb.set_defaults(run=run_recipe, parser=verb)


def run_recipe(options: argparse.Namespace) -> None:
    """List recipes, or copy one."""
    from unitdisc.recipes import copy_recipe, recipe_names, recipe_title

    if options.name is None:
        for name in recipe_names():
            print(f"{name:16} {recipe_title(name)}")
        return
    if options.dest is None:
        options.parser.error("DEST is missing: the folder to copy to, as in `unitdisc recipe own recipes`")
    copied = copy_recipe(options.name, options.dest)
    print(f"{copied.folder}: {counted(copied.files, 'file')}; start with: cd {copied.folder} && ./run.sh --help")
