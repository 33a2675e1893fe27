"""An API that serves whatever rows a test gives it, at every request: the worst that a page of 16 MiB can hold.

The one rule: a test says what the rows are, byte by byte; everything around them is an answer as it should be.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

AID = "9000"
LIMIT = 6_000
"""Requests a minute: the quota stops nobody here."""

WINDOW_S = 60


class PoisonApi(ThreadingHTTPServer):
    """Version 7, one account group. ``serve`` changes the rows; ``served`` counts the pages with them."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.served = 0
        self._page = b""
        self.serve([])

    @property
    def base_url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def serve(self, rows: Sequence[bytes]) -> None:
        """From now on every page holds these rows."""
        self._page, self.served = b'{"results":[' + b",".join(rows) + b'],"_links":{}}', 0

    def page(self) -> bytes:
        """One page more."""
        self.served += 1
        return self._page


class _Handler(BaseHTTPRequestHandler):
    server: PoisonApi
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        groups = [{"aid": AID, "accountGroupName": "Poison"}]
        self._answer(json.dumps({"accountGroups": groups}).encode())

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer(self.server.page())

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/hal+json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Organization-Rate-Limit-Limit", str(LIMIT))
        self.send_header("X-Organization-Rate-Limit-Remaining", str(LIMIT - 1))
        self.send_header("X-Organization-Rate-Limit-Reset", str(int(time.time()) + WINDOW_S))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@contextmanager
def poison_api() -> Iterator[PoisonApi]:
    """Serve on a free port until the block ends."""
    with PoisonApi() as api:
        thread = threading.Thread(target=api.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield api
        finally:
            api.shutdown()
            thread.join()
