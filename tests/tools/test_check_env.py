"""tools/check_env.py: what is wrong with an environment, and how to mend it, without a traceback."""

import importlib.util
import json
import re
import subprocess
import sys

import pytest
from places import TOP

TOOL = TOP / "tools" / "check_env.py"


@pytest.fixture
def tool():
    spec = importlib.util.spec_from_file_location("check_env", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_packages_belong_to_the_extra_that_setup_py_says(tool):
    found = tool.requirements(TOP / "setup.py")
    extras = {re.split("[<>=~!]", requirement)[0]: extra for requirement, extra in found.items()}
    wanted = {
        "huggingface-hub": "hub",
        "transformers": "ssl",
        "swift-f0": "judges",
        "pillow": "images",
        "pytest": "dev",
    }
    assert {name: extras[name] for name in wanted} == wanted
    assert extras["torch"] == ""


def test_an_installed_package_is_asked_without_the_pins_of_its_tests(tool, monkeypatch):
    lines = ["torch>=2.6", 'torch==2.11.0; extra == "dev"', 'pytest>=8; extra == "dev"']
    monkeypatch.setattr(tool.importlib.metadata, "requires", lambda name: lines)
    assert tool.requirements(TOP / "no such setup.py") == {"torch>=2.6": "", "pytest>=8": "dev"}


@pytest.mark.parametrize(
    ("version", "conditions", "answer"),
    [
        ("2.11.0+cu130", "==2.11.*", True),
        ("2.12.0", "==2.11.*", False),
        ("2.110.0", "==2.11.*", False),
        ("1.26", ">=1.26", True),
        ("1.26.0rc1", ">=1.26,<2", True),
        ("0.9", ">=0.10.2", False),
        ("6", ">=6.0.0", True),
        ("1.5", "~=1.4", True),
        ("2.0", "~=1.4", False),
        ("3", "!=3.0", False),
        ("anything", "", True),
    ],
)
def test_versions_are_compared_by_number(tool, version, conditions, answer):
    assert tool.fits(version, conditions) is answer


def test_the_list_is_that_of_setup_py(tool):
    wanted = tool.requirements(TOOL.parent.parent / "setup.py")
    assert {r: extra for r, extra in wanted.items() if r.startswith("torch")} == {
        "torch>=2.6": "", "torchaudio==2.11.0": "dev",
    }  # fmt: skip
    assert wanted["kaldiio>=2.18"] == ""
    assert wanted["jinja2>=3.1"] == "report"
    assert wanted["kaldi-native-fbank>=1.20"] == "dev"
    assert not any(r.startswith("unitdisc") for r in wanted)


def test_what_is_missing_or_too_old_is_said_with_a_remedy(tool):
    missing, old, fine, optional = tool.check_packages(
        {"no-such-package>=1": "", "numpy>=999": "", "numpy>=1.26": "", "no-such-peer": "dev"}
    )
    assert missing == ("no-such-package", "missing", True, "not installed", "pip install 'no-such-package>=1'")
    assert (old.state, old.mend) == ("wrong", "pip install 'numpy>=999'")
    assert (fine.state, fine.mend) == ("ok", "")
    assert (optional.needed, optional.mend) == (False, "pip install '.[dev]' in the checkout")


def test_a_pair_that_does_not_go_together(tool, tmp_path, monkeypatch):
    findings = [tool.Finding(name, "ok", True, "2.11.0", "") for name in ("torch", "torchaudio")]
    for name, body in (
        ("torch", "__version__ = '2.11.0'"),
        (
            "torchaudio",
            "raise RuntimeError('Detected that PyTorch and TorchAudio were compiled with different CUDA versions')",
        ),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(body)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (broken,) = tool.check_pair(findings)
    assert broken.state == "broken"
    assert "different CUDA versions" in broken.got
    assert "\n" not in broken.got
    assert "pip install 'torch==2.11.0' 'torchaudio==2.11.0'" in broken.mend
    (tmp_path / "torchaudio" / "__init__.py").write_text("__version__ = '2.9.1'; functional = None")
    assert tool.check_pair(findings)[0][1:4] == ("wrong", False, "torch 2.11.0, torchaudio 2.9.1")
    (tmp_path / "torchaudio" / "__init__.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    assert tool.check_pair(findings)[0].got == "dies of signal 11"
    for version in ("2.11.0", "2.11.1"):
        (tmp_path / "torchaudio" / "__init__.py").write_text(f"__version__ = '{version}'; functional = None")
        assert tool.check_pair(findings)[0].state == "ok"
    assert tool.check_pair(findings[:1]) == []  # without torchaudio there is no pair


def test_a_python_that_is_too_new(tool, monkeypatch):
    assert tool.check_python().state == "ok"
    monkeypatch.setattr(tool, "PYTHONS", ((3, 4), (3, 6)))
    assert tool.check_python().state == "wrong"
    assert "use Python 3.4 to 3.5" in tool.check_python().mend


@pytest.mark.slow
def test_this_environment_is_in_order():
    done = subprocess.run([sys.executable, str(TOOL), "--json"], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    said = json.loads(done.stdout)
    assert said["ok"]
    assert done.returncode == 0


def test_python_alone_is_enough_to_run_it(tmp_path):
    done = subprocess.run(
        [sys.executable, "-S", "-I", str(TOOL), "--json"], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    said = json.loads(done.stdout)
    assert (done.returncode, done.stderr, said["ok"]) == (1, "", False)
    assert {f["state"] for f in said["findings"] if f["name"] == "torch"} == {"missing"}
