"""What a process has cost so far: CPU seconds and memory, told by the operating system.

The one rule: a runner measures itself, in its own process, so that nothing of the API, the broker or the benchmark
counts. This module therefore loads next to nothing.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from typing import NamedTuple, TypedDict

_MIB = 1024 * 1024


class Used(TypedDict):
    """What one run took: seconds by the clock, CPU seconds of the whole process, resident memory in MiB."""

    wall_s: float
    cpu_s: float
    loaded_mib: float
    peak_mib: float


class Memory(NamedTuple):
    """Resident memory of this process, MiB: now, and the highest so far."""

    now_mib: float
    peak_mib: float


def cpu_s() -> float:
    """CPU seconds of this process since it began, all threads, user and system."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def memory() -> Memory:
    """Resident memory; where there is no /proc (macOS) only the peak is known, and stands for both."""
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            lines = [line.partition(":") for line in status]
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / _MIB
        return Memory(peak, peak)
    # Not `ru_maxrss`: on Linux it begins with the memory of the process that started this one.
    kib = {name: float(rest.split()[0]) for name, _, rest in lines if name in ("VmRSS", "VmHWM")}
    return Memory(kib["VmRSS"] / 1024, kib["VmHWM"] / 1024)


def tell(run: Callable[[], object]) -> None:
    """Run to the end, then write what it took as the last line of standard output."""
    loaded = memory()
    began = time.perf_counter()
    run()
    wall_s = time.perf_counter() - began
    used = Used(wall_s=wall_s, cpu_s=cpu_s(), loaded_mib=loaded.now_mib, peak_mib=memory().peak_mib)
    print(json.dumps(used), flush=True)
