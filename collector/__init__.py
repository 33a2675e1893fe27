"""Publishes every ThousandEyes endpoint user session exactly once to a Kafka topic."""

__version__ = "0.1.0"
