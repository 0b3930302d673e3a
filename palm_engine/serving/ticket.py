"""A question on its way through the queue.

Its limits, its rows as far as they have come, what its session sees.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from palm_engine.serving.answering import LiveAnswer
from palm_engine.serving.backends.interface import Backend, LiveSettings

State = Literal["waiting", "running", "done", "cancelled", "failed"]
Score = Callable[[str, str, int], Mapping[str, float]]


@dataclass(frozen=True)
class Limits:
    """What one question and one session may ask for.

    `patience` is how long a session may look away, in seconds, where nobody can tell whether it is
    connected; `reconnecting` how long its connection may be gone where somebody can.
    """

    prompt_characters: int = 10_000
    new_tokens: int = 512
    rows: int = 64
    waiting: int = 32
    waiting_of_one_session: int = 2
    patience: float = 30.0
    reconnecting: float = 2.0


@dataclass
class Row:
    """One answer as far as it has come; times are seconds after the question began to run."""

    policy: str
    prompt: str
    text: str = ""
    tokens: int = 0
    done: bool = False
    first: float | None = None
    last: float | None = None
    scores: Mapping[str, float] | None = None
    finish: str = ""
    notice: str = ""

    def answer(self) -> LiveAnswer:
        """The answer so far."""
        scores = dict(self.scores or {})
        return LiveAnswer(self.policy, self.text, self.tokens, scores, self.finish, self.notice)


@dataclass
class Ticket:
    """A question of one session.

    `rows` grow while it runs; `error` says in a sentence why it failed. `connected` tells whether
    its session still is, on any thread; None where nobody can tell.
    """

    session: str
    backend: Backend | None
    prompts: tuple[str, ...]
    policies: tuple[str, ...]
    settings: LiveSettings
    score: Score | None
    rows: list[Row]
    connected: Callable[[], bool] | None = None
    state: State = "waiting"
    error: str = ""
    ahead: int = 0
    seconds: float = 0.0
    _seen: float = field(default_factory=time.monotonic)
    _stop: threading.Event = field(default_factory=threading.Event)
    _ended: threading.Event = field(default_factory=threading.Event)

    def look(self) -> Ticket:
        """Say that the session is still there, and see how far it is."""
        self._seen = time.monotonic()
        return self

    def cancel(self) -> None:
        """Stop it, at the next token or while it waits."""
        self._stop.set()

    @property
    def ended(self) -> bool:
        """Whether nothing more will come, scores included."""
        return self._ended.is_set()

    @property
    def tokens_a_second(self) -> float | None:
        """All rows' tokens over the time since it began to run; None before the first."""
        total = sum(row.tokens for row in self.rows)
        return total / self.seconds if total and self.seconds else None

    def wait(self, seconds: float | None = None) -> bool:
        """Until it has ended, at most `seconds`; counts as looking."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while not self._ended.wait(0.05):
            self.look()
            if deadline is not None and time.monotonic() > deadline:
                return False
        return True
