"""The command line that scripts of recipes have in common."""

import os
import subprocess
import sys
from pathlib import Path

from recipe_files import EGS


def test_a_script_takes_paths_and_options_and_prints_what_its_work_returns(tmp_path: Path):
    script = tmp_path / "work.py"
    script.write_text(
        '"""Works hard."""\n'
        "from scripts import run\n"
        "from unitdisc.errors import DataError\n"
        "def work(out, data, row):\n"
        "    if row == 'bad':\n"
        "        raise DataError(f'{out}: is bad')\n"
        "    return {'paths': len(data), row: 0.123456} if row else [str(out)]\n"
        "run(work, 'out', 'data...', row={'default': ''})\n"
    )

    def outcome(*arguments: str) -> tuple[int, str, str]:
        environment = os.environ | {"PYTHONPATH": f"{EGS / 'common'}:{EGS.parent}"}
        got = subprocess.run([sys.executable, script, *arguments], text=True, capture_output=True, env=environment)
        return got.returncode, got.stdout, got.stderr

    assert outcome("a", "b", "c") == (0, "a\n", "")
    assert outcome("a", "b", "c", "--row", "x") == (0, "paths: 2\nx: 0.1235\n", "")
    assert outcome("a", "b", "--row", "bad") == (1, "", "work.py: a: is bad\n")
    assert outcome("a")[0] == 2
    assert "Works hard." in outcome("--help")[1]
