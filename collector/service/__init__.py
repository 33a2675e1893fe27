"""The composition root: puts the parts together, owns the signals and the order of closing."""

from collector.service.run import run_service

__all__ = ["run_service"]
