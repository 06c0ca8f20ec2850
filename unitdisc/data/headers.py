"""What libsndfile does not say: is a WAV or SPHERE file cut short, or compressed with shorten?"""

import struct
from pathlib import Path
from typing import IO

from unitdisc.errors import DataError, shown
from unitdisc.reading import reading

# Programs that write WAV into a pipe cannot know its length and write a number near 2^31 or 2^32 instead.
ENDLESS = 0x7FFF0000


class CutShort(DataError):
    """A recording that ends before its header says, or whose writer was interrupted."""


def check_header(path: Path) -> None:
    """Refuse a WAV or NIST SPHERE file that has less audio than its header says; leave other formats alone."""
    with reading(path, "audio"), path.open("rb") as file:
        check_start(file, path.stat().st_size, str(path))


def check_start(file: IO[bytes], size: int, path: str) -> None:
    """Do as `check_header` does with what is open, and has so many bytes."""
    head = file.read(12)
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        while len(chunk := file.read(8)) == 8:
            name, length = struct.unpack("<4sI", chunk)
            if name == b"data":
                _compare(path, length, size - file.tell())
                return
            file.seek(length + length % 2, 1)
    elif head[:7] == b"NIST_1A":
        file.seek(0)
        _check_sphere(path, file.read(1 << 14), size)


def _compare(path: str, wanted: int, came: int) -> None:
    if wanted == 0 < came:
        raise CutShort(
            f"{path}: expected audio, got a header that announces none before {came} bytes; its writer was interrupted"
        )
    if wanted < ENDLESS and came < wanted:
        raise CutShort(
            f"{path}: truncated: the header announces {wanted} bytes of audio, the file has {came}; copy it again"
        )


def ogg_is_cut(path: Path) -> bool:
    """Tell whether an Ogg file lacks the mark of its end; it can still be played up to where it is cut."""
    with path.open("rb") as file:
        if file.read(4) != b"OggS":
            return False
        file.seek(max(0, path.stat().st_size - (1 << 16)))  # no page is longer than 65,307 bytes
        tail = file.read()
    page = tail.rfind(b"OggS")
    if page < 0 or len(tail) < page + 27:
        return True
    lengths = tail[page + 27 : page + 27 + tail[page + 26]]
    is_whole = len(tail) >= page + 27 + tail[page + 26] + sum(lengths)
    return not (is_whole and tail[page + 5] & 4)


def _check_sphere(path: str, head: bytes, size: int) -> None:
    fields = {}
    lines = head.split(b"\n")
    for line in lines[2:]:
        words = line.split(None, 2)
        if words[:1] == [b"end_head"]:
            break
        if len(words) == 3:
            fields[words[0].decode("latin-1")] = words[2].strip().decode("latin-1")
    coding = fields.get("sample_coding", "pcm")
    if "embedded" in coding or "shorten" in coding:
        raise DataError(
            f"{path}: expected plain SPHERE audio, got {coding!r}; "
            "convert it once, as with `sph2pipe -f wav -p IN OUT`, and point wav.scp to the result"
        )
    with reading(path, "a SPHERE header with sample_count", got=shown(sorted(fields), 200)):
        wanted = (
            int(fields["sample_count"]) * int(fields.get("sample_n_bytes", 2)) * int(fields.get("channel_count", 1))
        )
        start = int(lines[1])
    _compare(path, wanted, size - start)
