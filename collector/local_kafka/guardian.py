"""Runs one command and never lets it outlive the process that asked for it.

The one rule: the command ends when standard input ends. The asking process holds the other end of that pipe, and the
kernel closes it however that process ends, kill -9 included; this works the same on Linux and macOS.

Invariants: this program imports the standard library only and is started by its path (an interpreter without site
packages starts in 20 ms); the command is its direct child and therefore never a reused process id.

Usage: guardian.py NICENESS LOG_FILE COMMAND [ARGUMENT ...]
It writes the command's process id as one line to standard output, obeys lines on standard input that name a signal
(`SIGTERM`) and answers each with an empty line once the signal is sent, and exits with the command's exit code
(128 + signal number where a signal ended it).
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading


def _ignore(*_: object) -> None:
    """Leave the decision to the asking process. A handler, because SIG_IGN would be inherited by the command."""


def _obey(child: "subprocess.Popen[bytes]") -> None:
    """Pass signals on until standard input ends, then kill the command and everything it started."""
    with contextlib.suppress(OSError):  # a reset connection means the same as its end
        for line in sys.stdin:
            child.send_signal(signal.Signals[line.strip()])  # does nothing to a child that has ended
            os.write(1, b"\n")
    with contextlib.suppress(OSError):
        os.killpg(child.pid, signal.SIGKILL)


def main(arguments: list[str]) -> int:
    """Run the command.

    Args:
        arguments: niceness (0-19), file that takes the command's output, then the command.

    Returns:
        The command's exit code.
    """
    niceness, log_file, *command = arguments
    for signal_number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, _ignore)
    os.nice(int(niceness))
    with open(log_file, "wb") as log:
        child = subprocess.Popen(  # noqa: S603 - the command is what our caller, the same user, asked for
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    threading.Thread(target=_obey, args=(child,), daemon=True).start()
    with contextlib.suppress(OSError):  # nobody reads any more: standard input says so too
        os.write(1, f"{child.pid}\n".encode())
    exit_code = child.wait()
    return exit_code if exit_code >= 0 else 128 - exit_code


if __name__ == "__main__":
    # Not sys.exit: the thread may be reading standard input, whose lock the interpreter's shutdown would wait for.
    os._exit(main(sys.argv[1:]))
