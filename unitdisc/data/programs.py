"""Files that libsndfile cannot open, read by the program that can: ffmpeg, sph2pipe, sox, flac; never by a shell."""

import shutil
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

from unitdisc.errors import DataError

# Containers that libsndfile does not know; ffmpeg does.
FFMPEG = (".m4a", ".mp4", ".aac", ".webm", ".wma", ".mka", ".amr", ".3gp", ".ac3", ".mov")
LONGEST = 3600  # s that a program may take for one file


def decoder_of(path: Path, program: str = "") -> str:
    """Return the program for a file: that of its decode command in wav.scp, else ffmpeg for its kind, else none."""
    return program or ("ffmpeg" if path.suffix.lower() in FFMPEG else "")


def is_missing(program: str) -> bool:
    """Tell whether a program is not installed."""
    return shutil.which(program) is None


def decoded(path: Path, program: str, problem: str) -> bytes:
    """Return a file as WAV, all channels at their own rate; `problem` is why libsndfile does not read it."""
    if is_missing(program):
        raise DataError(
            f"{path}: libsndfile cannot read this kind of file, and {program} is not installed: install {program} "
            f"(most systems have a package of that name), or convert the file to wav or flac. Without it: {problem}"
        )
    stat = path.stat()
    return _decoded(path.resolve(), program, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=1)  # of the segments of one recording, all but the first find it here
def _decoded(path: Path, program: str, _size: int, _time: int) -> bytes:
    with tempfile.TemporaryDirectory(prefix="unitdisc-") as folder:
        wav = Path(folder) / "decoded.wav"
        done = _run(_words(program, path, wav), path, program)
        if done.returncode or not wav.is_file():
            tail = " ".join(done.stderr.decode("utf-8", "replace").split())[-200:]
            raise DataError(f"{path}: {program} cannot decode it (code {done.returncode}): {tail or 'it says nothing'}")
        return wav.read_bytes()


def _run(words: list[str], path: Path, program: str) -> "subprocess.CompletedProcess[bytes]":
    try:
        return subprocess.run(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=LONGEST,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise DataError(f"{path}: {program} did not end within {LONGEST} s; convert the file to wav or flac") from None
    except OSError as error:
        raise DataError(f"{path}: {program} cannot be run: {error.strerror}") from None


def _words(program: str, path: Path, wav: Path) -> list[str]:
    """Return the program and its arguments; both paths are absolute, so that none is taken for an option."""
    return {
        # Only local files are opened, whatever a playlist or a container names.
        "ffmpeg": ["ffmpeg", "-nostdin", "-v", "error", "-protocol_whitelist", "file", "-i", f"file:{path}",
                   "-map", "0:a:0", "-c:a", "pcm_f32le", "-f", "wav", str(wav)],
        "sph2pipe": ["sph2pipe", "-f", "wav", "-p", str(path), str(wav)],
        "sox": ["sox", str(path), "-t", "wav", "-e", "signed-integer", "-b", "24", str(wav)],
        "flac": ["flac", "--decode", "--silent", "-o", str(wav), str(path)],
    }[program]  # fmt: skip
