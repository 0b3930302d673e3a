"""Long work beside the page: a thread with progress, an estimate of the time left, and Cancel.

Work that is done within a moment shows no progress at all. A job belongs to the session that
started it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import streamlit as st

from palm_engine._types import Progress
from palm_engine.errors import PalmError

PATIENCE = 0.8
MOST_KEPT = 12
_JOBS = "jobs"
T = TypeVar("T")


class CancelledError(Exception):
    """Raised inside the work when the user pressed Cancel."""


@dataclass
class Job:
    """One piece of work: `share` done (0 to 1) and what it does now in `note`."""

    share: float = 0.0
    note: str = ""
    started: float = field(default_factory=time.monotonic)
    # When the share last grew, and how long the rest would take from there.
    grown: float = 0.0
    left: float | None = None
    cancelled: threading.Event = field(default_factory=threading.Event)
    result: Any = None
    error: BaseException | None = None
    thread: threading.Thread | None = None

    def report(self, share: float, note: str) -> None:
        """Called by the work as it goes on.

        Raises:
            CancelledError: the work is to stop.
        """
        if self.cancelled.is_set():
            raise CancelledError
        if share > self.share:
            self.grown = time.monotonic()
            spent = self.grown - self.started
            self.left = spent * (1 - share) / share if share > 0.02 else None
        self.share = share
        self.note = note

    def run(self, work: Callable[[Progress], Any]) -> None:
        """Start `work` in a thread of its own."""

        def inside() -> None:
            try:
                self.result = work(self.report)
            except CancelledError:
                self.cancelled.set()
            except Exception as error:  # kept for the page that asked, which shows it
                if not isinstance(error, PalmError):
                    logging.getLogger(__name__).error(
                        "%s failed", self.note or "work", exc_info=error
                    )
                # Without its frames: they would keep whatever was being loaded.
                self.error = error.with_traceback(None)

        self.thread = threading.Thread(target=inside, daemon=True)
        self.thread.start()

    @property
    def alive(self) -> bool:
        """Whether it is still at work."""
        return self.thread is not None and self.thread.is_alive()

    @property
    def words(self) -> str:
        """What it does now, and about how long it will still take."""
        if self.cancelled.is_set():
            return "Stopping after this step"
        if self.left is None:
            return self.note
        # It counts down; a step that takes longer than it should is said to.
        left = self.left - (time.monotonic() - self.grown)
        if left < 1:
            return f"{self.note}; this step takes a little longer"
        return f"{self.note}; about {left:.0f} s left"


def result_of(key: str, label: str, work: Callable[[Progress], T]) -> T | None:
    """The result of `work`, started when `key` is asked for the first time.

    None, with progress shown, until then.

    Errors of the engine are shown as a sentence; after Cancel or an error the work can be started
    again.
    """
    jobs: dict[str, Job] = st.session_state.setdefault(_JOBS, {})
    job = jobs.get(key)
    if job is None:
        for name in [name for name, other in jobs.items() if other.alive]:
            # What the page no longer shows isn't worth the processor; asked for again, it starts
            # anew.
            jobs.pop(name).cancelled.set()
        for old in list(jobs)[: max(len(jobs) - MOST_KEPT + 1, 0)]:
            del jobs[old]
        job = jobs[key] = Job()
        job.run(work)
        assert job.thread is not None
        job.thread.join(PATIENCE)
    if job.alive:
        _watch(label, job)
        return None
    if job.error is None and not job.cancelled.is_set():
        return job.result  # type: ignore[no-any-return]
    if job.error is None and job.result is not None:
        return job.result  # type: ignore[no-any-return]
    if job.error is None:
        st.info(f"{label}: stopped.", icon=":material/cancel:")
    elif isinstance(job.error, PalmError):
        st.warning(f"{label}: not possible.", icon=":material/error:")
        st.text(str(job.error))
    else:
        st.error(f"{label}: failed ({type(job.error).__name__}); the log of the server says more.")
    if st.button("Start again", key=f"again.{key}"):
        del jobs[key]
        st.rerun()
    return None


def failed(key: str) -> bool:
    """Whether the work behind `key` is over without a result: an error, or Cancel."""
    job = st.session_state.get(_JOBS, {}).get(key)
    return job is not None and not job.alive and (job.error is not None or job.result is None)


def forget(key: str) -> None:
    """Drop what `key` gave, so that asked for again it is worked out anew."""
    job = st.session_state.get(_JOBS, {}).pop(key, None)
    if job is not None:
        job.cancelled.set()


@st.fragment(run_every=0.5)
def _watch(label: str, job: Job) -> None:
    if not job.alive:
        st.rerun()
    st.text(f"{label}: {job.words}")  # not in the bar, whose text is markdown
    st.progress(min(job.share, 1.0))
    if st.button("Cancel", icon=":material/cancel:", disabled=job.cancelled.is_set()):
        job.cancelled.set()
