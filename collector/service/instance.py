"""A name for this worker that its successor on this machine will have too, and no other living process.

One rule: nobody has to choose it, and nobody has to repair it. A worker that was killed with -9 is a member of the
group until its session ends; its successor joins under the same name, and is given the same shards at once instead of
waiting. Where no such name can be made up there is none, and the successor waits.

The name is the machine's and a number, the smallest whose socket nobody holds. The sockets are of Linux's abstract
namespace: they need no file and no folder, the kernel releases them with the process however it ended, and a container
with a network of its own has its own. https://man7.org/linux/man-pages/man7/unix.7.html
"""

from __future__ import annotations

import re
import socket
import sys
from hashlib import sha256

WORKERS_MAX = 64
"""Workers of one group on one machine that get a name; far more than a machine has use for."""

HOST_LENGTH_MAX = 200
"""Of the 249 characters that brokers allow."""


class AutomaticInstance:
    """Holds the name for as long as the process lives.

    Args:
        group_id: names are unique within a group.
    """

    def __init__(self, group_id: str) -> None:
        self._held: socket.socket | None = None
        self.instance_id: str | None = None
        """The name; None: there is none."""
        if sys.platform != "linux":
            return
        group = sha256(group_id.encode()).hexdigest()[:16]
        for number in range(WORKERS_MAX):
            holder = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                holder.bind(f"\0te-collector/{group}/{number}")
            except OSError:  # another worker's, or sockets are not allowed here
                holder.close()
                continue
            host = re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:HOST_LENGTH_MAX] or "worker"
            self._held, self.instance_id = holder, f"{host}.{number}"
            return

    def close(self) -> None:
        """Let somebody else have the name."""
        if self._held is not None:
            self._held.close()
