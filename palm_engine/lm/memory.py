"""How much memory a model will take, before it is loaded.

A clear refusal that names what would fit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from palm_engine.errors import ModelSourceError

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
# Activations, and what torch and the allocator keep beside the weights.
SLACK = 1.15


@dataclass(frozen=True)
class Estimate:
    """Bytes for weights, adapters and the cache of the longest batch.

    `free` is what the device has, None: unknown.
    """

    weights: int
    adapters: int
    cache: int
    free: int | None

    @property
    def total(self) -> int:
        """All of it, in bytes, with slack for activations."""
        return int(SLACK * (self.weights + self.adapters + self.cache))

    @property
    def fits(self) -> bool:
        """Whether the device has that much; taken to be so where it doesn't say."""
        return self.free is None or self.total <= self.free


def estimate(
    parameters: int,
    dtype: str,
    adapters: int,
    config: dict[str, Any],
    rows: int,
    tokens: int,
    free: int | None,
) -> Estimate:
    """Memory that a model will take.

    Args:
        parameters: of the base.
        dtype: one of BYTES.
        adapters: parameters of all adapters.
        config: the model's config.json.
        rows: answers at once.
        tokens: of each answer with its prompt.
        free: bytes that the device has free; None where it doesn't say.
    """
    size = BYTES[dtype]
    heads = int(config.get("num_key_value_heads") or config.get("num_attention_heads") or 1)
    hidden = int(config.get("hidden_size") or 1024)
    width = int(
        config.get("head_dim") or hidden // max(int(config.get("num_attention_heads") or 1), 1)
    )
    cache = 2 * int(config.get("num_hidden_layers") or 32) * heads * width * rows * tokens * size
    return Estimate(parameters * size, adapters * size, cache, free)


def free_bytes(device: str) -> int | None:
    """Memory of `device` that isn't in use, in bytes; None where it doesn't say."""
    import torch

    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(torch.device(device))[0])
    if device == "spread":
        return (
            sum(int(torch.cuda.mem_get_info(i)[0]) for i in range(torch.cuda.device_count()))
            or None
        )
    if device == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory())
    try:
        import psutil
    except ImportError:
        return None
    return int(psutil.virtual_memory().available)


def resident_bytes() -> int | None:
    """Memory of this process, in bytes; None where the system doesn't say."""
    try:
        import psutil
    except ImportError:
        return None
    return int(psutil.Process().memory_info().rss)


def require_fits(needed: Estimate, dtype: str, device: str, policies: int) -> None:
    """Raise ModelSourceError, naming what would fit, where `needed` is more than the device has.

    Raises:
        ModelSourceError: , naming what would fit, where `needed` is more than the device has.
    """
    if needed.fits or needed.free is None:
        return
    ways = []
    if dtype == "float32":
        half = Estimate(needed.weights // 2, needed.adapters // 2, needed.cache // 2, needed.free)
        if half.fits:
            ways.append(f"bfloat16 ({_gigabytes(half.total)})")
    for k in range(policies - 1, 0, -1):
        some = replace(
            needed, adapters=needed.adapters * k // policies, cache=needed.cache * k // policies
        )
        if some.fits:
            ways.append(f"{k} adapter{'s' if k > 1 else ''} at a time")
            break
    ways = ways or ["a smaller base model, or closing other programs"]
    raise ModelSourceError(
        f"this needs about {_gigabytes(needed.total)} of memory on {device} in {dtype}, and "
        f"{_gigabytes(needed.free)} are free. What would fit: {' or '.join(ways)}."
    )


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.0f} MB"
