"""Memory is estimated before a model is loaded."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
from palm_engine.bundle.folder import Bundle
from palm_engine.errors import ModelSourceError
from palm_engine.lm import memory
from palm_engine.serving.host import ModelHost


def test_too_little_memory_is_refused_with_what_would_fit(
    local_base: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda device: 100_000)
    with pytest.raises(ModelSourceError, match=r"(?s)free\. What would fit"):
        ModelHost().load(local_base, ["a"])
    needed = estimated("float32", 6, 4_000_000)
    assert needed.weights == 4_000_000
    # Keys and values of 100 tokens, and what 60 of a prompt need while they run.
    assert needed.row == 2 * 10 * 2 * 16 * 100 * 4 + (2 * 200 + 4 * 64) * 60 * 4
    with pytest.raises(ModelSourceError, match="bfloat16"):
        memory.require_fits(needed, "float32", "cpu", 6)
    wide = estimated("bfloat16", 6, 3_100_000)
    with pytest.raises(ModelSourceError, match="3 adapters at a time"):
        memory.require_fits(wide, "bfloat16", "cpu", 6)
    memory.require_fits(estimated("float32", 1, None), "float32", "cpu", 1)


def estimated(dtype: str, rows: int, free: int | None, **more: object) -> memory.Estimate:
    return memory.estimate(1_000_000, dtype, 10_000, CONFIG | more, rows, 60, 40, free)


CONFIG = {
    "num_hidden_layers": 10,
    "num_key_value_heads": 2,
    "num_attention_heads": 4,
    "hidden_size": 64,
    "intermediate_size": 200,
}


def test_a_models_text_part_is_what_counts() -> None:
    plain = estimated("bfloat16", 1, None)
    nested = memory.estimate(
        1_000_000, "bfloat16", 10_000, {"text_config": CONFIG}, 1, 60, 40, None
    )
    assert nested == plain
    old = {"n_layer": 10, "n_head": 4, "n_embd": 64, "n_inner": 200}
    gpt2 = memory.estimate(1_000_000, "bfloat16", 10_000, old, 1, 60, 40, None)
    assert gpt2.row - plain.row == 2 * 10 * 2 * 16 * 100 * 2, "four heads, none shared"


def test_rows_are_limited_to_what_fits(local_base: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    needed = estimated("bfloat16", 1, 5_000_000)
    rows = needed.most_rows(64)
    assert 1 < rows < 64
    assert estimated("bfloat16", rows, 5_000_000).fits
    assert not estimated("bfloat16", rows + 1, 5_000_000).fits
    assert estimated("bfloat16", 1, None).most_rows(64) == 64

    host = ModelHost()
    monkeypatch.setattr(memory, "free_bytes", lambda device: 20_000_000)
    host.load(local_base, ["a"])
    try:
        assert 1 <= host.queue.limits.rows < host.limits.rows
    finally:
        host.unload()
