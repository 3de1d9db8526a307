"""The job ledger: which period of which job is done, and who holds the ones that are not.

A lease says "mine until then". Time alone cannot make it safe (its holder may sleep past the end and wake up), so each
claim also draws a higher fence, and whatever a holder writes is refused once a higher one exists.
M. Kleppmann, "How to do distributed locking", 2016.

The clock must be real time, shared by all who claim: a rehearsed "now" would outlive everybody's lease.
"""

import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from experiments.core.errors import ExperimentError, TryLater
from experiments.store.codec import plain
from experiments.store.database import write
from experiments.store.lookups import as_record
from experiments.store.schema import JobRow

LOCKS = "lock"
"""The job whose periods are the names of locks."""
NO_EXPERIMENT = "-"
_BEATS = 3
"""Heartbeats in the time of a lease: two may be lost."""


class EntryState(StrEnum):
    """How far a period of a job is."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    FREE = "free"
    """Nobody is at it: a lock, or a period that was left for later."""
    INTERRUPTED = "interrupted"
    """Never written, but what a running entry is once nobody is at it any more: it may be claimed."""


class LeaseHeld(TryLater):
    """Someone else is at it."""


class LeaseLost(TryLater):
    """Someone else took over after the lease had run out; what this holder did must not count."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on one period until ``until``."""

    job: str
    experiment: str
    period: str
    owner: str
    fence: int
    """Higher than that of every earlier holder."""
    until: datetime
    ttl: timedelta


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One period of one job as it stands."""

    job: str
    experiment: str
    period: str
    state: EntryState
    owner: str | None
    lease_until: datetime | None
    fence: int
    attempts: int
    result: Mapping[str, Any] | None
    error: str | None
    updated_at: datetime


def process_owner(nonce: str) -> str:
    """A name for this process as an owner, ``host:pid:nonce``; the nonce tells it from others of the same number."""
    return f"{socket.gethostname()}:{os.getpid()}:{nonce}"


class SqlLedger:
    """The ledger in the control plane's database."""

    def __init__(self, engine: Engine, clock: Callable[[], datetime]) -> None:
        self._engine = engine
        self._clock = clock

    def claim(self, job: str, experiment: str, period: str, owner: str, ttl: float) -> Lease | None:
        """The lease on a period for ``ttl`` seconds; None where it is done.

        A period that failed, or whose lease ran out, or whose owner was a process of this host that is dead, is free.

        Raises:
            LeaseHeld: where someone else holds it, telling who and until when.
        """
        return self._claim((job, experiment, period), owner, timedelta(seconds=ttl), again=False)

    def reopen(self, job: str, experiment: str, period: str, owner: str, ttl: float) -> Lease:
        """As `claim`, for a period that may be done and is to be done again."""
        lease = self._claim((job, experiment, period), owner, timedelta(seconds=ttl), again=True)
        assert lease is not None  # noqa: S101 - only a done period gives none, and done ones are taken again
        return lease

    def heartbeat(self, lease: Lease) -> Lease:
        """The lease, good for another ``ttl`` from now.

        Raises:
            LeaseLost: where someone else has taken over.
        """
        until = self._clock() + lease.ttl
        self._change(lease, lease_until=until)
        return replace(lease, until=until)

    def finish(self, lease: Lease, result: Mapping[str, Any]) -> None:
        """The period is done; ``result`` is kept as plain values.

        Raises:
            LeaseLost: as `heartbeat`.
        """
        self._change(lease, state=EntryState.DONE, owner=None, lease_until=None, result=plain(result), error=None)

    def fail(self, lease: Lease, error: str) -> None:
        """The attempt failed; the period may be claimed again.

        Raises:
            LeaseLost: as `heartbeat`.
        """
        self._change(lease, state=EntryState.FAILED, owner=None, lease_until=None, error=error)

    def leave(self, lease: Lease, error: str) -> None:
        """Nothing was tried, because somebody else was at what it takes; the period may be claimed again.

        Raises:
            LeaseLost: as `heartbeat`.
        """
        self._change(lease, state=EntryState.FREE, owner=None, lease_until=None, error=error)

    @contextmanager
    def kept(self, lease: Lease) -> Iterator[None]:
        """Keep a lease alive while the body runs, however long that takes; it ends with this process."""
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(lease.ttl.total_seconds() / _BEATS):
                try:
                    self.heartbeat(lease)
                except LeaseLost:
                    return  # the body's own finish will be refused, which is where it matters
                except ExperimentError:
                    continue  # a busy or full database: the next beat comes before the lease ends

        thread = threading.Thread(target=beat, name=f"lease {lease.job} {lease.period}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    @contextmanager
    def lock(self, name: str, owner: str, ttl: float) -> Iterator[Lease]:
        """Hold the lock ``name`` while the body runs.

        Raises:
            LeaseHeld: where someone else holds it.
        """
        lease = self.reopen(LOCKS, NO_EXPERIMENT, name, owner, ttl)
        try:
            with self.kept(lease):
                yield lease
        finally:
            self._change(lease, lost=False, state=EntryState.FREE, owner=None, lease_until=None)

    def done(self, job: str, experiment: str, period: str) -> bool:
        """Whether a period was finished."""
        with Session(self._engine) as session:
            row = session.get(JobRow, (job, experiment, period))
            return row is not None and row.state == EntryState.DONE

    def entries(self, job: str | None = None, experiment: str | None = None) -> tuple[LedgerEntry, ...]:
        """Every entry, of one job or experiment where named, the latest last."""
        query = select(JobRow).order_by(JobRow.updated_at, JobRow.job, JobRow.experiment, JobRow.period)
        if job is not None:
            query = query.where(JobRow.job == job)
        if experiment is not None:
            query = query.where(JobRow.experiment == experiment)
        with Session(self._engine) as session:
            return tuple(self._entry(row) for row in session.scalars(query))

    def begun(self, job: str) -> frozenset[tuple[str, str]]:
        """The (experiment, period) of a job that somebody is at, or was left for later: due, and not failed."""
        query = select(JobRow.experiment, JobRow.period).where(
            JobRow.job == job, JobRow.state.in_((EntryState.RUNNING, EntryState.FREE))
        )
        with Session(self._engine) as session:
            return frozenset((experiment, period) for experiment, period in session.execute(query))

    def last(self, job: str) -> LedgerEntry | None:
        """The entry of a job that changed last."""
        with Session(self._engine) as session:
            row = session.scalar(select(JobRow).where(JobRow.job == job).order_by(JobRow.updated_at.desc()).limit(1))
            return self._entry(row) if row else None

    def _claim(self, key: tuple[str, str, str], owner: str, ttl: timedelta, *, again: bool) -> Lease | None:
        def work(session: Session) -> Lease | None:
            row = session.get(JobRow, key, with_for_update=True)
            now = self._clock()
            if row is None:
                row = JobRow(job=key[0], experiment=key[1], period=key[2], fence=0, attempts=0)
                session.add(row)
            elif row.state == EntryState.DONE and not again:
                return None
            elif _is_held(row, now):
                raise LeaseHeld(
                    f"{' '.join(part for part in key if part != NO_EXPERIMENT)} is held by {row.owner} "
                    f"until {row.lease_until:%Y-%m-%d %H:%M:%S} UTC; try again later"
                )
            row.state, row.owner, row.lease_until, row.updated_at = EntryState.RUNNING, owner, now + ttl, now
            row.fence += 1
            row.attempts += 1
            row.error = None
            session.flush()
            return Lease(*key, owner, row.fence, row.lease_until, ttl)

        return write(self._engine, work)

    def _entry(self, row: JobRow) -> LedgerEntry:
        state = EntryState(row.state)
        if state is EntryState.RUNNING and not _is_held(row, self._clock()):
            state = EntryState.INTERRUPTED
        return replace(as_record(LedgerEntry, row), state=state)

    def _change(self, lease: Lease, *, lost: bool = True, **values: Any) -> None:
        """Write ``values`` if the lease's fence is still the highest; if not, raise where ``lost`` matters."""
        statement = (
            update(JobRow)
            .where(
                JobRow.job == lease.job,
                JobRow.experiment == lease.experiment,
                JobRow.period == lease.period,
                JobRow.fence == lease.fence,
                JobRow.state == EntryState.RUNNING,
            )
            .values(updated_at=self._clock(), **values)
        )
        changed = write(self._engine, lambda session: session.scalar(statement.returning(JobRow.fence)))
        if changed is None and lost:
            raise LeaseLost(
                f"{lease.job} {lease.period}: the lease of {lease.owner} had run out and someone else took over; "
                "nothing of this attempt was recorded"
            )


def _is_held(row: JobRow, now: datetime) -> bool:
    return bool(row.owner and row.lease_until and row.lease_until > now and not _is_dead(row.owner))


def _is_dead(owner: str) -> bool:
    """Whether ``owner`` names a process of this host that no longer runs. In doubt it lives, and its lease runs out."""
    host, _, rest = owner.rpartition(":")[0].rpartition(":")
    if host != socket.gethostname() or not rest.isdigit():
        return False
    try:
        os.kill(int(rest), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return False
