"""What ends a demonstration before its verdict.

CollectorError
└── DemoFailed       a process ended by itself, or did not do its part in time; the message is for people
    └── ChildDied    with the last lines of its log
"""

from collector.errors import CollectorError


class DemoFailed(CollectorError):
    """The demonstration cannot go on."""


class ChildDied(DemoFailed):
    """A process ended although nobody asked it to."""
