"""Devices and number formats."""

from __future__ import annotations

import pytest

from palm_engine.errors import InvalidInputError

torch = pytest.importorskip("torch")
from palm_engine.lm import devices


@pytest.mark.parametrize(
    ("native", "drawn", "built"), [(1, "bfloat16", "auto"), (0, "float16", "float32")]
)
def test_what_a_gpu_only_emulates_is_not_chosen(
    monkeypatch: pytest.MonkeyPatch, native: bool, drawn: str, built: str
) -> None:
    monkeypatch.delenv("PALM_DTYPE", raising=False)
    monkeypatch.setattr(
        torch.cuda,
        "is_bf16_supported",
        lambda including_emulation=True: bool(including_emulation or native),
    )
    assert devices.pick_dtype("cuda:0") is getattr(torch, drawn)
    # Training in fp16 would need its losses scaled.
    assert devices.build_dtype("cuda:0") == built
    assert devices.pick_dtype("mps") is torch.bfloat16
    monkeypatch.setenv("PALM_DTYPE", "float16")
    with pytest.raises(InvalidInputError, match="PALM_DTYPE=float16: builds train"):
        devices.build_dtype("cuda:0")


def test_builds_use_fp32_on_every_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PALM_DTYPE", raising=False)
    assert devices.build_dtype("cpu") == "float32"
    monkeypatch.setenv("PALM_DTYPE", "bfloat16")
    assert devices.pick_dtype("cpu", devices.build_dtype("cpu")) is torch.bfloat16
