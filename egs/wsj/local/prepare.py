"""Turn WSJ into data directories: DATA/train (si284), DATA/dev (dev93) and DATA/test (eval92), each with phones.ctm.

python local/prepare.py CORPUS DATA [--alignment CTM|DIR]

CORPUS is a folder of Kaldi data directories (train_si284, test_dev93, test_eval92), or one with the discs of WSJ0
(LDC93S6A or LDC93S6B) and WSJ1 (LDC94S13A or LDC94S13B) somewhere below it. Audio that must be converted first is
refused, with the command that converts all of it to CORPUS/wav, where it is found then. Phones lose what aligners add,
positions (_B, _I, _E, _S) and stress, and their silences are all SIL.
"""

import os
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

from unitdisc.data.alignment import Alignment, read_alignment
from unitdisc.data.corpora import write_alignment
from unitdisc.data.kaldi import DataDir, Recording, write_data_dir
from unitdisc.data.phones import SILENCES, plain
from unitdisc.data.subsets import subset
from unitdisc.errors import DataError

sys.path.append(str(Path(__file__).resolve().parents[2] / "common"))  # for who starts it without run.sh
from scripts import WAVS, Output, run

KALDI = {"train": "train_si284", "dev": "test_dev93", "test": "test_eval92"}
# The discs' own lists, and what must not be in their path: WSJ1 has a list h1_p0 of its evaluation set, too.
LISTS = {"train": ("tr_s_wv1", "si_tr_s"), "dev": ("h1_p0",), "test": ("si_et_20",)}
LEFT_OUT = ("11_2_1", "si_tr_s/401/")  # a speaker on this disc who is on another one as well
AUDIO = (".wav", ".flac", ".wv1")  # converted copies first: .wv1 is compressed in a way that must be converted once
UTTERANCE = re.compile(r"[0-9a-z]{8}")
# Commands of a shell that convert everything to CORPUS/wav: what Kaldi's wav.scp names, or the discs' files.
OF_KALDI = """mkdir -p {corpus}/wav && cat {corpus}/{{train_si284,test_dev93,test_eval92}}/wav.scp |
  while read -r utt command; do [[ $command == *'|' ]] || command="sph2pipe -f wav -p '$command'"
    bash -c "${{command%|}}" </dev/null >{corpus}/wav/$utt.wav || {{ rm {corpus}/wav/$utt.wav; break; }}; done"""
OF_DISCS = """mkdir -p {corpus}/wav && find {corpus} -iname '*.wv1' |
  while read -r file; do name=${{file##*/}}; sph2pipe -f wav -p "$file" {corpus}/wav/${{name%.*}}.wav || break; done"""


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
        check(parts[part], OF_DISCS, corpus)
    return parts


def of_kaldi(corpus: Path, out: Path) -> dict[str, DataDir]:
    """Write data directories like Kaldi's, with converted audio in place of what wav.scp names where there is some."""
    parts = {}
    for part, name in KALDI.items():
        given = DataDir.read(corpus / name, allow_pipes=True)
        for utt, recording in given.recordings.items():
            converted = Path(os.path.abspath(corpus)) / "wav" / f"{utt}.wav"
            if to_convert(recording) and converted.exists():
                given.recordings[utt] = recording._replace(entry=str(converted), decode=None)
        check(given, OF_KALDI, corpus)
        parts[part] = subset(given, out / part, given.utts)
    return parts


def to_convert(recording: Recording) -> bool:
    """Tell what may want a conversion from what is a plain file."""
    return recording.is_command or recording.entry.lower().endswith(".wv1")


def check(data: DataDir, conversion: str, corpus: Path) -> None:
    """Refuse audio that cannot be read, saying how all of it is converted."""
    for name, recording in data.recordings.items():
        source = data.source(name)
        try:
            if source.command is not None:
                raise DataError(f"{source.where}: {source.command!r} does more than decode a file, and is not run here")
            source.seconds()
        except DataError as error:
            if not to_convert(recording):
                raise
            command = conversion.format(corpus=shlex.quote(os.path.abspath(corpus)))
            raise DataError(f"{error}; convert all files once, and start again:\n{command}") from None


def prepare(corpus: Path, data: Path, alignment: Path | None) -> list[str]:
    """Write the three parts; return a line to print for each."""
    is_kaldi = (corpus / KALDI["train"] / "wav.scp").exists()
    parts = of_kaldi(corpus, data) if is_kaldi else of_discs(corpus, data)
    phones = None if alignment is None else read_alignment(alignment)
    report = []
    for part in parts.values():
        line = f"{part.path}: {len(part.utts)} utterances, {len(part.spk2utt)} speakers"
        report.append(line if phones is None else f"{line}, {align(part, phones, alignment)}")
    return report


def align(data: DataDir, phones: Alignment, path: Path | None) -> str:
    """Write phones.ctm; return what to print."""
    aligned = write_alignment(data, phones, name=plain)
    if not aligned:
        raise DataError(f"{path}: has no utterance of {data.path.name}; are they named as in {data.path / 'utt2spk'}?")
    written = read_alignment(data.path / "phones.ctm")
    different = {interval.label for utt in written for interval in written[utt]} - SILENCES
    return f"phones (silver: an aligner's) of {aligned}, {len(different)} different ones"


def main() -> None:
    """Parse, prepare, print."""
    makes = Output(
        "data",
        WAVS,
        ("corpus/**/*.scp", "corpus/**/*.dot", "corpus/**/*.ndx", "alignment"),
    )
    run(prepare, "corpus", "data", makes=makes, alignment={"type": Path})


if __name__ == "__main__":
    main()
