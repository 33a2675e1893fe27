"""The collector as it is: what ``te-collector run --once`` does, without its arguments.

The one rule: nothing here but configuration; every line that is measured is the product's.
"""

from __future__ import annotations

import sys
from datetime import timedelta

from pydantic import SecretStr

import collector.__main__  # what the command loads and prepares, so that memory is that of the command

collector.__main__.use_less_memory()
sys.modules.setdefault("trio", None)  # type: ignore[arg-type]  # of our tests; httpcore would load it, users have none

from collector.config import Config, KafkaSection, OrganizationSection  # noqa: E402
from collector.service import run_service  # noqa: E402
from tests.bench.usage import tell  # noqa: E402


def configuration(base_url: str, bootstrap_servers: str, topic_prefix: str) -> Config:
    """The defaults, with one window that reaches every page: this API shows all of them, whatever it is asked for."""
    day = timedelta(hours=24)
    return Config(
        initial_lookback=day,
        overlap=day,
        overlap_max=day,
        log_level="warning",
        kafka=KafkaSection(bootstrap_servers=bootstrap_servers, topic_prefix=topic_prefix),
        organizations=(OrganizationSection(name="bench", base_url=base_url, token=SecretStr("bench")),),
    )


async def run(base_url: str, bootstrap_servers: str, topic_prefix: str) -> None:
    """Collect everything once.

    Raises:
        RuntimeError: the service ended with a failure; its log says why.
    """
    config = configuration(base_url, bootstrap_servers, topic_prefix)
    if code := await run_service(config, once=True):
        raise RuntimeError(f"the collector ended with {code}")


def _main(base_url: str, bootstrap_servers: str, topic_prefix: str) -> None:
    tell(run(base_url, bootstrap_servers, topic_prefix))


if __name__ == "__main__":
    _main(*sys.argv[1:])
