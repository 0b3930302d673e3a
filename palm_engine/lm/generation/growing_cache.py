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
    """Keys and values with room, of which the first `get_seq_length()` are tokens.

    Shape (rows, heads, room, width); the others are zero. As with transformers' static layers the
    model gets all of them, and a mask that leaves the others out: whole buffers are multiplied as
    they are, where a view of a part would be copied each time.
    """

    is_compileable = True  # has transformers always make that mask
    _tokens = 0

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Append the new tokens' states, shape (rows, heads, tokens, width).

        Returns:
            The keys and values so far, with their room (the first ones without).
        """
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        before = self._tokens
        after = self._tokens + key_states.shape[-2]
        self._tokens = after
        if before == 0:
            # Copies: the model's own may be views of something larger.
            self.keys: Tensor = self._with_room(key_states, after)
            self.values: Tensor = self._with_room(value_states, after)
            return key_states, value_states
        if after > self.keys.shape[-2]:
            self.keys, self.values = (
                self._with_room(self.keys, after),
                self._with_room(self.values, after),
            )
        self.keys[..., before:after, :] = key_states
        self.values[..., before:after, :] = value_states
        return self.keys, self.values

    def get_seq_length(self) -> int:
        """Tokens so far."""
        return self._tokens

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """How long the keys of the next update will be, and where they begin."""
        after = self._tokens + query_length
        if self._tokens == 0:
            return after, 0
        there = int(self.keys.shape[-2])
        return there if after <= there else _room(after), 0

    @staticmethod
    def _with_room(states: Tensor, tokens: int) -> Tensor:
        buffer = states.new_zeros((*states.shape[:-2], _room(tokens), states.shape[-1]))
        buffer[..., : states.shape[-2], :] = states
        return buffer


def _room(tokens: int) -> int:
    return -(-tokens // ROOM) * ROOM + ROOM


def takes_room(model: Any) -> bool:
    """Whether a model goes by the mask alone, so that its cache may hold more than the tokens.

    So do those that take transformers' static cache, but for positions by key index (ALiBi); layers
    that only look at a window, or keep something other than keys and values, have caches of their
    own.
    """
    by_index = getattr(model.config, "alibi", False) or model.config.model_type == "bloom"
    plain = all(type(layer) is DynamicLayer for layer in DynamicCache(config=model.config).layers)
    return plain and not by_index and bool(getattr(model, "_can_compile_fullgraph", False))


def new_cache(model: Any) -> Any:
    """An empty cache for `model`.

    Transformers' own, with layers that grow where the model takes them.
    """
    cache = DynamicCache(config=model.config)
    if takes_room(model):
        cache.layers = [GrowingLayer() for _ in cache.layers]
    return cache
