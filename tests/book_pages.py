"""The web pages, built from the outputs that are saved in the notebooks, a server for them, and a browser's tab."""

import gzip
import os
import shutil
import subprocess
import sys
import threading
from functools import cache
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlparse

ROOT = Path(__file__).resolve().parent.parent
REPOSITORY = "https://github.com/somebody/course"
FOLDER = "/course/"
ADDRESS = f"http://127.0.0.1:8000{FOLDER}"
COMPRESSED = (".html", ".js", ".css", ".svg", ".json")
# Looked for by hand, since Playwright would bring a browser of its own, from another host.
NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
WIDE = {"width": 1300, "height": 900}


def build_pages(folder: Path) -> Path:
    """Build the book into a folder as `make book` does, but from saved outputs, and return where its pages are."""
    command = [sys.executable, str(ROOT / "tools" / "build_book.py"), "--saved", "--output", str(folder)]
    surroundings = os.environ | {"BOOK_URL": ADDRESS, "BOOK_REPOSITORY": REPOSITORY}
    result = subprocess.run(command, env=surroundings, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, (result.stdout + result.stderr)[-3000:]
    return folder / "_build" / "html"


class PageServer(ThreadingHTTPServer):
    """Serves the pages on loopback, in the folder of ADDRESS and with compression, as web hosts do; counts bytes."""

    def __init__(self, pages: Path):
        super().__init__(("127.0.0.1", 0), PageHandler)
        self.pages = pages
        self.address = f"http://127.0.0.1:{self.server_port}{FOLDER}"
        self.bytes_sent: dict[str, int] = {}
        threading.Thread(target=self.serve_forever, daemon=True).start()


class PageHandler(SimpleHTTPRequestHandler):
    def do_GET(self):
        inside = self.path.startswith(FOLDER)
        path = self.server.pages / unquote(urlparse(self.path.removeprefix(FOLDER)).path)
        if path.is_dir():
            path = path / "index.html"
        status = 200 if inside and path.is_file() else 404
        if status == 404:
            path = self.server.pages / "404.html"
        body = read_as_sent(path)
        self.send_response(status)
        self.send_header("Content-Type", self.guess_type(str(path)))
        self.send_header("Content-Length", str(len(body)))
        if path.suffix in COMPRESSED:
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        self.wfile.write(body)
        self.server.bytes_sent[self.path] = len(body)

    def log_message(self, *_):
        """Say nothing: pytest shows what it is asked to show."""


@cache
def read_as_sent(path: Path) -> bytes:
    content = path.read_bytes()
    return gzip.compress(content, 6) if path.suffix in COMPRESSED else content


class Visit:
    """A tab, and what went wrong in it."""

    def __init__(self, browser, server: PageServer):
        self.server = server
        self.problems: list[str] = []
        self.requested: set[str] = set()
        self.context = browser.new_context(viewport=WIDE, color_scheme="light")
        self.context.grant_permissions(["clipboard-read", "clipboard-write"])
        self.context.route("**/*", self.let_through)
        self.tab = self.context.new_page()
        self.tab.on("console", lambda message: message.type in ("error", "warning") and self.note(message.text))
        self.tab.on("pageerror", lambda error: self.note(str(error)))
        self.tab.on(
            "response", lambda response: response.status >= 400 and self.note(f"{response.status} {response.url}")
        )

    def note(self, problem: str):
        self.problems.append(problem)

    def let_through(self, route):
        url = route.request.url
        if url.startswith((self.server.address, "data:", "blob:")):
            self.requested.add(url)
            return route.continue_()
        self.note(f"asks another host: {url}")
        return route.abort()

    def open(self, name: str):
        self.tab.goto(f"{self.server.address}{name}.html", wait_until="load")
        # Maths is set after the page has loaded.
        self.tab.wait_for_function("!window.MathJax || !MathJax.startup || MathJax.startup.promise.then(() => true)")
        return self.tab

    def count_bytes(self) -> int:
        """What the tab has loaded from the server."""
        paths = [urlparse(url)._replace(scheme="", netloc="", fragment="").geturl() for url in self.requested]
        return sum(self.server.bytes_sent.get(path, 0) for path in paths)
