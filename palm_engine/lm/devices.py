"""Which device, number format and thread count to use; every choice can be overridden by the environment."""

from __future__ import annotations

import os
from typing import Any

from palm_engine.errors import InvalidInputError

DTYPES = ("auto", "float32", "bfloat16", "float16")


def pick_device() -> str:
    """`cuda`, `mps` or `cpu`: the first that works, or what `PALM_DEVICE` names."""
    import torch

    asked = os.environ.get("PALM_DEVICE")
    if asked:
        return asked
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def pick_dtype(device: str, asked: str = "auto") -> Any:
    """The torch dtype for `device`: bf16 where it is fast in hardware, fp16 on older GPUs, fp32 on a plain CPU.

    `asked` is one of DTYPES; `PALM_DTYPE` overrides `auto`.
    """
    import torch

    name = os.environ.get("PALM_DTYPE", asked) if asked == "auto" else asked
    if name not in DTYPES:
        raise InvalidInputError(f"dtype {name!r} is not one of {', '.join(DTYPES)}")
    if name != "auto":
        return getattr(torch, name)
    if device.startswith("cuda"):
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if device == "mps":
        return torch.float16
    return torch.float32


def set_threads() -> None:
    """Use `PALM_THREADS` CPU threads (default: the physical cores this process may use, at most 4).

    Torch's own default pool collapses when cores are shared with another process.
    """
    import torch

    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    torch.set_num_threads(max(1, int(os.environ.get("PALM_THREADS", min(usable, 4)))))
