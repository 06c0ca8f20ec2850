"""Corpora as their makers publish them, turned into data directories: LibriSpeech, TIMIT, speechocean762, Emo-DB.

Each function reads the tree at `root`, writes a data directory at `out` (paths absolute, nothing copied) with
phones.ctm and words.ctm where the corpus has alignments, and returns it.
"""

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

from unitdisc.data.alignment import LATE, Interval, cut_at, read_alignment, write_ctm
from unitdisc.data.kaldi import DataDir, write_data_dir
from unitdisc.data.tables import read_lines
from unitdisc.errors import DataError

AUDIO = (".wav", ".flac", ".ogg", ".mp3", ".sph", ".aiff", ".aif", ".au", ".opus")

# The 24 speakers of TIMIT's core test set, from its documentation, and Kaldi's choice of 50 others to develop on.
_CORE_TEST = (
    "FDHC0 FELC0 FJLM0 FMGD0 FMLD0 FNLP0 FPAS0 FPKT0 MBPM0 MCMJ0 MDAB0 MGRT0 MJDH0 MJLN0 MJMP0 MKLT0 MLLL0 MLNT0 MNJM0 "
    "MPAM0 MTAS1 MTLS0 MWBT0 MWEW0"
)
_DEV = (
    "FADG0 FAKS0 FCAL1 FCMH0 FDAC1 FDMS0 FDRW0 FEDW0 FGJD0 FJEM0 FJMG0 FJSJ0 FKMS0 FMAH0 FMML0 FNMR0 FREW0 FSEM0 MAJC0 "
    "MBDG0 MBNS0 MBWM0 MCSH0 MDLF0 MDLS0 MDVC0 MERS0 MGJF0 MGLB0 MGWT0 MJAR0 MJFC0 MJSW0 MMDB1 MMDM2 MMJR0 MMWH0 MPDF0 "
    "MRCS0 MREB0 MRJM4 MRJR0 MROA0 MRTK0 MRWS1 MTAA0 MTDT0 MTEB0 MTHC0 MWJG0"
)
TIMIT_CORE_TEST = frozenset(_CORE_TEST.split())
TIMIT_DEV = frozenset(_DEV.split())
_TRANSCRIPTS = "[!.]*.trans.txt"  # not "._..." either, which macOS leaves in archives
EMODB_MALES = frozenset(("03", "10", "11", "12", "15"))


def librispeech(
    root: str | Path,
    out: str | Path,
    speakers: Collection[str] | None = None,
    subsets: Collection[str] | None = None,
) -> DataDir:
    """Read a LibriSpeech tree or one of its subsets: <reader>/<chapter>/<reader>-<chapter>-<nnnn>.flac.

    `subsets` are names of folders, as "dev-clean", to read instead of all; they may lie in a folder LibriSpeech.
    """
    root = _folder(root)
    recordings, utt2spk, text = [], {}, {}
    for transcript in _transcripts(root, subsets):
        speaker = transcript.name.split("-")[0]
        if speakers is not None and speaker not in speakers:
            continue
        words = dict(line.partition(" ")[::2] for _, line in read_lines(transcript))
        for audio in _audio_files(transcript.parent):
            if audio.stem not in words:
                raise DataError(f"{transcript}: expected a line for {audio.name}, got none; is the download whole?")
            recordings.append((audio.stem, audio))
            utt2spk[audio.stem], text[audio.stem] = speaker, words.pop(audio.stem)
        if words:
            raise DataError(
                f"{transcript}: expected audio of {next(iter(words))} beside it, got none; is it all there?"
            )
    _some(recordings, root, "<reader>/<chapter>/*.trans.txt")
    genders = _librispeech_genders(root)
    known = {speaker: genders[speaker] for speaker in set(utt2spk.values()) if speaker in genders}
    return write_data_dir(out, recordings, utt2spk, text, known or None)


def _transcripts(root: Path, subsets: Collection[str] | None) -> list[Path]:
    if subsets is None:
        return sorted(root.rglob(_TRANSCRIPTS))
    found = []
    for name in subsets:
        folder = next((path for path in (root / name, *sorted(root.glob(f"*/{name}"))) if path.is_dir()), None)
        if folder is None:
            raise DataError(f"{root}: expected a folder {name} of LibriSpeech in it, or one below it, got none")
        found += sorted(folder.rglob(_TRANSCRIPTS))
    return found


def _librispeech_genders(root: Path) -> dict[str, str]:
    name = "SPEAKERS.TXT"  # beside the subsets, in the folder LibriSpeech of a download
    places = (*(folder / name for folder in (root, *root.parents[:2])), *sorted(root.glob(f"*/{name}")))
    table = next((path for path in places if path.exists()), None)
    if table is None:
        return {}
    rows = [line.split("|") for _, line in read_lines(table) if not line.startswith(";")]
    return {row[0].strip(): row[1].strip().lower() for row in rows if len(row) > 2}


def timit(
    root: str | Path,
    out: str | Path,
    part: str | None = None,
    speakers: Collection[str] | None = None,
    dialect_sentences: bool = False,
) -> DataDir:
    """Read a TIMIT tree: <part>/<dialect>/<speaker>/<sentence>.wav (SPHERE) with .phn, .wrd and .txt, in either case.

    Utterances are named <speaker>_<sentence>. `speakers` are in capitals, as TIMIT_CORE_TEST; the two dialect
    sentences that everybody speaks (SA) are left out, as is the custom, since they would be in train and test.
    """
    root = _folder(root)
    recordings, utt2spk, text, genders = [], {}, {}, {}
    for audio in _audio_files(root):
        parts = [p.lower() for p in audio.relative_to(root).parts]
        stem = audio.name.split(".")[0]  # some copies have SA1.WAV and SA1.WAV.wav
        speaker = audio.parent.name
        wanted = (part is None or part.lower() in (*parts, root.name.lower())) and (
            speakers is None or speaker.upper() in speakers
        )
        utt = f"{speaker}_{stem}"
        if not wanted or utt in utt2spk or (not dialect_sentences and stem.upper().startswith("SA")):
            continue
        recordings.append((utt, audio))
        utt2spk[utt], genders[speaker] = speaker, speaker[0].lower()
        transcript = next((p for p in (audio.with_name(stem + s) for s in (".txt", ".TXT")) if p.exists()), None)
        if transcript is not None:
            text[utt] = " ".join(transcript.read_text("latin-1").split()[2:])
    _some(recordings, root, "<part>/<dialect>/<speaker>/*.wav")
    data = write_data_dir(out, recordings, utt2spk, text or None, genders)
    for tier in ("phones", "words"):
        try:
            alignment = read_alignment(root, tier)
        except DataError:
            continue  # a tree without .wrd, or of audio alone
        write_alignment(data, alignment, tier)
    return data


def emodb(root: str | Path, out: str | Path) -> DataDir:
    """Read Emo-DB: wav/ (or flac/) with 03a01Fa.wav and lablaut/ with 03a01Faxx.lablaut.

    Labels after the end of the audio are cut; files without labels have no alignment.
    """
    root = _folder(root)
    recordings = [(audio.stem, audio) for audio in _audio_files(root)]
    _some(recordings, root, "wav/*.wav")
    utt2spk = {utt: utt[:2] for utt, _ in recordings}
    genders = {speaker: "m" if speaker in EMODB_MALES else "f" for speaker in utt2spk.values()}
    data = write_data_dir(out, recordings, utt2spk, spk2gender=genders)
    if (root / "lablaut").is_dir():
        write_alignment(data, read_alignment(root / "lablaut"), "phones")
    return data


def speechocean762(root: str | Path, out: str | Path, part: str = "train") -> DataDir:
    """Read a part of speechocean762, whose data directories name their audio relative to themselves or to the root."""
    root = _folder(root)
    given = DataDir.read(root / part)
    recordings = []
    for utt, recording in given.recordings.items():
        places = [folder / recording.entry for folder in (root / part, root)]
        audio = next((place for place in places if place.exists()), None)
        if audio is None:
            raise DataError(
                f"{root / part / 'wav.scp'}:{recording.line}: no such audio file in {root / part} or {root}"
            )
        recordings.append((utt, _absolute(audio)))
    data = write_data_dir(out, recordings, given.utt2spk, given.text, given.spk2gender or None)
    if (root / part / "phones.ctm").exists():
        write_alignment(data, read_alignment(root / part / "phones.ctm"), "phones")
    return data


def write_alignment(
    data: DataDir,
    alignment: Mapping[str, list[Interval]],
    tier: str = "phones",
    name: Callable[[str], str] = str,
    late: Callable[[str], object] = lambda utt: None,
) -> int:
    """Write what an alignment has of a data directory's utterances to its <tier>.ctm, cut at the end of the audio.

    Labels are written as `name` of them. `late` is told of utterances whose labels end well after the audio. Return
    the number of utterances with an alignment.
    """
    path, aligned = data.path / f"{tier}.ctm", 0
    path.unlink(missing_ok=True)

    def rows() -> Iterator[tuple[str, list[Interval]]]:  # read one by one, and once: TextGrids take their time
        nonlocal aligned
        for utt in data.utts:
            if intervals := alignment.get(utt):
                aligned += 1
                seconds = data.source(utt).seconds()
                if intervals[-1].end > seconds + LATE:
                    late(utt)
                cut = cut_at(intervals, seconds)
                yield utt, [i._replace(label=name(i.label)) for i in cut]

    write_ctm(path, rows())
    if not aligned:
        path.unlink()
    return aligned


def _folder(root: str | Path) -> Path:
    root = Path(root)
    if not root.is_dir():
        raise DataError(f"{root}: no such folder")
    return _absolute(root)


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # keeps links, which resolve() would follow


def _audio_files(folder: Path) -> Iterator[Path]:
    yield from (path for path in sorted(folder.rglob("[!.]*")) if path.suffix.lower() in AUDIO and path.is_file())


def _some(recordings: Collection[object], root: Path, form: str) -> None:
    if not recordings:
        raise DataError(f"{root}: expected audio files as {form}, got none")
