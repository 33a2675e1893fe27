"""Entry point of `te-collector` and of `python -m collector`."""

from __future__ import annotations

import ctypes
import sys

from collector.cli.app import app

_M_MMAP_THRESHOLD = -3
"""glibc's number of the option, <malloc.h>."""

MMAP_THRESHOLD_BYTES = 131_072
"""glibc's own first value. Left alone it grows with every large block that is freed, up to 32 MiB; pages and batches of
half a megabyte then come from the heap, and leave holes in it."""


KEPT_OUT = ("rich", "httpx._main")
"""What libraries load only if it can be imported, for screens and a command line of their own (httpx's, with click and
pygments): six megabytes that a collector needs for nothing."""


def use_less_memory() -> None:
    """Prepare a process that collects: a tenth less resident memory."""
    for name in KEPT_OUT:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # Python's own sign for "cannot be imported"
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:  # musl has none
            mallopt(_M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES)


def main() -> None:
    """Run the command line; ends the process with its exit code."""
    if sys.argv[1:2] == ["run"]:
        use_less_memory()
    app(prog_name="te-collector")


if __name__ == "__main__":
    main()
