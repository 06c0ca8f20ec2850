"""Turn WSJ into data directories: DATA/train (si284), DATA/dev (dev93) and DATA/test (eval92), each with phones.ctm.

python local/prepare.py CORPUS DATA [--alignment CTM|DIR]

CORPUS is a folder of Kaldi data directories (train_si284, test_dev93, test_eval92), or one with the discs of LDC93S6
and LDC94S13 somewhere below it. Phones lose what aligners add: positions (_B, _I, _E, _S) and stress.
"""

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from unitdisc.data.alignment import Interval, read_alignment
from unitdisc.data.corpora import write_alignment
from unitdisc.data.kaldi import DataDir, write_data_dir
from unitdisc.data.subsets import subset
from unitdisc.errors import DataError, UnitdiscError
from unitdisc.evaluate.items import SILENCES

KALDI = {"train": "train_si284", "dev": "test_dev93", "test": "test_eval92"}
# The discs' own lists, and what must not be in their path: WSJ1 has a list h1_p0 of its evaluation set, too.
LISTS = {"train": ("tr_s_wv1", "si_tr_s"), "dev": ("h1_p0",), "test": ("si_et_20",)}
LEFT_OUT = ("11_2_1", "si_tr_s/401/")  # a speaker on this disc who is on another one as well
AUDIO = (".wav", ".flac", ".wv1")  # converted copies first: .wv1 is compressed in a way that must be converted once
UTTERANCE = re.compile(r"[0-9a-z]{8}")


def index(corpus: Path) -> dict[str, Path]:
    """Return the audio of each utterance of the discs, by its name."""
    paths = [p for p in sorted(corpus.rglob("*")) if p.suffix.lower() in AUDIO and UTTERANCE.fullmatch(p.stem.lower())]
    paths.sort(key=lambda path: AUDIO.index(path.suffix.lower()), reverse=True)  # stable; the last one of a name counts
    return {path.stem.lower(): path.resolve() for path in paths}


def listed(corpus: Path, part: str) -> list[str]:
    """Return the names of the utterances of a part, from the lists on the discs."""
    names = []
    for stem in LISTS[part]:
        lists = [p for p in sorted(corpus.rglob("*.[nN][dD][xX]")) if p.stem.lower() == stem and not _is_eval(p, part)]
        if not lists:
            raise DataError(f"{corpus}: expected a list {stem}.ndx below it (disc 11-13.1 or 13-34.1), got none")
        names += list(_names(lists[0]))
    return sorted(set(names))


def _is_eval(path: Path, part: str) -> bool:
    return part == "dev" and "eval" in (p.lower() for p in path.parts)


def _names(path: Path) -> Iterator[str]:
    for number, line in enumerate(path.read_text("latin-1").splitlines(), start=1):
        if line.strip() and not line.startswith(";"):
            disc, colon, name = line.partition(":")
            utt = Path(name.strip()).stem.lower()
            if not colon or not UTTERANCE.fullmatch(utt):
                raise DataError(f"{path}:{number}: expected '<disc>: <path of an utterance>', got {line[:60]!r}")
            if not (disc.strip() == LEFT_OUT[0] and LEFT_OUT[1] in name.lower()):
                yield utt


def of_discs(corpus: Path, out: Path) -> dict[str, DataDir]:
    """Write the data directories of the discs."""
    audio, parts = index(corpus), {}
    for part in KALDI:
        utts = listed(corpus, part)
        missing = [utt for utt in utts if utt not in audio]
        if missing:
            raise DataError(
                f"{corpus}: {len(missing)} of {len(utts)} utterances of {part} are missing, {missing[0]} first"
            )
        parts[part] = write_data_dir(out / part, [(u, audio[u]) for u in utts], {u: u[:3] for u in utts})
    return parts


def plain(interval: Interval) -> Interval:
    """Return a phone as the recipe knows it."""
    label = re.sub(r"(_[BIES])?$", "", interval.label)
    label = "SIL" if label in SILENCES else re.sub(r"(?<=[A-Z])[0-2]$", "", label)
    return interval._replace(label=label)


def prepare(corpus: Path, out: Path, alignment: Path | None) -> list[str]:
    """Write the three parts; return a line to print for each."""
    if (corpus / KALDI["train"] / "wav.scp").exists():
        given = {part: DataDir.read(corpus / name, allow_pipes=True) for part, name in KALDI.items()}
        parts = {part: subset(data, out / part, data.utts) for part, data in given.items()}
    else:
        parts = of_discs(corpus, out)
    phones = None if alignment is None else read_alignment(alignment)
    report = []
    for part, data in parts.items():
        line = f"{data.path}: {len(data.utts)} utterances, {len(data.spk2utt)} speakers"
        if phones is not None:
            own = {utt: [plain(i) for i in phones[utt]] for utt in data.utts if utt in phones}
            aligned = write_alignment(data, own)  # type: ignore[arg-type]
            line += f", phones (silver: an aligner's) of {aligned}"
            if not aligned:
                raise DataError(
                    f"{alignment}: has no utterance of {part}; are they named as in {data.path / 'utt2spk'}?"
                )
        report.append(line)
    return report


def main() -> None:
    """Parse, prepare, print."""
    parser = argparse.ArgumentParser(description="WSJ as data directories.", allow_abbrev=False)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--alignment", type=Path)
    options = parser.parse_args()
    try:
        print("\n".join(prepare(options.corpus, options.data, options.alignment)))
    except UnitdiscError as error:
        sys.exit(f"prepare.py: {error}")


if __name__ == "__main__":
    main()
