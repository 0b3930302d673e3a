"""Linear layers that share an input as one product, the A of many adapters among its rows.

Imports torch: import this module only where a model is touched.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from palm_engine.errors import ModelSourceError
from palm_engine.lm.adapters.files import NotPlainLoraError, read_adapter
from palm_engine.lm.adapters.packed_weight import Weight, can_pack
from palm_engine.lm.base_model.load import empty_model

# Where a product into a slice of a tensor has been wrong without an error in the past.
OUT_OF_PLACE = ("mps",)
SHARED_INPUTS = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))


@dataclass
class Active:
    """The rows of the forward pass that runs now.

    Their masks by group, and the latest group's product.

    Only the latest: layers that share an input run one after another, and older inputs must not be
    kept alive.
    """

    masks: dict[int, Tensor]
    group: Group | None = None
    input: Tensor | None = None
    output: Tensor | None = None


@dataclass
class Running:
    """The forward pass that runs now, shared by a stack and its layers.

    `active` is None outside of one.
    """

    active: Active | None = None


@dataclass(frozen=True)
class Part:
    """A layer of a group.

    Attributes:
        outputs: where its outputs are.
        columns: which columns are its adapters'.
        owners: whose those are.
        up: B^T of them, (columns, outputs).
    """

    outputs: slice
    columns: slice
    owners: tuple[int, ...]
    up: Tensor  # (columns, outputs)


@dataclass(frozen=True)
class LayerAdapter:
    """An adapter's share in a layer.

    A (rank, in) and scaled B^T (rank, out), by the place that the adapter has.
    """

    place: int
    part: int
    down: Tensor
    up: Tensor


class Group:
    """Layers with one input: their weights below each other, and all A of the adapters on them.

    Where weights are packed, A is among the rows of the weight: one product less. Elsewhere it
    stays apart, so that adding an adapter needn't copy the weights. `add` and `drop` only note what
    is to change; `build` does it.
    """

    def __init__(self, layers: Sequence[nn.Linear], tied: bool = False) -> None:
        ends = list(accumulate((layer.out_features for layer in layers), initial=0))
        first = layers[0].weight
        self.outputs = ends[-1]
        self.inputs = first.shape[1]
        self.parts = [
            Part(slice(start, end), slice(0, 0), (), first.new_empty(0, end - start))
            for start, end in pairwise(ends)
        ]
        biases = [
            first.new_zeros(x.out_features) if x.bias is None else x.bias.detach() for x in layers
        ]
        has_bias = any(layer.bias is not None for layer in layers)
        # On a CPU a weight may lie in the mapped file; elsewhere a single one needs no copy.
        stays = tied or (len(layers) == 1 and first.device.type != "cpu")
        weight = first.detach() if stays else torch.cat([layer.weight.detach() for layer in layers])
        pack = not tied and can_pack(first.device.type, first.dtype)
        self.weight = Weight(weight, torch.cat(biases) if has_bias else None, pack)
        self._tied = tied
        self._down = first.new_empty(0, self.inputs)  # A, where it isn't among the weight's rows
        self._new: list[LayerAdapter] = []
        self._gone: set[int] = set()

    @property
    def owners(self) -> tuple[int, ...]:
        """The place of each column's adapter."""
        return tuple(owner for part in self.parts for owner in part.owners)

    @property
    def element_size(self) -> int:
        """Bytes per element."""
        return self.parts[0].up.element_size()

    @property
    def base_bytes(self) -> int:
        """Memory of the layers' own weights and biases.

        Of a tied layer's weight, which is another module's, none.
        """
        numbers = (0 if self._tied else self.inputs) + (self.weight.bias is not None)
        return self.outputs * numbers * self.element_size

    def base(self) -> Tensor:
        """The layers' own weights (outputs, inputs), plain."""
        return self.weight.plain()[: self.outputs]

    def add(self, adapter: LayerAdapter) -> None:
        """Have the next `build` take `adapter` in."""
        self._new.append(adapter)

    def drop(self, place: int) -> None:
        """Have the next `build` take what the adapter at `place` has out."""
        self._new = [new for new in self._new if new.place != place]
        if place in self.owners:
            self._gone.add(place)

    def build(self) -> None:
        """Make the columns anew, where something is to change.

        Where that fails, all stays as it was.
        """
        if not self._new and not self._gone:
            return
        plain = self.weight.plain()
        packed = self.weight.packed
        before = plain[self.outputs :] if packed else self._down
        downs = []
        parts = []
        start = 0
        for i, part in enumerate(self.parts):
            kept = [j for j, owner in enumerate(part.owners) if owner not in self._gone]
            new = [adapter for adapter in self._new if adapter.part == i]
            downs += [before[part.columns][kept], *(adapter.down.to(before) for adapter in new)]
            up = torch.cat([part.up[kept], *(adapter.up.to(part.up) for adapter in new)])
            owners = [part.owners[j] for j in kept] + [
                adapter.place for adapter in new for _ in adapter.down
            ]
            parts.append(Part(part.outputs, slice(start, start + len(owners)), tuple(owners), up))
            start += len(owners)
        if packed:
            bias = self.weight.bias
            if bias is not None:
                bias = torch.cat([bias[: self.outputs], bias.new_zeros(start)])
            self.weight = Weight(torch.cat([plain[: self.outputs], *downs]), bias, True)
        else:
            self._down = torch.cat(downs)
        self.parts = parts
        self._new = []
        self._gone = set()

    def product(self, input: Tensor, mask: Tensor | None) -> Tensor:
        """All layers' outputs side by side, each row with its own adapter's.

        Args:
            input: shape (..., inputs).
            mask: 1 at the columns of the row's adapter, (rows, 1, columns); None where no row has
                any.

        Returns:
            Shape (..., outputs).
        """
        flat = input.reshape(-1, self.inputs).to(self._down.device)
        out = self.weight(flat)
        if mask is not None:
            low = (
                out[:, self.outputs :]
                if self.weight.packed
                else nn.functional.linear(flat, self._down)
            )
            low.view(len(mask), -1, low.shape[1]).mul_(mask)
        out = out[:, : self.outputs]
        if mask is not None and out.device.type in OUT_OF_PLACE:
            own = [part.outputs for part in self.parts]
            changes = [low[:, part.columns] @ part.up for part in self.parts]
            out = torch.cat([out[:, at] + by for at, by in zip(own, changes, strict=True)], 1)
        elif mask is not None:
            for part in self.parts:
                if part.owners:
                    out[:, part.outputs].addmm_(low[:, part.columns], part.up)
        return out.view(*input.shape[:-1], self.outputs)


class StackedLinear(nn.Linear):
    """The layer that is part `part` of a group, in the place of `original`.

    Outside of a run it does what that did.
    """

    def __init__(self, original: nn.Module, running: Running, group: Group, part: int) -> None:
        nn.Module.__init__(self)  # weight and bias are the group's
        outputs = group.parts[part].outputs
        self.in_features = group.inputs
        self.out_features = outputs.stop - outputs.start
        self.original = [original]  # in a list: not a submodule
        self.running = running
        self.group = group
        self.part = part
        self.outputs = outputs

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """The base's weight (out, in): unpacked at each look, which few models take."""
        return self.group.base()[self.outputs]

    @property
    def bias(self) -> Tensor | None:  # type: ignore[override]
        """The base's bias (out,), None where it has none."""
        bias = self.group.weight.bias
        return None if bias is None else bias[self.outputs]

    def forward(self, input: Tensor) -> Tensor:
        """The base's output (..., outputs) for `input` (..., inputs), plus each row's adapter's."""
        active = self.running.active
        group = self.group
        if active is None:
            return group.product(input, None)[..., self.outputs]
        if active.group is not group or active.input is not input:
            active.group = group
            active.input = input
            active.output = group.product(input, active.masks.get(id(group)))
        assert active.output is not None
        return active.output[..., self.outputs]


def is_linear(layer: nn.Module) -> bool:
    """Whether it is a linear layer that can be stacked on: torch's, or GPT-2's transposed one."""
    return type(layer) is nn.Linear or type(layer) is Conv1D


def fitting_layer(model: Any, path: str, a: Tensor, b: Tensor) -> nn.Module:
    """The layer of a model that an adapter's `path` names.

    Args:
        model: the base; it may be empty (on the device "meta").
        path: of the layer.
        a: the adapter's A, (rank, in).
        b: its B, (out, rank).

    Raises:
        ModelSourceError: there is none, it isn't linear, or of another size.
    """
    try:
        layer: nn.Module = model.get_submodule(path)
    except AttributeError:
        raise ModelSourceError(
            f"the adapter targets {path}, which this base model doesn't have"
        ) from None
    if isinstance(layer, Conv1D):
        size = (layer.nx, layer.nf)
    elif is_linear(layer) or isinstance(layer, StackedLinear):
        assert isinstance(layer, nn.Linear)
        size = (layer.in_features, layer.out_features)
    else:
        kind = type(layer).__name__
        raise ModelSourceError(f"the adapter targets {path}, a {kind}; only linear layers can be")
    if (a.shape[1], b.shape[0]) != size:
        raise ModelSourceError(
            f"the adapter's {path} is for a layer {a.shape[1]} -> {b.shape[0]}, this base"
            f" model's is {size[0]} -> {size[1]}: it was trained on another model"
        )
    return layer


def require_fits(folder: Path, base: Path) -> None:
    """Check that an adapter is for the layers of a base model, without loading either.

    peft leaves out layers that aren't there: the base would answer under the adapter's name.

    Args:
        folder: of a PEFT LoRA adapter; what is more than plain LoRA is left to peft.
        base: folder of the base model.

    Raises:
        ModelSourceError: it can't be read; or names the layer that doesn't fit.
    """
    try:
        weights = read_adapter(folder)
    except NotPlainLoraError:
        return
    shape = empty_model(base)
    for path, (a, b, _) in weights.layers.items():
        fitting_layer(shape, path, a, b)


def as_linear(layer: nn.Module) -> nn.Linear:
    """The layer itself, or a linear layer with the same function as a transposed one (a copy)."""
    if not isinstance(layer, Conv1D):
        assert isinstance(layer, nn.Linear)
        return layer
    linear = nn.Linear(layer.nx, layer.nf, device="meta")
    linear.weight = nn.Parameter(layer.weight.detach().t().contiguous(), requires_grad=False)
    linear.bias = layer.bias
    return linear


def give_back(layer: StackedLinear) -> nn.Module:
    """The layer that was there before, with its weight again."""
    original: Any = layer.original[0]
    if not original.weight.numel():
        weight = layer.weight.t() if isinstance(original, Conv1D) else layer.weight
        original.weight.data = weight.clone(memory_format=torch.contiguous_format)
    assert isinstance(original, nn.Module)
    return original


def layers_by_input(model: Any) -> Iterator[list[str]]:
    """The paths of the model's linear layers, those with one input together.

    Subclasses of linear layers may pack their weights their own way, and are left out; so are
    layers whose weight is another module's too: packing that would take a copy.
    """
    everywhere = [module for _, module in model.named_modules(remove_duplicate=False)]
    uses = Counter(id(p) for module in everywhere for p in module._parameters.values())
    groups: dict[tuple[Any, ...], list[str]] = {}
    for path, layer in model.named_modules():
        if not is_linear(layer) or layer.weight.is_meta or uses[id(layer.weight)] > 1:
            continue
        parent, _, last = path.rpartition(".")
        names = next((names for names in SHARED_INPUTS if last in names), (last,))
        inputs = layer.nx if isinstance(layer, Conv1D) else layer.in_features
        key = (parent, names, inputs, layer.weight.dtype, layer.weight.device)
        groups.setdefault(key, []).append(path)
    yield from groups.values()
