"""Run the ablation of a recipe: each row is laid over its configuration and trained with each seed; then one table.

python ablate.py --rows "none all" --seeds "0 1 2" --config CONFIG --set "a.b=c" --data DATA --exp EXP --from FOLDER \\
    RUN.SH OPTION...

RUN.SH is run up to stage features once, and then from train to score for each row and seed, with OPTION... from FOLDER,
to which paths among them are relative. What was interrupted goes on, what is done is kept. --rows true: all rows of
conf/ablation; --rows FOLDER: all rows of a folder of one's own. Without --exp the folder is exp/ablation-<config>.
"""

import argparse
import hashlib
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

from ablation import COLUMNS, ROWS, current_settings, in_order, write_table
from results import add_settings, scores_of, write_result
from rows import lay

from unitdisc import __version__
from unitdisc.digests import digest
from unitdisc.errors import UnitdiscError

# What all rows have in common, of speech and of images.
SHARED = [f"{part}/{file}" for part in ("train", "dev", "test") for file in ("feats.scp", "phones.ctm", "lines.npz")]
SHARED += ["train.npy", "dev.npy", "test.npy"]


def usage_error(message: str) -> None:
    """End as a recipe does that is called wrongly."""
    print(f"run.sh: {message}", file=sys.stderr)
    sys.exit(2)


def rows_of(wanted: str, origin: Path) -> tuple[Path, list[str]]:
    """Return a folder of rows and names of them: all of the paper's or of another folder's, or those that are named."""
    if "/" in wanted:
        folder = next((path for path in (origin / wanted, Path(wanted)) if path.is_dir()), Path(wanted))
        rows = in_order(path.stem for path in folder.glob("*.yaml"))
        if not rows:
            usage_error(f"--ablation: no rows (NAME.yaml) in a folder {wanted}")
        return folder, rows
    known = in_order(path.stem for path in ROWS.glob("*.yaml"))
    rows = known if wanted == "true" else wanted.split()
    for row in rows:
        if row not in known:
            usage_error(f"--ablation: unknown row '{row}'; known are {' '.join(known)}, or a folder of rows")
    return ROWS, rows


def shared_inputs(data: Path) -> str:
    """Hash what all rows and seeds depend on beside their configuration."""
    found = [f"{name} {hashed}" for name in SHARED if (hashed := digest(data / name)) is not None]
    return hashlib.sha256("\n".join([__version__, *found]).encode()).hexdigest()[:16]


def call(options: argparse.Namespace, *more: object) -> None:
    """Run the recipe with its own options and more, its lines indented; its failure ends this."""
    command = [*options.recipe, "--ablation", "off", *map(str, more)]
    with subprocess.Popen(command, cwd=options.origin, stdout=subprocess.PIPE, text=True) as recipe:
        assert recipe.stdout is not None
        for line in recipe.stdout:
            print(f"  {line}", end="", flush=True)
    if recipe.returncode:
        sys.exit(recipe.returncode)


def collect(exp: Path, row: str, seed: int) -> None:
    """Write EXP/result.json from files of scores, where the recipe does not write it itself."""
    scores, metrics = exp / "scores", {}
    if not scores.is_dir():
        return
    for name, file, definition in COLUMNS:
        if (path := scores / f"{file}.json").exists():
            found = {score["definition"]: score["value"] for score in scores_of(path)}
            if found.get(definition) is not None:
                metrics[name] = float(found[definition])
    if metrics:
        write_result(exp, row, seed, metrics)
    else:
        print("  not in the table: without phones there is nothing to score of it")
        (exp / "result.json").unlink(missing_ok=True)


def ablate(options: argparse.Namespace) -> None:
    """Run all rows with all seeds, and write the table."""
    given = [word.partition("=")[0].replace("_", "-") for word in options.recipe]
    if {"--stage", "--stop-stage"} & set(given):
        usage_error("--ablation runs whole rows; leave out --stage and --stop-stage (what is done is skipped)")
    if "--seed" in given:
        usage_error("--ablation takes --seeds, as in --seeds '0 1 2', in place of --seed")
    (rows_folder, rows), config = rows_of(options.rows, options.origin), Path(options.config)
    if not re.fullmatch(r"\d+( +\d+)*", options.seeds):
        usage_error(f"--seeds: expected numbers, as in '0 1 2', got '{options.seeds}'")
    folder = options.exp or Path("exp") / "-".join(dict.fromkeys(["ablation", config.stem]))
    base = folder / "conf" / "base" / f"{config.stem}.yaml"
    lay(config, Path("-"), base, options.set.split())
    for row in rows:
        lay(base, rows_folder / f"{row}.yaml", folder / "conf" / f"{row}.yaml", [])
    call(options, "--config", config.resolve(), "--stop-stage", "features")
    data = shared_inputs(options.data)
    for seed in options.seeds.split():  # all rows of a seed first, so that an early look compares like with like
        for row in rows:
            print(f"{row}, seed {seed}", flush=True)
            exp, row_config = folder / f"{row}-{seed}", folder / "conf" / f"{row}.yaml"
            call(options, "--config", row_config.resolve(), "--exp", exp, "--set", "", "--seed", seed,
                 "--stage", "train", "--stop-stage", "score")  # fmt: skip
            collect(exp, row, int(seed))
            if (exp / "result.json").exists():
                add_settings(exp, row_config, data)
    runs = [path.parent for path in sorted(folder.glob("*/result.json")) if ".before-" not in path.parent.name]
    if not runs:
        raise UnitdiscError(f"{folder}: no run has a score; give phones (phones.ctm in train and test), or other rows")
    picture = folder / "table.png" if importlib.util.find_spec("matplotlib") else None
    settings = current_settings(rows_folder, base, data)
    print(write_table(runs, folder / "table.md", picture, [], settings), end="")
    print(f"  {folder.resolve()}/table.md")
    if picture is None:
        print("  no picture of it: that needs matplotlib; pip install 'unitdisc[images]'")


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(description="Run the ablation of a recipe.", allow_abbrev=False)
    for name in ("rows", "seeds", "config", "set"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--exp", type=lambda text: Path(text) if text else None, default=None)
    parser.add_argument("--from", dest="origin", type=Path, required=True)
    parser.add_argument("recipe", nargs=argparse.REMAINDER)
    try:
        ablate(parser.parse_args())
    except UnitdiscError as error:
        sys.exit(f"run.sh: {error}")


if __name__ == "__main__":
    main()
