"""Logs, metrics and the live status: what the collector tells about itself."""
