"""A key-value cache that grows in steps of room: transformers' own copies all of it at every token.

Imports torch: import this module only where a model is touched.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

ROOM = 64


class GrowingLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values (rows, heads, tokens, width) as views of buffers that have room for ROOM more tokens."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._buffers: tuple[Tensor, Tensor] | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Append the new tokens' states; all keys and values so far."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        before = self.get_seq_length()
        after = before + key_states.shape[-2]
        if self._buffers is None or self._buffers[0].shape[-2] < after:
            self._buffers = self._grown(self.keys, key_states, after), self._grown(self.values, value_states, after)
        for buffer, states in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[..., before:after, :] = states
        self.keys: Tensor = self._buffers[0][..., :after, :]
        self.values: Tensor = self._buffers[1][..., :after, :]
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        """Only keep the rows at `indices`."""
        super().batch_select_indices(indices)
        self._buffers = None  # keys and values are now tensors of their own

    @staticmethod
    def _grown(old: Tensor, states: Tensor, tokens: int) -> Tensor:
        shape = (*states.shape[:-2], tokens + ROOM, states.shape[-1])
        buffer = torch.empty(shape, dtype=states.dtype, device=states.device)
        if old.numel():
            buffer[..., : old.shape[-2], :] = old
        return buffer


def growing_cache(config: Any) -> Any:
    """transformers' cache for a model of this `config`, its plain layers replaced by growing ones."""
    cache = DynamicCache(config=config)
    cache.layers = [GrowingLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache
