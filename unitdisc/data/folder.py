"""A plain folder of recordings, turned into a data directory."""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePath
from typing import NamedTuple

from unitdisc import dist
from unitdisc.data.alignment import Alignment, Interval, cut_out, join_alignments
from unitdisc.data.audio import AudioSource
from unitdisc.data.corpora import AUDIO, write_alignment
from unitdisc.data.kaldi import DataDir, Segment, is_data_dir, write_data_dir
from unitdisc.data.labels import Wanted
from unitdisc.data.names import name_problem
from unitdisc.data.pauses import cut_at_pauses
from unitdisc.data.programs import FFMPEG, is_missing
from unitdisc.data.shards import MOST, check_left_out, has_shards, import_shards
from unitdisc.digests import listing
from unitdisc.errors import DataError, counted, shown
from unitdisc.files import lock_file, whole_file
from unitdisc.reading import reading

IMPORTED = ".imported"  # in a data directory: of which folder it was made


class ImportedFolder(NamedTuple):
    """What became of a folder."""

    data: DataDir
    left_out: list[str]  # one message for each recording that cannot be used
    aligned: dict[str, int]  # tier -> utterances with an alignment
    notes: list[str]


def data_of(path: str | Path, home: Path) -> DataDir:
    """Read a data directory; of a folder of recordings or tar archives, jobs write one into `home`, once."""
    path = Path(path)
    if not path.is_dir() or is_data_dir(path):
        return DataDir.read(path)
    if dist.is_main():
        _import_once(path, home)
    dist.barrier()
    return DataDir.read(home)


def _import_once(folder: Path, home: Path) -> None:
    """Import a folder, unless that was done since its files changed; of several jobs the first does it."""
    mark, origin = home / IMPORTED, f"{folder.absolute()} {listing(folder)}\n"
    home.parent.mkdir(parents=True, exist_ok=True)
    with lock_file(home.with_name(f".{home.name}.lock"), "", wait=lambda who: None):
        if mark.is_file() and mark.read_text("utf-8") == origin and is_data_dir(home):
            return
        mark.unlink(missing_ok=True)
        import_folder(folder, home)
        with whole_file(mark) as out:
            out.write(origin)


def import_folder(
    folder: str | Path,
    out: str | Path,
    speaker: str | None = None,
    channel: int = 0,
    most: float = MOST,
    *,
    cut: float | None = None,
    unknown_speakers: bool = False,
) -> ImportedFolder:
    """Write a data directory of all recordings below a folder, in place: nothing is copied or decoded.

    The speaker is what the regular expression `speaker` finds in the path relative to the folder: its first group,
    or the whole match. Without one it is the name of the folder that the recording lies in, and recordings that lie
    in `folder` itself are all by one speaker. Utterances are named <speaker>-<path>, or as their file if that name
    begins with the speaker and is the only one. Beside a recording x.wav may lie x.txt, its transcript, and
    x.TextGrid, x.phn or x.wrd, its alignment. With `unknown_speakers` each recording is by a speaker of its own.
    Recordings of more than `cut` seconds are cut at pauses into utterances <utt>-<start>-<end>, in 1/100 s.
    Of a folder of tar archives, see data/shards.py.
    """
    folder = Path(folder).absolute()
    if not folder.is_dir():
        what = "expected a folder of recordings, got a file" if folder.exists() else "no such folder of recordings"
        raise DataError(f"{folder}: {what}")
    files = sorted(path for path in _files(folder) if path.is_file())
    audio, unread = _recordings(files)
    speaker_of = _each_alone if unknown_speakers else _speakers(speaker)
    if audio and has_shards(folder):
        raise DataError(
            f"{folder}: has {counted(len(audio), 'recording')}, as {audio[0].relative_to(folder)}, and tar archives; "
            "move one of both kinds to a folder of its own"
        )
    if has_shards(folder):
        if cut is not None:
            raise DataError(f"{folder}: recordings in tar archives are not cut; leave --cut out, or unpack them")
        named = _speaker_in_archives(folder, speaker_of, known=speaker is not None, alone=unknown_speakers)
        data, left_out = import_shards(folder, out, named, channel, most)
        return ImportedFolder(data, left_out, {}, unread)
    if not audio:
        kinds = f"expected recordings ({', '.join((*AUDIO, *FFMPEG))}), got none"
        raise DataError(f"{folder}: {'; '.join([kinds, *unread])}; convert other formats first")
    paths, utt2spk, durations, left_out = _usable(folder, audio, speaker_of, speaker, channel)
    check_left_out(folder, left_out, len(audio), most)
    pieces, cuts = _pieces(paths, durations, channel, cut)
    segmented = bool(channel) or len(pieces) > len(paths)
    data = write_data_dir(
        out,
        paths.items(),
        {utt: utt2spk[piece.recording] for utt, piece in pieces.items()},
        _transcripts({utt: paths[utt] for utt in pieces if utt in paths}),
        segments=pieces if segmented else None,
        utt2dur={utt: durations[utt] if p.end is None else round(p.end - p.start, 3) for utt, p in pieces.items()},
    )
    aligned, notes = _alignments(data, paths, pieces)
    return ImportedFolder(data, left_out, aligned, [*unread, *cuts, *notes])


class _Usable(NamedTuple):
    """The recordings that can be used, by utterance."""

    paths: dict[str, Path]
    utt2spk: dict[str, str]
    durations: dict[str, float]
    left_out: list[str]  # one message for each of the others


def _usable(
    folder: Path, audio: list[Path], speaker_of: Callable[[Path, Path], str | None], speaker: str | None, channel: int
) -> _Usable:
    """Name recordings and their speakers, and open each once."""
    short = Counter(_short(path.relative_to(folder), speaker_of(path.relative_to(folder), folder)) for path in audio)
    usable, missed = _Usable({}, {}, {}, []), []
    for path in audio:
        name = path.relative_to(folder)
        spk = speaker_of(name, folder)
        if spk is None:
            missed.append(str(name))
            continue
        try:
            seconds = AudioSource(_writable(path), channel).seconds()
        except DataError as error:
            usable.left_out.append(str(error))
            continue
        own = _short(name, spk)
        utt = own if own and short[own] == 1 else _utt(name, spk)
        if problem := name_problem(utt):
            usable.left_out.append(f"{path}: would get {problem}; rename it")
            continue
        if utt in usable.paths:
            raise DataError(f"{path}: would be named {utt!r}, as {usable.paths[utt]} is; rename or remove one of them")
        usable.paths[utt], usable.utt2spk[utt], usable.durations[utt] = path, spk, seconds
    if missed:
        raise DataError(
            f"{folder}: --speaker {speaker!r} finds nothing in {len(missed)} paths, as {missed[0]!r}; change it"
        )
    return usable


def _speaker_in_archives(
    folder: Path, speaker_of: Callable[[Path, Path], str | None], *, known: bool, alone: bool
) -> Callable[[PurePath], str | None]:
    """Return what finds the speaker of a recording in an archive, if one is to be found by its name."""

    def found(name: PurePath) -> str | None:
        if alone:
            return _word("-".join(name.parts[1:]))
        return speaker_of(Path(name), folder) if known else None

    return found


def _pieces(
    paths: dict[str, Path], durations: dict[str, float], channel: int, longest: float | None
) -> tuple[dict[str, Segment], list[str]]:
    """Cut what is too long at pauses; return the utterances, and what is to be said of the cuts."""
    pieces: dict[str, Segment] = {}
    long = [utt for utt, seconds in durations.items() if longest is not None and seconds > longest]
    forced = 0
    for utt in paths:
        if longest is None or durations[utt] <= longest:
            pieces[utt] = Segment(utt, 0.0, None, channel or None)
            continue
        found = cut_at_pauses(AudioSource(paths[utt], channel), longest)
        forced += found.forced
        for start, end in found.spans:
            name = f"{utt}-{round(100 * start):07d}-{round(100 * end):07d}"
            pieces[name] = Segment(utt, start, round(end, 3), channel or None)
    if not long:
        return pieces, []
    made = len(pieces) - len(paths) + len(long)
    notes = [f"recordings longer than {longest:g} s: {len(long)}, cut at pauses into {made} utterances"]
    if forced:
        notes.append(f"cuts at the quietest place, since there was no pause in {longest:g} s: {forced}")
    slow = sum(paths[utt].suffix.lower() in (".mp3", ".opus", *FFMPEG) for utt in long)
    if slow:
        notes.append(f"compressed ones among them, which are read faster as flac: {slow}")
    untold = sum(paths[utt].with_suffix(".txt").is_file() for utt in long)
    if untold:
        notes.append(f"transcripts of cut recordings, left out, since nobody knows what is in which part: {untold}")
    return pieces, notes


def _recordings(files: list[Path]) -> tuple[list[Path], list[str]]:
    """Return the recordings among files, and what is to be said of those that nothing here can read."""
    others = Counter(path.suffix.lower() for path in files if path.suffix.lower() in FFMPEG)
    if not others or not is_missing("ffmpeg"):
        return [path for path in files if path.suffix.lower() in (*AUDIO, *FFMPEG)], []
    kinds = ", ".join(f"{count} {suffix}" for suffix, count in sorted(others.items()))
    note = f"{counted(sum(others.values()), 'recording')} passed by ({kinds}): install ffmpeg to read them, too"
    return [path for path in files if path.suffix.lower() in AUDIO], [note]


def _files(folder: Path) -> Iterator[Path]:
    """Go through all files below a folder but hidden ones; one that cannot be looked into is not passed over.

    Links are followed behind all else, and no folder is entered twice: a link may lead to one above it.
    """

    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename}: cannot be read: {error.strerror}")

    entered, roots = set(), [folder]
    for root in roots:
        for here, below, names in os.walk(root, onerror=refuse):
            below[:] = [name for name in below if not name.startswith(".")]
            if (real := os.path.realpath(here)) in entered:
                below.clear()
                continue
            entered.add(real)
            roots += sorted(path for path in (Path(here, name) for name in below) if path.is_symlink())
            yield from (Path(here, name) for name in names if not name.startswith("."))


def _speakers(pattern: str | None) -> Callable[[Path, Path], str | None]:
    if pattern is None:
        return lambda name, folder: _word(name.parent.name or folder.name or "speaker")
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise DataError(f"--speaker {pattern!r}: expected a regular expression, got: {error}") from None

    def found(name: Path, folder: Path) -> str | None:
        match = expression.search(name.as_posix())
        return _word(match[1] if expression.groups else match[0]) if match and match[expression.groups and 1] else None

    return found


def _each_alone(name: Path, folder: Path) -> str:
    return _word("-".join(name.with_suffix("").parts))


def _word(text: str) -> str:
    return re.sub(r"\s+", "_", text)


def _short(name: Path, speaker: str | None) -> str:
    """Return a file's own name if it begins with its speaker, as those of many corpora do; else nothing."""
    stem = _word(name.stem)
    if speaker is None or not stem.startswith(speaker):
        return ""
    return stem if stem.removeprefix(speaker)[:1] in ("", "-", "_", ".") else ""


def _utt(name: Path, speaker: str) -> str:
    utt = _word(name.with_suffix("").as_posix().replace("/", "-"))
    return utt if utt.startswith(speaker) else f"{speaker}-{utt}"


def _writable(path: Path) -> Path:
    """Refuse paths that wav.scp cannot hold."""
    text = str(path)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise DataError(f"{text!r}: its name is not UTF-8; rename it") from None
    if "\n" in text or "\r" in text or text != text.strip() or text.endswith("|"):
        raise DataError(f"{text!r}: a path that wav.scp cannot hold; rename it")
    return path


def _transcripts(paths: dict[str, Path]) -> dict[str, str] | None:
    text = {}
    for utt, path in paths.items():
        transcript = path.with_suffix(".txt")
        if transcript.is_file():
            with reading(transcript, "UTF-8 text"):
                text[utt] = " ".join(transcript.read_text("utf-8-sig").split())
    return text or None


def _alignments(data: DataDir, paths: dict[str, Path], pieces: dict[str, Segment]) -> tuple[dict[str, int], list[str]]:
    aligned, notes = {}, []
    for tier, suffixes in (("phones", (".TextGrid", ".phn", ".PHN")), ("words", (".TextGrid", ".wrd", ".WRD"))):
        (data.path / f"{tier}.ctm").unlink(missing_ok=True)
        found: dict[str, Path] = {}
        for utt, path in paths.items():
            label_file = next((p for p in map(path.with_suffix, suffixes) if p.is_file()), None)
            if label_file is not None:
                found[utt] = label_file
        if not found:
            continue
        # TIMIT's labels count samples of the recording.
        timit = {utt for utt, label_file in found.items() if label_file.suffix != ".TextGrid"}
        rates = {utt: AudioSource(paths[utt]).native_rate() for utt in timit}
        count, said = _align(data, found, rates, pieces, tier)
        notes += said
        if count:
            aligned[tier] = count
    return aligned, notes


def _align(
    data: DataDir, files: dict[str, Path], rates: dict[str, int], pieces: dict[str, Segment], tier: str
) -> tuple[int, list[str]]:
    """Write the alignment of a tier; return the number of its utterances, and what is to be said of it."""
    late: list[str] = []
    alone: set[str] = set()

    def takes(name: str) -> bool:
        """Take the only tier of a TextGrid for phones, unless it is named like words."""
        if ("word" in name.lower()) != (tier == "words"):
            return False
        alone.add(shown(name))
        return True

    try:
        whole = join_alignments(files, Wanted(tier, takes=takes), rates)
        count = write_alignment(data, _of_pieces(whole, pieces), tier, late=late.append)
    except DataError as error:
        return 0, [f"no {tier}.ctm, since {error}"]
    notes = [f"taken for {tier}, as the only tier of a TextGrid: {', '.join(sorted(alone))}"] if alone else []
    if late:
        notes.append(f"{tier} that end after their recording, cut there: those of {len(late)}, as {late[0]}")
    return count, notes


def _of_pieces(whole: Alignment, pieces: dict[str, Segment]) -> Mapping[str, list[Interval]]:
    """Return an alignment of recordings as one of the utterances that they were cut into."""
    if all(piece.end is None for piece in pieces.values()):
        return whole
    return {
        utt: whole[piece.recording] if piece.end is None else cut_out(whole[piece.recording], piece.start, piece.end)
        for utt, piece in pieces.items()
        if piece.recording in whole
    }
