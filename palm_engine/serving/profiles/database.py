"""The tables of users and traffic, by SQLAlchemy: made where they are missing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from palm_engine.errors import DependencyError, InvalidInputError

if TYPE_CHECKING:
    from sqlalchemy import Engine, MetaData, Table

DEFAULT_URL = "sqlite:///palm-users.db"
VERSION = 1
# Seconds that a writer of SQLite waits for another.
PATIENCE = 10.0
KINDS = ("sqlite", "postgresql")
# How often the tables are tried to be made, and what a database says where others make them too.
TRIES = 8
TOGETHER = ("already exists", "unique constraint", "duplicate key", "locked", "pg_type")


class Tables:
    """The tables, as SQLAlchemy knows them."""

    def __init__(self) -> None:
        from sqlalchemy import (
            JSON,
            BigInteger,
            Column,
            DateTime,
            Float,
            Integer,
            MetaData,
            String,
            Table,
            Text,
        )

        number = BigInteger().with_variant(Integer, "sqlite")

        def preference() -> list[Column[Any]]:
            """Weights, where they come from, and when."""
            return [
                Column("weights", JSON, nullable=False),
                Column("source", String, nullable=False),
                Column("at", DateTime, nullable=False),
            ]

        self.metadata: MetaData = MetaData()
        self.about: Table = Table(
            "palm_about", self.metadata, Column("version", Integer, primary_key=True)
        )
        self.profiles: Table = Table(
            "palm_profiles",
            self.metadata,
            Column("user_id", String, primary_key=True),
            *preference(),
        )
        self.history: Table = Table(
            "palm_profile_history",
            self.metadata,
            Column("id", number, primary_key=True),
            Column("user_id", String, nullable=False, index=True),
            *preference(),
        )
        self.traffic: Table = Table(
            "palm_traffic",
            self.metadata,
            Column("id", number, primary_key=True),
            Column("at", DateTime, nullable=False, index=True),
            Column("weights", JSON, nullable=False),
            Column("source", String, nullable=False),
            Column("policy", String, nullable=False),
            Column("gap", Float, nullable=False),
            Column("bundle", String, nullable=False),
            Column("user_id", String, index=True),
            Column("prompt", Text),
        )


class Database:
    """A connection to the tables. May be used from any thread."""

    def __init__(self, url: str = DEFAULT_URL) -> None:
        """Connect, and make what is missing.

        Args:
            url: as in sqlite:///users.db, or postgresql://user@host/name.

        Raises:
            DependencyError: SQLAlchemy, or the driver of the database, isn't installed.
            InvalidInputError: the URL makes no sense, the database can't be opened, or another
                version wrote it.
        """
        try:
            from sqlalchemy.exc import SQLAlchemyError
        except ImportError as error:
            raise DependencyError(
                "user profiles need the extra 'serve': pip install -e '.[serve]'"
            ) from error
        self.tables = Tables()
        self.engine: Engine = _engine(url)
        self.name = self.engine.url.render_as_string(hide_password=True)
        try:
            self._prepare()
        except SQLAlchemyError as error:
            reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
            raise InvalidInputError(
                f"--database {self.name}: can't be opened ({reason}); check that it runs, that it"
                " exists and that you may write to it"
            ) from error

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a file of SQLite."""
        return self.engine.dialect.name == "sqlite"

    def close(self) -> None:
        """Give all connections back."""
        self.engine.dispose()

    def _prepare(self) -> None:
        """Make the tables; others may be doing the same at this moment.

        Raises:
            DBAPIError: the database can't be asked.
            InvalidInputError: another version made them.
        """
        from sqlalchemy.exc import DBAPIError

        for attempt in range(TRIES):
            try:
                version = self._made()
                break
            except DBAPIError as error:
                together = any(word in str(error).lower() for word in TOGETHER)
                if not together or attempt == TRIES - 1:
                    raise
                time.sleep(0.02 * 2**attempt)
        if version != VERSION:
            raise InvalidInputError(
                f"--database {self.name}: its tables have version {version}, not {VERSION}; use the"
                " version of palm-atlas that wrote it, or another database"
            )

    def _made(self) -> int:
        from sqlalchemy import insert, select

        about = self.tables.about
        self.tables.metadata.create_all(self.engine)
        with self.engine.begin() as connection:
            version = connection.execute(select(about.c.version)).scalar()
            if version is None:
                connection.execute(insert(about).values(version=VERSION))
        return VERSION if version is None else int(version)


def _engine(url: str) -> Engine:
    from sqlalchemy import create_engine, event
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    hint = "write sqlite:///FILE, or postgresql://USER:PASSWORD@HOST/NAME"
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        # Without what was given: it may hold a password.
        raise InvalidInputError(f"--database: is no URL of a database; {hint}") from error
    kind = parsed.get_backend_name()
    if kind not in KINDS:
        raise InvalidInputError(f"--database: {kind!r} isn't supported; {hint}")
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    options: dict[str, Any] = {"connect_args": {"timeout": PATIENCE}} if kind == "sqlite" else {}
    if kind == "postgresql":
        options = {"pool_pre_ping": True, "connect_args": {"connect_timeout": int(PATIENCE)}}
    try:
        engine = create_engine(parsed, hide_parameters=True, **options)
    except (ImportError, NoSuchModuleError) as error:
        raise DependencyError(
            f"--database {kind}: its driver is missing; pip install 'psycopg[binary]'"
        ) from error
    if kind == "sqlite":
        event.listen(engine, "connect", _set_up_sqlite)
    return engine


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    """Readers don't wait for writers, and what is deleted is overwritten."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA secure_delete=ON")
    cursor.close()
