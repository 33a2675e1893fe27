"""`te-collector`, in a process that can be made to die at a chosen point, or that breaks a rule.

    python -m tests.chaos.worker FOLDER MODE run --config FILE

FOLDER is shared with the harness (`aims.py`); MODE is "good", or names of `broken.BREAKAGES` joined by "-".
"""

import sys
from pathlib import Path

from collector.__main__ import main
from tests.chaos import aims, broken

GOOD = "good"


def prepare(folder: str, mode: str) -> None:
    """Wrap what is to be wrapped in this process."""
    of_this_process = aims.Aims(Path(folder))
    aims.install(of_this_process)
    for name in mode.split("-") if mode != GOOD else ():
        broken.BREAKAGES[name](of_this_process)


if __name__ == "__main__":
    _, given_folder, given_mode, *arguments = sys.argv
    prepare(given_folder, given_mode)
    sys.argv = ["te-collector", *arguments]
    main()
