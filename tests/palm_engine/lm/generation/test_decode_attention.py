"""Attention of one new token equals torch's."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
from palm_engine.lm.generation.decode_attention import (
    decode_attention,
)

pytest.importorskip("transformers")


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 5),
    st.sampled_from([(1, 1), (3, 1), (2, 3), (1, 4)]),
    st.integers(1, 20),
    st.data(),
)
def test_decode_attention_equals_torchs(
    rows: int, heads: tuple[int, int], tokens: int, data: st.DataObject
) -> None:
    shared, each = heads
    torch.manual_seed(data.draw(st.integers(0, 99)))
    query = torch.randn(rows, shared * each, 1, 8)
    key = torch.randn(rows, shared, tokens, 8)
    value = torch.randn(rows, shared, tokens, 8)
    mask = None
    if data.draw(st.booleans()):
        mask = torch.rand(rows, 1, 1, tokens) < 0.6
        mask[..., data.draw(st.integers(0, tokens - 1))] = True
    scale = data.draw(st.sampled_from([None, 0.3]))
    expected = torch.nn.functional.scaled_dot_product_attention(
        query,
        key.repeat_interleave(each, 1),
        value.repeat_interleave(each, 1),
        attn_mask=mask,
        scale=scale,
    )
    found, _ = decode_attention(None, query, key, value, mask, scaling=scale)
    assert torch.allclose(found, expected.transpose(1, 2), atol=1e-5)
    half, _ = decode_attention(
        None, query.bfloat16(), key.bfloat16(), value.bfloat16(), mask, scaling=scale
    )
    assert torch.allclose(half.float(), expected.transpose(1, 2), atol=0.05)
