"""The Prometheus metrics, all of them: names, units, labels.

Rule: labels come from closed sets (status codes, reasons, lanes) or from the configuration (organization, account
group); never an id, never an address. A gauge is remembered as it is made, so that none of what is not collected here
any more keeps its last value.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_GROUP = ("organization", "aid")
_SECONDS = (0.5, 1, 2, 3, 5, 8, 13, 20, 30, 60, 120, 300, 900, 3600, 21600, 86400)


class Metrics:
    """The metrics of one process.

    Args:
        registry: where they are registered; a new one for each process or test.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._gauges: list[tuple[Gauge, tuple[str, ...]]] = []  # each with the names of its labels
        self._add_requests_and_quota()
        self._add_sessions()
        self._add_coverage()
        self._add_schedule_and_backfill()
        self._add_shards_and_group()

    def _add_requests_and_quota(self) -> None:
        counter, gauge = self._counter, self._gauge
        self.requests = counter("requests_total", "Requests by HTTP status; 0: no answer.", "organization", "status")
        self.failures = counter("failures_total", "Requests and walks that failed, by kind.", "organization", "kind")
        self.defects = counter("defects_total", "Answers that our own code could not digest.", "organization")
        self.quota_limit = gauge("quota_limit_requests", "Requests a quota window allows.", "organization")
        self.quota_remaining = gauge("quota_remaining_requests", "Requests left in it.", "organization")
        self.rate_limited = counter("rate_limited_total", "Answers 429: a defect in a steady state.", "organization")
        self.clock_skew = gauge("clock_skew_seconds", "Server clock minus local clock.", "organization")
        self.organization_up = gauge("organization_up", "1: collected; 0: the API refuses it.", "organization")
        self.parked = gauge("account_group_parked", "1: the API refuses this account group.", *_GROUP)

    def _add_sessions(self) -> None:
        counter = self._counter
        self.pages = counter("pages_total", "Pages published.", *_GROUP, "lane")
        self.events = counter("events_published_total", "Events committed.", *_GROUP)
        self.seen = counter("sessions_seen_again_total", "Rows that were published before.", *_GROUP)
        self.revisions = counter("revisions_published_total", "Events with another content of a session.", *_GROUP)
        self.changed = counter(
            "sessions_changed_total",
            "Rows of published sessions with content never seen, by what differs: other_page, changed, too_many.",
            *_GROUP,
            "kind",
        )
        self.late = counter("sessions_late_total", "Sessions older than the ids that are kept.", *_GROUP)
        self.dead_letters = counter("dead_letters_total", "Dead letters committed, by reason.", *_GROUP, "reason")
        self.found_by_sweeps = counter("found_by_sweeps_total", "Events that only a sweep found.", *_GROUP)
        self.ids_kept = self._gauge("seen_ids", "Session ids kept for deduplication.", *_GROUP)
        self.freshness = self._histogram(
            "freshness_seconds", "From the session's date to its committed event (a sample of each page).", *_GROUP
        )
        self.lateness = self._histogram(
            "lateness_seconds",
            "From the session's date to its commit in ThousandEyes (a sample of each page).",
            *_GROUP,
        )

    def _add_coverage(self) -> None:
        gauge = self._gauge
        self.walks = self._counter("walks_finished_total", "Walks that came to their end.", *_GROUP, "lane")
        self.covered_until = gauge(
            "covered_until_timestamp_seconds", "Everything before was walked, or is recorded as lost.", *_GROUP
        )
        self.newest = gauge("walked_until_timestamp_seconds", "Newest time walked, whatever lies before.", *_GROUP)
        self.catch_up_left = gauge("catch_up_left_seconds", "Time range that catch-up has yet to walk.", *_GROUP)
        self.lost_seconds = gauge("lost_seconds", "Time range that will never be walked (te-collector gaps).", *_GROUP)
        self.overlap = gauge("overlap_seconds", "How far polls reach back, as it follows the lateness.", *_GROUP)
        self.lateness_p999 = gauge("lateness_p999_seconds", "Lateness that 999 of 1,000 do not exceed.", *_GROUP)

    def _add_schedule_and_backfill(self) -> None:
        gauge = self._gauge
        self.poll_interval = gauge("poll_interval_seconds", "Planned time between two polls.", *_GROUP)
        self.expected_sessions = gauge("expected_sessions_per_second", "New sessions a second, as expected.", *_GROUP)
        self.backfill_jobs = gauge(
            "backfill_jobs", "Backfill jobs that are not over, by state: waiting, running.", "organization", "state"
        )
        self.backfill_share_done = gauge(
            "backfill_share_done", "Part of the running backfill job that was walked, 0 to 1.", "organization"
        )
        self.backfill_ended = self._counter(
            "backfill_jobs_ended_total",
            "Backfill jobs that are over, by state: done, cancelled, failed.",
            "organization",
            "state",
        )

    def _add_shards_and_group(self) -> None:
        counter, gauge = self._counter, self._gauge
        self.transactions = counter("transactions_total", "Kafka transactions committed.", "shard")
        self.restores = counter("restores_total", "Times a shard was taken over and restored.", "shard")
        self.organization_restarts = counter(
            "organization_restarts_total", "Times an organization started over alone.", "organization"
        )
        self.watchdog_restarts = counter(
            "watchdog_restarts_total",
            "What the watchdog started over because it made no progress: organization, commit, restore.",
            "part",
        )
        self.publish_failures = counter(
            "publish_failures_total",
            "Times a shard started over: a transaction of unknown outcome, or a take-over that failed.",
            "shard",
        )
        self.shard_refused = gauge("shard_refused", "1: this shard waits for an operator, see the log.", "shard")
        self.shard_owned = gauge("shard_owned", "1: this process holds the shard and has restored it.", "shard")
        self.shard_assigned = gauge("shard_assigned", "1: the group says that the shard is this process's.", "shard")
        self.configuration_taken = gauge(
            "configuration_taken", "1: the configuration that was read last is in use; 0: it was refused."
        )
        self.workers_differing = gauge(
            "workers_differing", "Other workers of the group that have another configuration."
        )
        self.group_member = gauge("group_member", "1: this process is a member of the group of workers.")

    def total(self, counter: Counter) -> int:
        """The sum of a counter over all labels."""
        samples = (sample for metric in counter.collect() for sample in metric.samples)
        return int(sum(sample.value for sample in samples if sample.name.endswith("_total")))

    def forget(self, organizations: Collection[str]) -> None:
        """Take away what was measured of organizations that are not collected here any more; counters stay."""
        self._forget("organization", lambda labels: labels["organization"] in organizations)

    def forget_groups(self, organization: str, aids: Collection[str]) -> None:
        """Take away what was measured of account groups that are not collected here any more; counters stay."""
        self._forget("aid", lambda labels: labels["organization"] == organization and labels["aid"] in aids)

    def forget_shard(self, shard: int) -> None:
        """Take away what was said of a shard that is not shown any more; counters stay."""
        self._forget("shard", lambda labels: labels["shard"] == str(shard))

    def _forget(self, label: str, is_meant: Callable[[Mapping[str, str]], bool]) -> None:
        """One look at all series that have the label, whatever else they have."""
        for gauge, names in self._gauges:
            if label in names:
                (metric,) = gauge.collect()
                for labels in [sample.labels for sample in metric.samples if is_meant(sample.labels)]:
                    gauge.remove(*(labels[name] for name in names))

    # --- how they are made ------------------------------------------------------------------------------------

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"collector_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        gauge = Gauge(f"collector_{name}", text, labels, registry=self.registry)
        self._gauges.append((gauge, labels))
        return gauge

    def _histogram(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(f"collector_{name}", text, labels, buckets=_SECONDS, registry=self.registry)
