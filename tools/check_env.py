"""Say what this Python lacks for unitdisc, or has in a version that does not fit, and how to mend it.

    python tools/check_env.py [--json]

Exit code 0: all that is needed is there; 1: something needed is not. It needs nothing but Python itself, imports each
package in a process of its own, so that not even one that crashes ends it, and runs also where unitdisc does not.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ((3, 10), (3, 14))  # from, up to but without
IMPORTS = {
    "pyyaml": "yaml",
    "pillow": "PIL",
    "scikit-learn": "sklearn",
    "espeakng-loader": "espeakng_loader",
    "kaldi-native-fbank": "kaldi_native_fbank",
    "kaldi-native-io": "kaldi_native_io",
    "vector-quantize-pytorch": "vector_quantize_pytorch",
    "pytest-timeout": "pytest_timeout",
    "pytest-xdist": "xdist",
    "mkdocs-material": "material",
    "mkdocstrings-python": "mkdocstrings_handlers.python",
    "pympi-ling": "pympi",
    "praat-parselmouth": "parselmouth",
    "pyworld-prebuilt": "pyworld",
}
NO_MODULE = {"ruff", "mypy", "types-pyyaml", "types-tqdm"}  # tools and stubs: there if they are installed
PAIR = "import torch, torchaudio; torchaudio.functional; print(torch.__version__, torchaudio.__version__)"
SECONDS = 180  # for one import; the first of torch after an install can be slow


class Finding(NamedTuple):
    """What is known of one thing."""

    name: str
    state: str  # "ok" | "missing" | "wrong" | "broken"
    needed: bool
    got: str  # the version, or what happened
    mend: str  # what to do; empty if ok


def main() -> int:
    """Print the findings, and how to mend what is not in order."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    findings = [check_python(), *check_packages(requirements(ROOT / "setup.py"))]
    findings += [*check_pair(findings), check_cuda(findings)]
    missing = [f for f in findings if f.needed and f.state != "ok"]
    if options.json:
        print(json.dumps({"ok": not missing, "findings": [f._asdict() for f in findings]}, indent=1))
        return 1 if missing else 0
    for finding in findings:
        mark = "ok" if finding.state == "ok" else finding.state.upper() if finding.needed else finding.state
        print(f"{mark:8} {finding.name:26} {finding.got}")
    for finding in findings:
        if finding.state != "ok":
            print(f"\n{finding.name} ({'needed' if finding.needed else 'optional'}): {finding.mend}")
    print(
        f"\n{len(missing)} of {sum(f.needed for f in findings)} needed things are not in order"
        if missing
        else "\nready"
    )
    return 1 if missing else 0


def check_python() -> Finding:
    """Look at the version of Python."""
    low, high = PYTHONS
    fits = low <= sys.version_info[:2] < high
    span = f"{low[0]}.{low[1]} to {high[0]}.{high[1] - 1}"
    where = f"{platform.python_version()} at {sys.executable}"
    mend = f"use Python {span}: `make test PYTHON=python3.11`, or `python3.11 -m venv .venv`"
    return Finding("python", "ok" if fits else "wrong", True, where, "" if fits else mend)


def requirements(setup_py: Path) -> dict[str, str]:
    """Read setup.py without running it: requirement -> "" if it is needed, else the extra that it belongs to."""
    try:
        text = setup_py.read_text("utf-8")
    except OSError:  # not in a checkout: ask the installed package
        return installed_requirements()
    found: dict[str, str] = {}
    groups = {
        name.lower(): re.findall(r'^\s*"([A-Za-z][^"]*)"', body.replace("[", "\n").replace(", ", "\n"), re.M)
        for name, body in re.findall(r"^([A-Z_]+) = (\[.*?\])(?:  #[^\n]*)?$", text, re.M | re.S)
    }
    core = re.search(r"install_requires=\[(.*?)\n    \]", text, re.S)
    for requirement in [*re.findall(r'"([A-Za-z][^"]*)"', core[1] if core else "")]:
        found[requirement] = ""
    for extra, names in groups.items():
        for requirement in names:
            found.setdefault(requirement, extra)
    return _without_pins(found)


def _without_pins(found: dict[str, str]) -> dict[str, str]:
    """Leave out what an extra asks of a package that is needed anyway: the tests pin some, which nobody else has to."""
    needed = {_name(requirement) for requirement, extra in found.items() if not extra}
    return {req: extra for req, extra in found.items() if not extra or _name(req) not in needed}


def _name(requirement: str) -> str:
    return re.split(r"[<>=!~\[ ]", requirement)[0]


def installed_requirements() -> dict[str, str]:
    """Read the requirements of the installed package."""
    try:
        lines = importlib.metadata.requires("unitdisc") or []
    except importlib.metadata.PackageNotFoundError:
        return {}
    found: dict[str, str] = {}
    for line in lines:
        requirement, _, condition = line.partition(";")
        extra = re.search(r"""extra == ['"](\w+)""", condition)
        found.setdefault(requirement.strip(), extra[1] if extra else "")
    return _without_pins(found)


def check_packages(wanted: dict[str, str]) -> list[Finding]:
    """Look at each package: is it there, does its version fit, can it be imported."""
    if not wanted:
        return [Finding("setup.py", "missing", True, "no list of packages", "run it in a checkout of unitdisc")]
    with ThreadPoolExecutor(4) as pool:  # each waits for a process of its own
        return list(pool.map(check_package, wanted, wanted.values()))


def check_package(requirement: str, extra: str) -> Finding:
    """Look at the package of a requirement."""
    name = _name(requirement)
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        mend = f"pip install '.[{extra}]' in the checkout" if extra else f"pip install '{requirement}'"
        return Finding(name, "missing", not extra, "not installed", mend)
    if not fits(version, requirement[len(name) :]):
        return Finding(name, "wrong", not extra, f"{version}, wanted {requirement}", f"pip install '{requirement}'")
    error = "" if name.lower() in NO_MODULE else import_error(IMPORTS.get(name.lower(), name.lower()))
    if error:
        return Finding(name, "broken", not extra, error, f"pip install --force-reinstall '{requirement}'")
    return Finding(name, "ok", not extra, version, "")


def fits(version: str, conditions: str) -> bool:
    """Tell whether a version meets conditions as in `>=1.2,<3` or `==2.11.*`."""
    have = numbers(version)
    for operator, text in re.findall(r"(>=|<=|==|!=|~=|<|>)\s*([\w.*]+)", conditions):
        want = numbers(text)
        width = max(len(have), len(want))
        padded, target = ((*v, *(0,) * (width - len(v))) for v in (have, want))
        same = have[: len(want)] == want if text.endswith("*") else padded == target
        true = {
            ">=": padded >= target, "<=": padded <= target, ">": padded > target, "<": padded < target,
            "==": same, "!=": not same, "~=": padded >= target and have[: len(want) - 1] == want[:-1],
        }[operator]  # fmt: skip
        if not true:
            return False
    return True


def numbers(version: str) -> tuple[int, ...]:
    """Return the numbers of a version, without what is local or not yet released."""
    release = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in release[0].split(".")) if release else ()


def import_error(module: str) -> str:
    """Import a module in a process of its own; return why that fails, or nothing."""
    return run_python(f"import {module}")[1]


def run_python(code: str) -> tuple[str, str]:
    """Return what a piece of Python prints, and why it failed, in one line."""
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=SECONDS, env=environment, check=False
        )
    except subprocess.TimeoutExpired:
        return "", f"takes more than {SECONDS} s"
    if done.returncode < 0:
        return "", f"dies of signal {-done.returncode}"
    last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    return done.stdout.strip(), last[:300] if done.returncode else ""


def check_pair(findings: list[Finding]) -> list[Finding]:
    """Look whether a torchaudio that is there was made for this torch, down to CUDA; only tests and tools use it."""
    versions = {f.name: f.got for f in findings if f.name in ("torch", "torchaudio") and f.state != "missing"}
    if len(versions) < 2:
        return []
    pair = " ".join(f"'{pin}'" for pin in pinned_pair())
    mend = (
        f"pip uninstall -y torch torchaudio; pip install {pair}. torchaudio refuses a torch "
        "built for another CUDA version, and must come from the same index as torch, in the same command"
    )
    printed, error = run_python(PAIR)
    if error:
        return [Finding("torch with torchaudio", "broken", False, error, mend)]
    one, other = printed.split()[-2:]
    together = numbers(one)[:2] == numbers(other)[:2] or numbers(other) >= (2, 11, 1)  # that goes with later torches
    state = "ok" if together else "wrong"
    return [
        Finding(
            "torch with torchaudio", state, False, f"torch {one}, torchaudio {other}", mend if state != "ok" else ""
        )
    ]


def pinned_pair() -> list[str]:
    """Return the pair that setup.py pins for the tests."""
    path = ROOT / "setup.py"
    text = path.read_text("utf-8") if path.exists() else ""
    return re.findall(r'"(torch==[^"]+|torchaudio==[^"]+)"', text) or ["torch", "torchaudio"]


def check_cuda(findings: list[Finding]) -> Finding:
    """Look whether a graphics card can be used; nothing needs one."""
    if any(f.name == "torch" and f.state != "ok" for f in findings):
        return Finding("cuda", "missing", False, "not looked at", "mend torch first")
    printed, error = run_python(
        "import torch; print(torch.cuda.is_available(), torch.version.cuda, torch.cuda.device_count() "
        "and torch.cuda.get_device_name(0))"
    )
    if error or not printed.startswith("True"):
        mend = "everything runs on the CPU; for a GPU, its driver must be as new as the CUDA version of this torch"
        return Finding(
            "cuda", "missing", False, error or f"no device (torch is built for CUDA {printed.split()[1]})", mend
        )
    return Finding("cuda", "ok", False, printed.partition(" ")[2], "")


if __name__ == "__main__":
    sys.exit(main())
