"""Shell completion is written from the parser, and only then is its package asked for."""

import subprocess
import sys

import pytest

from unitdisc.cli import main


def test_bash_completes_verbs_and_options(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as end:
        main(["--print-completion", "bash"])
    assert end.value.code == 0
    script = capsys.readouterr().out
    words = f"{script}\nCOMP_WORDS=(unitdisc enc); COMP_CWORD=1; {_function(script)}; echo ${{COMPREPLY[@]}}"
    done = subprocess.run(["bash", "-c", words], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["encode"], done.stderr


def _function(script: str) -> str:
    (line,) = [line for line in script.splitlines() if line.startswith("complete ")]
    return line.split("-F ")[1].split()[0]


def test_without_the_package_the_extra_is_named(monkeypatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setitem(sys.modules, "shtab", None)
    with pytest.raises(SystemExit) as end:
        main(["--print-completion", "zsh"])
    assert end.value.code == 1
    assert "pip install 'unitdisc[completion]'" in capsys.readouterr().err
