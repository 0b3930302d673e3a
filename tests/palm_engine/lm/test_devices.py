"""Devices and number formats."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
from palm_engine.lm import devices


def test_builds_use_fp32_on_every_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PALM_DTYPE", raising=False)
    assert devices.build_dtype("cpu") == "float32"
    assert devices.build_dtype("cuda") == "auto"
    monkeypatch.setenv("PALM_DTYPE", "bfloat16")
    assert devices.pick_dtype("cpu", devices.build_dtype("cpu")) is torch.bfloat16
