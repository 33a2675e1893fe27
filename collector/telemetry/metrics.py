"""The Prometheus metrics, all of them: names, units, labels.

Rule: labels come from closed sets (status codes, reasons, lanes) or from the configuration (organization, account
group); never an id, never an address.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_GROUP = ["organization", "aid"]
_SECONDS = (0.5, 1, 2, 3, 5, 8, 13, 20, 30, 60, 120, 300, 900, 3600, 21600, 86400)


class Metrics:
    """The metrics of one process.

    Args:
        registry: where they are registered; a new one for each process or test.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry

        def counter(name: str, text: str, labels: list[str]) -> Counter:
            return Counter(f"collector_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, labels: list[str]) -> Gauge:
            return Gauge(f"collector_{name}", text, labels, registry=registry)

        self.requests = counter("requests_total", "Requests by HTTP status; 0: no answer.", ["organization", "status"])
        self.pages = counter("pages_total", "Pages published.", [*_GROUP, "lane"])
        self.events = counter("events_published_total", "Events committed.", _GROUP)
        self.seen = counter("sessions_seen_again_total", "Rows that were published before.", _GROUP)
        self.revisions = counter("revisions_published_total", "Events with another content of a session.", _GROUP)
        self.changed = counter(
            "sessions_changed_total",
            "Rows of published sessions with content never seen, by what differs: other_page, changed, too_many.",
            [*_GROUP, "kind"],
        )
        self.late = counter("sessions_late_total", "Sessions older than the ids that are kept.", _GROUP)
        self.dead_letters = counter("dead_letters_total", "Dead letters committed, by reason.", [*_GROUP, "reason"])
        self.walks = counter("walks_finished_total", "Walks that came to their end.", [*_GROUP, "lane"])
        self.failures = counter("failures_total", "Requests and walks that failed, by kind.", ["organization", "kind"])
        self.defects = counter("defects_total", "Answers that our own code could not digest.", ["organization"])
        self.quota_limit = gauge("quota_limit_requests", "Requests a quota window allows.", ["organization"])
        self.quota_remaining = gauge("quota_remaining_requests", "Requests left in it.", ["organization"])
        self.rate_limited = counter("rate_limited_total", "Answers 429: a defect in a steady state.", ["organization"])
        self.clock_skew = gauge("clock_skew_seconds", "Server clock minus local clock.", ["organization"])
        self.organization_up = gauge("organization_up", "1: collected; 0: the API refuses it.", ["organization"])
        self.parked = gauge("account_group_parked", "1: the API refuses this account group.", _GROUP)
        self.covered_until = gauge(
            "covered_until_timestamp_seconds", "Everything before was walked, or is recorded as lost.", _GROUP
        )
        self.newest = gauge("walked_until_timestamp_seconds", "Newest time walked, whatever lies before.", _GROUP)
        self.catch_up_left = gauge("catch_up_left_seconds", "Time range that catch-up has yet to walk.", _GROUP)
        self.lost_seconds = gauge("lost_seconds", "Time range that will never be walked (te-collector gaps).", _GROUP)
        self.overlap = gauge("overlap_seconds", "How far polls reach back, as it follows the lateness.", _GROUP)
        self.lateness_p999 = gauge("lateness_p999_seconds", "Lateness that 999 of 1,000 do not exceed.", _GROUP)
        self.found_by_sweeps = counter("found_by_sweeps_total", "Events that only a sweep found.", _GROUP)
        self.ids_kept = gauge("seen_ids", "Session ids kept for deduplication.", _GROUP)
        self.poll_interval = gauge("poll_interval_seconds", "Planned time between two polls.", _GROUP)
        self.expected_sessions = gauge("expected_sessions_per_second", "New sessions a second, as expected.", _GROUP)
        self.backfill_jobs = gauge(
            "backfill_jobs", "Backfill jobs that are not over, by state: waiting, running.", ["organization", "state"]
        )
        self.backfill_share_done = gauge(
            "backfill_share_done", "Part of the running backfill job that was walked, 0 to 1.", ["organization"]
        )
        self.backfill_ended = counter(
            "backfill_jobs_ended_total",
            "Backfill jobs that are over, by state: done, cancelled, failed.",
            ["organization", "state"],
        )
        self.freshness = Histogram(
            "collector_freshness_seconds",
            "From the session's date to its committed event (a sample of each page).",
            _GROUP,
            buckets=_SECONDS,
            registry=registry,
        )
        self.lateness = Histogram(
            "collector_lateness_seconds",
            "From the session's date to its commit in ThousandEyes (a sample of each page).",
            _GROUP,
            buckets=_SECONDS,
            registry=registry,
        )
        self.transactions = counter("transactions_total", "Kafka transactions committed.", ["shard"])
        self.restores = counter("restores_total", "Times a shard was taken over and restored.", ["shard"])
        self.organization_restarts = counter(
            "organization_restarts_total", "Times an organization started over alone.", ["organization"]
        )
        self.watchdog_restarts = counter(
            "watchdog_restarts_total",
            "What the watchdog started over because it made no progress: organization, commit, restore.",
            ["part"],
        )
        self.shard_refused = gauge("shard_refused", "1: this shard waits for an operator, see the log.", ["shard"])
        self.publish_failures = counter("publish_failures_total", "Transactions of unknown outcome.", ["shard"])
        self.shard_owned = gauge("shard_owned", "1: this process holds the shard and has restored it.", ["shard"])
        self.shard_assigned = gauge("shard_assigned", "1: the group says that the shard is this process's.", ["shard"])
        self.configuration_taken = gauge(
            "configuration_taken", "1: the configuration that was read last is in use; 0: it was refused.", []
        )
        self.workers_differing = gauge(
            "workers_differing", "Other workers of the group that have another configuration.", []
        )
        self.group_member = gauge("group_member", "1: this process is a member of the group of workers.", [])

    def total(self, counter: Counter) -> int:
        """The sum of a counter over all labels."""
        samples = (sample for metric in counter.collect() for sample in metric.samples)
        return int(sum(sample.value for sample in samples if sample.name.endswith("_total")))

    def forget(self, organization: str, aids: Iterable[str]) -> None:
        """Take away what was measured of an organization that is not collected here any more; counters stay."""
        for gauge in (
            self.quota_limit,
            self.quota_remaining,
            self.clock_skew,
            self.organization_up,
            self.backfill_share_done,
        ):
            _remove(gauge, organization)
        for state in ("waiting", "running"):
            _remove(self.backfill_jobs, organization, state)
        self.forget_groups(organization, aids)

    def forget_groups(self, organization: str, aids: Iterable[str]) -> None:
        """Take away what was measured of account groups that are not collected here any more; counters stay."""
        gauges = (
            self.parked,
            self.covered_until,
            self.newest,
            self.catch_up_left,
            self.lost_seconds,
            self.overlap,
            self.lateness_p999,
            self.ids_kept,
            self.poll_interval,
            self.expected_sessions,
        )
        for aid in aids:
            for gauge in gauges:
                _remove(gauge, organization, aid)


def _remove(gauge: Gauge, *labels: str) -> None:
    with suppress(KeyError):  # old versions of the library complain about what was never set
        gauge.remove(*labels)
