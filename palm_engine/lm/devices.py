"""Which device, number format and thread count to use.

Every choice can be overridden by the environment.
"""

from __future__ import annotations

import os
from typing import Any

from palm_engine.errors import InvalidInputError

DTYPES = ("auto", "float32", "bfloat16", "float16")
DEVICES = ("auto", "cuda", "mps", "cpu")
MOST_THREADS = 4


def pick_device() -> str:
    """`cuda`, `mps` or `cpu`: the first that works, or what `PALM_DEVICE` names.

    Raises:
        InvalidInputError: that isn't one of this machine's.
    """
    wanted = os.environ.get("PALM_DEVICE", "auto")
    if wanted == "spread":
        raise InvalidInputError(
            "PALM_DEVICE=spread: that is a choice for loading, not a device; name one"
        )
    return check_device(wanted, f"PALM_DEVICE={wanted}")


def check_device(wanted: str, source: str = "") -> str:
    """`wanted` (`auto`: the first that works) if this machine has it; "spread" needs a CUDA GPU.

    Raises:
        InvalidInputError: beginning with `source` and naming what there is.
    """
    import torch

    works = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    kind, _, number = wanted.partition(":")
    there = works["cuda"] if kind == "spread" else works.get(kind, kind == "auto")
    if number and kind == "cuda" and there:
        there = number.isdecimal() and int(number) < torch.cuda.device_count()
    if not there or (number and kind != "cuda"):
        has = ", ".join(k for k, w in works.items() if w)
        raise InvalidInputError(f"{source or f'device {wanted!r}'}: this machine has {has}")
    return wanted if kind != "auto" else next(k for k, w in works.items() if w)


def pick_dtype(device: str, wanted: str = "auto") -> Any:
    """The torch dtype for `device`.

    Bf16 where hardware computes it fast, fp16 on older GPUs, else fp32.

    `wanted` is one of DTYPES; `PALM_DTYPE` overrides `auto`.

    Raises:
        InvalidInputError: an unknown number format.
    """
    import torch

    name = os.environ.get("PALM_DTYPE", wanted) if wanted == "auto" else wanted
    if name not in DTYPES:
        raise InvalidInputError(f"dtype {name!r} is not one of {', '.join(DTYPES)}")
    if name != "auto":
        return getattr(torch, name)
    if device.startswith("cuda"):
        # Emulated bf16 (T4, V100) is slower than fp16.
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if native else torch.float16
    if device == "mps":
        return torch.bfloat16  # fp16 overflows in Qwen2.5 and Gemma
    return torch.bfloat16 if _cpu_has_bf16() else torch.float32


def build_dtype(device: str) -> str:
    """The dtype that builds use.

    Fp32 on every CPU, so that a build doesn't depend on what its processor does fast, and where
    only fp16 is fast: training in it would need its losses scaled.

    Raises:
        InvalidInputError: `PALM_DTYPE` asks for fp16, or for a number format that isn't one.
    """
    import torch

    picked = pick_dtype(device)
    if "PALM_DTYPE" in os.environ:
        if picked is torch.float16:
            raise InvalidInputError(
                "PALM_DTYPE=float16: builds train, and training in it would need its losses scaled;"
                " use bfloat16 or float32"
            )
        return "auto"
    return "float32" if device == "cpu" or picked is torch.float16 else "auto"


def _cpu_has_bf16() -> bool:
    """Whether the CPU multiplies bf16 in hardware.

    Elsewhere bf16 is emulated and slower than fp32.
    """
    import torch

    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(check() for name in checks if (check := getattr(torch.cpu, name, None)) is not None)


# Of threads that somebody asks for.
MOST_ASKED = 64


def usable_cores() -> int:
    """CPU cores that this process may use."""
    return (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    )


def default_threads() -> int:
    """`PALM_THREADS`, or one less than the cores this process may use, 1 to MOST_THREADS.

    One core is left to the browser and the server's other sessions: where torch's threads have to
    share theirs, each waits for the slowest at every layer, and generation collapses (measured: 53
    tokens per second with 1, 5 with 2).

    Raises:
        InvalidInputError: PALM_THREADS is no number of 1 or more.
    """
    wanted = os.environ.get("PALM_THREADS")
    if wanted is None:
        return max(1, min(usable_cores() - 1, MOST_THREADS))
    if not wanted.isdecimal() or int(wanted) < 1:
        raise InvalidInputError(f"PALM_THREADS={wanted}: give a whole number of 1 or more")
    return int(wanted)


def set_threads(count: int | None = None) -> None:
    """Use `count` CPU threads (None: `default_threads`).

    Torch's own default pool collapses when cores are shared with another process, and very many
    threads end the process.

    Raises:
        InvalidInputError: far more than there are cores.
    """
    import torch

    count = count or default_threads()
    most = max(MOST_ASKED, 2 * usable_cores())
    if count > most:
        raise InvalidInputError(
            f"{count:,} threads of the CPU: at most {most:,} are used here, for"
            f" {usable_cores()} cores"
        )
    torch.set_num_threads(count)
