"""The list of seeded mistakes, by layer. Each was made in the field or nearly made here.

Add one whenever a promise gets a test: the line that keeps it, and the line that breaks it.
"""

from tests.mutants.runner import Mistake

SINK = "collector/kafka/sink.py"
READER = "collector/kafka/reader.py"
SETTINGS = "collector/kafka/settings.py"

KAFKA = (
    Mistake(
        "commit although an acknowledgement failed",
        SINK,
        "acknowledgements = await asyncio.gather(*sent)",
        "acknowledgements = await asyncio.gather(*sent, return_exceptions=True)",
        ("tests/kafka/test_sink.py::test_rejected_record_leaves_nothing_of_its_transaction",),
    ),
    Mistake(
        "no fencing: a transactional id of its own for every process",
        SETTINGS,
        'return f"{self.state_topic}.{shard}"',
        'import uuid; return f"{self.state_topic}.{shard}.{uuid.uuid4().hex}"',
        ("tests/kafka/test_sink.py::test_second_owner_fences_the_first",),
    ),
    Mistake(
        "no barrier: any barrier record ends the restore",
        READER,
        "self.complete = self.complete or value == self.barrier.value",
        "self.complete = True",
        ("tests/kafka/test_restore.py::test_another_value_at_the_barrier_is_not_ours",),
    ),
    Mistake(
        "position alone ends the restore",
        READER,
        "if not self.complete and position > self.barrier.offset:",
        "self.complete = self.complete or position > self.barrier.offset\n        if not self.complete:",
        ("tests/kafka/test_restore.py::test_reader_that_misses_the_barrier_is_detected",),
    ),
    Mistake(
        "a newer owner's records are taken for ours",
        READER,
        "if record.offset > self.barrier.offset:",
        "if False:",
        ("tests/kafka/test_restore.py::test_newer_barrier_means_fenced",),
    ),
    Mistake(
        "tombstones do not delete",
        READER,
        "state.pop(self._text(key, record.offset), None)",
        "pass",
        ("tests/kafka/test_sink.py::test_restore_equals_model",),
    ),
    Mistake(
        "the restore reads what was never committed",
        "collector/kafka/committed_reader.py",
        'isolation_level="read_committed"',
        'isolation_level="read_uncommitted"',
        ("tests/kafka/test_sink.py::test_aborted_transaction_of_a_stopped_owner_is_not_restored",),
    ),
    Mistake(
        "a sink goes on after a failed transaction",
        SINK,
        "            self._phase = _Phase.FAILED\n            raise\n        self._phase = _Phase.READY\n        self._records",
        "            self._phase = _Phase.READY\n            raise\n        self._phase = _Phase.READY\n        self._records",
        (
            "tests/kafka/test_sink.py::test_cancelled_commit_is_an_unknown_outcome",
            "tests/kafka/test_sink.py::test_fenced_between_send_and_commit",
            "tests/kafka/test_sink.py::test_second_owner_fences_the_first",
        ),
    ),
    Mistake(
        "stock aiokafka reads the state",
        "collector/kafka/committed_reader.py",
        "    prepare_reader()\n",
        "",
        ("tests/kafka/test_restore.py::test_empty_control_batches_do_not_stop_the_restore",),
    ),
    Mistake(
        "the state topic may forget",
        "collector/kafka/topic_rules.py",
        'policies != {"compact"}',
        '"compact" not in policies',
        ("tests/kafka/test_topics.py::test_unsafe_topic_is_refused",),
    ),
    Mistake(
        "partitions unlike the Java client's",
        "collector/kafka/batches.py",
        "MURMUR2_SEED = 0x9747B28C",
        "MURMUR2_SEED = 0x9747B28D",
        ("tests/kafka/test_batches.py::test_partition_is_that_of_the_java_client",),
    ),
)

MISTAKES = KAFKA
