"""How much memory a model will take, before it is loaded.

A clear refusal that names what would fit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from palm_engine.errors import ModelSourceError

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
# What torch and the allocator keep beside the weights.
SLACK = 1.15
# About so many letters are a token: few enough that texts are rather over- than underestimated.
LETTERS_PER_TOKEN = 3


@dataclass(frozen=True)
class Estimate:
    """Bytes that a model takes.

    Attributes:
        weights: of the base.
        adapters: of all adapters.
        row: of one answer at once: its keys and values at full length, and its activations while
            its prompt runs.
        rows: answers at once.
        free: what the device has; None: unknown.
    """

    weights: int
    adapters: int
    row: int
    rows: int
    free: int | None

    @property
    def total(self) -> int:
        """All of it, in bytes, with slack."""
        return int(SLACK * (self.weights + self.adapters + self.row * self.rows))

    @property
    def fits(self) -> bool:
        """Whether the device has that much; taken to be so where it doesn't say."""
        return self.free is None or self.total <= self.free

    def most_rows(self, wanted: int) -> int:
        """How many answers at once fit, `wanted` at most."""
        if self.free is None:
            return wanted
        room = self.free / SLACK - self.weights - self.adapters
        return max(0, min(wanted, int(room // max(self.row, 1))))


def estimate(
    parameters: int,
    dtype: str,
    adapters: int,
    config: dict[str, Any],
    rows: int,
    prompt_tokens: int,
    new_tokens: int,
    free: int | None,
) -> Estimate:
    """Memory that a model will take.

    Args:
        parameters: of the base.
        dtype: one of BYTES.
        adapters: parameters of all adapters.
        config: the model's config.json; models with other parts than text have its figures in
            `text_config`.
        rows: answers at once.
        prompt_tokens: of each prompt.
        new_tokens: of each answer.
        free: bytes that the device has free; None where it doesn't say.
    """
    config = config | (config.get("text_config") or {})
    size = BYTES[dtype]
    heads = max(int(config.get("num_attention_heads") or config.get("n_head") or 1), 1)
    shared = int(config.get("num_key_value_heads") or heads)
    hidden = int(config.get("hidden_size") or config.get("n_embd") or 1024)
    width = int(config.get("head_dim") or hidden // heads)
    layers = int(config.get("num_hidden_layers") or config.get("n_layer") or 32)
    inner = int(config.get("intermediate_size") or config.get("n_inner") or 4 * hidden)
    cache = 2 * layers * shared * width * (prompt_tokens + new_tokens) * size
    # Gate and up together, and a few copies of what goes from layer to layer; one layer at a time.
    activations = (2 * inner + 4 * hidden) * prompt_tokens * size
    return Estimate(parameters * size, adapters * size, cache + activations, rows, free)


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
    """Check that the device has as much as is needed.

    Args:
        needed: what a model and its answers take.
        dtype: of its weights.
        device: for the message.
        policies: how many answer at once.

    Raises:
        ModelSourceError: it has less; names what would fit.
    """
    if needed.fits or needed.free is None:
        return
    ways = []
    if dtype == "float32":
        half = replace(
            needed,
            weights=needed.weights // 2,
            adapters=needed.adapters // 2,
            row=needed.row // 2,
        )
        if half.fits:
            ways.append(f"bfloat16 ({_gigabytes(half.total)})")
    for k in range(policies - 1, 0, -1):
        some = replace(
            needed, adapters=needed.adapters * k // policies, rows=needed.rows * k // policies
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
