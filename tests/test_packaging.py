"""What pip builds and installs is whole: the command, templates, types, recipes; without network."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from places import TOP

import unitdisc
from unitdisc.recipes import all_files

PARTS = ("unitdisc", "egs", "docs", "tests", "tools")
FILES = (
    "setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md",
    "LICENSE", "Makefile", "hubconf.py", "mkdocs.yml",
)  # fmt: skip
BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_sdist(sys.argv[1]))"


def checked(command: list[str], **how: object) -> str:
    """Run a program that must not fail, and return what it prints."""
    done = subprocess.run(command, capture_output=True, text=True, **how)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the sdist in a copy of the tree, since setuptools writes beside setup.py."""
    pytest.importorskip(
        "setuptools", minversion="70.1", reason="setuptools 70.1, which builds wheels, is not installed"
    )
    folder = tmp_path_factory.mktemp("tree")
    made = shutil.ignore_patterns("corpus", "exp", ".stages", "__pycache__")
    for part in PARTS:
        shutil.copytree(TOP / part, folder / part, ignore=made)
    for name in FILES:
        shutil.copy(TOP / name, folder / name)
    leftover = folder / "egs" / "own" / "data" / "train" / "secret.txt"  # what a recipe has made here stays here
    leftover.parent.mkdir(parents=True, exist_ok=True)
    leftover.write_text("a recording of somebody")
    checked([sys.executable, "-c", BUILD, str(folder / "dist")], cwd=folder)
    return next((folder / "dist").glob("*.tar.gz"))


@pytest.fixture(scope="module")
def installed(sdist: Path) -> Path:
    """Build a wheel of the sdist, and install it into a folder of its own."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-index"]
    out = sdist.parent
    checked([*pip, "wheel", *offline, "--no-build-isolation", "--no-cache-dir", "-w", str(out), str(sdist)])
    target = out / "installed"
    checked([*pip, "install", *offline, "--target", str(target), str(next(out.glob("*.whl")))])
    return target


def run(installed: Path, *words: str, folder: Path) -> str:
    """Run a program with the installed package, away from the checkout."""
    environment = os.environ | {"PYTHONPATH": str(installed), "PATH": f"{installed / 'bin'}:{os.environ['PATH']}"}
    return checked(list(words), cwd=folder, env=environment)


@pytest.mark.slow
def test_the_sdist_has_what_the_checkout_has(sdist: Path):
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {*FILES, "docs/install.md", "tests/places.py", "tools/check_env.py"} <= names
    assert {f"egs/{path}" for path in all_files(TOP / "egs")} <= names
    assert not [name for name in names if "secret" in name or name.endswith(".pyc")]


@pytest.mark.slow
def test_the_wheel_has_types_templates_and_recipes(installed: Path):
    package = installed / "unitdisc"
    assert (package / "py.typed").is_file()
    assert {path.name for path in (package / "report" / "templates").iterdir()} == {
        path.name for path in (TOP / "unitdisc" / "report" / "templates").iterdir()
    }
    recipes = {path.relative_to(package / "egs") for path in (package / "egs").rglob("*") if path.is_file()}
    assert {path for path in recipes if path.suffix != ".pyc"} == set(all_files(TOP / "egs"))
    modules = {path.relative_to(TOP) for path in (TOP / "unitdisc").rglob("*.py")}
    assert modules <= {path.relative_to(installed) for path in package.rglob("*.py")}


@pytest.mark.slow
def test_the_installed_command_works(installed: Path, tmp_path: Path):
    where = run(installed, sys.executable, "-c", "import unitdisc; print(unitdisc.__file__)", folder=tmp_path)
    assert Path(where.strip()).parent == installed / "unitdisc"
    assert run(installed, "unitdisc", "--version", folder=tmp_path) == f"unitdisc {unitdisc.__version__}\n"
    assert "recipe" in run(installed, "unitdisc", "--help", folder=tmp_path)
    (tmp_path / "a.txt").write_text("a-1 5 5 2 2 2\na-2 1 1 3\n")
    assert "2 utterances" in run(installed, "unitdisc", "import-units", "a.txt", "u.jsonl", "--period", "0.02",
                                 "--codes", "8", folder=tmp_path)  # fmt: skip
    assert "bit/s" in run(installed, "unitdisc", "score", "bitrate", "u.jsonl", folder=tmp_path)
    run(installed, "unitdisc", "recipe", "own", "mine", folder=tmp_path)
    done = subprocess.run([tmp_path / "mine" / "own" / "run.sh", "--help"], capture_output=True, text=True)
    assert "--wavs" in done.stdout


def test_one_version_everywhere():
    version = unitdisc.__version__
    assert re.search(r"^version: (.+)$", (TOP / "CITATION.cff").read_text("utf-8"), re.M)[1] == version
    assert re.search(r"^## (\S+)", (TOP / "CHANGELOG.md").read_text("utf-8"), re.M)[1] == version


def test_core_requirements_are_those_that_the_package_imports():
    """What is required is imported somewhere in unitdisc/, and what is imported is required or asked for late."""
    text = (TOP / "setup.py").read_text("utf-8")
    core = re.findall(r'^\s+"([A-Za-z0-9_-]+)', re.search(r"install_requires=\[(.*?)\n    \]", text, re.S)[1], re.M)
    names = {"PyYAML": "yaml"}
    source = "\n".join(path.read_text("utf-8") for path in (TOP / "unitdisc").rglob("*.py"))
    for requirement in core:
        assert re.search(rf"^\s*(import|from) {names.get(requirement, requirement)}\b", source, re.M), requirement
    assert not re.search(r"^\s*(import|from) (librosa|torchaudio)\b", source, re.M)


@pytest.mark.slow
def test_the_metadata_name_what_is_needed(installed: Path):
    (about,) = importlib.metadata.distributions(path=[str(installed)])
    assert about.metadata["Author"] == "unitdisc developers"
    assert about.version == unitdisc.__version__
    core = [line for line in about.requires or [] if "extra" not in line]
    assert any(line.startswith("torch>=2.6") for line in core)
    assert not any(line.startswith(("torchaudio", "librosa")) for line in core)
    assert {"report", "mini", "ssl", "hub", "export"} <= set(about.metadata.get_all("Provides-Extra") or [])
