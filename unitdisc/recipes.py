"""The recipes of egs/, in a checkout as in an installed package, and copies of them to work in."""

import re
from pathlib import Path
from typing import NamedTuple

from unitdisc.errors import DataError
from unitdisc.files import whole_file

COMMON = "common"  # what all recipes call
SUFFIXES = (".sh", ".py", ".yaml", ".md", ".txt", ".json", ".png")
MADE = {"corpus", "data", "exp", ".stages", "__pycache__"}  # by a recipe that was run in the checkout
_OTHER = re.compile(r"\.\./(\w+/[\w/.-]+\.\w+)")  # a file of another recipe, in YAML or Python
_BESIDE = re.compile(r"^include: ([\w-]+\.yaml)$", re.MULTILINE)  # another configuration of the same folder


class Copied(NamedTuple):
    """What `copy_recipe` did."""

    folder: Path  # of the recipe
    files: int


def recipes_folder() -> Path:
    """Return the folder of recipes: that of the installed package, or of the checkout that is imported."""
    package = Path(__file__).parent
    for folder in (package / "egs", package.parent / "egs"):
        if (folder / COMMON).is_dir():
            return folder
    raise DataError(f"{package}: has no recipes beside it; install unitdisc anew, or take them from a clone")


def recipe_names(egs: Path | None = None) -> list[str]:
    """Return the names of all recipes."""
    return sorted(path.parent.name for path in (egs or recipes_folder()).glob("*/run.sh"))


def recipe_title(name: str, egs: Path | None = None) -> str:
    """Return the first line of a recipe's README."""
    lines = ((egs or recipes_folder()) / name / "README.md").read_text("utf-8").splitlines()
    return lines[0].lstrip("# ").removeprefix(f"{name}: ")


def recipe_files(name: str, egs: Path) -> set[Path]:
    """Return the files of a recipe, relative to egs/: its own, those in common, and what they name of other recipes."""
    files = _files_of(name, egs) | _files_of(COMMON, egs)
    fresh = files
    while fresh:
        named = {other for path in fresh for other in _named(path, egs)}
        fresh = {path for path in named - files if (egs / path).is_file()}
        files = files | fresh
    return files


def all_files(egs: Path) -> list[Path]:
    """Return the files of all recipes, relative to egs/."""
    return sorted(set.union(*(recipe_files(name, egs) for name in recipe_names(egs))))


def copy_recipe(name: str, dest: str | Path, egs: Path | None = None) -> Copied:
    """Copy a recipe to dest/NAME and what it calls beside that; a file of another content in its place is an error."""
    egs, dest = egs or recipes_folder(), Path(dest)
    if name not in recipe_names(egs):
        raise DataError(f"{name}: no such recipe; expected one of {', '.join(recipe_names(egs))}")
    content = {path: (egs / path).read_bytes() for path in sorted(recipe_files(name, egs))}
    for path, data in content.items():
        if (dest / path).exists() and (dest / path).read_bytes() != data:
            raise DataError(f"{dest / path}: is there already and differs; choose another folder, or remove it")
    for path, data in content.items():
        with whole_file(dest / path, binary=True) as out:
            out.write(data)
        if data.startswith(b"#!"):  # a wheel need not keep who may run a file
            (dest / path).chmod((dest / path).stat().st_mode | 0o111)
    return Copied(dest / name, len(content))


def _files_of(name: str, egs: Path) -> set[Path]:
    files = (path.relative_to(egs) for path in (egs / name).rglob("*") if path.suffix in SUFFIXES and path.is_file())
    return {path for path in files if not MADE.intersection(path.parts)}


def _named(path: Path, egs: Path) -> set[Path]:
    """Return what a file names, relative to egs/."""
    if path.suffix not in (".yaml", ".py", ".sh"):
        return set()
    text = (egs / path).read_text("utf-8")
    return {Path(other) for other in _OTHER.findall(text)} | {path.parent / name for name in _BESIDE.findall(text)}
