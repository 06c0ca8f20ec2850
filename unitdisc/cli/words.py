"""The verb `words`: stretches of units that come back, and units with examples, as tables."""

import argparse
from dataclasses import asdict
from pathlib import Path

from unitdisc.cli.arguments import add_renew, positive
from unitdisc.cli.foreign import add_units_options
from unitdisc.errors import ConfigError, counted
from unitdisc.evaluate.word_options import WordOptions

TABLES = ("words.csv", "occurrences.csv", "units.csv")


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
        "--shortest", type=positive, default=WordOptions.shortest, metavar="N",
        help="units of a word (default: %(default)s)",
    )  # fmt: skip
    verb.add_argument(
        "--longest", type=positive, default=WordOptions.longest, metavar="N",
        help="units of a word (default: %(default)s)",
    )  # fmt: skip
    verb.add_argument(
        "--top", type=positive, default=WordOptions.top, metavar="N", help="words to write (default: %(default)s)"
    )
    verb.add_argument(
        "--examples", type=positive, default=WordOptions.examples, metavar="N",
        help="places to hear each word, and each unit of each speaker (default: %(default)s)",
    )  # fmt: skip
    verb.add_argument("--force", action="store_true", help="replace tables that are there")
    add_renew(verb)
    add_units_options(verb, "units")
    verb.set_defaults(run=run_words)


def run_words(options: argparse.Namespace) -> None:
    """Write the tables."""
    from unitdisc.cli.making import making
    from unitdisc.data.units import unit_file
    from unitdisc.made import Making

    if options.shortest > options.longest:
        raise ConfigError(f"--shortest {options.shortest}: expected at most --longest, which is {options.longest}")
    wanted = WordOptions(options.shortest, options.longest, top=options.top, examples=options.examples)
    places = {"units": unit_file(options.units)}
    if options.data:
        places["data"] = options.data / "utt2spk" if options.data.is_dir() else options.data
    with making(options, Making(options.out, {"verb": "words", **asdict(wanted)}, places, holds=TABLES)) as task:
        if not task.unchanged:
            _write(options, wanted, task.force or options.force)


def _write(options: argparse.Namespace, wanted: WordOptions, force: bool) -> None:
    from unitdisc.data.units import unit_file
    from unitdisc.errors import DataError
    from unitdisc.evaluate.speaker import read_speakers
    from unitdisc.evaluate.words import write_words

    if (options.out / "words.csv").exists() and not force:
        raise DataError(f"{options.out / 'words.csv'}: there already; --force replaces it")
    speakers = read_speakers(options.data) if options.data else {}
    words, units = write_words(unit_file(options.units), options.out, speakers, wanted)
    print(f"{options.out}: {counted(words, 'word')}, {counted(units, 'unit')}")
