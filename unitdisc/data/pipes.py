"""Decode commands of wav.scp (`flac -dc x |`, `sph2pipe ... |`, `sox ... |`, `ffmpeg ... |`), understood, not run.

Only commands that do no more than decode a file, choose or mix channels, and resample are understood; their
effect is what `AudioSource` then does by itself. Everything else is refused, with the word that was not understood.
"""

import os
import shlex
from collections.abc import Mapping
from pathlib import PurePath
from typing import Literal, NamedTuple

from unitdisc.data.tables import BLANKS
from unitdisc.errors import DataError, clipped, shown

Channel = int | Literal["mix"]  # from 0; mix: the mean of all


ALLOW = "UNITDISC_ALLOW_PIPES"  # environment: what --allow-pipes sets for a run and the processes that it starts


def pipes_allowed() -> bool:
    """Tell whether the user lets a shell run commands of wav.scp that are not understood."""
    return os.environ.get(ALLOW) == "1"


class Decode(NamedTuple):
    """What a decode command does."""

    path: str
    channel: Channel | None = None  # None: all channels are kept
    rate: int | None = None  # Hz; None: as it is
    program: str = ""  # that reads the file: flac, sph2pipe, sox, ffmpeg


class _Refused(Exception):
    """A word of a command is not understood."""


def parse_command(command: str, where: str) -> Decode:
    """Understand a command, with its final `|`, that merely decodes a file."""
    try:
        decode = None
        for words in _stages(command):
            decode = _stage(words, decode)
        if decode is None:
            raise _Refused("an empty command")
    except _Refused as refusal:
        raise DataError(
            f"{where}: expected a path or a command that only decodes a file (flac, sph2pipe, sox, ffmpeg), got "
            f"{shown(command, 200)}, in which {clipped(refusal)} is not understood; write the path instead, or use "
            "--allow-pipes to run it"
        ) from None
    return decode


def replace_path(command: str, old: str, new: str) -> str:
    """Return the command with another path in it, quoted where it must be."""
    stages = [[new if word == old else word for word in words] for words in _stages(command)]
    return " | ".join(shlex.join(words) for words in stages) + " |"


def _stages(command: str) -> list[list[str]]:
    for sign in "$`*?\\":  # a shell would expand these; paths that have them are better written as paths
        if sign in command:
            raise _Refused(repr(sign))
    words = _words(command)
    stages: list[list[str]] = [[]]
    position = 0
    while position < len(words):
        if words[position : position + 3] == ["2", ">", "/dev/null"]:
            position += 3
            continue
        if words[position] == "|":
            stages.append([])
        elif set(words[position]) & set("();<>|&") and set(words[position]) <= set("();<>|&"):
            raise _Refused(repr(words[position]))
        else:
            stages[-1].append(words[position])
        position += 1
    if stages.pop():
        raise _Refused("a command without '|' at its end")
    return stages


def _words(command: str) -> list[str]:
    """Split a command as a shell would, signs such as | being words."""
    if not set(command) & set("'\"();<>&\r\n") and "||" not in command:  # as shlex does, in a fraction of its time
        return [word for word in BLANKS.split(command.replace("|", " | ")) if word]
    lexer = shlex.shlex(command, posix=True, punctuation_chars="();<>|&")
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        return list(lexer)
    except ValueError as error:
        raise _Refused(str(error).lower()) from None


def _stage(words: list[str], before: Decode | None) -> Decode:
    if not words:
        raise _Refused("'| |'")
    program = PurePath(words[0]).name
    parsers = {"flac": _flac, "sph2pipe": _sph2pipe, "sox": _sox, "ffmpeg": _ffmpeg, "cat": _cat}
    if program not in parsers:
        raise _Refused(repr(words[0]))
    decode = parsers[program](words[1:])._replace(program="" if program == "cat" else program)
    if before is None:
        if decode.path == "-":
            raise _Refused(f"{program!r} of standard input")
        return decode
    if decode.path != "-":
        raise _Refused(f"{program!r} of {decode.path!r} behind a pipe")
    if before.channel is not None and decode.channel not in (None, 0, "mix"):
        raise _Refused(f"channel {decode.channel + 1 if isinstance(decode.channel, int) else 0} of one channel")
    if before.rate and decode.rate not in (None, before.rate):
        raise _Refused(f"rate {decode.rate} after rate {before.rate}")
    channel = decode.channel if before.channel is None else before.channel
    return Decode(before.path, channel, decode.rate or before.rate, before.program)


def _one_path(paths: list[str]) -> str:
    if len(paths) != 1:
        raise _Refused(f"{' '.join(paths)!r} where one path is expected" if paths else "the lack of a path")
    return paths[0]


def _cat(words: list[str]) -> Decode:
    return Decode(_one_path(words or ["-"]))


def _flac(words: list[str]) -> Decode:
    decodes, paths = False, []
    for word in words:
        if word.startswith("--"):
            if word not in ("--decode", "--stdout", "--silent", "--totally-silent", "--decode-through-errors"):
                raise _Refused(repr(word))
            decodes |= word == "--decode"
        elif word.startswith("-") and word != "-":
            if set(word[1:]) - set("dcsF"):
                raise _Refused(repr(word))
            decodes |= "d" in word
        else:
            paths.append(word)
    if not decodes:
        raise _Refused("flac without -d")
    return Decode(_one_path(paths))


class _Options:
    """Walks over words, taking options with their values."""

    def __init__(self, words: list[str], valued: Mapping[str, tuple[str, ...] | None], bare: frozenset[str]) -> None:
        self.words, self.valued, self.bare = words, valued, bare
        self.values: dict[str, str] = {}
        self.position = 0

    def take(self) -> None:
        """Take options up to the next word that is none."""
        while self.position < len(self.words):
            word = self.words[self.position]
            if word in self.bare:
                self.position += 1
            elif word in self.valued:
                if self.position + 1 == len(self.words):
                    raise _Refused(f"{word!r} without a value")
                value, allowed = self.words[self.position + 1], self.valued[word]
                if allowed is not None and value not in allowed:
                    raise _Refused(repr(f"{word} {value}"))
                self.values[word] = value
                self.position += 2
            elif word.startswith("-") and word not in ("-", "-|"):
                raise _Refused(repr(word))
            else:
                return

    def word(self, what: str) -> str:
        """Take one word that is no option."""
        if self.position == len(self.words):
            raise _Refused(f"the lack of {what}")
        self.position += 1
        return self.words[self.position - 1]


def _rate(text: str) -> int:
    """Read 16000, 16k or 22.05k."""
    try:
        rate = float(text[:-1]) * 1000 if text.endswith("k") else float(text)
        if not (4000 <= rate <= 768_000 and rate == round(rate)):
            raise ValueError
    except ValueError:
        raise _Refused(f"rate {text!r}") from None
    return round(rate)


def _numbered(text: str) -> int:
    """Read a channel counted from 1."""
    if not text.isdecimal() or len(text) > 4 or int(text) < 1:
        raise _Refused(f"channel {text!r}")
    return int(text) - 1


def _sph2pipe(words: list[str]) -> Decode:
    options = _Options(words, {"-f": ("wav", "rif", "sph", "riff"), "-c": ("1", "2")}, frozenset({"-p"}))
    options.take()
    path = options.word("a path")
    options.take()
    if options.words[options.position :] not in ([], ["-"]):
        raise _Refused(repr(options.words[options.position]))
    return Decode(path, _numbered(options.values["-c"]) if "-c" in options.values else None)


SOX_TYPES = ("wav", "wavpcm", "flac", "sph", "nist", "mp3", "ogg", "vorbis", "aiff", "au")
SOX_BARE = frozenset({"-q", "-S", "-D", "-R", "-V", "-V0", "-V1", "-V2", "-V3", "--no-show-progress", "--no-dither"})


def _sox(words: list[str]) -> Decode:
    signed = ("signed-integer", "signed", "floating-point", "float")
    before = {"-t": SOX_TYPES, "--type": SOX_TYPES}
    after = {**before, "-r": None, "--rate": None, "-c": ("1",), "--channels": ("1",), "-b": ("16", "24", "32")}
    options = _Options(words, before, SOX_BARE)
    options.take()
    path = options.word("a path")
    options.valued = {**after, "--bits": ("16", "24", "32"), "-e": signed, "--encoding": signed}
    options.take()
    values = options.values
    if options.word("'-', the output") != "-":
        raise _Refused(f"{options.words[options.position - 1]!r}, an output other than '-',")
    channel: Channel | None = "mix" if "-c" in values or "--channels" in values else None
    rate = _rate(values.get("-r") or values["--rate"]) if "-r" in values or "--rate" in values else None
    while options.position < len(options.words):
        effect = options.word("an effect")
        if effect == "remix":
            wanted = options.word("a channel")
            channel = "mix" if wanted == "-" else _numbered(wanted)
        elif effect == "channels" and options.word("a number of channels") == "1":
            channel = "mix" if channel is None else channel
        elif effect == "rate":
            while options.words[options.position : options.position + 1] in (["-v"], ["-h"], ["-m"], ["-s"], ["-L"]):
                options.position += 1  # how well it resamples; we always resample well
            rate = _rate(options.word("a rate"))
        else:
            raise _Refused(repr(effect))
    return Decode(path, channel, rate)


FFMPEG_BARE = frozenset({"-nostdin", "-hide_banner", "-y", "-nostats", "-vn"})
FFMPEG_CODECS = ("pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le")


def _ffmpeg(words: list[str]) -> Decode:
    anywhere: dict[str, tuple[str, ...] | None] = {"-loglevel": None, "-v": None, "-threads": None}
    if "-i" not in words[:-1]:
        raise _Refused("the lack of -i")
    cut = words.index("-i")
    options = _Options(words[:cut], anywhere, FFMPEG_BARE)
    options.take()
    if options.position != cut:
        raise _Refused(repr(words[options.position]))
    path = "-" if words[cut + 1] in ("pipe:", "pipe:0") else words[cut + 1]
    coding = dict.fromkeys(("-acodec", "-c:a", "-codec:a"), FFMPEG_CODECS)
    options = _Options(
        words[cut + 2 :], {**anywhere, **coding, "-f": ("wav",), "-ac": ("1",), "-ar": None}, FFMPEG_BARE
    )
    options.take()
    if options.word("'-', the output") not in ("-", "pipe:", "pipe:1") or options.position != len(options.words):
        raise _Refused(f"{options.words[options.position - 1]!r}, an output other than '-',")
    if "-f" not in options.values:
        raise _Refused("the lack of -f wav")
    rate = _rate(options.values["-ar"]) if "-ar" in options.values else None
    return Decode(path, "mix" if "-ac" in options.values else None, rate)
