"""Profiles and recorded traffic in a database: written, read, and deleted for good."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from palm_engine.errors import InvalidInputError
from palm_engine.geometry.simplex import weights_of
from palm_engine.serving.profiles.database import Database
from palm_engine.serving.profiles.profile import (
    SOURCES,
    Asked,
    Profile,
    ProfileSource,
    check_user,
)

# Rows that are fetched at once.
CHUNK = 10_000
# How often SQLite's log is tried to be emptied, and seconds between.
TRIES = 50
PAUSE = 0.1


class Profiles:
    """The users of a database. May be used from any thread.

    Errors of the database itself are SQLAlchemy's.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self._tables = database.tables

    def get(self, user: str) -> Profile | None:
        """The profile of a user, or None."""
        from sqlalchemy import select

        table = self._tables.profiles
        with self.database.engine.connect() as connection:
            row = connection.execute(select(table).where(table.c.user_id == user)).first()
        return None if row is None else _profile(row)

    def history(self, user: str) -> list[Profile]:
        """All weights that a user had, the latest last."""
        from sqlalchemy import select

        table = self._tables.history
        wanted = select(table).where(table.c.user_id == user).order_by(table.c.id)
        with self.database.engine.connect() as connection:
            return [_profile(row) for row in connection.execute(wanted)]

    def set(
        self, user: str, weights: Mapping[str, float], source: ProfileSource = "set"
    ) -> Profile:
        """Write a user's weights, and add them to the history.

        Args:
            user: id.
            weights: by trait, non-negative, one above 0; scaled to sum 1.
            source: where they come from.

        Raises:
            InvalidInputError: an id, weights or a source that makes no sense.
        """
        from sqlalchemy import insert, update

        check_user(user)
        if source not in SOURCES:
            raise InvalidInputError(f"source {source!r}: it is one of {', '.join(SOURCES)}")
        traits = list(weights)
        effective = [float(w) for w in weights_of(weights, traits)]
        now = datetime.now(UTC).replace(tzinfo=None)
        values = {"weights": dict(zip(traits, effective, strict=True)), "source": source, "at": now}
        profiles = self._tables.profiles
        with self.database.engine.begin() as connection:
            changed = connection.execute(
                update(profiles).where(profiles.c.user_id == user).values(**values)
            )
            if not changed.rowcount:
                connection.execute(self._insert_profile(user, values))
            connection.execute(insert(self._tables.history).values(user_id=user, **values))
        return Profile(user, values["weights"], source, now.replace(tzinfo=UTC))  # type: ignore[arg-type]

    def _insert_profile(self, user: str, values: Mapping[str, Any]) -> Any:
        """An insertion that overwrites what another process inserted in between."""
        if self.database.is_sqlite:
            from sqlalchemy.dialects.sqlite import insert
        else:
            from sqlalchemy.dialects.postgresql import insert  # type: ignore[assignment]
        made = insert(self._tables.profiles).values(user_id=user, **values)
        return made.on_conflict_do_update(index_elements=["user_id"], set_=dict(values))

    def delete(self, user: str) -> bool:
        """Delete a user: profile, history and recorded prompts. False where there was none."""
        from sqlalchemy import delete

        gone = 0
        with self.database.engine.begin() as connection:
            for table in (self._tables.profiles, self._tables.history, self._tables.traffic):
                gone += connection.execute(delete(table).where(table.c.user_id == user)).rowcount
        self._empty_log()
        return gone > 0

    def _empty_log(self) -> None:
        """Overwrite what was deleted in SQLite's log too, once nobody reads it any more."""
        if not self.database.is_sqlite:
            return
        for _ in range(TRIES):
            with self.database.engine.connect() as connection:
                busy = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").scalar()
            if not busy:
                return
            time.sleep(PAUSE)
        logging.getLogger(__name__).warning(
            "what was deleted stands in SQLite's log until others have read it"
        )

    def all(self) -> Iterator[Profile]:
        """Every profile, by user id."""
        from sqlalchemy import select

        table = self._tables.profiles
        wanted = select(table).order_by(table.c.user_id)
        with self.database.engine.connect() as connection:
            rows = connection.execution_options(yield_per=CHUNK).execute(wanted)
            for row in rows:
                yield _profile(row)

    def record(self, requests: Sequence[Asked]) -> None:
        """Add requests to the recorded traffic.

        Of a user who was deleted meanwhile nothing is written.
        """
        from sqlalchemy import delete, insert, select

        profiles = self._tables.profiles
        traffic = self._tables.traffic
        named = sorted({r.user for r in requests if r.user is not None})
        with self.database.engine.begin() as connection:
            # PostgreSQL: nobody deletes them until this is written.
            wanted = select(profiles.c.user_id).where(profiles.c.user_id.in_(named))
            shared = wanted.with_for_update(read=True)
            known = set(connection.execute(shared).scalars()) if named else set()
            rows = [
                {
                    "at": r.at.replace(tzinfo=None),
                    "weights": dict(r.weights),
                    "source": r.source,
                    "policy": r.policy,
                    "gap": r.gap,
                    "bundle": r.bundle,
                    "user_id": r.user,
                    # PostgreSQL has no such letter.
                    "prompt": None if r.prompt is None else r.prompt.replace("\0", ""),
                }
                for r in requests
                if r.user is None or r.user in known
            ]
            if rows:
                connection.execute(insert(traffic), rows)
            if named and self.database.is_sqlite:
                # From here on nobody else writes: who was deleted before is gone now.
                left = traffic.c.user_id.not_in(select(profiles.c.user_id))
                connection.execute(delete(traffic).where(traffic.c.user_id.in_(named), left))

    def traffic(self) -> Iterator[Asked]:
        """Every recorded request, the earliest first."""
        from sqlalchemy import select

        table = self._tables.traffic
        with self.database.engine.connect() as connection:
            rows = connection.execution_options(yield_per=CHUNK).execute(
                select(table).order_by(table.c.id)
            )
            for row in rows:
                yield Asked(
                    row.at.replace(tzinfo=UTC),
                    row.weights,
                    row.source,
                    row.policy,
                    row.gap,
                    row.bundle,
                    row.user_id,
                    row.prompt,
                )


def _profile(row: Any) -> Profile:
    return Profile(row.user_id, row.weights, row.source, row.at.replace(tzinfo=UTC))
