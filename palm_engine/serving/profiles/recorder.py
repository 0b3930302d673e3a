"""Recording of traffic beside the answers: a thread writes it in batches, no request waits."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading

from palm_engine.serving.profiles.profile import Asked
from palm_engine.serving.profiles.store import Profiles

# Requests that may wait to be written; more are dropped, and counted.
MOST_WAITING = 50_000
MOST_AT_ONCE = 1_000
# Seconds between two writes.
PAUSE = 0.5
# How often a failed write is tried again before its requests are dropped.
TRIES = 5


class Recorder:
    """Writes requests to a database. May be used from any thread."""

    def __init__(self, profiles: Profiles) -> None:
        self.profiles = profiles
        self.dropped = 0
        self._waiting: queue.Queue[Asked] = queue.Queue(MOST_WAITING)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="palm-record", daemon=True)
        self._thread.start()

    def add(self, request: Asked) -> None:
        """Hand a request in; where the database can't follow, it is dropped and counted."""
        try:
            self._waiting.put_nowait(request)
        except queue.Full:
            self.dropped += 1

    def close(self) -> None:
        """Write what waits, and end."""
        self._stop.set()
        self._thread.join(30)

    def _work(self) -> None:
        while not self._stop.wait(PAUSE):
            self._write_all()
        self._write_all()

    def _write_all(self) -> None:
        while some := self._some():
            self._write(some)

    def _some(self) -> list[Asked]:
        found: list[Asked] = []
        with contextlib.suppress(queue.Empty):
            while len(found) < MOST_AT_ONCE:
                found.append(self._waiting.get_nowait())
        return found

    def _write(self, some: list[Asked]) -> None:
        from sqlalchemy.exc import DataError, SQLAlchemyError

        for attempt in range(TRIES):
            try:
                self.profiles.record(some)
            except DataError as error:
                # One that the database can't hold must not cost the others.
                if len(some) > 1:
                    for request in some:
                        self._write([request])
                    return
                self.dropped += 1
                logging.getLogger(__name__).error("a request can't be recorded: %s", error)
                return
            except SQLAlchemyError as error:
                if attempt == TRIES - 1:
                    self.dropped += len(some)
                    logging.getLogger(__name__).error(
                        "%d recorded requests were dropped: %s", len(some), error
                    )
                elif self._stop.wait(PAUSE * 2**attempt):
                    continue  # ending: try again at once
            else:
                return
