"""Text with a line for each utterance: its name, then its units."""

from collections.abc import Iterator

from unitdisc.data.foreign.base import Format, ReadOptions, Source, Utterance, name_of, unit_numbers
from unitdisc.errors import DataError, shown

CJK = 0x4E00  # ESPnet's recipes write unit n as the character U+4E00 + n, all of an utterance as one word


def read_text(source: Source, options: ReadOptions) -> Iterator[Utterance]:
    """Read Kaldi text: `<utt> 7 7 3`."""
    for where, line in source.lines():
        utt, *words = line.split()
        yield Utterance(where, utt, unit_numbers(words, where))


def read_zerospeech(source: Source, options: ReadOptions) -> Iterator[Utterance]:
    """Read quantized outputs as ZeroSpeech 2021 has them: `<utt><tab>7,7,3`."""
    for where, line in source.lines():
        utt, *rest = line.split()
        words = rest[0].split(",") if len(rest) == 1 else []
        if not words:
            raise DataError(f"{where}: expected '<utt> <unit>,<unit>,...', got {shown(line)}")
        yield Utterance(where, name_of(utt), unit_numbers(words, where))


def read_bars(source: Source, options: ReadOptions) -> Iterator[Utterance]:
    """Read what fairseq's spoken language models and textless read: `<utt>|7 7 3`."""
    for where, line in source.lines():
        utt, _, units = line.partition("|")
        yield Utterance(where, name_of(utt.strip()), unit_numbers(units.split(), where))


def read_espnet(source: Source, options: ReadOptions) -> Iterator[Utterance]:
    """Read tokens: `<utt> <7> <3>`, or one character from U+4E00 on for each unit."""
    file = source.only("text.units")
    for where, line in (file or source).lines():
        utt, *words = line.split()
        if words and ord(words[0][0]) >= CJK:
            words = [str(ord(letter) - CJK) for word in words for letter in word]
        yield Utterance(where, utt, unit_numbers(words, where))


def _is_text(source: Source) -> bool:
    return source.path.suffix != ".km" and source.all(r"\s*[^\s|]+(\s+\d+)*\s*") and source.some(r".*\s\d+\s*")


def _is_espnet(source: Source) -> bool:
    file = source.only("text.units")
    return file is not None and (
        (file.all(r"\S+( <\d+>)*") and file.some(r".* <\d+>"))
        or file.all(r"\S+\s+[\u4e00-\u9fff]+( [\u4e00-\u9fff]+)*")
    )


TEXT = Format("text", "Kaldi text, `<utt> 7 7 3`", _is_text, read_text)
ZEROSPEECH = Format(
    "zerospeech2021", "ZeroSpeech 2021, `<utt><tab>7,7,3`",
    lambda source: source.all(r"\S+\s+\d+(,\d+)*") and any("," in line for line in source.first), read_zerospeech,
)  # fmt: skip
BARS = Format(
    "textless", "textless and fairseq's spoken language models, `<utt>|7 7 3`",
    lambda source: source.all(r"[^|]+\|\s*\d+(\s+\d+)*\s*"), read_bars,
)  # fmt: skip
ESPNET = Format("espnet", "ESPnet's tokens, `<utt> <7> <3>` or characters from U+4E00 on", _is_espnet, read_espnet)
