"""A small local server with the part of the hub's HTTP interface that a download needs."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """One model, `owner/name`, with the files of a directory; tests set what goes wrong."""

    daemon_threads = True

    def __init__(self, directory: Path):
        super().__init__(("127.0.0.1", 0), Handler)
        self.directory = directory
        self.gated = False  # only for those with the token "let-me-in"
        self.break_after: int | None = None  # bytes of a large file, at its first request
        self.goes_down = False  # after that break
        self.is_down = False  # every connection is closed without an answer
        self.stall_after: int | None = None  # bytes of a large file; the rest comes only when `go_on` is set
        self.stalled, self.go_on = threading.Event(), threading.Event()
        self.damage = False  # one byte of each large file is changed
        self.requests: list[str] = []  # method, path, and the requested range

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def gets(self, name: str) -> list[str]:
        return [line for line in self.requests if line.startswith("GET") and name in line]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, *_): ...

    def do_HEAD(self):
        self.answer(with_body=False)

    def do_GET(self):
        self.answer(with_body=True)

    def answer(self, with_body: bool):
        if self.server.is_down:
            self.close_connection = True
            return
        self.server.requests.append(f"{self.command} {self.path} {self.headers.get('Range', '')}".strip())
        path = self.path.partition("?")[0]
        if not path.startswith(("/api/models/owner/name", "/owner/name/")):
            return self.fail(401, "RepoNotFound")
        if path.startswith("/api/models/owner/name/revision/"):
            if path.rpartition("/")[2] not in ("main", COMMIT):
                return self.fail(404, "RevisionNotFound")
            return self.send_json({"id": "owner/name", "sha": COMMIT, "siblings": []})
        if path.startswith("/api/models/owner/name/tree/"):
            return self.send_json([self.entry(file) for file in sorted(self.server.directory.iterdir())])
        if self.server.gated and self.headers.get("Authorization") != "Bearer let-me-in":
            return self.fail(403, "GatedRepo")
        self.send_file(self.server.directory / path.rpartition("/")[2], with_body)

    def entry(self, file: Path) -> dict:
        entry = {"type": "file", "path": file.name, "size": file.stat().st_size, "oid": self.checksum(file)[:40]}
        if is_large(file):
            entry["lfs"] = {"oid": self.checksum(file), "size": file.stat().st_size, "pointerSize": 134}
        return entry

    def checksum(self, file: Path) -> str:
        return hashlib.sha256(file.read_bytes()).hexdigest()

    def send_file(self, file: Path, with_body: bool):
        if not file.is_file():
            return self.fail(404, "EntryNotFound")
        content = bytearray(file.read_bytes())
        if is_large(file) and self.server.damage:
            content[-1] ^= 255
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", f'"{self.checksum(file) if is_large(file) else self.checksum(file)[:40]}"')
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if not with_body:
            return
        end = len(content)
        if is_large(file) and self.server.break_after is not None:
            end, self.server.break_after = self.server.break_after, None
            self.close_connection = True
            self.server.is_down = self.server.goes_down
        if is_large(file) and self.server.stall_after is not None:
            self.wfile.write(content[start : self.server.stall_after])
            start = self.server.stall_after
            self.server.stalled.set()
            self.server.go_on.wait()
        self.wfile.write(content[start:end])

    def send_json(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def fail(self, status: int, code: str):
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()


def is_large(file: Path) -> bool:
    return file.suffix == ".safetensors"


@contextmanager
def serve(directory: Path) -> Iterator[Hub]:
    """The running server, for a `with` block."""
    hub = Hub(directory)
    thread = threading.Thread(target=hub.serve_forever)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()
