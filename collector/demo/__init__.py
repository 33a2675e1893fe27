"""The demonstration: a simulated API, a real Kafka and the collector between them, which is killed again and again.

The one rule: it judges from outside. What it says at the end comes from what the API showed and what an independent
reader found in the topics, never from the collector's own counts.
"""

from collector.demo.run import run_demo

__all__ = ["run_demo"]
