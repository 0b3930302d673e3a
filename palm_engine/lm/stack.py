"""Many LoRA adapters on one base model, each row of a batch under its own: no weight is merged or switched.

The adapters of a layer lie side by side: all their A below each other, all their B next to each other. A batch runs
through `base(x) + (mask * (x A^T)) B^T`, where a row's mask keeps the columns of its own adapter; a row of the base has
an empty mask. Adapters of unequal rank or targets simply have more, fewer or no columns. Rows may come in any order and
number; the price is `members x rank` columns, small beside the base for portfolios of the size that PALM gives. Tried
against `torch.baddbmm` over stacked (A, B), which needs equally many rows a member: six members on one CPU thread ran
at .86 of the base alone in bf16 (baddbmm: .79) and .91 in fp32 (baddbmm: .94).
Layers that share an input (q, k, v; gate, up) share one product with A.

The idea of serving many adapters on one base in one batch: Punica (arXiv 2310.18547), S-LoRA (arXiv 2311.03285).
Imports torch: import this module only where a model is touched.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from palm_engine.errors import GenerationError, ModelSourceError
from palm_engine.lm.adapters import LoraWeights
from palm_engine.lm.stacked_linear import Active, Group, StackedLinear

SHARED_INPUTS = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))


class AdapterStack:
    """The adapters on `model`, by name. Adding and removing changes no weight of the model, and no run in progress."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.active: Active | None = None
        self._layers: dict[str, StackedLinear] = {}
        self._groups: dict[str, Group] = {}
        self._names: list[str | None] = []  # None: a place that is free again
        self._bytes: dict[str, int] = {}
        self._held: Counter[str] = Counter()
        self._version = 0
        self._lock = threading.RLock()

    @property
    def names(self) -> list[str]:
        """Names of the adapters that are loaded, those asked longest ago first."""
        with self._lock:
            return list(self._bytes)

    def bytes_of(self, name: str) -> int:
        """Memory that the adapter takes, in bytes; 0 where it isn't loaded."""
        return self._bytes.get(name, 0)

    def add(self, name: str, lora: LoraWeights) -> None:
        """Load an adapter; nothing is changed where it doesn't fit the model. Raises ModelSourceError."""
        with self._lock, torch.inference_mode():
            if name in self._bytes:
                return
            found = {path: self._fitting(path, a, b) for path, (a, b, _) in lora.layers.items()}
            if None not in self._names:
                self._names.append(None)
            place = self._names.index(None)
            size = 0
            try:
                for path, (a, b, scale) in lora.layers.items():
                    layer = self._layers.get(path) or self._install(path, found[path])
                    weight = layer.weight
                    down, up = a.to(weight), (b.float() * scale).t().to(weight)
                    owners = torch.cat([layer.owners, layer.owners.new_full((len(down),), place)])
                    ups = torch.cat([layer.up, up]).contiguous()
                    layer.down, layer.up, layer.owners = torch.cat([layer.down, down]), ups, owners
                    size += (down.numel() + up.numel()) * weight.element_size()
                self._gather()
            except BaseException:  # out of memory, for one: the others must go on as before
                self._drop(place)
                raise
            self._names[place], self._bytes[name] = name, size

    def remove(self, name: str) -> None:
        """Unload an adapter, if it is loaded. Raises GenerationError while an answer under it is in progress."""
        with self._lock, torch.inference_mode():
            if name not in self._bytes:
                return
            if self._held[name]:
                raise GenerationError("this member is answering; unload it when it is done")
            place = self._names.index(name)
            self._names[place] = None
            del self._bytes[name]
            self._drop(place)
            if not self._bytes:
                self.close()

    def trim(self, most: int, keep: Sequence[str] = ()) -> None:
        """Unload those asked longest ago until at most `most` are left; those in `keep` and in use stay."""
        with self._lock:
            for name in self.names:
                if len(self._bytes) <= most:
                    return
                if name not in keep and not self._held[name]:
                    self.remove(name)

    def close(self) -> None:
        """Unload all; the model has its own layers again."""
        with self._lock:
            for path, layer in self._layers.items():
                parent, _, last = path.rpartition(".")
                setattr(self.model.get_submodule(parent), last, layer.original[0])
            self._layers, self._groups, self._names, self._bytes = {}, {}, [], {}
            self._version += 1

    @contextmanager
    def hold(self, adapters: Sequence[str]) -> Iterator[None]:
        """Keep `adapters` from being removed for as long as the context lasts: while answers under them go on."""
        names = set(adapters)
        with self._lock:
            self._held.update(names)
        try:
            yield
        finally:
            with self._lock:
                self._held.subtract(names)

    def on_rows(self, adapters: Sequence[str | None]) -> Callable[[Tensor], AbstractContextManager[None]]:
        """For a batch whose request i runs under `adapters[i]` (None: the base alone), a function from the requests
        that the rows of a forward pass serve, shape (rows,), to the context to run it in.

        Nothing is active outside of that context: a run that stops or fails leaves the model as it was. Adapters may
        come and go between two passes. The context raises GenerationError where one of its own isn't there any more.
        """
        asked = list(adapters)
        kept: tuple[Tensor, int, dict[int, Tensor]] | None = None

        @contextmanager
        def running(rows: Tensor) -> Iterator[None]:
            nonlocal kept
            with self._lock:
                if kept is None or kept[0] is not rows or kept[1] != self._version:
                    kept = (rows, self._version, self._masks(self._places(asked, rows)))
                self.active = Active(kept[2])
                try:
                    yield
                finally:
                    self.active = None

        return running

    def _places(self, asked: Sequence[str | None], rows: Tensor) -> Tensor:
        """Where the rows' adapters are among the columns, shape (rows,); -1 for the base."""
        names = [asked[i] for i in rows.tolist()]
        for name in dict.fromkeys(names):
            if name is not None:
                if name not in self._bytes:
                    raise GenerationError("a member was unloaded while it answered; ask again")
                self._bytes[name] = self._bytes.pop(name)  # asked last
        return torch.tensor([-1 if name is None else self._names.index(name) for name in names])

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
        self._version += 1
        for group in self._groups.values():
            group.gather()

    def _drop(self, place: int) -> None:
        """Take the columns at `place` out of every layer."""
        for layer in self._layers.values():
            kept = layer.owners != place
            layer.down, layer.up, layer.owners = layer.down[kept], layer.up[kept], layer.owners[kept]
        self._gather()

    def _fitting(self, path: str, a: Tensor, b: Tensor) -> nn.Linear:
        try:
            layer = self.model.get_submodule(path)
        except AttributeError:
            raise ModelSourceError(f"the adapter targets {path}, which this base model doesn't have") from None
        if type(layer) not in (nn.Linear, StackedLinear):  # subclasses may pack their weights
            raise ModelSourceError(f"the adapter targets {path}, a {type(layer).__name__}; only linear layers can be")
        if a.shape[1] != layer.in_features or b.shape[0] != layer.out_features:
            raise ModelSourceError(
                f"the adapter's {path} is for a layer {a.shape[1]} -> {b.shape[0]}, this base model's is "
                f"{layer.in_features} -> {layer.out_features}: it was trained on another model"
            )
        return layer  # type: ignore[no-any-return]

    def _install(self, path: str, original: nn.Linear) -> StackedLinear:
        parent, _, last = path.rpartition(".")
        shared = next((names for names in SHARED_INPUTS if last in names), (last,))
        group = self._groups.setdefault(f"{parent}.{shared[0]}", Group())
        layer = StackedLinear(original, self, group)
        setattr(self.model.get_submodule(parent), last, layer)
        self._layers[path] = layer
        return layer
