"""Several sessions share one model: a fair queue in front of a backend, one batch at a time.

A session hands in a question and gets a ticket, which it looks at as often as it likes; nobody else
has it. Sessions take turns, however much one of them asks. The place of a session that has gone is
freed: one that is no longer connected or, where nobody can tell, no longer looks.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from palm_engine.errors import GenerationError, PalmError
from palm_engine.serving.backends.interface import Backend, LiveSettings, check_request
from palm_engine.serving.ticket import Limits, Row, Score, State, Ticket


class FairQueue:
    """Runs tickets one after another, sessions in turn.

    Every row is scored as soon as it is whole.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._waiting: OrderedDict[str, deque[Ticket]] = OrderedDict()
        self._running: Ticket | None = None
        self._changed = threading.Condition()
        self._closed = False
        self._scorer = ThreadPoolExecutor(1, thread_name_prefix="palm-score")
        self._thread = threading.Thread(target=self._work, name="palm-generate", daemon=True)
        self._thread.start()

    def submit(
        self,
        session: str,
        backend: Backend,
        prompts: Sequence[str],
        policies: Sequence[str],
        settings: LiveSettings,
        score: Score | None = None,
        connected: Callable[[], bool] | None = None,
    ) -> Ticket:
        """Ask; returns at once.

        Raises InvalidInputError or GenerationError, each naming the limit it meets.

        Raises:
            GenerationError: the queue is full or closed.
        """
        check_request(backend.policies, prompts, policies)
        longest = max(len(p) for p in prompts)
        count = len(prompts) * len(policies)
        for found, most, what in (
            (longest, self.limits.prompt_characters, "characters in a prompt"),
            (settings.max_new_tokens, self.limits.new_tokens, "new tokens"),
            (count, self.limits.rows, "answers at once"),
        ):
            if found > most:
                raise GenerationError(f"{found:,} {what}; at most {most:,} are allowed here")
        rows = [Row(m, p) for m in policies for p in prompts]
        ticket = Ticket(
            session, backend, tuple(prompts), tuple(policies), settings, score, rows, connected
        )
        with self._changed:
            if self._closed:
                raise GenerationError("the model was unloaded; load it again")
            self._drop_vanished()
            if len(self._waiting.get(session, ())) >= self.limits.waiting_of_one_session:
                raise GenerationError(
                    "your earlier questions are still waiting; stop one of them, or wait"
                )
            if sum(map(len, self._waiting.values())) >= self.limits.waiting:
                raise GenerationError(
                    f"{self.limits.waiting} questions are waiting already; try again in a minute"
                )
            self._waiting.setdefault(session, deque()).append(ticket)
            self._number()
            self._changed.notify_all()
        return ticket

    @property
    def sessions(self) -> frozenset[str]:
        """Sessions with a question that waits or runs."""
        with self._changed:
            self._drop_vanished()
            running = (
                {self._running.session} if self._running and not self._running.ended else set()
            )
            return frozenset(running | set(self._waiting))

    def close(self) -> None:
        """Stop what runs, refuse what waits and what comes.

        Returns when the model is no longer used.

        Raises:
            GenerationError: what was running has not stopped after a minute.
        """
        with self._changed:
            self._closed = True
            if self._running is not None:
                self._running.cancel()
            for ticket in [t for queue in self._waiting.values() for t in queue]:
                self._end(ticket, "failed", "the model was unloaded; load it again")
            self._waiting.clear()
            self._changed.notify_all()
        self._thread.join(60)
        if self._thread.is_alive():
            raise GenerationError(
                "the model is still working on a very long prompt; try again in a minute"
            )
        self._scorer.shutdown(wait=False)

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._closed:
                    self._changed.wait(1.0)
                if self._closed:
                    return
                self._drop_vanished()
                ticket = self._next()
                if ticket is None:
                    continue
                self._running = ticket
                ticket.state = "running"
                ticket.ahead = 0
            try:
                self._run(ticket)
            finally:
                with self._changed:
                    self._running = None
                    self._number()

    def _next(self) -> Ticket | None:
        """The first question of the session whose turn it is.

        The session then goes to the end of the line.
        """
        for session in list(self._waiting):
            queue = self._waiting.pop(session)
            ticket = queue.popleft()
            if queue:
                self._waiting[session] = queue
            return ticket
        return None

    def _run(self, ticket: Ticket) -> None:
        begun = looked = time.monotonic()
        try:
            assert ticket.backend is not None
            stream = ticket.backend.stream(ticket.prompts, ticket.policies, ticket.settings)
            try:
                for piece in stream:
                    row = ticket.rows[piece.row]
                    now = time.monotonic() - begun
                    row.text += piece.text
                    row.tokens += piece.tokens
                    row.first = row.first if row.first is not None else now
                    row.last = now
                    ticket.seconds = now
                    if piece.done:
                        row.done = True
                        row.finish = piece.finish
                        row.notice = piece.notice
                        if ticket.score is not None:
                            self._scorer.submit(self._score, ticket.score, row)
                    if ticket._stop.is_set() or self._gone(ticket):
                        break
                    if time.monotonic() - looked > 0.5:
                        looked = time.monotonic()
                        with self._changed:
                            self._drop_vanished()
            finally:
                close = getattr(stream, "close", None)
                if close is not None:
                    close()
            if all(row.done for row in ticket.rows):
                self._scorer.submit(
                    self._end, ticket, "done"
                )  # after the scores that were handed in before
            else:
                self._scorer.submit(self._end, ticket, "cancelled")
        except PalmError as error:
            self._end(ticket, "failed", str(error))
        except (
            Exception
        ) as error:  # whatever a model or a server does, the queue goes on with the next
            logging.getLogger(__name__).exception("generation failed")
            self._end(
                ticket,
                "failed",
                f"generating failed ({type(error).__name__}); the log of the server says more",
            )

    @staticmethod
    def _score(score: Score, row: Row) -> None:
        try:
            row.scores = score(row.prompt, row.text, row.tokens)
        except Exception:  # an answer without scores is still an answer
            logging.getLogger(__name__).exception("scoring failed")
            row.scores = {}

    @staticmethod
    def _end(ticket: Ticket, state: State, error: str = "") -> None:
        ticket.state = state
        ticket.error = error
        # Who keeps the ticket must not keep the model.
        ticket.backend = ticket.score = None
        ticket._ended.set()

    def _gone(self, ticket: Ticket) -> bool:
        patience = self.limits.patience
        if ticket.connected is not None:
            patience = self.limits.reconnecting
            if ticket.connected():  # a tab in the background looks seldom, and is still there
                ticket.look()
        return time.monotonic() - ticket._seen > patience

    def _drop_vanished(self) -> None:
        for session in list(self._waiting):
            queue = self._waiting[session]
            for ticket in [t for t in queue if t._stop.is_set() or self._gone(t)]:
                queue.remove(ticket)
                self._end(ticket, "cancelled")
            if not queue:
                del self._waiting[session]
        self._number()

    def _number(self) -> None:
        """Tell every waiting ticket how many run before it.

        Sessions take turns, each its questions in order.
        """
        ahead = int(self._running is not None)
        queues = list(self._waiting.values())
        for turn in range(max(map(len, queues), default=0)):
            for queue in queues:
                if turn < len(queue):
                    queue[turn].ahead = ahead
                    ahead += 1
