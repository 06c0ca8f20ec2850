"""Downloads of corpora: broken ones go on, wrong ones are refused."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from image_files import modules
from recipe_files import EGS

from unitdisc.errors import DataError


class Server(http.server.BaseHTTPRequestHandler):
    """Serves one file; `ranges`: whether it can start in the middle; `breaks`: after how many bytes it breaks off."""

    content, ranges, breaks = b"", True, 0

    def do_GET(self) -> None:
        first = int(self.headers.get("Range", "bytes=0-")[6:-1]) if self.ranges else 0
        if self.path != "/file" or (first and first >= len(self.content)):
            self.send_error(416 if self.path == "/file" else 404)
            return
        self.send_response(206 if "Range" in self.headers and self.ranges else 200)
        self.send_header("Content-Length", str(len(self.content) - first))
        self.end_headers()
        self.wfile.write(self.content[first : first + self.breaks] if self.breaks else self.content[first:])

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[tuple[str, type[Server]]]:
    handler = type("Handler", (Server,), {"content": bytes(range(256)) * 40})
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}/file", handler
    running.shutdown()
    running.server_close()
    thread.join()


@pytest.mark.parametrize("ranges", [True, False])
def test_a_broken_download_goes_on(server, tmp_path: Path, ranges: bool):
    download = modules(EGS / "common").download.download
    url, handler = server
    good = f"sha256:{hashlib.sha256(handler.content).hexdigest()}"
    file = tmp_path / "deep" / "file"
    handler.breaks, handler.ranges = 1000, ranges
    with pytest.raises(DataError, match="start again to go on"):
        download(url, file, good)
    assert not file.exists()
    assert (tmp_path / "deep" / ".file.partial").stat().st_size == 1000
    handler.breaks = 0
    download(url, file, good)
    assert file.read_bytes() == handler.content
    assert [path.name for path in file.parent.iterdir()] == ["file"]
    download("http://127.0.0.1:9/nowhere", file, good)  # there already: nothing is asked for


def test_a_wrong_download_is_refused(server, tmp_path: Path):
    download = modules(EGS / "common").download.download
    url, handler = server
    with pytest.raises(DataError, match="expected a file of md5:0000, got md5:"):
        download(url, tmp_path / "file", "md5:0000")
    assert not list(tmp_path.iterdir())
    with pytest.raises(DataError, match="the server answers 404"):
        download(f"{url}s", tmp_path / "file", "md5:0000")
    (tmp_path / ".file.partial").write_bytes(handler.content + b"more")
    with pytest.raises(DataError, match="it was removed"):
        download(url, tmp_path / "file", "md5:0000")
    (tmp_path / "there").touch()
    with pytest.raises(DataError, match="expected md5:<hex> or sha256:<hex>, got 'crc"):
        download(url, tmp_path / "there", "crc:0")
