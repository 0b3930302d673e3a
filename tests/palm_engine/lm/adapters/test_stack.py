"""The stack of adapters: equal to peft, adapter by adapter, whatever their ranks, targets, rows and
order.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.fakes import stacked, tiny_llama, tiny_local, tiny_model, write_adapter

torch = pytest.importorskip("torch")

from palm_engine.bundle.folder import Bundle
from palm_engine.errors import (
    GenerationError,
    InvalidInputError,
    ModelSourceError,
)
from palm_engine.lm.adapters.files import read_adapter
from palm_engine.lm.adapters.stack import AdapterStack
from palm_engine.lm.adapters.stacked_linear import Group
from palm_engine.serving.backends.interface import live_settings

IDS = torch.tensor([[7, 9, 30, 4], [80, 2, 3, 200], [5, 5, 60, 7], [33, 90, 4, 11]])


def alone(folder: Path | None, ids: Any) -> Any:
    """Logits of the tiny model under one adapter, by peft."""
    from peft import PeftModel

    model = tiny_llama()
    if folder is not None:
        model = PeftModel.from_pretrained(model, str(folder)).eval()
    with torch.inference_mode():
        return model(ids).logits


@pytest.mark.parametrize(
    "names",
    [["a", "b", "c", None], [None, None, "c", "a"], ["b", "b", "b", "b"], ["c", "a", "b", "a"]],
)
def test_each_row_is_what_peft_gives_for_its_adapter(loaded: Any, names: list[str | None]) -> None:
    model, stack, folders = loaded
    found = stacked(model, stack, names, IDS)
    for row, name in enumerate(names):
        expected = alone(folders[name] if name else None, IDS[row : row + 1])[0]
        assert torch.allclose(found[row], expected, atol=1e-5)


def test_ranks_and_scales_that_differ_by_layer_are_those_of_peft(tmp_path: Path) -> None:
    folder = write_adapter(
        tmp_path / "a", 4, rank_pattern={"q_proj": 2, "v_proj": 6}, alpha_pattern={"v_proj": 30}
    )
    model = tiny_llama()
    stack = AdapterStack(model)
    stack.add({"a": read_adapter(folder)})
    found = stacked(model, stack, ["a", None, "a", "a"], IDS)
    assert torch.allclose(found[2], alone(folder, IDS[2:3])[0], atol=1e-5)


def test_a_layer_whose_weights_are_elsewhere_is_refused_by_name(tmp_path: Path) -> None:
    model = tiny_llama()
    folder = write_adapter(tmp_path / "a", 4)
    # As where accelerate leaves layers out for want of memory.
    model.model.layers[0].self_attn.q_proj.to("meta")
    with pytest.raises(ModelSourceError, match=r"q_proj.*for want of memory"):
        AdapterStack(model).add({"a": read_adapter(folder)})


@pytest.mark.parametrize("architecture", ["GPT2", "GPTNeoX", "Phi", "Cohere"])
def test_other_shapes_of_layers_are_stacked_and_given_back(
    architecture: str, tmp_path: Path
) -> None:
    """GPT-2's layers are transposed, and its adapters say so (`fan_in_fan_out`)."""
    from peft import PeftModel

    from palm_engine.lm.adapters.soup import write_soup

    transposed = architecture == "GPT2"
    folders: dict[str, Path] = {
        "a": write_adapter(tmp_path / "a", 1, 4, architecture=architecture),
        "b": write_adapter(
            tmp_path / "b", 2, 2, architecture=architecture, fan_in_fan_out=transposed
        ),
    }
    folders["soup"] = write_soup(tmp_path / "soup", {folders["a"]: 0.3, folders["b"]: 0.7})
    model = tiny_model(architecture)
    stack = AdapterStack(model)
    stack.add({name: read_adapter(folder) for name, folder in folders.items()})
    found = stacked(model, stack, ["b", "a", None, "soup"], IDS)
    for row, name in enumerate(("b", "a", None, "soup")):
        peft = tiny_model(architecture)
        if name is not None:
            peft = PeftModel.from_pretrained(peft, str(folders[name])).eval()
        with torch.inference_mode():
            expected = peft(IDS[row : row + 1]).logits[0]
        assert torch.allclose(found[row], expected, atol=1e-4), name
    stack.close()
    untouched = tiny_model(architecture)
    for (name, own), before in zip(
        model.state_dict().items(), untouched.state_dict().values(), strict=True
    ):
        assert torch.equal(own, before), name
    with torch.inference_mode():
        assert torch.equal(model(IDS).logits, untouched(IDS).logits)


def test_a_subset_of_rows_keeps_each_rows_adapter(loaded: Any) -> None:
    model, stack, folders = loaded
    running = stack.on_rows(["a", "b", "c", None])
    rows = torch.tensor([3, 1])
    with torch.inference_mode(), running(rows):
        found = model(IDS[rows]).logits
    assert torch.allclose(found[1], alone(folders["b"], IDS[1:2])[0], atol=1e-5)
    assert torch.allclose(found[0], alone(None, IDS[3:4])[0], atol=1e-5)


def test_outside_of_a_run_the_model_is_the_base(loaded: Any) -> None:
    model, stack, _ = loaded
    with torch.inference_mode():
        before = model(IDS).logits
    # Packed weights are multiplied by another kernel than transformers' own layers: the same but
    # for rounding.
    assert torch.allclose(before, alone(None, IDS), atol=1e-5)
    with pytest.raises(RuntimeError, match="stop"), stack.on_rows(["a"] * 4)(torch.arange(4)):
        raise RuntimeError("stop")
    with torch.inference_mode():
        assert torch.equal(model(IDS).logits, before)
    assert stack.running.active is None


def test_removing_one_leaves_the_others_and_closing_restores_the_layers(bundle: Bundle) -> None:
    model = tiny_llama()
    untouched = tiny_llama()
    stack = AdapterStack(model)
    stack.add({name: read_adapter(bundle.adapter_folder(name)) for name in "abc"})
    stack.remove("a")
    stack.add({"d": read_adapter(bundle.adapter_folder("a"))})
    assert sorted(stack.names) == ["b", "c", "d"]
    found = stacked(model, stack, ["b", "c", "d", None], IDS)
    for row, folder in enumerate(("b", "c", "a")):
        assert torch.allclose(
            found[row], alone(bundle.adapter_folder(folder), IDS[row : row + 1])[0], atol=1e-5
        )
    for name in ("d", "b", "c"):
        stack.remove(name)
    found = stacked(model, stack, [None] * 4, IDS)
    assert torch.allclose(found, alone(None, IDS), atol=1e-5)
    assert all(not group.owners for group in stack._groups)
    stack.close()
    assert {n: type(m) for n, m in model.named_modules()} == {
        n: type(m) for n, m in untouched.named_modules()
    }
    assert all(
        torch.equal(a, b)
        for a, b in zip(model.state_dict().values(), untouched.state_dict().values(), strict=True)
    )
    assert torch.equal(model(IDS).logits, alone(None, IDS))


def test_bytes_are_counted_by_adapter(loaded: Any) -> None:
    _, stack, folders = loaded
    for name, folder in folders.items():
        assert stack.bytes_of(name) == 4 * read_adapter(folder).parameters


def test_the_model_is_the_base_again_whatever_step_a_run_stops_at(bundle: Bundle) -> None:
    backend = tiny_local(bundle)
    model = backend.model.base.model
    with torch.inference_mode():
        expected = model(IDS).logits
    for stop in range(14):
        stream = backend.stream(["Hello?"], ["a", "b", "base"], live_settings(bundle))
        for _, _ in zip(range(stop), stream, strict=False):
            with torch.inference_mode():
                assert torch.equal(model(IDS).logits, expected)
        stream.close()
    with torch.inference_mode():
        assert torch.equal(model(IDS).logits, expected)
    backend.unload("a")
    assert "a" not in backend.loaded


def test_adapters_that_come_and_go_between_two_tokens_change_no_answer(bundle: Bundle) -> None:
    settings = live_settings(bundle, max_new_tokens=30, temperature=0)
    expected = [p.text for p in tiny_local(bundle).stream(["Hello?"], ["b", "base"], settings)]
    backend = tiny_local(bundle)
    backend.load(["a", "b"])
    found = []
    for i, piece in enumerate(backend.stream(["Hello?"], ["b", "base"], settings)):
        found.append(piece.text)
        (backend.load if i % 4 < 2 else backend.unload)(["a"] if i % 4 < 2 else "a")
        if i % 3 == 0:
            backend.load(["c"])
        else:
            backend.unload("c")
    assert found == expected


def test_what_answers_is_not_unloaded(bundle: Bundle) -> None:
    backend = tiny_local(bundle)
    stream = backend.stream(["Hello?"], ["a"], live_settings(bundle))
    next(stream)
    with pytest.raises(GenerationError, match="is answering"):
        backend.unload("a")
    backend.load(["b", "c"])
    backend.model.stack.trim(0)
    assert set(backend.loaded) == {"base", "short", "a"}
    stream.close()
    backend.unload("a")
    assert set(backend.loaded) == {"base", "short"}


def test_trimming_unloads_those_asked_longest_ago(bundle: Bundle) -> None:
    backend = tiny_local(bundle)
    backend.load(["a", "b", "c"])
    list(backend.stream(["Hello?"], ["a"], live_settings(bundle)))
    backend.model.stack.trim(2)
    assert set(backend.loaded) == {"base", "short", "a", "c"}


def test_a_failed_addition_leaves_the_others_as_they_were(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_llama()
    stack = AdapterStack(model)
    stack.add({"a": read_adapter(bundle.adapter_folder("a"))})
    before = stacked(model, stack, ["a", None, "a", None], IDS)
    more = {name: read_adapter(bundle.adapter_folder(name)) for name in "bc"}
    usual = Group.build
    calls = []

    def full(group: Group) -> None:
        calls.append(group)
        if len(calls) == 4:
            raise MemoryError
        usual(group)

    monkeypatch.setattr(Group, "build", full)
    with pytest.raises(MemoryError):
        stack.add(more)
    monkeypatch.setattr(Group, "build", usual)
    assert stack.names == ["a"]
    assert torch.equal(stacked(model, stack, ["a", None, "a", None], IDS), before)
    stack.add(more)
    assert torch.allclose(
        stacked(model, stack, ["b"] * 4, IDS), alone(bundle.adapter_folder("b"), IDS), atol=1e-5
    )
    assert torch.allclose(
        stacked(model, stack, ["c"] * 4, IDS), alone(bundle.adapter_folder("c"), IDS), atol=1e-5
    )


def test_an_adapter_that_does_not_fit_is_refused_whole(bundle: Bundle, tmp_path: Path) -> None:
    import transformers

    other = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=64,
            hidden_size=16,
            intermediate_size=24,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=1,
        )
    ).eval()
    stack = AdapterStack(other)
    with pytest.raises(ModelSourceError, match=r"trained on another model|doesn't have"):
        stack.add({"a": read_adapter(bundle.adapter_folder("a"))})
    assert stack.names == []


def test_a_prompt_beyond_the_models_context_is_refused(bundle: Bundle) -> None:
    with pytest.raises(InvalidInputError, match="don't fit"):
        tiny_local(bundle).stream(["long " * 200], ["a"], live_settings(bundle))
