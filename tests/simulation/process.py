"""A process that can be killed as `kill -9` kills: from one moment on, nothing it does has any effect.

Rule: the fakes ask before they act. Code that is cancelled runs its ``finally`` blocks, a killed process does not: what
these blocks call of the fakes is ignored, and a call in the middle of which the process dies never returns.
"""

from __future__ import annotations

import anyio

THAW_S = 300.0
"""How long after a freeze its consequences are forgiven."""


class Killed(BaseException):
    """Raised into a process that is dead, through every shield; no ``except Exception`` stops it."""


class Process:
    """One life of a worker. Everything that waits in its fakes waits in `pause`."""

    def __init__(self, name: str = "process") -> None:
        self.name = name
        self.alive = True
        self._scope = anyio.CancelScope()
        self._died = anyio.Event()
        self._frozen_until = -THAW_S

    @property
    def scope(self) -> anyio.CancelScope:
        """What the whole life runs in."""
        return self._scope

    def kill(self) -> None:
        """Dead from now on."""
        self.alive = False
        self._died.set()
        self._scope.cancel()

    def freeze(self, duration_s: float) -> None:
        """Let nothing through for a while, as a stopped process or a paused machine does; it does not know."""
        self._frozen_until = max(self._frozen_until, anyio.current_time() + duration_s)

    @property
    def was_frozen(self) -> bool:
        """Whether it was frozen not long ago: what waited then may be taken for stuck."""
        return self._frozen_until > anyio.current_time() - THAW_S

    def check(self) -> None:
        """Go on only if alive."""
        if not self.alive:
            raise Killed(self.name)

    async def pause(self, duration_s: float) -> None:
        """Let time pass; longer if frozen, and without return if killed meanwhile."""
        self.check()
        until = anyio.current_time() + duration_s
        while True:
            with anyio.CancelScope(deadline=until):
                await self._died.wait()
            self.check()
            if self._frozen_until <= anyio.current_time():
                return
            until = self._frozen_until
