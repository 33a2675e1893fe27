"""`SeenSessions` and `sort_rows` against a plain list of what was published, with crashes, by session and by page."""

from __future__ import annotations

from typing import Any, NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from collector.core.chunks import HOUR_S, Marks, Place, hour_of
from collector.core.event import Reason
from collector.core.identity import Identity, IdentityForm, Notice, identity_of
from collector.core.seen import CHUNK_BYTES, Expiry, SeenSessions, Writes, digest
from collector.core.sorting import SortedRows, Variant, sort_rows
from tests.core.pages import AID, EPOCH, make_page, regular_id, v6_row

PREFIX = "seen/example/7625/"
ROUNDS = [EPOCH + minute * 60 for minute in (0, 1, 2, 59, 60, 61, 125, 300)]
SUFFIXES = ["aaaaaaaa", "aaaaaaab", "zzzzzzzz", "00000000", "\x00\x00\x00\x00\x00\x00\x00\x01", "A-b_c.d~"]
OTHER_IDS = [
    "x",
    "é" * 8,
    f"07625:{EPOCH}:éééééééé",
    f"7625:{EPOCH}:aaaaaaaa",
    "07625::aaaaaaaa",
    f"07625:{EPOCH}:aaaaaaaa:page-aaa",
    ":" * 9,
    "a" * 1024,
    "\ud800",
]
PAGES = [None, "page-aaa", "page-aab", "short", "é" * 8, "", 7]
FORMS = [IdentityForm(identity, basis) for identity in Identity for basis in ("v7 json", "v6 xml")]

ids = st.one_of(
    st.builds(regular_id, st.sampled_from(ROUNDS), st.sampled_from(SUFFIXES)),
    st.builds(regular_id, st.sampled_from(ROUNDS), st.just("ninechars")),
    st.sampled_from(OTHER_IDS),
)
foreign_ids = st.builds(regular_id, st.sampled_from(ROUNDS), st.sampled_from(SUFFIXES), st.sampled_from(["9", "76250"]))
fields = st.fixed_dictionaries(
    {"pageId": st.sampled_from(PAGES), "numberOfPages": st.integers(1, 3)},
    optional={"experienceScore": st.sampled_from([0.5, 2**70, "\ud800"]), "undocumented": st.integers()},
)
rows = st.builds(
    lambda identifier, round_id, date, more: v6_row(identifier, date, round_id, **more),
    st.one_of(ids, ids, ids, foreign_ids),
    st.sampled_from(ROUNDS),
    st.sampled_from(ROUNDS),
    fields,
)
consistent_rows = st.builds(
    lambda round_id, end, more: v6_row(regular_id(round_id, end), round_id, **more),
    st.sampled_from(ROUNDS),
    st.sampled_from(SUFFIXES),
    fields,
)


class Published(NamedTuple):
    """One content of one identity that is remembered, and under which choices it was."""

    tag: str
    hour: int
    identity: str
    session: str
    page: str | None
    content: str


def page_of(row: dict[str, Any]) -> str | None:
    page = row["pageId"]
    return page if isinstance(page, str) and page else None


def content_of(row: dict[str, Any]) -> str:
    """What the reference documents of a session, besides its ids."""
    return repr([row.get(name) for name in ("date", "pageId", "numberOfPages", "experienceScore")])


class SeenMachine(RuleBasedStateMachine):
    """Pages arrive; each is committed and applied, lost, or committed by a process that dies before it knows."""

    @initialize(form=st.sampled_from(FORMS))
    def start(self, form: IdentityForm) -> None:
        self.form = form
        self.durable: dict[str, bytes] = {}
        self.kept_from = 0
        self.published: list[Published] = []
        self.digests: dict[bytes, int] = {}
        self.faded: set[str] = (
            set()
        )  # identities, sessions and digests older than `kept_from`: may be remembered, need not
        self.seen = SeenSessions(PREFIX, AID, form=form)

    # --- pages ---

    @rule(
        page=st.lists(st.one_of(rows, consistent_rows), min_size=1, max_size=12),
        letters=st.lists(st.sampled_from([b"one", b"two", b"three"]), max_size=2, unique=True),
        expire_to=st.sampled_from([None, None, *ROUNDS]),
        fate=st.sampled_from(["applied", "applied", "lost", "committed but not applied"]),
    )
    def page(self, page: list[dict[str, Any]], letters: list[bytes], expire_to: int | None, fate: str) -> None:
        result = sort_rows(make_page(page), AID, self.seen)
        new = self.new_by_the_model(page, result)
        marks = Marks()
        result.mark_fresh(marks)
        for variant in self.variants(result):
            marks.add(variant.place, variant.checks)
        new_letters = [value for value in map(digest, letters) if not self.seen.has_digest(value)]
        if new_letters:
            marks.digests[hour_of(EPOCH)] = new_letters
        writes, expiry = self.seen.write(marks), self.seen.expire(expire_to or 0)
        if fate == "lost":
            return self.crash_and_restore()
        self.commit(new, marks, writes, expiry)
        if fate == "applied":
            self.seen.apply(writes, expiry)
            return None
        return self.crash_and_restore()

    def variants(self, result: SortedRows) -> list[Variant]:
        """Rows with another content of a published session, as if every fresh row became an event."""
        return [*result.variants, *(v for candidate in result.fresh() for v in result.siblings_of(candidate))]

    def new_by_the_model(self, page: list[dict[str, Any]], result: SortedRows) -> list[Published]:
        """What the model takes for new, compared row by row with the result."""
        known: dict[str, list[Published]] = {}
        for entry in self.published:
            if entry.tag == self.form.tag:
                known.setdefault(entry.identity, []).append(entry)
        former = {entry.session for entry in self.published if entry.tag != self.form.tag}
        places = {candidate.row: candidate.place for candidate in result.fresh()}
        variants = {variant.row: variant for variant in self.variants(result)}
        late = {candidate.row for candidate in result.late}
        late |= {row for first in late for row, _ in result.siblings.get(first, ())}
        suspects, new = dict(result.suspects), []
        for index, row in enumerate(page):
            session, page_id = row["userSessionId"], page_of(row)
            identity = identity_of(session, page_id) if self.form.by_page else session
            if index in suspects:
                assert suspects[index] is Reason.WRONG_ACCOUNT_GROUP
                continue
            contents = known.get(identity, [])
            place: Place | None = places.get(index)
            if contents:
                assert index not in places, f"published twice: {identity!a}"
                variant = variants.get(index)
                if any(entry.content == content_of(row) for entry in contents):
                    assert variant is None, "the same content twice"
                    continue
                assert variant is not None, f"a change went by in silence: {identity!a}"
                same_page = self.form.by_page or any(entry.page == page_id for entry in contents)
                assert variant.kind is (Notice.CHANGED if same_page else Notice.OTHER_PAGE)
                assert variant.number == len(contents)
                place = variant.place
            elif session in former:
                assert index not in places, f"published again under another identity: {session!a}"
                continue
            elif index in late or (place is None and self.faded & {identity, session}):
                continue
            assert place is not None, f"taken for seen, and never published: {identity!a}"
            entry = Published(self.form.tag, hour_of(place.time_s), identity, session, page_id, content_of(row))
            known.setdefault(identity, []).append(entry)
            new.append(entry)
        return new

    def commit(self, new: list[Published], marks: Marks, writes: Writes, expiry: Expiry) -> None:
        self.published += new
        self.digests |= {value: hour for hour, values in marks.digests.items() for value in values}
        for key, value in (*writes.changes, *expiry.changes):
            if value is None:
                self.durable.pop(key, None)
            else:
                self.durable[key] = value
        self.kept_from = expiry.kept_from
        gone = [entry for entry in self.published if entry.hour < self.kept_from]
        self.faded |= {name for entry in gone for name in (entry.identity, entry.session)}
        self.published = [entry for entry in self.published if entry.hour >= self.kept_from]
        self.faded |= {value.hex() for value, hour in self.digests.items() if hour < self.kept_from}
        self.digests = {value: hour for value, hour in self.digests.items() if hour >= self.kept_from}

    @rule()
    def crash_and_restore(self) -> None:
        self.seen = SeenSessions(PREFIX, AID, self.kept_from, self.form)
        for key, value in self.durable.items():
            self.seen.restore(key, value)

    @rule(form=st.sampled_from(FORMS))
    def restart_with_other_choices(self, form: IdentityForm) -> None:
        self.form = form
        self.crash_and_restore()

    # --- invariants ---

    @invariant()
    def remembers_what_was_committed(self) -> None:
        for entry in self.published:
            if entry.tag == self.form.tag:
                assert self.seen.find(entry.identity), f"forgotten: {entry.identity!a}"
            else:
                assert self.seen.has_former(entry.session), f"forgotten: {entry.session!a}"
        assert all(map(self.seen.has_digest, self.digests))

    @invariant()
    def remembers_nothing_else(self) -> None:
        known = {entry.identity for entry in self.published} | self.faded
        sessions = {entry.session for entry in self.published} | self.faded
        for session in (*OTHER_IDS, *(regular_id(r, s) for r in ROUNDS for s in SUFFIXES)):
            for page in PAGES[:3] if self.form.by_page else (None,):
                identity = identity_of(session, page if isinstance(page, str) else None)
                assert identity in known or not self.seen.find(identity)
            assert session in sessions or not self.seen.has_former(session)

    @invariant()
    def counts_every_content(self) -> None:
        if not self.faded and len({entry.tag for entry in self.published} | {self.form.tag}) == 1:
            assert len(self.seen) == len(self.published) + len(self.digests)

    @invariant()
    def knows_how_far_back_it_remembers(self) -> None:
        assert self.seen.kept_from == self.kept_from

    @invariant()
    def chunks_are_bounded(self) -> None:
        assert all(len(value) <= CHUNK_BYTES for value in self.durable.values())

    def teardown(self) -> None:
        """Hours that are over leave nothing behind in the durable state."""
        if hasattr(self, "seen"):
            expiry = self.seen.expire(EPOCH + 1_000 * HOUR_S)
            self.commit([], Marks(), self.seen.write(Marks()), expiry)
            assert self.durable == {}


SeenMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=30)
TestSeen = SeenMachine.TestCase
