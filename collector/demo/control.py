"""What the demonstration asks the other processes over HTTP: the simulator's truth and counts, the collector's status.

The one rule: loopback only, no proxy, every question with a deadline. A collector that was just killed does not answer,
and that is no error.
"""

from types import TracebackType
from typing import Any, Final, Self

import httpx

from collector.demo.errors import DemoFailed

_ASK_TIMEOUT_S: Final = 2.0
_TRUTH_TIMEOUT_S: Final = 30.0
"""The whole truth is some megabytes, and the machine may be busy."""


class Control:
    """Asks simulator and collector.

    Args:
        simulator_url: where the simulator listens.
        admin_url: where the collector shows its status.
    """

    def __init__(self, simulator_url: str, admin_url: str) -> None:
        self._simulator_url = simulator_url
        self._admin_url = admin_url
        self._client = httpx.AsyncClient(trust_env=False, timeout=_ASK_TIMEOUT_S)

    async def __aenter__(self) -> Self:
        """Connections are opened when they are needed."""
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def is_ready(self) -> bool:
        """Whether the collector owns its shards and every organization has answered."""
        try:
            return (await self._client.get(f"{self._admin_url}/readyz")).is_success
        except httpx.HTTPError:
            return False

    async def status(self) -> dict[str, Any] | None:
        """The collector's own status; None when it does not answer."""
        try:
            answer = await self._client.get(f"{self._admin_url}/status")
            return answer.raise_for_status().json()  # type: ignore[no-any-return]
        except (httpx.HTTPError, ValueError):
            return None

    async def statistics(self) -> dict[str, Any] | None:
        """The simulator's counts; None when it is too busy to answer."""
        try:
            answer = await self._client.get(f"{self._simulator_url}/_sim/stats")
            return answer.raise_for_status().json()  # type: ignore[no-any-return]
        except (httpx.HTTPError, ValueError):
            return None

    async def freeze(self) -> None:
        """From now on nothing new is shown.

        Raises:
            DemoFailed: the simulator does not answer.
        """
        await self._ask("POST", "/_sim/freeze")

    async def truth(self) -> dict[str, Any]:
        """Everything that is shown, and which of it can be no valid event.

        Raises:
            DemoFailed: the simulator does not answer.
        """
        return await self._ask("GET", "/_sim/truth")

    async def _ask(self, method: str, path: str) -> dict[str, Any]:
        try:
            answer = await self._client.request(method, self._simulator_url + path, timeout=_TRUTH_TIMEOUT_S)
            return answer.raise_for_status().json()  # type: ignore[no-any-return]
        except (httpx.HTTPError, ValueError) as error:
            raise DemoFailed(f"the simulator does not answer {method} {path} ({type(error).__name__})") from error
