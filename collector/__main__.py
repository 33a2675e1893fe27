"""Entry point of `te-collector` and of `python -m collector`."""

from __future__ import annotations

import ctypes
import sys

from collector.cli.app import app

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""glibc's numbers of the options, <malloc.h>."""

HEAP_BLOCK_BYTES_MAX = 2 * 1024 * 1024
FREE_BYTES_KEPT = 2 * 1024 * 1024
"""Blocks up to 2 MiB come from the heap, at whose end 2 MiB may stay free. Each page needs large ones for a moment: its
body, its batches, and for each batch the compressor's tables (a megabyte). Taken from the system anew each time, with
a page fault for every 4 KiB, they cost a sixth of all CPU. Left alone, glibc's bounds grow with every block that is
freed, to 32 and 64 MiB, and the heap with them."""

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
            mallopt(_M_MMAP_THRESHOLD, HEAP_BLOCK_BYTES_MAX)
            mallopt(_M_TRIM_THRESHOLD, FREE_BYTES_KEPT)


def main() -> None:
    """Run the command line; ends the process with its exit code."""
    if sys.argv[1:2] == ["run"]:
        use_less_memory()
    app(prog_name="te-collector")


if __name__ == "__main__":
    main()
