"""`palm curve`, `compare` and `methods`: sizes and methods side by side."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from palm_engine.cli.console import console, error_console, write
from palm_engine.cli.table_options import (
    Exclude,
    Floor,
    Include,
    Json,
    Population,
    TablePath,
    Threshold,
    TimeLimit,
    Traits,
    Where,
    is_multiplicative,
    options_of,
    seconds_of,
    users_of_text,
)

if TYPE_CHECKING:
    from palm_engine.cli.search import Found
    from palm_engine.selection.result import Average, Selection

commands = typer.Typer()


@commands.command()
def curve(
    table: TablePath,
    max_k: Annotated[int, typer.Option(min=1, help="Largest size.")] = 12,
    gap: Annotated[
        str, typer.Option(help="What is minimised: additive or multiplicative.")
    ] = "additive",
    trait: Traits = None,
    where: Where = None,
    floor: Floor = None,
    include: Include = None,
    exclude: Exclude = None,
    time_limit: TimeLimit = "60",
    threshold: Threshold = 0.05,
    population: Population = "uniform",
    json: Json = False,
) -> None:
    """Size against worst gap: the exact best portfolio of every size, and what users get of it.

    Ctrl-C shows the sizes found so far.

    Example: palm curve scores.csv --max-k 8 --population users.csv
    """
    import json as encoder

    from palm_engine.cli.search import leave, searched
    from palm_engine.cli.terminal import print_warnings
    from palm_engine.selection.minimum import size_curve
    from palm_engine.selection.population import average_of, users_where
    from palm_engine.tables.read import read_reward_table

    rewards = read_reward_table(table, trait or ())
    seconds = seconds_of(time_limit)
    each = None if seconds is None else seconds / min(max_k, len(rewards.policies))
    options = options_of(rewards, where, floor, include, exclude, time_limit=each)
    listed, _ = users_of_text(population, rewards.traits)
    users = listed or users_where(len(rewards.traits), options.region)
    multiplicative = is_multiplicative(gap)
    sizes: dict[int, Selection] = {}

    def work(tell: Found) -> list[Selection]:
        def listen(selection: Selection) -> None:
            sizes[len(selection.members)] = selection
            tell(selection)

        return size_curve(
            rewards.points, max_k, dataclasses.replace(options, found=listen), multiplicative
        )

    def so_far(_: Selection | None) -> list[Selection]:
        if not sizes:
            raise KeyboardInterrupt
        return [sizes[k] for k in sorted(sizes)]

    title = "Finding the best portfolio of every size"
    found, interrupted = searched(work, None if json else console, title, so_far)
    averages = [average_of(rewards.points, s, users, threshold) for s in found]
    names = [[rewards.policies[m] for m in s.members] for s in found]
    rows = [
        {
            "size": len(s.members),
            "members": members,
            "additive": s.gap.additive,
            "multiplicative": s.gap.multiplicative,
            "gap_lower_bound": s.gap_lower_bound,
            "expected": a.expected,
            "within": a.within,
            "threshold": threshold,
            "population": population,
            "stopped": s.stopped,
        }
        for s, a, members in zip(found, averages, names, strict=True)
    ]
    if json:
        output = {"scope": "candidates", "curve": rows, "warnings": rewards.warnings}
        write(encoder.dumps(output))
    else:
        labels = [[rewards.labels.get(m, m) for m in members] for members in names]
        console.print(_curve_table(found, averages, labels, multiplicative))
        print_warnings(rewards)
    if interrupted:
        leave()


def _curve_table(
    found: Sequence[Selection],
    averages: Sequence[Average],
    names: Sequence[Sequence[str]],
    multiplicative: bool,
) -> Table:
    """The whole frontier: worst and expected gap, the share that is served well, by size."""
    shown = Table(title="Best portfolio of every size (scope: candidates; users: sampled)")
    for column in ("size", "worst gap", "proved", "expected", "served", "members"):
        shown.add_column(column, justify="right" if column == "size" else "left")
    for s, a, members in zip(found, averages, names, strict=True):
        proved = "optimal" if s.proved else f"not below {s.gap_lower_bound or 0:.4f}"
        own = s.gap.multiplicative if multiplicative else s.gap.additive
        worst = "" if own is None else f"{own:.4f}"
        served = f"{a.within:.1%} within {a.tolerance:g}"
        shown.add_row(
            str(len(members)), worst, proved, f"{a.expected:.4f}", served, ", ".join(members)
        )
    return shown


@commands.command()
def methods(json: Json = False) -> None:
    """List the selection methods.

    Example: palm methods
    """
    import json as encoder

    from palm_engine.selection.methods import METHODS

    if json:
        write(
            encoder.dumps(
                {n: {"summary": m.summary, "proves": m.proves} for n, m in METHODS.items()}
            )
        )
        return
    shown = Table()
    for column in ("method", "what it does", "what it proves"):
        shown.add_column(column)
    for name, method in METHODS.items():
        shown.add_row(name, method.summary, method.proves)
    console.print(shown)


@commands.command()
def compare(
    table: TablePath,
    k: Annotated[int, typer.Option("--k", min=1, help="Members of every portfolio.")] = 4,
    trait: Traits = None,
    where: Where = None,
    floor: Floor = None,
    include: Include = None,
    exclude: Exclude = None,
    time_limit: TimeLimit = "60",
    threshold: Threshold = 0.05,
    population: Population = "uniform",
    json: Json = False,
) -> None:
    """Methods at equal size: worst gap, averages, hypervolume, usage and diversity of each.

    Hypervolumes need the extra `compare`.

    Example: palm compare scores.csv --k 5
    """
    import json as encoder

    from palm_engine.analysis.equal_size import at_equal_size
    from palm_engine.cli.terminal import TerminalProgress, print_warnings
    from palm_engine.geometry.envelope import best_somewhere
    from palm_engine.tables.read import read_reward_table

    rewards = read_reward_table(table, trait or ())
    seconds = seconds_of(time_limit)
    options = options_of(rewards, where, floor, include, exclude, time_limit=seconds)
    users, name = users_of_text(population, rewards.traits)
    with TerminalProgress(error_console) as bars:
        report = bars.by_share("Choosing by every method")
        found = at_equal_size(rewards.points, k, users, options, threshold, report)
        report(1.0, "")
    best = best_somewhere(rewards.points, options.region)
    never = [p for p, b in zip(rewards.policies, best, strict=True) if not b]
    if json:
        rows = [
            dataclasses.asdict(r) | {"members": [rewards.policies[m] for m in r.members]}
            for r in found
        ]
        output = {"k": k, "scope": "candidates", "population": name, "rivals": rows}
        more = {"never_best": never, "warnings": rewards.warnings}
        write(encoder.dumps(output | more))
        return
    shown = Table(title=f"{k} members by every method (scope: candidates; {name} users: sampled)")
    for column in ("method", "worst", "expected", "served", "volume", "in use", "diversity"):
        shown.add_column(column, justify="left" if column == "method" else "right")
    for r in found:
        volume = "" if r.volume is None else f"{r.volume:.1%}"
        cells = (f"{r.worst:.4f}", f"{r.expected:.4f}", f"{r.within:.1%}", volume)
        shown.add_row(r.label, *cells, f"{r.perplexity:.2f}", f"{r.diversity:.3f}")
    console.print(shown)
    console.print(
        f"worst, expected: additive gaps; served: users who lose at most {threshold:g}; volume:"
        " share of the candidates' hypervolume; in use: effective number of members; diversity:"
        " mean distance between two members."
    )
    if never:
        console.print(
            f"{len(never)} of {len(rewards.policies)} candidates are best for no weights: no"
            f" linear preference asks for {', '.join(rewards.labels.get(p, p) for p in never[:5])}"
            + (" and others." if len(never) > 5 else ".")
        )
    print_warnings(rewards)
