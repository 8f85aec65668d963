"""The web pages, built once from the outputs that are saved in the notebooks, and a server for them."""

import gzip
import os
import subprocess
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REPOSITORY = "https://github.com/somebody/course"
COMPRESSED = (".html", ".js", ".css", ".svg", ".json")


def build_pages(folder: Path, address: str) -> Path:
    """Build the book into a folder as `make book` does, but from saved outputs, and return where its pages are.

    Args:
        address: where the pages will say that they stand (BOOK_URL).
    """
    command = [sys.executable, str(ROOT / "tools" / "build_book.py"), "--saved", "--output", str(folder)]
    surroundings = os.environ | {"BOOK_URL": address, "BOOK_REPOSITORY": REPOSITORY}
    result = subprocess.run(command, env=surroundings, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, (result.stdout + result.stderr)[-3000:]
    return folder / "_build" / "html"


class PageServer(ThreadingHTTPServer):
    """Serves a folder on loopback, with compression, as web hosts do, and counts the bytes it sends."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), PageHandler)
        self.folder = Path()
        self.bytes_sent: dict[str, int] = {}
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class PageHandler(SimpleHTTPRequestHandler):
    def translate_path(self, path: str) -> str:
        self.directory = str(self.server.folder)
        return super().translate_path(path)

    def do_GET(self):
        path = Path(self.translate_path(self.path))
        if path.is_dir():
            path = path / "index.html"
        status = 200 if path.is_file() else 404
        if status == 404:
            path = self.server.folder / "404.html"
        content = path.read_bytes()
        compress = path.suffix in COMPRESSED
        body = gzip.compress(content, 6) if compress else content
        self.send_response(status)
        self.send_header("Content-Type", self.guess_type(str(path)))
        self.send_header("Content-Length", str(len(body)))
        if compress:
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        self.wfile.write(body)
        self.server.bytes_sent[self.path] = len(body)

    def log_message(self, *_):
        """Say nothing: pytest shows what it is asked to show."""
