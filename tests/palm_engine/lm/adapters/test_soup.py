"""Soups are exact: they equal the weighted sum of their parts' changes of the weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from palm_engine.errors import InvalidInputError, ModelSourceError
from tests.support.fakes import stacked, tiny_llama, write_adapter

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

from palm_engine.lm.adapters.files import read_adapter, with_adapter
from palm_engine.lm.adapters.soup import write_soup
from palm_engine.lm.adapters.stack import AdapterStack


def changes(folder: Path) -> dict[str, Any]:
    """What an adapter adds to each weight of the base, by peft's own merge."""
    base = dict(tiny_llama().named_parameters())
    merged = dict(with_adapter(tiny_llama(), folder).named_parameters())
    return {k: (merged[k] - base[k]).detach() for k in base}


@pytest.fixture
def parts(tmp_path: Path) -> list[Path]:
    """Of unequal rank, targets and scaling."""
    return [
        write_adapter(tmp_path / "a", 1, rank=4),
        write_adapter(tmp_path / "b", 2, rank=2, targets=["q_proj", "down_proj"]),
        write_adapter(tmp_path / "c", 3, rank=3, use_rslora=True, alpha_pattern={"k_proj": 5}),
    ]


@pytest.mark.parametrize("weights", [(0.5, 0.3, 0.2), (1.0, 0.0, 0.0), (0.0, -0.5, 2.0)])
def test_a_soup_is_the_weighted_sum_of_its_parts(
    parts: list[Path], tmp_path: Path, weights: tuple[float, ...]
) -> None:
    soup = write_soup(tmp_path / "soup", dict(zip(parts, weights, strict=True)))
    own = [changes(p) for p in parts]
    for name, change in changes(soup).items():
        expected = sum(w * part[name] for w, part in zip(weights, own, strict=True))
        assert torch.allclose(change, expected, atol=2e-6), name


def test_weight_one_gives_the_adapter_back_on_the_stack(parts: list[Path], tmp_path: Path) -> None:
    soup = write_soup(tmp_path / "soup", {parts[2]: 1.0, parts[0]: 0.0})
    model = tiny_llama()
    stack = AdapterStack(model)
    stack.add({"own": read_adapter(parts[2]), "soup": read_adapter(soup)})
    ids = torch.tensor([[5, 6, 7, 8]] * 2)
    own, again = stacked(model, stack, ["own", "soup"], ids)
    assert torch.allclose(own, again, atol=1e-5)
    plain = stacked(model, stack, [None, None], ids)[0]
    assert (own - plain).abs().max() > 0.01


def test_what_is_no_soup_is_refused(parts: list[Path], tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="other than 0"):
        write_soup(tmp_path / "soup", {parts[0]: 0.0})
    dora = write_adapter(tmp_path / "dora", 4, use_dora=True)
    with pytest.raises(ModelSourceError, match="use_dora"):
        write_soup(tmp_path / "soup", {parts[0]: 0.5, dora: 0.5})
    assert not (tmp_path / "soup").exists()
