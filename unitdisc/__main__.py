"""`python -m unitdisc` is the command `unitdisc`."""

from unitdisc.cli import main

if __name__ == "__main__":
    main()
