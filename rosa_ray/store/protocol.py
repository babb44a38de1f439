"""What an online store is: the records it gives, and the operations every implementation has.

A store answers with exactly the features that one sorted pass over the records gives that it took. Order, batches and
repetitions do not matter. Records are events, impressions, clicks and conversions
(`rosa_ray.features.RECORD_COLUMNS`).

A record is late, and not taken, only where the store cannot tell whether it holds it: further behind the newest record
than ids are remembered, and at a time of which it has forgotten ids or that a loaded log covers. A gap in what came is
filled at any age.

Beside them a store keeps what is known of users, items and ads: declared columns, in versions that hold from a time on,
`rosa_ray.features.versions.layout`. Changes of these have no id and are never late. Said again they change nothing.

A store holds **generations**. Each is one loaded log, counted by the feature configuration that it was loaded with.
Several are live at once: the newest activated one, and former ones that models still read. `apply` folds a record into
all of them. One more may be loading beside them, and touches none.

Encoder states belong to a generation and a model. A model fitted anew on a log that is live adds its states, and no
timeline, counter or id is loaded again. A reader names its model and its features and is given the generation that
fits; `StoreVersion.counting_fingerprint` says which do. It looks again at every read, so that what is activated for
another model changes nothing for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from rosa_ray.arrays import Columns
from rosa_ray.features import CounterStates
from rosa_ray.features.ad_changes import AdLog
from rosa_ray.features.changes import Changes
from rosa_ray.units import MINUTE_US

NEVER_US = -(2**63)
"""Before all times."""

SPAN_US = 10 * MINUTE_US
"""Of such spans of time the store knows when it forgot the ids of the first and the last record in them."""


@dataclass(frozen=True)
class StoreVersion:
    """The log that a generation was loaded from; two loads of equal versions are the same load.

    Attributes:
        counting_fingerprint: of the features that decide what is kept, `rosa_ray.features.counting_fingerprint`.
        as_of_us: end of the log.
        source: names the input files, so that a load of other data is never mixed into a broken-off one.
    """

    counting_fingerprint: str
    as_of_us: int
    source: str = ""


@dataclass(frozen=True)
class LoadProgress:
    """How far a load is.

    Attributes:
        is_live: a live generation holds this log already. Only states are written, and no users, counters or columns.
        done: input files whose users and states are in.
    """

    is_live: bool
    done: frozenset[str]


@dataclass(frozen=True)
class HeldGeneration:
    """One generation of a store.

    Attributes:
        number: its name in the store, never used again.
        state: `live` takes records, `loading` is being filled. `held` waits for its model's first reader, since an
            earlier version of the program filled it. `dropped` is being removed.
        models: versions of the models with states here, or that read here without any, newest activated first.
        newest_us: time of the newest record; the horizon is counted back from it.
        late: records set aside as late since it was activated.
        max_timeline_events: events kept per user (and one more).
        is_active: it was activated last.
        untold: records and changes taken by another model's writer, whose features do not say all that is counted here.
    """

    number: int
    state: Literal["live", "loading", "held", "dropped"]
    version: StoreVersion
    models: tuple[str, ...]
    newest_us: int
    late: int
    max_timeline_events: int
    is_active: bool
    untold: int = 0


@dataclass(frozen=True)
class StoredStates:
    """A user's last C encoder states, of the last materialisation.

    Attributes:
        model_version: whose encoder.
        event_id: of the last encoded event, at `events["time_us"][-1]`.
        events: `EVENT_COLUMNS` (C,), of the events the states belong to.
        states: float32 (C, D).
        stale: an event arrived since that lies before the last encoded one, so that a new encoding would differ.
    """

    model_version: str
    event_id: str
    events: Columns
    states: np.ndarray
    stale: bool


@dataclass(frozen=True)
class UserRecord:
    """All that the store knows of one user; of an unknown user, empty columns and counters.

    Attributes:
        timeline: `EVENT_COLUMNS` arrays and `event_id` (object), sorted by time and event id; the last
            `max_timeline_events` + 1.
        states: None when the user was not encoded.
        counters: the user's own views (`user_events`, `user_impressions`).
        model_version: the reader's model where the generation holds states of it, whether this user has some or not;
            else empty.
        columns: versions of the user's declared columns; empty where none are known, or none are declared.
    """

    user_key: int
    timeline: Columns
    states: StoredStates | None
    counters: CounterStates
    model_version: str
    columns: bytes = b""

    @property
    def known(self) -> bool:
        """Whether the store holds anything of the user."""
        counted = any(len(counters.bucket) for counters in self.counters.values())
        return counted or self.states is not None or len(self.timeline["time_us"]) > 0 or len(self.columns) > 0

    def count_since_states(self) -> int:
        """Events after the last encoded one: what an encoding now would add. All of them without states."""
        time_us, event_id = self.timeline["time_us"], self.timeline["event_id"]
        if self.states is None or not len(self.states.states):
            return len(time_us)
        last = (int(self.states.events["time_us"][-1]), self.states.event_id)
        first = int(np.searchsorted(time_us, last[0], side="left"))
        return sum((int(time_us[row]), event_id[row]) > last for row in range(first, len(time_us)))


@dataclass(frozen=True)
class ApplyResult:
    """What became of a batch of records; the three counts add up to its size.

    Attributes:
        late_rows: positions in the batch of the records set aside as late.
        user_keys: sorted keys of users that changed.
    """

    accepted: int
    duplicates: int
    late: int
    late_rows: np.ndarray
    user_keys: np.ndarray


def merge_results(results: Sequence[ApplyResult]) -> ApplyResult:
    """Sum of several results, without positions of late records, since they lie in different batches."""
    return ApplyResult(
        accepted=sum(result.accepted for result in results),
        duplicates=sum(result.duplicates for result in results),
        late=sum(result.late for result in results),
        late_rows=np.empty(0, np.int64),
        user_keys=np.unique(np.concatenate([np.empty(0, np.int64), *(result.user_keys for result in results)])),
    )


@dataclass(frozen=True)
class StreamPosition:
    """How far a stream is consumed: the next offset to read of a named stream or partition."""

    stream: str
    offset: int


@dataclass(frozen=True)
class TimelineBlock:
    """Timelines of U users with E events in all, for loading.

    Attributes:
        user_key: int64 (U,).
        event_offsets: int64 (U + 1,).
        events: `EVENT_COLUMNS` and `event_id`, each (E,), per user sorted by time and event id.
        last_us: int64 (U,), time of each user's newest record; a user without events may have impressions.
        seen_key, seen_time_us: int64 (S,), `record_keys` and times of every record of these users within the horizon
            before `as_of_us`, also of events that the timelines no longer hold. What has no time of its own in the
            log is as late as it may be.
    """

    user_key: np.ndarray
    event_offsets: np.ndarray
    events: Columns
    last_us: np.ndarray
    seen_key: np.ndarray
    seen_time_us: np.ndarray


@dataclass(frozen=True)
class StateBlock:
    """States of U users with C states in all, for loading.

    Attributes:
        user_key: int64 (U,); users without events are left out.
        state_offsets: int64 (U + 1,).
        event_id: object (U,), of each user's last encoded event.
        events: `EVENT_COLUMNS`, each (C,).
        states: float (C, D).
    """

    user_key: np.ndarray
    state_offsets: np.ndarray
    event_id: np.ndarray
    events: Columns
    states: np.ndarray


@dataclass(frozen=True)
class StoreInfo:
    """Identity and condition of a store as its reader sees it.

    Attributes:
        version: of the generation that is read.
        model_version: the reader's model where the generation holds states of it; else empty.
        newest_us: time of the newest record; the horizon is counted back from it.
        late: records set aside as late since the generation was activated.
        max_timeline_events: events kept per user (and one more).
        journal_records: live records that are kept until a loaded log holds them.
        journal_dropped: live records that fell out of the journal by age, `StoreConfig.journal_days`.
        journal_from_us: all live records from this time on that no loaded log holds are in the journal.
        held: all generations, the active one first, then by number from the newest.
    """

    kind: str
    location: str
    schema_version: int
    version: StoreVersion
    model_version: str
    newest_us: int
    late: int
    max_timeline_events: int
    journal_records: int = 0
    journal_dropped: int = 0
    journal_from_us: int = NEVER_US
    held: tuple[HeldGeneration, ...] = ()


class OnlineStore(Protocol):
    """The operations of every store. All raise StoreError when the store is missing, locked or damaged. What reads or
    applies also raises it when no live generation is counted by the caller's features.
    """  # noqa: D205

    def read_user(self, user_key: int) -> UserRecord:
        """Everything of one user, from one generation and one moment."""
        ...

    def read_counters(self, view: str, entity_keys: np.ndarray, since_bucket: int | None = None) -> CounterStates:
        """Counters of some entities of one view, under that view's name: the late buckets, and the past as one sum.

        Every bucket from `since_bucket` on has a row of its own, also those after the moment of the read. All that came
        before is one row per entity, in the bucket before `since_bucket`; it is absent where it is zero. So
        `Counters.read` gives exactly what it gives of all buckets, where the last bucket is not before
        `since_bucket` - 1 and each window begins with `since_bucket` or later, or is the whole past.
        `rosa_ray.features.counting.window_start` is the bucket to ask from.

        Buckets fall out of a store, see `StoreConfig.counter_days`: never one that is younger than the longest window
        and those days, counted back from the newest record. The first that is kept takes the place of a `since_bucket`
        before it, and of None. What comes late for a bucket that fell out is in the sum of the past.

        Args:
            view: name of a view of `VIEWS` or of an own counter.
            entity_keys: int64 (n,), any order.
            since_bucket: first bucket that is wanted by itself; None is every bucket that is kept. The cost of a read
                grows with the buckets from there on, and not with the log.
        """
        ...

    def read_columns(self, prefix: str, keys: np.ndarray) -> list[bytes]:
        """Versions of the columns of users, items or ads, of each key; empty where none are known.

        Args:
            prefix: of the columns, such as `item.`; a store without such columns knows nothing.
            keys: int64 (n,).
        """
        ...

    def apply(
        self, records: Columns, positions: Sequence[StreamPosition] = (), changes: Sequence[Changes] = ()
    ) -> ApplyResult:
        """Count records and append events, each id of a user and a kind once, with the positions of their streams.

        Every live generation takes them, as its own features count. The result is that of the reader's generation.

        Users without a record for `StoreConfig.user_ttl_days` are removed along the way, a few with every update. Of a
        user's columns a store lets go what was superseded before `StoreConfig.dedup_horizon_days`.

        Args:
            records: `RECORD_COLUMNS`, any order. Times far in the future move the horizon: refuse such records before.
            positions: stored in the same transaction, so that a stream that is read again from there is neither
                skipped nor counted twice.
            changes: what is known of users, items and ads from some time on, of this store's declared columns, and
                changes of ads in the catalogue.
        """
        ...

    def read_position(self, stream: str) -> int | None:
        """Next offset of a stream, None when it was never applied."""
        ...

    def begin_load(self, version: StoreVersion, model_version: str, max_timeline_events: int) -> LoadProgress:
        """Prepare a generation, or only states of a model in the live one that holds this log.

        A broken-off load of the same version goes on; one of another version is replaced. A live generation serves when
        it keeps as many events per user, or just as many where `StoreConfig.max_timeline_events` asks for a number.

        Args:
            model_version: of the model whose states are written; its features are those that the store was opened with.

        Raises:
            StoreError: `version` is of other features than the store was opened with.
        """
        ...

    def load_users(self, version: StoreVersion, block: TimelineBlock) -> None:
        """Put timelines into the generation being loaded, replacing these users'."""
        ...

    def write_states(self, version: StoreVersion, model_version: str, block: StateBlock) -> None:
        """Put encoder states of a model into the generation of this version, loading or live, replacing these users'.

        They are read once `activate` names the model. States of users to whom an event before the last encoded one came
        in live are stale.
        """
        ...

    def load_counters(self, version: StoreVersion, states: CounterStates) -> None:
        """Put all counters into the generation being loaded, replacing any."""
        ...

    def load_columns(self, version: StoreVersion, prefix: str, keys: np.ndarray, packed: Sequence[bytes]) -> None:
        """Put versions of columns into the generation being loaded, replacing those of these users, items or ads.

        A user who is in no timeline block becomes known by them as of the end of the log; load timelines before.
        """
        ...

    def mark_loaded(self, version: StoreVersion, model_version: str, input_files: Sequence[str]) -> None:
        """Note input files as done."""
        ...

    def activate(self, version: StoreVersion, model_version: str) -> ApplyResult:
        """Let readers of the model read the generation of this version, which becomes the active one.

        Records that were applied live and that the loaded log does not hold are applied to a generation being loaded
        first, and so are live changes. A generation with other columns takes the changes of those it has.

        Then what is not read any more is removed: states and generations of all models but this one and the
        `StoreConfig.kept_versions` activated last before it.

        Returns:
            What became of those records; `duplicates` are those that the log holds. A live generation has them already.
        """
        ...

    def drop(self, name: str) -> None:
        """Remove a generation, by its number, or a model's states, by its version.

        A generation goes with its last model.

        Raises:
            StoreError: nothing goes by this name, or it is the active generation or the model activated last.
        """
        ...

    def forget_user(self, user_key: int) -> bool:
        """Remove a user's timeline, states, columns and own counters everywhere; True when there was something.

        Sums over all users stay, and so do the hashes of record ids, so that a repeated record does not bring the user
        back. The log that generations are loaded from is not the store's: remove the user there too.
        """
        ...

    def read_ads(self, after: int, limit: int) -> AdLog:
        """Changes of ads that came after a number, in the order in which they came.

        They are of the store, not of a version of it. Each has a number, and none is given twice. Of an ad a store lets
        go what was superseded before `StoreConfig.dedup_horizon_days`.

        Args:
            after: `AdLog.last` of the call before; 0 reads from the beginning.
            limit: of changes, at least 1.
        """
        ...

    def info(self) -> StoreInfo: ...

    def close(self) -> None: ...
