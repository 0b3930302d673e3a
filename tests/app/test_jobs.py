"""Work beside a page is cancelled between its steps."""

from __future__ import annotations

import time
from typing import Any

import pytest

from app.jobs import Job


def test_the_time_left_counts_down_and_a_slow_step_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    job = Job(started=now)
    assert job.words == ""
    now += 10
    job.report(0.25, "reading")
    assert job.words == "reading; about 30 s left"
    now += 12
    assert job.words == "reading; about 18 s left"
    now += 18
    assert job.words == "reading; this step takes a little longer"
    job.report(0.5, "checking")
    assert job.words == "checking; about 40 s left"


def test_work_is_cancelled_between_its_steps() -> None:
    job = Job()
    steps = []

    def work(report: Any) -> str:
        for i in range(1000):
            report(i / 1000, f"step {i}")
            steps.append(i)
            time.sleep(0.005)
        return "done"

    job.run(work)
    time.sleep(0.05)
    assert job.alive
    assert "left" in job.words or job.share <= 0.02
    job.cancelled.set()
    assert job.thread is not None
    job.thread.join(2)
    assert not job.alive
    assert job.result is None  # type: ignore[unreachable]
    assert len(steps) < 1000
