"""A linear layer with the columns of many adapters beside it; without an active batch it is the layer it replaced.

Imports torch: import this module only where a model is touched.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from palm_engine.lm.stack import AdapterStack


@dataclass
class Active:
    """The rows of the forward pass that runs now: their masks by group, and the latest product with A.

    Only the latest: layers that share an input run one after another, and older inputs must not be kept alive.
    """

    masks: dict[int, Tensor]
    group: int = 0
    input: Tensor | None = None
    product: Tensor | None = None


class Group:
    """Layers with one input: `down` is all their A (columns of every adapter, layer after layer)."""

    def __init__(self) -> None:
        self.layers: list[StackedLinear] = []
        self.down: Tensor | None = None
        self.owners: Tensor | None = None

    def gather(self) -> None:
        """Put the layers' A together, and tell each layer which columns of the product are its own."""
        used = [layer for layer in self.layers if layer.owners.numel()]
        start = 0
        for layer in used:
            layer.columns = slice(start, start + layer.owners.numel())
            start += layer.owners.numel()
        self.down = torch.cat([layer.down for layer in used]) if used else None
        self.owners = torch.cat([layer.owners for layer in used]) if used else None
        for layer in used:
            # The one copy of A is the group's; a layer keeps a view of it.
            assert self.down is not None
            layer.down = self.down[layer.columns]


class StackedLinear(nn.Linear):
    """A linear layer and the columns of the adapters on it; without an active batch it is the layer it replaced."""

    def __init__(self, original: nn.Linear, stack: AdapterStack, group: Group) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = original.in_features, original.out_features
        self.weight, self.bias = original.weight, original.bias
        self.original, self.stack, self.group = [original], stack, group  # in a list: not a submodule
        self.down, self.up = self.weight.new_empty(0, self.in_features), self.weight.new_empty(0, self.out_features)
        self.owners = torch.empty(0, dtype=torch.long, device=self.weight.device)
        self.columns = slice(0, 0)
        group.layers.append(self)

    def forward(self, input: Tensor) -> Tensor:
        """The base's output, plus each row's own adapter's."""
        out = nn.functional.linear(input, self.weight, self.bias)
        active = self.stack.active
        if active is None or not self.owners.numel():
            return out
        key = id(self.group)
        if active.group != key or active.input is not input:
            assert self.group.down is not None
            product = nn.functional.linear(input, self.group.down).mul_(active.masks[key])
            active.group, active.input, active.product = key, input, product.view(-1, product.shape[-1])
        assert active.product is not None
        out.view(-1, self.out_features).addmm_(active.product[:, self.columns], self.up)
        return out
