"""The benchmark for GPUs runs: here on a CPU, with the shape of the demo's base (slow)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("peft")
pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]


def test_every_row_is_measured_and_greedy_tokens_are_pefts(tmp_path: Path) -> None:
    out = tmp_path / "gpu.md"
    words = ["--device", "cpu", "--shape", "135m", "--quick", "--out", str(out)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    text = out.read_text()
    assert "| 3 of 3 answers identical |" in text
    for row in ("base alone", "mixed batch", "one adapter after another", "first token", "memory"):
        assert row in text
    assert "a step of 3 members" in text
    assert "tokens per second | 4 pairs" in text
    assert "not run" not in text


def test_without_a_gpu_it_says_so() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1
    assert "no CUDA device" in done.stderr
