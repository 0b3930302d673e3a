"""Stacked layers: biases, tied weights, what is kept in memory."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.fakes import stacked

torch = pytest.importorskip("torch")
from palm_engine.lm.adapters.packed_weight import can_pack
from palm_engine.lm.adapters.stack import AdapterStack

IDS = torch.tensor([[7, 9, 30, 4], [80, 2, 3, 200], [5, 5, 60, 7], [33, 90, 4, 11]])


@pytest.mark.parametrize(("packed", "in_place"), [(True, True), (False, True), (False, False)])
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_models_with_biases_tied_layers_and_unpacked_weights(
    monkeypatch: pytest.MonkeyPatch, packed: bool, in_place: bool, tied: bool, bias: bool
) -> None:
    import transformers

    from palm_engine.lm.adapters.files import LoraWeights

    def made() -> Any:
        torch.manual_seed(3)
        model = transformers.Qwen2ForCausalLM(
            transformers.Qwen2Config(
                vocab_size=64,
                hidden_size=16,
                intermediate_size=24,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=2,
                tie_word_embeddings=tied,
            )
        ).eval()
        for layer in model.model.layers:
            for projection in (layer.self_attn.q_proj, layer.self_attn.k_proj):
                torch.nn.init.normal_(projection.bias)
            if not bias:
                layer.self_attn.q_proj.bias = None
        return model

    if not packed:
        monkeypatch.setattr(
            "palm_engine.lm.adapters.stacked_linear.can_pack", lambda device, dtype: False
        )
    if not in_place:
        monkeypatch.setattr("palm_engine.lm.adapters.stacked_linear.OUT_OF_PLACE", ("cpu",))
    if packed and not can_pack("cpu", torch.float32):
        pytest.skip("this processor's weights aren't packed")
    model = made()
    own = made()
    places = ["model.layers.0.self_attn.k_proj", "model.layers.1.mlp.up_proj", "lm_head"]
    torch.manual_seed(5)
    sizes = {path: own.get_submodule(path).weight.shape for path in places}
    lora = LoraWeights(
        {p: (torch.randn(3, i), torch.randn(o, 3), 0.5) for p, (o, i) in sizes.items()}
    )
    embedding = own.model.embed_tokens.weight.detach().clone()
    for path, (a, b, scale) in lora.layers.items():
        layer = own.get_submodule(path)
        layer.weight = torch.nn.Parameter(layer.weight.detach() + scale * b @ a)
    stack = AdapterStack(model)
    before = stack.base_bytes
    stack.add({"x": lora})
    ids = IDS % 64
    found = stacked(model, stack, ["x", None, "x", None], ids)
    with torch.inference_mode():
        assert torch.allclose(found[::2], own(ids).logits[::2], atol=1e-5)
        assert torch.allclose(found[1::2], made()(ids).logits[1::2], atol=1e-5)
    assert torch.equal(model.model.embed_tokens.weight, embedding)
    weights = sum(p.numel() * 4 for p in made().parameters()) + (
        0 if bias else 2 * 4 * 16
    )  # its zeros are kept
    assert before == stack.base_bytes == weights
    stack.close()
    assert all(
        torch.equal(a, b)
        for a, b in zip(model.state_dict().values(), made().state_dict().values(), strict=True)
    )
    assert (model.lm_head.weight is model.model.embed_tokens.weight) == tied


def test_only_the_latest_layers_input_is_kept_during_a_pass(loaded: Any) -> None:
    import gc
    import weakref

    model, stack, _ = loaded
    seen: list[Any] = []
    layer = model.model.layers[0].mlp.down_proj
    usual = type(layer).forward

    def noting(self: Any, input: Any) -> Any:
        out = usual(self, input)
        seen.append((weakref.ref(stack.running.active.input), self is layer))
        return out

    type(layer).forward = noting
    try:
        stacked(model, stack, ["a"] * 4, IDS)
    finally:
        type(layer).forward = usual
    gc.collect()
    assert len(seen) > 10
    assert sum(ref() is not None for ref, _ in seen) == 0
