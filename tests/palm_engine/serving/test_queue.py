"""The fair queue: turns, positions, limits, cancelling, sessions that vanish, and nobody sees
another's text.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import pytest

from palm_engine.errors import GenerationError, InvalidInputError
from palm_engine.serving.backends.interface import LiveSettings, Piece, check_request
from palm_engine.serving.queue import FairQueue
from palm_engine.serving.ticket import Limits, Ticket

SETTINGS = LiveSettings(max_new_tokens=8)


class Echo:
    """Says the prompt back, a letter a step; `gate` holds every step up until it is set."""

    policies = ("a", "b")

    def __init__(self, gate: threading.Event | None = None) -> None:
        self.gate = gate
        self.order: list[str] = []
        self.closed = 0

    def stream(
        self, prompts: Sequence[str], members: Sequence[str], settings: LiveSettings
    ) -> Iterator[Piece]:
        check_request(self.policies, prompts, members)
        self.order.append(prompts[0])
        return self._say(prompts, members)

    def _say(self, prompts: Sequence[str], members: Sequence[str]) -> Iterator[Piece]:
        if prompts[0] == "BOOM":
            raise RuntimeError("a model failed")
        try:
            rows = [f"{m}:{p}" for m in members for p in prompts]
            for i in range(max(map(len, rows))):
                if self.gate is not None:
                    self.gate.wait(10)
                for row, text in enumerate(rows):
                    if i < len(text):
                        yield Piece(row, text[i], i == len(text) - 1, 1)
        finally:
            self.closed += 1


@pytest.fixture
def queue() -> Iterator[FairQueue]:
    made = FairQueue(Limits(patience=0.6))
    yield made
    made.close()


def until(holds: Any, seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.01)


def test_twenty_sessions_are_all_answered_none_mixed_none_lost(queue: FairQueue) -> None:
    echo = Echo()
    found = {}

    def session(i: int) -> None:
        tickets = []
        for j in range(2):
            tickets.append(queue.submit(f"s{i}", echo, [f"question {i}.{j}"], ["a", "b"], SETTINGS))
        for j, ticket in enumerate(tickets):
            assert ticket.wait(20)
            found[i, j] = (ticket.state, [row.text for row in ticket.rows])

    threads = [threading.Thread(target=session, args=(i,)) for i in range(20)]
    queue.limits = Limits(waiting=64)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == {
        (i, j): ("done", [f"a:question {i}.{j}", f"b:question {i}.{j}"])
        for i in range(20)
        for j in range(2)
    }


def test_sessions_take_turns_and_positions_are_told(queue: FairQueue) -> None:
    gate = threading.Event()
    echo = Echo(gate)
    first = queue.submit("greedy", echo, ["g1"], ["a"], SETTINGS)
    until(lambda: first.state == "running")
    tickets = [queue.submit("greedy", echo, [f"g{i}"], ["a"], SETTINGS) for i in (2, 3)]
    tickets.append(queue.submit("other", echo, ["o1"], ["a"], SETTINGS))
    assert [t.ahead for t in tickets] == [1, 3, 2]
    with pytest.raises(GenerationError, match="still waiting"):
        queue.submit("greedy", echo, ["g4"], ["a"], SETTINGS)
    gate.set()
    assert all(t.wait(5) for t in (first, *tickets))
    assert echo.order == ["g1", "g2", "o1", "g3"]


def test_a_vanished_session_frees_its_place_running_or_waiting(queue: FairQueue) -> None:
    gate = threading.Event()
    echo = Echo(gate)
    gone = queue.submit("gone", echo, ["one"], ["a"], SETTINGS)
    until(lambda: gone.state == "running")
    waits_and_goes = queue.submit("gone too", echo, ["two"], ["a"], SETTINGS)
    stays = queue.submit("stays", echo, ["three"], ["a"], SETTINGS)
    deadline = time.monotonic() + 1.0
    while time.monotonic() < deadline:
        stays.look()
        time.sleep(0.05)
    gate.set()
    assert stays.wait(5)
    assert [t.state for t in (gone, waits_and_goes, stays)] == ["cancelled", "cancelled", "done"]
    assert echo.closed == 2
    assert queue.sessions == frozenset()


def test_a_closed_tab_frees_its_place_at_once_and_a_slow_one_keeps_it() -> None:
    queue = FairQueue(Limits(patience=0.3, reconnecting=0.2))
    gate = threading.Event()
    slow = Echo(gate)
    connected = {"closed": True, "slow": True, "last": True}
    tickets = {
        name: queue.submit(
            name, slow, [name], ["a"], SETTINGS, connected=partial(connected.__getitem__, name)
        )
        for name in connected
    }
    until(lambda: tickets["closed"].state == "running")
    time.sleep(0.5)  # nobody looks, as in a tab in the background
    connected["closed"] = False
    time.sleep(0.3)
    gate.set()
    until(lambda: all(t.ended for t in tickets.values()))
    assert {name: t.state for name, t in tickets.items()} == {
        "closed": "cancelled",
        "slow": "done",
        "last": "done",
    }
    queue.close()


@pytest.mark.parametrize("when", ["running", "waiting"])
def test_cancelling_stops_at_the_next_token_and_the_next_one_runs(
    queue: FairQueue, when: str
) -> None:
    gate = threading.Event()
    echo = Echo(gate)
    first = queue.submit("one", echo, ["first"], ["a"], SETTINGS)
    until(lambda: first.state == "running")
    second = queue.submit("two", echo, ["second"], ["a"], SETTINGS)
    (first if when == "running" else second).cancel()
    gate.set()
    assert first.wait(5)
    assert second.wait(5)
    assert (first.state, second.state) == (
        ("cancelled", "done") if when == "running" else ("done", "cancelled")
    )


def test_a_failing_model_fails_one_question_only(queue: FairQueue) -> None:
    broken = queue.submit("one", Echo(), ["BOOM"], ["a"], SETTINGS)
    fine = queue.submit("two", Echo(), ["fine"], ["a"], SETTINGS)
    assert broken.wait(5)
    assert fine.wait(5)
    assert broken.state == "failed"
    assert "RuntimeError" in broken.error
    assert fine.rows[0].text == "a:fine"


def test_rows_are_scored_as_soon_as_they_are_whole(queue: FairQueue) -> None:
    gate = threading.Event()
    gate.set()
    scored: list[tuple[str, str, int]] = []

    def score(prompt: str, text: str, tokens: int) -> dict[str, float]:
        scored.append((prompt, text, tokens))
        if text == "b:long one":
            raise RuntimeError("no score for this one")
        return {"length": float(len(text))}

    ticket = queue.submit("one", Echo(gate), ["x", "long one"], ["a", "b"], SETTINGS, score)
    assert ticket.wait(5)
    assert scored[0][1] == "a:x"
    assert [row.scores for row in ticket.rows] == [
        {"length": 3.0},
        {"length": 10.0},
        {"length": 3.0},
        {},
    ]
    assert ticket.state == "done"
    assert all(
        row.first is not None and row.last is not None and row.first <= row.last
        for row in ticket.rows
    )


@pytest.mark.parametrize(
    ("prompts", "settings", "message"),
    [
        (["x" * 10_001], SETTINGS, "characters"),
        (["x"], LiveSettings(max_new_tokens=10_000), "new tokens"),
        (["x"] * 40, SETTINGS, "answers at once"),
    ],
)
def test_limits_are_named(
    queue: FairQueue, prompts: list[str], settings: LiveSettings, message: str
) -> None:
    with pytest.raises(GenerationError, match=message):
        queue.submit("one", Echo(), prompts, ["a", "b"], settings)
    with pytest.raises(InvalidInputError, match="nobody"):
        queue.submit("one", Echo(), ["x"], ["nobody"], SETTINGS)


def test_a_full_queue_refuses_and_vanished_sessions_do_not_count(queue: FairQueue) -> None:
    gate = threading.Event()
    echo = Echo(gate)
    queue.limits = Limits(waiting=2, patience=0.4)
    running = queue.submit("r", echo, ["x"], ["a"], SETTINGS)
    until(lambda: running.state == "running")
    for i in range(2):
        queue.submit(f"s{i}", echo, ["x"], ["a"], SETTINGS)
    with pytest.raises(GenerationError, match="waiting already"):
        queue.submit("late", echo, ["x"], ["a"], SETTINGS)
    time.sleep(0.5)
    late = queue.submit("late", echo, ["x"], ["a"], SETTINGS)
    gate.set()
    assert late.wait(5)


def test_closing_ends_every_question_and_refuses_new_ones() -> None:
    queue = FairQueue()
    gate = threading.Event()
    tickets: list[Ticket] = [
        queue.submit(f"s{i}", Echo(gate), ["x"], ["a"], SETTINGS) for i in range(3)
    ]
    until(lambda: tickets[0].state == "running")
    threading.Timer(0.1, gate.set).start()
    queue.close()
    assert all(t.wait(5) for t in tickets)
    assert [t.state for t in tickets] == ["cancelled", "failed", "failed"]
    assert "unloaded" in tickets[1].error
    with pytest.raises(GenerationError, match="unloaded"):
        queue.submit("late", Echo(), ["x"], ["a"], SETTINGS)
