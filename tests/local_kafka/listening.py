"""A program that holds a port."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def listener() -> Iterator[int]:
    """Listen on a free port of 127.0.0.1 and give its number."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]
