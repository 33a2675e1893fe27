"""Emptied control batches in memory: the correction of aiokafka, without a broker."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

import pytest
from aiokafka.consumer import fetcher
from aiokafka.errors import KafkaError

from collector.errors import StartRefused
from collector.kafka import empty_control_batch as subject


@pytest.fixture
def stock() -> Iterator[None]:
    """aiokafka as it was installed, from a fresh copy of its module; put back to what it was afterwards."""
    spec = importlib.util.spec_from_file_location("stock_fetcher", fetcher.__file__)
    assert spec is not None
    assert spec.loader is not None
    fresh = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fresh)
    before = fetcher.PartitionRecords._contains_abort_marker
    fetcher.PartitionRecords._contains_abort_marker = fresh.PartitionRecords._contains_abort_marker
    yield
    fetcher.PartitionRecords._contains_abort_marker = before


def _values() -> list[bytes]:
    batches = (subject.data_batch(0), subject.empty_control_batch(1), subject.data_batch(2))
    return [record.value for record in subject.partition_records(*batches)]


@pytest.mark.usefixtures("stock")
def test_stock_aiokafka_stands_still() -> None:
    """Without the correction the check finds that records behind an emptied control batch cannot be reached."""
    assert not subject.reads_past_empty_control_batch()
    with pytest.raises(KafkaError):
        _values()


@pytest.mark.usefixtures("stock")
def test_corrected_aiokafka_reads_on() -> None:
    """With it, the records before and after come, and a second call changes nothing."""
    subject.prepare_reader()
    subject.prepare_reader()
    assert subject.reads_past_empty_control_batch()
    assert _values() == [b"value-0", b"value-2"]


@pytest.mark.usefixtures("stock")
def test_other_version_that_stands_still_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another version of aiokafka is not patched; when it cannot read the log, the collector does not start."""
    monkeypatch.setattr("aiokafka.__version__", "0.15.0")
    with pytest.raises(StartRefused, match=r"aiokafka 0\.15\.0"):
        subject.prepare_reader()


@pytest.mark.usefixtures("stock")
def test_other_version_that_reads_on_is_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another version that gets past such a batch by itself is left as it is."""
    subject.prepare_reader()
    monkeypatch.setattr("aiokafka.__version__", "0.15.0")
    subject.prepare_reader()
    assert subject.reads_past_empty_control_batch()
