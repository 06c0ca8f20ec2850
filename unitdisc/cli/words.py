"""The verb `words`: stretches of units that come back, and units with examples, as tables."""

import argparse
from pathlib import Path

from unitdisc.cli.arguments import positive
from unitdisc.cli.foreign import add_units_options
from unitdisc.errors import counted


def add_verbs(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `words`."""
    verb = verbs.add_parser(
        "words",
        help="list stretches of units that come back in other utterances",
        description="Write OUT/words.csv, stretches of units that come back in other utterances; OUT/occurrences.csv, "
        "where to hear them; OUT/units.csv, each unit with examples by each speaker.",
        allow_abbrev=False,
    )
    verb.add_argument("units", metavar="UNITS", type=Path, help="unit file, or a folder that `unitdisc encode` wrote")
    verb.add_argument("out", metavar="OUT", type=Path, help="folder to write to")
    verb.add_argument("--data", type=Path, help="data directory or utt2spk: who speaks")
    verb.add_argument(
        "--shortest", type=positive, default=5, metavar="N", help="units of a word (default: %(default)s)"
    )
    verb.add_argument(
        "--longest", type=positive, default=40, metavar="N", help="units of a word (default: %(default)s)"
    )
    verb.add_argument("--top", type=positive, default=500, metavar="N", help="words to write (default: %(default)s)")
    verb.add_argument(
        "--examples", type=positive, default=5, metavar="N",
        help="places to hear each word, and each unit of each speaker (default: %(default)s)",
    )  # fmt: skip
    verb.add_argument("--force", action="store_true", help="replace tables that are there")
    add_units_options(verb, "units")
    verb.set_defaults(run=run_words)


def run_words(options: argparse.Namespace) -> None:
    """Write the tables."""
    from unitdisc.data.units import unit_file
    from unitdisc.errors import DataError
    from unitdisc.evaluate.speaker import read_speakers
    from unitdisc.evaluate.words import WordOptions, write_words

    if (options.out / "words.csv").exists() and not options.force:
        raise DataError(f"{options.out / 'words.csv'}: there already; --force replaces it")
    wanted = WordOptions(options.shortest, options.longest, top=options.top, examples=options.examples)
    speakers = read_speakers(options.data) if options.data else {}
    words, units = write_words(unit_file(options.units), options.out, speakers, wanted)
    print(f"{options.out}: {counted(words, 'word')}, {counted(units, 'unit')}")
