"""The collector as a user runs it: ``te-collector run --once --config FILE``.

The one rule: nothing here but the configuration file; every line that is measured is the product's, from the command
line on.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import collector.__main__

collector.__main__.use_less_memory()
sys.modules.setdefault("trio", None)  # type: ignore[arg-type]  # of our tests; httpcore would load it, users have none

import collector.cli.run  # noqa: E402  # what the command loads once it is chosen: what is loaded is told apart
from tests.bench.usage import tell  # noqa: E402

CONFIGURATION = """\
# The defaults, with one window that reaches every page: this API shows all of them, whatever it is asked for.
initial_lookback = "24h"
overlap = "24h"
overlap_max = "24h"
log_level = "warning"
[kafka]
bootstrap_servers = "{bootstrap_servers}"
topic_prefix = "{topic_prefix}"
[[organizations]]
name = "bench"
base_url = "{base_url}"
token = "bench"
"""


def run(file: Path) -> None:
    """Collect everything once.

    Raises:
        RuntimeError: the command ended with a failure; its log says why.
    """
    sys.argv = ["te-collector", "run", "--once", "--config", str(file)]
    try:
        collector.__main__.main()
    except SystemExit as end:
        if end.code:
            raise RuntimeError(f"te-collector ended with {end.code}") from None


def _main(base_url: str, bootstrap_servers: str, topic_prefix: str) -> None:
    with TemporaryDirectory(prefix="te-collector-bench-") as folder:
        file = Path(folder, "collector.toml")
        file.write_text(
            CONFIGURATION.format(base_url=base_url, bootstrap_servers=bootstrap_servers, topic_prefix=topic_prefix)
        )
        tell(lambda: run(file))


if __name__ == "__main__":
    _main(*sys.argv[1:])
