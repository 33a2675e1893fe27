"""What each stage of a page costs, one after the other, in one process: CPU seconds, nothing overlaps.

The one rule: every stage is the product's own function, given what the stage before it made. What the sum lacks to a
whole run is the event loop, the schedule and telemetry.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files

import httpx
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import DefaultRecordBatch

from collector.composition import kafka_settings
from collector.config import KafkaSection
from collector.core.chunks import Marks
from collector.core.event import EventForm, Provenance, events
from collector.core.model import EpochS, Page, Publication, Window
from collector.core.schema import SessionSchema
from collector.core.seen import SeenSessions
from collector.core.sorting import sort_rows
from collector.kafka.batches import BatchPlan
from collector.kafka.settings import KafkaSettings
from collector.kafka.sink import TransactionalSink
from collector.kafka.topics import ensure_topics
from collector.service.assembly import SCHEMA_FILE
from collector.sources.thousandeyes.answer import read_answer
from collector.sources.thousandeyes.http_client import HttpClient, Request
from collector.sources.thousandeyes.json_page import read_json_page
from collector.sources.thousandeyes.row_form import V7_ROW_FORM
from collector.sources.thousandeyes.v7 import PAGE_FORM
from tests.bench.layout import FIRST_AID, SESSIONS_PATH

PAGES_MAX = 50
"""Enough to tell a stage from another."""

_BODY_BYTES_MAX = 64 * 1024 * 1024
_REQUEST_TIMEOUT_S = 30.0
_HEADERS = httpx.Headers({"Authorization": "Bearer bench", "Accept-Encoding": "gzip"})
_ZSTD = DefaultRecordBatch.CODEC_ZSTD


@dataclass(slots=True)
class Stopwatch:
    """CPU seconds by stage, in the order in which the stages were first entered."""

    cpu_s: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the CPU time of the block."""
        began = time.process_time()
        try:
            yield
        finally:
            self.cpu_s[name] = self.cpu_s.get(name, 0.0) + time.process_time() - began


@dataclass(slots=True)
class Line:
    """The stages between a page's bytes and its batches. Owns the published ids and the watch."""

    settings: KafkaSettings
    schema: SessionSchema
    seen: SeenSessions
    watch: Stopwatch

    def publication(self, body: bytes, aid: str) -> Publication:
        """What a page becomes."""
        stage = self.watch.stage
        with stage("decode"):
            content = read_json_page(body, PAGE_FORM)
        page = Page(content.rows, None, read_answer(200, {}), V7_ROW_FORM, content.source_bytes)
        now = time.time()
        provenance = Provenance("bench", aid, "hot", Window(int(now) - 86_400, int(now)), EpochS(now))
        with stage("sort, dedupe"):
            rows, marks = sort_rows(page, aid, self.seen), Marks()
            rows.mark_fresh(marks)
            writes = self.seen.write(marks)
        with stage("normalise"):
            normalise = page.form.normalise
            sessions = [normalise(page.rows[index], aid) for index in rows.fresh_rows()]
        with stage("validate"):
            assert self.schema.all_valid(sessions)
        with stage("envelope"):
            records = events(sessions, EventForm(self.schema.identifier), provenance)
        with stage("sort, dedupe"):
            self.seen.apply(writes)
        return Publication(records, writes.changes)

    def build(self, publication: Publication, event_partitions: int) -> None:
        """Make the batches of a publication, as the sink does, and throw them away."""
        size = self.settings.batch_bytes
        plan = BatchPlan(
            events=(self.settings.events_topic, event_partitions, size),
            dead_letters=(self.settings.dead_letters_topic, self.settings.dead_letter_partitions, size),
            state=(self.settings.state_topic, 0, size),
            new_batch=lambda size: BatchBuilder(size, _ZSTD, is_transactional=True),
        )
        with self.watch.stage("batch build"):
            batches = plan.batches(publication)
        with self.watch.stage("compress"):
            for batch in batches:
                batch.builder._build()  # what aiokafka does when it sends


async def run(base_url: str, bootstrap_servers: str, topic_prefix: str, pages: int) -> dict[str, float]:
    """Take one account group's first pages through all stages.

    Returns:
        CPU seconds a page, by stage.
    """
    settings = kafka_settings(KafkaSection(bootstrap_servers=bootstrap_servers, topic_prefix=topic_prefix))
    aid = str(FIRST_AID)
    schema = SessionSchema((files("collector") / "schemas" / SCHEMA_FILE).read_bytes())
    line = Line(settings, schema, SeenSessions(f"seen/bench/{aid}/", aid), Stopwatch())
    layout = await ensure_topics(settings)
    sink = TransactionalSink(settings, layout, 0)
    client = HttpClient(request_timeout_s=_REQUEST_TIMEOUT_S, body_bytes_max=_BODY_BYTES_MAX)
    try:
        await sink.open()
        for number in range(pages):
            request = Request(httpx.URL(f"{base_url}{SESSIONS_PATH}?aid={aid}&cursor={number}"), _HEADERS, b"{}")
            with line.watch.stage("HTTP fetch"):
                response = await client.send(request)
            publication = line.publication(response.body, aid)
            line.build(publication, layout.event_partitions)
            with line.watch.stage("publish"):
                await sink.publish(publication)
    finally:
        await client.aclose()
        await sink.close()
    spent = line.watch.cpu_s
    # The sink builds and compresses anew what was built above; the rest is protocol, sockets and futures.
    spent["transaction"] = spent.pop("publish") - spent["batch build"] - spent["compress"]
    return {stage: cpu_s / pages for stage, cpu_s in spent.items()}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))))
