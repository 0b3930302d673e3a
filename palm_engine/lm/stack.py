"""Many LoRA adapters on one base model, each row of a batch under its own: no weight is merged or switched.

The adapters of a layer lie side by side: all their A below each other, all their B next to each other. A batch runs
through `base(x) + (mask * (x A^T)) B^T`, where a row's mask keeps the columns of its own adapter; a row of the base has
an empty mask. Adapters of unequal rank or targets simply have more, fewer or no columns. On a CPU this beats
`torch.baddbmm` over one (A, B) a row in bf16 and equals it in fp32 (`make bench`), takes rows in any order and number,
and costs `members x rank` columns, which stays small beside the base for portfolios of the size that PALM gives.
Layers that share an input (q, k, v; gate, up) share one product with A.

The idea of serving many adapters on one base in one batch: Punica (arXiv 2310.18547), S-LoRA (arXiv 2311.03285).
Imports torch: import this module only where a model is touched.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from palm_engine.errors import ModelSourceError
from palm_engine.lm.adapters import LoraWeights

SHARED_INPUTS = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))


@dataclass
class _Active:
    """The rows of the forward pass that runs now: their masks by group, and products with A not yet used up."""

    masks: dict[int, Tensor]
    products: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)


class _Group:
    """Layers with one input: `down` is all their A (columns of every adapter, layer after layer)."""

    def __init__(self) -> None:
        self.layers: list[_StackedLinear] = []
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


class _StackedLinear(nn.Linear):
    """A linear layer and the columns of the adapters on it; without an active batch it is the layer it replaced."""

    def __init__(self, original: nn.Linear, stack: AdapterStack, group: _Group) -> None:
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
        known = active.products.get(key)
        if known is None or known[0] is not input:
            assert self.group.down is not None
            product = nn.functional.linear(input, self.group.down).mul_(active.masks[key])
            known = active.products[key] = (input, product.view(-1, product.shape[-1]))
        out.view(-1, self.out_features).addmm_(known[1][:, self.columns], self.up)
        return out


class AdapterStack:
    """The adapters on `model`, by name. Adding and removing changes no weight of the model."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.active: _Active | None = None
        self._layers: dict[str, _StackedLinear] = {}
        self._groups: dict[str, _Group] = {}
        self._names: list[str | None] = []  # None: a place that is free again
        self._bytes: dict[str, int] = {}
        self._lock = threading.RLock()

    @property
    def names(self) -> list[str]:
        """Names of the adapters that are loaded."""
        return [name for name in self._names if name is not None]

    def bytes_of(self, name: str) -> int:
        """Memory that the adapter takes, in bytes."""
        return self._bytes[name]

    def add(self, name: str, lora: LoraWeights) -> None:
        """Load an adapter; nothing is changed where it doesn't fit the model. Raises ModelSourceError."""
        with self._lock, torch.inference_mode():
            if name in self._names:
                return
            found = {path: self._fitting(path, a, b) for path, (a, b, _) in lora.layers.items()}
            if None not in self._names:
                self._names.append(None)
            place = self._names.index(None)
            size = 0
            for path, (a, b, scale) in lora.layers.items():
                layer = self._layers.get(path) or self._install(path, found[path])
                weight = layer.weight
                down, up = a.to(weight), (b.float() * scale).t().to(weight)
                layer.down, layer.up = torch.cat([layer.down, down]), torch.cat([layer.up, up]).contiguous()
                layer.owners = torch.cat([layer.owners, layer.owners.new_full((len(down),), place)])
                size += (down.numel() + up.numel()) * weight.element_size()
            self._gather()
            self._names[place], self._bytes[name] = name, size

    def remove(self, name: str) -> None:
        """Unload an adapter, if it is loaded."""
        with self._lock, torch.inference_mode():
            if name not in self._names:
                return
            place = self._names.index(name)
            for layer in self._layers.values():
                kept = layer.owners != place
                layer.down, layer.up, layer.owners = layer.down[kept], layer.up[kept], layer.owners[kept]
            self._gather()
            self._names[place] = None
            del self._bytes[name]
            if not self.names:
                self.close()

    def close(self) -> None:
        """Unload all; the model has its own layers again."""
        with self._lock:
            for path, layer in self._layers.items():
                parent, _, last = path.rpartition(".")
                setattr(self.model.get_submodule(parent), last, layer.original[0])
            self._layers, self._groups, self._names, self._bytes = {}, {}, [], {}

    def on_rows(self, adapters: Sequence[str | None]) -> Callable[[Tensor], AbstractContextManager[None]]:
        """For a batch whose request i runs under `adapters[i]` (None: the base alone), a function from the requests
        that the rows of a forward pass serve, shape (rows,), to the context to run it in.

        Nothing is active outside of that context: a run that stops or fails leaves the model as it was.
        """
        places = torch.tensor([-1 if name is None else self._names.index(name) for name in adapters])
        kept: tuple[Tensor, dict[int, Tensor]] | None = None

        @contextmanager
        def running(rows: Tensor) -> Iterator[None]:
            nonlocal kept
            with self._lock:
                if kept is None or kept[0] is not rows:
                    kept = (rows, self._masks(places[rows.to(places.device)]))
                self.active = _Active(kept[1])
                try:
                    yield
                finally:
                    self.active = None

        return running

    def _masks(self, places: Tensor) -> dict[int, Tensor]:
        masks: dict[int, Tensor] = {}
        alike: dict[tuple[Any, ...], Tensor] = {}
        for group in self._groups.values():
            if group.owners is None or group.down is None:
                continue
            kind = (group.owners.device, *group.owners.tolist())
            if kind not in alike:
                own = places.to(group.owners.device)[:, None] == group.owners[None, :]
                alike[kind] = own.to(group.down.dtype)[:, None, :]
            masks[id(group)] = alike[kind]
        return masks

    def _gather(self) -> None:
        for group in self._groups.values():
            group.gather()

    def _fitting(self, path: str, a: Tensor, b: Tensor) -> nn.Linear:
        try:
            layer = self.model.get_submodule(path)
        except AttributeError:
            raise ModelSourceError(f"the adapter targets {path}, which this base model doesn't have") from None
        if not isinstance(layer, nn.Linear):
            raise ModelSourceError(f"the adapter targets {path}, a {type(layer).__name__}; only linear layers can be")
        if a.shape[1] != layer.in_features or b.shape[0] != layer.out_features:
            raise ModelSourceError(
                f"the adapter's {path} is for a layer {a.shape[1]} -> {b.shape[0]}, this base model's is "
                f"{layer.in_features} -> {layer.out_features}: it was trained on another model"
            )
        return layer

    def _install(self, path: str, original: nn.Linear) -> _StackedLinear:
        parent, _, last = path.rpartition(".")
        shared = next((names for names in SHARED_INPUTS if last in names), (last,))
        group = self._groups.setdefault(f"{parent}.{shared[0]}", _Group())
        layer = _StackedLinear(original, self, group)
        setattr(self.model.get_submodule(parent), last, layer)
        self._layers[path] = layer
        return layer
