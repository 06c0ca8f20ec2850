"""Recordings inside tar archives, read where they lie: `<tar>:<byte>` in wav.scp, as Kaldi names what is in an ark."""

import io
import os
import re
import tarfile
from pathlib import Path

from unitdisc.errors import DataError

_PLACE = re.compile(r"(.+\.tar):(\d+)")


def split_place(entry: str) -> tuple[str, int | None]:
    """Return the path of an entry of wav.scp, and the byte of a tar archive at which the recording begins, if any."""
    match = _PLACE.fullmatch(entry)
    return (match[1], int(match[2])) if match else (entry, None)


class Member(io.RawIOBase):
    """One file of a tar archive that is not compressed, as a file of its own."""

    def __init__(self, path: Path, offset: int) -> None:
        """Open what begins at a byte; the archive says before it how long it is."""
        super().__init__()
        where = f"{path}:{offset}"
        try:
            self._file = path.open("rb", buffering=0)
        except OSError as error:
            raise DataError(f"{where}: cannot be read: {error.strerror}") from None
        self._first, self._at = offset, 0
        try:
            self._file.seek(max(offset - tarfile.BLOCKSIZE, 0))
            info = tarfile.TarInfo.frombuf(self._file.read(tarfile.BLOCKSIZE), "utf-8", "surrogateescape")
            if not info.isreg() or offset % tarfile.BLOCKSIZE:
                raise tarfile.TarError("no file begins there")
        except (tarfile.TarError, OSError, OverflowError) as error:
            self._file.close()
            what = f"expected a file in a tar archive, got: {error}; import the archives anew"
            raise DataError(f"{where}: {what}") from None
        self.size = info.size
        missing = offset + info.size - os.fstat(self._file.fileno()).st_size
        if missing > 0:
            self._file.close()
            raise DataError(f"{where}: truncated: the archive lacks {missing} bytes of {info.name}; copy it again")

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that it can be read from anywhere."""
        return True

    def tell(self) -> int:
        """Return the byte that is read next."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a byte."""
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        return self._at

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        """Fill a buffer as far as the file goes."""
        view = memoryview(buffer).cast("B")[: max(self.size - self._at, 0)]
        self._file.seek(self._first + self._at)
        count = self._file.readinto(view) or 0
        self._at += count
        return count

    def close(self) -> None:
        """Close the archive."""
        self._file.close()
        super().close()
