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
    config = {
        "num_hidden_layers": 10,
        "num_key_value_heads": 2,
        "num_attention_heads": 4,
        "hidden_size": 64,
    }
    needed = memory.estimate(1_000_000, "float32", 10_000, config, 6, 100, 4_000_000)
    assert needed.weights == 4_000_000
    assert needed.cache == 2 * 10 * 2 * 16 * 6 * 100 * 4
    with pytest.raises(ModelSourceError, match="bfloat16"):
        memory.require_fits(needed, "float32", "cpu", 6)
    wide = memory.estimate(1_000_000, "bfloat16", 0, config, 6, 4000, 26_000_000)
    with pytest.raises(ModelSourceError, match="4 adapters at a time"):
        memory.require_fits(wide, "bfloat16", "cpu", 6)
    memory.require_fits(memory.estimate(10, "float32", 0, config, 1, 1, None), "float32", "cpu", 1)
