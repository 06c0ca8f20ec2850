"""The command as a program of its own."""

# Run by `python -c`: the command, then whether it has imported torch, on stderr.
RUN = """
import sys
from unitdisc.cli import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    assert not end.code, end.code
print("torch" in sys.modules, file=sys.stderr)
"""
