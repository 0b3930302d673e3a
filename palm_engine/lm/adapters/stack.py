"""Many LoRA adapters on one base model, each row of a batch under its own.

No weight is merged or switched.

Layers that share an input (q, k, v; gate, up) are a group and run as one product, on CPU with
packed weights (`packed_weight.py`) and all adapters' A below each other among their rows. A batch
runs through `x W^T + (mask * (x A^T)) B^T`, where a row's mask keeps the columns of its own
adapter; a row of the base has an empty mask. Adapters of unequal rank or targets simply have more,
fewer or no columns. Rows may come in any order and number; the price is `members x rank` columns,
small beside the base for portfolios of the size that PALM gives. Tried against `torch.baddbmm` over
stacked (A, B), which needs equally many rows per member, before layers were grouped and packed: six
members on one CPU thread ran at .86 of the base alone in bf16 (baddbmm: .79) and .91 in fp32
(baddbmm: .94). Now they run at .79 and .90 of a base that is 1.6 and 1.4 times as fast; with A in a
product of its own it is .74 and .87.

The idea of serving many adapters on one base in one batch: Punica (arXiv 2310.18547), S-LoRA (arXiv
2311.03285). Imports torch: import this module only where a model is touched.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from palm_engine.errors import GenerationError, ModelSourceError
from palm_engine.lm.adapters.files import LoraWeights
from palm_engine.lm.adapters.stacked_linear import (
    Active,
    Group,
    LayerAdapter,
    Running,
    StackedLinear,
    as_linear,
    fitting_layer,
    give_back,
    is_linear,
    layers_by_input,
)


class AdapterStack:
    """The adapters on `model`, by name.

    Adding and removing changes no weight of the model, and no run in progress but for rounding: in
    bf16 a product's depends on how many columns it has.

    The stack holds the model's linear layers from its making until `close`.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.running = Running()
        self._layers: dict[str, StackedLinear] = {}
        self._groups: list[Group] = []
        self._names: list[str | None] = []  # None: a place that is free again
        self._bytes: dict[str, int] = {}
        self._held: Counter[str] = Counter()
        self._version = 0  # of the columns: masks made for another are stale
        self._stale = False
        self._lock = threading.RLock()
        with torch.no_grad():
            self._install_all()

    @property
    def names(self) -> list[str]:
        """Names of the adapters that are loaded, those asked longest ago first."""
        with self._lock:
            return list(self._bytes)

    @property
    def base_bytes(self) -> int:
        """Memory that the model's own weights take."""
        left = sum(int(p.numel() * p.element_size()) for p in self.model.parameters())
        return left + sum(group.base_bytes for group in self._groups)

    def bytes_of(self, name: str) -> int:
        """Memory that the adapter takes, in bytes; 0 where it isn't loaded."""
        return self._bytes.get(name, 0)

    def add(self, adapters: Mapping[str, LoraWeights]) -> None:
        """Load adapters by name, those that aren't yet; all or none.

        Raises ModelSourceError where one doesn't fit.
        """
        with self._lock, torch.inference_mode():
            new = {name: lora for name, lora in adapters.items() if name not in self._bytes}
            if not new:
                return
            # Whatever doesn't fit the model is found before anything is changed.
            layers = {
                name: {path: self._layer(path, a, b) for path, (a, b, _) in lora.layers.items()}
                for name, lora in new.items()
            }
            self._names += [None] * (len(new) - self._names.count(None))
            places = dict(
                zip(new, (i for i, name in enumerate(self._names) if name is None), strict=False)
            )
            sizes = dict.fromkeys(new, 0)
            try:
                for name, lora in new.items():
                    for path, (a, b, scale) in lora.layers.items():
                        layer = layers[name][path]
                        layer.group.add(
                            LayerAdapter(places[name], layer.part, a, (b.float() * scale).t())
                        )
                        sizes[name] += (a.numel() + b.numel()) * layer.group.element_size
                self._build()
            except BaseException:  # out of memory, for one: the others must go on as before
                for place in places.values():
                    self._drop(place)
                raise
            for name, place in places.items():
                self._names[place] = name
                self._bytes[name] = sizes[name]

    def remove(self, name: str) -> None:
        """Unload an adapter, if it is loaded.

        Raises:
            GenerationError: while an answer under it is in progress.
        """
        with self._lock, torch.inference_mode():
            if name not in self._bytes:
                return
            if self._held[name]:
                raise GenerationError("this member is answering; unload it when it is done")
            place = self._names.index(name)
            self._names[place] = None
            del self._bytes[name]
            self._drop(place)

    def trim(self, most: int, keep: Sequence[str] = ()) -> None:
        """Unload those asked longest ago until at most `most` are left.

        Those in `keep` and in use stay.
        """
        with self._lock:
            for name in self.names:
                if len(self._bytes) <= most:
                    return
                if name not in keep and not self._held[name]:
                    self.remove(name)

    def close(self) -> None:
        """Unload all; the model has its own layers again, with their own weights."""
        with self._lock, torch.no_grad():
            self._groups = []
            self._names = []
            self._bytes = {}
            self._version = self._version + 1
            self._stale = False
            while self._layers:  # one by one: no second copy of the whole model in between
                path, layer = self._layers.popitem()
                self._put(path, give_back(layer))

    @contextmanager
    def hold(self, adapters: Sequence[str]) -> Iterator[None]:
        """Keep `adapters` from being removed for as long as the context lasts.

        While answers under them go on.
        """
        names = set(adapters)
        with self._lock:
            self._held.update(names)
        try:
            yield
        finally:
            with self._lock:
                self._held.subtract(names)

    def on_rows(
        self, adapters: Sequence[str | None]
    ) -> Callable[[Tensor], AbstractContextManager[None]]:
        """The context of a forward pass over a batch whose requests run under adapters.

        Args:
            adapters: the adapter of each request; None is the base alone.

        Returns:
            A function from the requests that a pass runs, as a tensor of their numbers (rows,), to
            its context.

        Raises:
            GenerationError: an adapter was unloaded.
        """
        asked = list(adapters)
        kept: tuple[Tensor, int, dict[int, Tensor]] | None = None

        @contextmanager
        def running(rows: Tensor) -> Iterator[None]:
            nonlocal kept
            with self._lock:
                if self._stale:
                    with torch.inference_mode():
                        self._build()
                if kept is None or kept[0] is not rows or kept[1] != self._version:
                    kept = (rows, self._version, self._masks(self._places(asked, rows)))
                self.running.active = Active(kept[2])
                try:
                    yield
                finally:
                    self.running.active = None

        return running

    def _places(self, asked: Sequence[str | None], rows: Tensor) -> Tensor:
        """Where the rows' adapters are among the columns, shape (rows,); -1 for the base.

        Raises:
            GenerationError: an adapter was unloaded.
        """
        names = [asked[i] for i in rows.tolist()]
        for name in dict.fromkeys(names):
            if name is not None:
                if name not in self._bytes:
                    raise GenerationError("a member was unloaded while it answered; ask again")
                self._bytes[name] = self._bytes.pop(name)  # asked last
        return torch.tensor([-1 if name is None else self._names.index(name) for name in names])

    def _masks(self, places: Tensor) -> dict[int, Tensor]:
        """A mask (rows, 1, columns) for every group that has columns.

        Those alike are one tensor.
        """
        masks: dict[int, Tensor] = {}
        alike: dict[tuple[Any, ...], Tensor] = {}
        for group in self._groups:
            up = group.parts[0].up
            kind = (up.device, up.dtype, *group.owners)
            if group.owners and kind not in alike:
                own = places[:, None] == torch.tensor(group.owners)[None, :]
                alike[kind] = own[:, None, :].to(up)
            if group.owners:
                masks[id(group)] = alike[kind]
        return masks

    def _drop(self, place: int) -> None:
        """Have the next run begin without the columns at `place`."""
        for group in self._groups:
            group.drop(place)
        self._stale = True

    def _build(self) -> None:
        self._version += 1
        for group in self._groups:
            group.build()
        self._stale = False

    def _layer(self, path: str, a: Tensor, b: Tensor) -> StackedLinear:
        """The layer that an adapter's `path` names.

        Raises:
            ModelSourceError: there is none, it is of another size, or its weights are elsewhere.
        """
        layer = fitting_layer(self.model, path, a, b)
        weight = getattr(layer, "weight", None)
        if weight is not None and weight.is_meta:
            raise ModelSourceError(
                f"the adapter targets {path}, which is kept outside of the device for want of"
                " memory; take a device that holds the whole model, or a smaller number format"
            )
        if is_linear(layer):  # tied: left alone until an adapter asks for it
            self._install([path], tied=True)
            layer = self._layers[path]
        assert isinstance(layer, StackedLinear)
        return layer

    def _install_all(self) -> None:
        for paths in layers_by_input(self.model):
            self._install(paths)
        for parameter in self.model.parameters():
            if (
                parameter.device.type == "cpu"
            ):  # it may lie in the mapped file, and would keep all of that in memory
                parameter.data = parameter.data.clone()

    def _install(self, paths: Sequence[str], tied: bool = False) -> None:
        """Make a group of layers, which takes their weights over.

        Weights that are `tied` to another module's stay where they are.
        """
        originals = [self.model.get_submodule(path) for path in paths]
        group = Group([as_linear(layer) for layer in originals], tied)
        self._groups.append(group)
        for i, (path, original) in enumerate(zip(paths, originals, strict=True)):
            self._layers[path] = StackedLinear(original, self.running, group, i)
            self._put(path, self._layers[path])
            if not tied:  # the one copy of the weights is the group's
                original.weight.data = original.weight.new_empty(0)
                if original.bias is not None:
                    original.bias.data = (
                        original.bias.data.clone()
                    )  # small, but it may lie in the mapped file

    def _put(self, path: str, layer: nn.Module) -> None:
        parent, _, last = path.rpartition(".")
        setattr(self.model.get_submodule(parent), last, layer)
