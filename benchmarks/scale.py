"""How far it goes: `python -m benchmarks.scale` writes the tables and pictures of docs/scale.md.

Measured: exact gaps by traits and members, selection by candidates, populations by users. Computed:
memory and time of larger bases, from their published shapes and a card's data sheet. Every figure
says which it is.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks.chart import line_chart
from benchmarks.common import sphere
from benchmarks.gpu import RANK, SHAPES
from palm_engine._files import write_whole
from palm_engine.geometry.envelope import best_policy, envelope_vertices
from palm_engine.geometry.gap import worst_gap
from palm_engine.geometry.programs import takes_programs
from palm_engine.geometry.users import uniform_users
from palm_engine.selection.minimum import minimum
from palm_engine.selection.options import Options
from palm_engine.selection.population import best_on_average
from palm_engine.selection.result import Target

OUT = Path(__file__).resolve().parents[1] / "docs" / "scale-measured.md"
TRAITS = (2, 3, 4, 5, 6, 7, 8, 9, 10)
MEMBERS = (5, 20, 100)
CANDIDATES = (100, 1_000, 10_000, 100_000, 1_000_000)
USERS = (10_000, 100_000, 1_000_000, 10_000_000)
# Seconds after which no larger case of a row is tried.
ENOUGH = 60.0
LIMIT = 30.0
# Llama-3.1-70B, as its configuration publishes it; the smaller ones are those of benchmarks.gpu.
LARGE = {
    "hidden_size": 8192,
    "intermediate_size": 28672,
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "tie_word_embeddings": False,
}
# Data sheet of an H100 SXM: bf16 without sparsity, memory bandwidth, memory.
FLOPS = 989e12
BANDWIDTH = 3.35e12
CARD_BYTES = 80e9
# Share of these that training and decoding commonly reach; an assumption, not a measurement.
REACHED = 0.4


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"| {' | '.join('---' for _ in head)} |"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def gaps() -> Iterator[str]:
    """Seconds of one exact worst gap, and vertices of the envelope."""
    rows = []
    lines: dict[str, list[float]] = {f"{k} members": [] for k in MEMBERS}
    stopped: set[int] = set()
    for d in TRAITS:
        points = sphere(1000, d, 1)
        cells = [str(d)]
        for k in MEMBERS:
            if k in stopped:
                cells.append("not tried")
                lines[f"{k} members"].append(float("nan"))
                continue
            started = time.perf_counter()
            worst_gap(points[:k], points)
            seconds = time.perf_counter() - started
            how = "programs"
            if not takes_programs(k, d):
                how = f"{len(envelope_vertices(points[:k])):,} vertices"
            cells.append(f"{seconds:.3f} s ({how})")
            lines[f"{k} members"].append(seconds)
            if seconds > ENOUGH:
                stopped.add(k)
        print("  " + " | ".join(cells), flush=True)
        rows.append(cells)
    title = "One exact worst gap against 1,000 candidates"
    line_chart("scale-traits", title, "traits", "seconds", TRAITS, lines)
    yield "**One exact worst gap** against 1,000 candidates on a sphere (measured)."
    yield ""
    yield from _table(("traits", *(f"{k} members" for k in MEMBERS)), rows)


def candidates() -> Iterator[str]:
    """The best five of so many candidates within LIMIT seconds."""
    rows = []
    for count in CANDIDATES:
        cells = [f"{count:,}"]
        for d in (3, 5):
            if d == 5 and count > 100_000:
                cells.append("not tried")
                continue
            points = sphere(count, d, 1)
            started = time.perf_counter()
            found = minimum(points, Target(k=5), Options(time_limit=LIMIT))
            seconds = time.perf_counter() - started
            bound = found.gap_lower_bound or 0.0
            below = 1 - bound / found.gap.additive if found.gap.additive else 0.0
            how = "proved" if found.proved else f"bound {below:.0%} below"
            cells.append(f"{found.gap.additive:.4f}, {how}, {seconds:.0f} s")
        print("  " + " | ".join(cells), flush=True)
        rows.append(cells)
    yield f"**The best five** of candidates on a sphere, {LIMIT:g} s allowed (measured)."
    yield ""
    yield from _table(("candidates", "3 traits", "5 traits"), rows)


def users() -> Iterator[str]:
    """Who answers so many users, and the members that suit them best."""
    points = sphere(200, 3, 1)
    rng = np.random.default_rng(0)
    rows = []
    for count in USERS:
        weights = rng.dirichlet(np.ones(3), count)
        started = time.perf_counter()
        best_policy(points[:5], weights)
        picked = time.perf_counter() - started
        started = time.perf_counter()
        found = best_on_average(points, 4, uniform_users(weights), Options(time_limit=LIMIT))
        seconds = time.perf_counter() - started
        average = found.average
        assert average is not None
        cells = [
            f"{count:,}",
            f"{picked:.2f} s",
            f"{average.expected:.5f}, {found.stopped}, {seconds:.0f} s",
        ]
        print("  " + " | ".join(cells), flush=True)
        rows.append(cells)
    yield "**Users**: who of five members answers each; the best four of 200 for them (measured)."
    yield ""
    yield from _table(("users", "picks", "best four: mean gap, how it ended, time"), rows)


def parameters(shape: dict[str, int]) -> tuple[int, int, int]:
    """Numbers of a Llama: all, those of an adapter of rank RANK, those kept for each token."""
    hidden, inner = shape["hidden_size"], shape["intermediate_size"]
    layers, vocabulary = shape["num_hidden_layers"], shape["vocab_size"]
    head = hidden // shape["num_attention_heads"]
    kept = shape["num_key_value_heads"] * head
    linear = [(hidden, hidden), (hidden, kept), (hidden, kept), (hidden, hidden)]
    linear += [(hidden, inner), (hidden, inner), (inner, hidden)]
    norms = 2 * hidden
    embeddings = vocabulary * hidden * (1 if shape["tie_word_embeddings"] else 2)
    whole = layers * (sum(a * b for a, b in linear) + norms) + embeddings + hidden
    adapter = layers * sum(RANK * (a + b) for a, b in linear)
    return whole, adapter, 2 * layers * kept


def bases() -> Iterator[str]:
    """Memory, training and decoding of bases, from their shapes and the data sheet."""
    rows = []
    for name, shape in {**SHAPES, "70b": LARGE}.items():
        whole, adapter, kept = parameters(shape)
        weights = 2 * whole
        cards = int(np.ceil(weights * 1.2 / CARD_BYTES))
        train = 6 * whole * 1_000_000 / (FLOPS * REACHED * cards)
        step = weights / (BANDWIDTH * REACHED * cards)
        rows.append(
            [
                name,
                f"{weights / 1e9:.2f} GB",
                f"{2 * adapter / 1e6:.0f} MB ({adapter / whole:.1%})",
                f"{(weights + 6 * 2 * adapter) / 1e9:.2f} GB",
                f"{6 * weights / 1e9:.1f} GB",
                f"{2 * kept / 1e3:.0f} kB",
                str(cards),
                f"{train:.0f} s",
                f"{1000 * step:.1f} ms",
            ]
        )
    yield (
        f"**Bases** (computed: bf16, adapters of rank {RANK} on all linear layers; H100 SXM by its"
        f" data sheet, {REACHED:.0%} of it reached, which is an assumption)."
    )
    yield ""
    head = (
        "base",
        "weights",
        "one adapter",
        "six members on one base",
        "six whole models",
        "cache per token",
        "cards",
        "training per million tokens",
        "a step of few rows",
    )
    yield from _table(head, rows)


def main() -> None:
    """Measure, and write the page's tables."""
    lines = [
        f"*Measured on {datetime.now(UTC):%Y-%m-%d}: {platform.machine()}, {os.cpu_count()} shared"
        " cores, by `python -m benchmarks.scale`.*",
        "",
    ]
    for part in (gaps, candidates, users, bases):
        print(part.__name__, flush=True)
        lines += part()
    write_whole(OUT, "\n".join(lines).rstrip() + "\n")
    print(f"Wrote {OUT}")


if __name__ == "__main__":
    main()
