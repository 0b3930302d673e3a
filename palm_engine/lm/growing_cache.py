"""A key-value cache with room to grow: transformers' own copies all of it at every token.

Imports torch: import this module only where a model is touched.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

ROOM = 16


class GrowingLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values (rows, heads, room, width), of which the first `get_seq_length()` are tokens, the others zero.

    As with transformers' static layers the model gets all of them, and a mask that leaves the others out: whole
    buffers are multiplied as they are, where a view of a part would be copied each time.
    """

    is_compileable = True  # has transformers always make that mask

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._tokens = 0

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Append the new tokens' states; the keys and values so far, with their room."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        before, after = self._tokens, self._tokens + key_states.shape[-2]
        room = self._room(after)
        if before == 0:
            self.keys: Tensor = key_states
            self.values: Tensor = value_states
        else:
            if room > self.keys.shape[-2]:
                self.keys, self.values = (self._grown(old, room) for old in (self.keys, self.values))
            self.keys[..., before:after, :] = key_states
            self.values[..., before:after, :] = value_states
        self._tokens = after
        return self.keys, self.values

    def get_seq_length(self) -> int:
        """Tokens so far."""
        return self._tokens

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """How long the keys will be with `query_length` more tokens, and where they begin."""
        return self._room(self._tokens + query_length), 0

    def _room(self, tokens: int) -> int:
        """How long keys for `tokens` tokens are: just that for the first ones; later what is there, or a bit more."""
        if self._tokens == 0:
            return tokens
        there = int(self.keys.shape[-2])
        return there if tokens <= there else -(-tokens // ROOM) * ROOM + ROOM

    @staticmethod
    def _grown(old: Tensor, room: int) -> Tensor:
        buffer = old.new_zeros((*old.shape[:-2], room, old.shape[-1]))
        buffer[..., : old.shape[-2], :] = old
        return buffer


def growing_cache(model: Any) -> Any:
    """transformers' cache for `model`, its layers replaced by growing ones where the model takes static ones too."""
    cache = DynamicCache(config=model.config)
    if getattr(model, "_can_compile_fullgraph", False) and all(type(x) is DynamicLayer for x in cache.layers):
        cache.layers = [GrowingLayer() for _ in cache.layers]
    return cache
