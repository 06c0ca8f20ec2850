"""Plan conversions: which utterances in whose voices.

python pairs.py EXP DATA WORK [--targets "A B"] [--sentences N] [--pairs FILE]

It makes WORK/PART, a data directory of the utterances, and WORK/PART.pairs, lines "<utterance> <target>" as `unitdisc
convert --pairs` takes them, for each PART; WORK/parts names them:

converted       utterances of DATA/test, unseen while training, to each target
resynthesised   utterances of training speakers, to each target and to "same", their own voice; only where the model
                knows no other voices, for else `converted` has resyntheses itself

WORK/others is written if there is a conversion to another's voice and real speech of two or more people, WORK/labelled
if the phones of all parts and of the training speech are known.
A list that is given (--pairs) has lines "<utterance> <target>", or is JSON [[utterance, target, ...], ...] as in the
ZeroSpeech challenges; a folder before the utterance and .wav behind it do not matter. Or it names the files to make, as
those challenges' required_filelist.txt does: <target>_<what follows the _ in the utterance's name>.wav; names in .txt
are left out.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scripts import Output, run

from unitdisc.config import read_tree
from unitdisc.data.alignment import read_alignment
from unitdisc.data.kaldi import DataDir
from unitdisc.data.subsets import combine, subset
from unitdisc.errors import DataError
from unitdisc.evaluate.converted import SAME
from unitdisc.reading import parse_json, reading

TARGETS = 4
Pairs = list[tuple[str, str]]  # (utterance, target)


def read_pairs(path: Path, test: DataDir) -> Pairs:
    """Return (utterance, target) of each line of a list; the files that it may name are made of those of `test`."""
    what = (
        "lines '<utterance> <target>' or '<target>_<rest of the utterance's name>.wav', "
        "or JSON [[utterance, target], ...]"
    )
    with reading(path, what):
        text = path.read_text("utf-8")
        rows = parse_json(text) if text.lstrip().startswith("[") else [line.split() for line in text.splitlines()]
        rows = [row for row in rows if row]
        files = [row[0] for row in rows if len(row) == 1 and row[0].endswith((".wav", ".txt"))]
        named = len(files) == len(rows)
        pairs = pairs_of_files(path, files, test) if named else [(bare(row[0]), str(row[1])) for row in rows]
    if not pairs:
        raise DataError(f"{path}: the list of conversions is empty")
    if len(set(pairs)) < len(pairs):
        twice = next(pair for n, pair in enumerate(pairs) if pair in pairs[:n])
        raise DataError(f"{path}: '{' '.join(twice)}' is there twice; each pair is converted once")
    return pairs


def pairs_of_files(path: Path, files: Sequence[str], test: DataDir) -> Pairs:
    """Return the utterance and target of each <target>_<rest>.wav: the one utterance whose name ends in _<rest>."""
    by_rest: dict[str, list[str]] = {}
    for utt in test.utts:
        by_rest.setdefault(utt.partition("_")[2], []).append(utt)
    pairs = []
    for name in (bare(file) for file in files if file.endswith(".wav")):
        target, _, rest = name.partition("_")
        found = by_rest.get(rest, [])
        if len(found) != 1:
            got = " and ".join(found) or "none"
            raise DataError(
                f"{path}: {name}.wav: expected one utterance of {test.path} named <speaker>_{rest}, got {got}"
            )
        pairs.append((found[0], target))
    return pairs


def bare(name: str) -> str:
    """Return the utterance that a list names, without folder and ending."""
    return name.rsplit("/", 1)[-1].removesuffix(".wav")


def spread(names: Sequence[str], count: int) -> list[str]:
    """Return so many of the names, the first and the last among them, evenly spread between."""
    places = np.unique(np.linspace(0, len(names) - 1, min(count, len(names))).round().astype(int))
    return [names[place] for place in places]


def choose_targets(train: DataDir, count: int = TARGETS) -> list[str]:
    """Choose voices of the training set: women and men by halves where that is known."""
    women, men = ([s for s in train.spk2utt if train.spk2gender.get(s) == sex] for sex in "fm")
    if not women or not men:
        return spread(list(train.spk2utt), count)
    fewer = min(len(women), len(men), count // 2)
    first, second = (fewer, count - fewer) if len(women) <= len(men) else (count - fewer, fewer)
    return spread(women, first) + spread(men, second)


def draw(data: DataDir, count: int, speakers: Sequence[str] | None = None, seed: int = 0) -> list[str]:
    """Draw utterances, speakers by turns; of those with phones if any has them."""
    alignment = data.path / "phones.ctm"
    usable = set(read_alignment(alignment)) if alignment.exists() else set(data.utts)
    rng = np.random.default_rng(seed)
    turns: list[tuple[int, str, str]] = []
    for speaker in sorted(data.spk2utt if speakers is None else set(data.spk2utt) & set(speakers)):
        own = [utt for utt in data.spk2utt[speaker] if utt in usable]
        turns += [(turn, speaker, own[place]) for turn, place in enumerate(rng.permutation(len(own)))]
    return [utt for *_, utt in sorted(turns)[:count]]


def planned(data: Path, conditioning: str, targets: list[str], sentences: int) -> dict[str, Pairs]:
    """Return the pairs of each part that has any."""
    test, train, dev = (DataDir.read(data / name) for name in ("test", "train", "dev"))
    voices = [] if conditioning == "none" else targets or choose_targets(train)
    known = None if conditioning != "table" or set(test.spk2utt) <= set(train.spk2utt) else set(train.spk2utt)
    home = {**train.utt2spk, **dev.utt2spk, **test.utt2spk}

    def pairs(utts: list[str], *more: str) -> Pairs:
        return [(utt, target) for target in [*voices, *more] for utt in utts if target != home[utt]]

    if known is None:
        converted = pairs(draw(test, sentences), *() if SAME in voices else (SAME,))
        return {"converted": converted} if converted else {}
    # Sentences that were held out, if people of the training set say any; by others than the targets, so that all of
    # them go to all targets.
    mine: list[str] = []
    for source, people in ((dev, known - set(voices)), (dev, known), (train, known - set(voices)), (train, known)):
        mine = mine or draw(source, sentences // 2, sorted(people))
    voices = [voice for voice in voices if voice != SAME]
    parts = {"converted": pairs(draw(test, sentences - len(mine))), "resynthesised": pairs(mine, SAME)}
    return {name: part for name, part in parts.items() if part}


def place(data: Path, pairs: Pairs, out: Path) -> DataDir:
    """Write a data directory of the utterances of a list, wherever they are in the recipe's data."""
    parts = [DataDir.read(data / name) for name in ("test", "dev", "train")]
    train, wanted = parts[-1], list(dict.fromkeys(utt for utt, _ in pairs))
    unknown = [utt for utt in wanted if not any(utt in part.utt2spk for part in parts)]
    if unknown:
        raise DataError(f"{data}: {unknown[0]!r} is to be converted, but is in none of test, dev and train")
    for _, target in pairs:
        if target != SAME and target not in train.spk2utt and not Path(target).is_file():
            known = ", ".join(list(train.spk2utt)[:8])
            raise DataError(f"target {target} is no speaker of {train.path} ({known}, ...), '{SAME}' or an audio file")
    homes = [(part, [utt for utt in wanted if utt in part.utt2spk]) for part in parts]
    found = [(part, utts) for part, utts in homes if utts]
    if len(found) == 1:
        return subset(found[0][0], out, found[0][1])
    made = [subset(part, out.with_name(f"{out.name}-{part.path.name}"), utts) for part, utts in found]
    return combine(made, out)


def plan(exp: Path, data: Path, work: Path, targets: str, sentences: int, pairs: Path | None) -> list[str]:
    """Write parts and their pairs; return lines to print."""
    model = read_tree(exp / "config.yaml")["model"]
    if model.get("decoder", {}).get("kind") == "none":
        return nothing(work, "the model has no decoder")
    if pairs is not None:
        parts = {"converted": read_pairs(pairs, DataDir.read(data / "test"))}
    else:
        conditioning = model.get("conditioning", {}).get("speaker", "table")
        parts = planned(data, conditioning, targets.split(), sentences)
    if not parts:
        return nothing(work, "no sentences, or none that another voice is to say")
    new = work.with_name(f"{work.name}.part")
    shutil.rmtree(new, ignore_errors=True)
    try:
        said = write_plan(data, parts, new)
        for path in work.iterdir() if work.is_dir() else ():
            if not path.name.startswith("."):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        work.mkdir(parents=True, exist_ok=True)
        for path in new.iterdir():
            path.rename(work / path.name)
        return said
    finally:
        shutil.rmtree(new, ignore_errors=True)


def nothing(work: Path, why: str) -> list[str]:
    """Write that there are no parts; return lines to print."""
    work.mkdir(parents=True, exist_ok=True)
    (work / "parts").write_text("\n")
    return [f"  nothing to convert: {why}"]


def write_plan(data: Path, parts: dict[str, Pairs], work: Path) -> list[str]:
    """Write the data directory and the pairs of each part; return lines to print."""
    said, train = [], DataDir.read(data / "train")
    others, labelled = False, (train.path / "phones.ctm").exists()
    for name, pairs in parts.items():
        part = place(data, pairs, work / name)
        (work / f"{name}.pairs").write_text("".join(f"{utt} {target}\n" for utt, target in pairs), "utf-8")
        voices = list(dict.fromkeys(target for _, target in pairs))
        others |= any(target not in (SAME, part.utt2spk[utt]) for utt, target in pairs)
        labelled &= (part.path / "phones.ctm").exists()
        said.append(f"  {name}: {len(part.utts)} utterances of {len(part.spk2utt)} speakers to {' '.join(voices)}")
    others &= len(set(train.spk2utt) | set(DataDir.read(data / "test").spk2utt)) > 1
    facts = {"parts": " ".join(sorted(parts, reverse=True)), "others": "yes" * others, "labelled": "yes" * labelled}
    for name, text in facts.items():
        if text:
            (work / name).write_text(f"{text}\n")
    return said


def main() -> None:
    """Parse, plan, print."""
    names = "utt2spk", "phones.ctm", "wav.scp"
    files = [f"data/{part}/{name}" for part in ("train", "dev", "test") for name in names]
    makes = Output("work", ("parts",), ("exp/config.yaml", "pairs", *files))
    options = {"targets": {"default": ""}, "sentences": {"type": int, "default": 40}, "pairs": {"type": Path}}
    run(plan, "exp", "data", "work", makes=makes, **options)


if __name__ == "__main__":
    main()
