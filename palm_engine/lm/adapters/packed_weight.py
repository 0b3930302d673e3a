"""Weights in the layout that the CPU multiplies them in.

Torch's linear layers rearrange them anew at every product.

At the few rows of a decode step that rearranging takes as long as the product: six rows through
SmolLM2's layers run 2.2 times as fast on packed weights, in bf16 as in fp32. They take the place of
the plain ones; no memory is added. An output layer that is tied to the embedding stays plain:
packed it would be there twice, a fifth more memory for the demo, for answers a tenth faster. The
two operators are the ones that torch.compile's freezing puts in for linear layers on CPU.

Imports torch: import this module only where a model is touched.
"""

from __future__ import annotations

import platform

import torch
from torch import Tensor, nn

# Rows of a product that the layout is chosen for; the same serves one row and a thousand
# (measured).
ROWS = 64


def can_pack(device: str, dtype: torch.dtype) -> bool:
    """Whether this machine's torch can pack weights.

    Args:
        device: cpu, cuda, ...
        dtype: of the weights.
    """
    if device != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False  # others pack too, but weren't tried
    if dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return dtype == torch.float32


class Weight:
    """The weight (out, in) and bias (out,) of a linear layer, packed if `pack` says so."""

    def __init__(self, weight: Tensor, bias: Tensor | None, pack: bool) -> None:
        self.packed = pack
        self.bias = bias
        self._kept = torch.ops.mkldnn._reorder_linear_weight(weight, ROWS) if pack else weight

    def __call__(self, input: Tensor) -> Tensor:
        """`input` (rows, in) through the layer: (rows, out), a fresh tensor.

        Two dimensions only: with more, torch may repeat the weight for each row of an input that is
        a view.
        """
        if self.packed:
            return torch.ops.mkldnn._linear_pointwise(input, self._kept, self.bias, "none", [], "")  # type: ignore[no-any-return]
        return nn.functional.linear(input, self._kept, self.bias)

    def plain(self) -> Tensor:
        """The weight (outputs, inputs), unpacked."""
        return self._kept.to_dense() if self.packed else self._kept
