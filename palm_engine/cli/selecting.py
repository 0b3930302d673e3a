"""`palm select` and `palm certify`: portfolios from a reward table, no language model needed."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from palm_engine.cli.console import Replace, console, write
from palm_engine.cli.table_options import (
    MANY,
    MANY_SECONDS,
    USUAL_SECONDS,
    Exclude,
    Floor,
    Include,
    Json,
    Population,
    TablePath,
    Threshold,
    Traits,
    Where,
    is_multiplicative,
    left_of,
    options_of,
    parse_bounds,
    seconds_of,
    users_of_text,
)
from palm_engine.errors import InvalidInputError
from palm_engine.geometry.simplex import weights_text

if TYPE_CHECKING:
    from palm_engine.cli.report import SelectionReport
    from palm_engine.cli.search import Found
    from palm_engine.selection.options import Options
    from palm_engine.selection.result import Selection
    from palm_engine.tables.reward_table import RewardTable

commands = typer.Typer()
# Columns of traits that fit beside names.
MOST_BESIDE = 4
MOST_WIDE = 36
MULTIPLICATIVE = ("minimum", "adaptive", "placement")


@commands.command()
def select(
    table: TablePath,
    k: Annotated[
        int | None, typer.Option("--k", min=1, help="Budget of members: least additive worst gap.")
    ] = None,
    eps: Annotated[
        float, typer.Option(min=0, max=1, help="Multiplicative tolerance: fewest members.")
    ] = 0.0,
    delta: Annotated[float, typer.Option(min=0, help="Additive tolerance: fewest members.")] = 0.0,
    gap: Annotated[
        str, typer.Option(help="What --k minimises: additive or multiplicative.")
    ] = "additive",
    method: Annotated[str, typer.Option(help="See `palm methods`.")] = "minimum",
    trait: Traits = None,
    where: Where = None,
    floor: Floor = None,
    include: Include = None,
    exclude: Exclude = None,
    time_limit: Annotated[
        str,
        typer.Option(
            help="Seconds, reading included; then the best found and its proved bound."
            f' "auto": {USUAL_SECONDS:.0f}, or {MANY_SECONDS:.0f} for more than {MANY:,} policies;'
            ' "none": as long as needed.'
        ),
    ] = "auto",
    budget: Annotated[
        int | None, typer.Option(min=1, help="Oracle calls, for methods that make them.")
    ] = None,
    batch: Annotated[
        int, typer.Option(min=1, help="Oracle calls made at once (several trainers).")
    ] = 1,
    seed: Annotated[int, typer.Option(min=0, help="For the method random.")] = 0,
    grid_eps: Annotated[
        float, typer.Option(min=0.001, max=0.999, help="eps of the grid of the method palm.")
    ] = 0.1,
    grid_delta: Annotated[
        float, typer.Option(min=0.001, max=0.999, help="delta of the grid of the method palm.")
    ] = 0.1,
    thin_grid: Annotated[
        bool,
        typer.Option("--thin-grid", help="For the method palm: the same promise, fewer weights."),
    ] = False,
    threshold: Threshold = 0.05,
    population: Population = "uniform",
    objective: Annotated[
        str,
        typer.Option(
            help=(
                "worst: the worst gap of all weights. expected: the mean gap of the users."
                " coverage: the share of users who lose at most --threshold."
            )
        ),
    ] = "worst",
    share: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="With --objective coverage, no --k: fewest for this share of users."
        ),
    ] = None,
    slack: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help=(
                "Of portfolios whose worst gap is within this share of the least, the one with the"
                " least expected gap; 0: the first."
            ),
        ),
    ] = 0.05,
    out: Annotated[
        Path | None, typer.Option(help="Write a bundle that the dashboard opens.")
    ] = None,
    replace: Replace = False,
    json: Json = False,
) -> None:
    """Choose members: the best k, or the fewest for a tolerance.

    Ctrl-C gives the best found so far and its proved bound. Exit status 3 where no portfolio can
    meet the tolerance, or time ran out before one was found that does.

    Examples:
    palm select scores.csv --k 4

    palm select scores.csv --delta .02

    palm select scores.csv --objective coverage --share .95 --threshold .02 --population users.csv
    """
    from palm_engine.bundle.limits import Limits
    from palm_engine.bundle.names import NAME_RULE, is_name
    from palm_engine.bundle.schema import InSampleBound
    from palm_engine.bundle.writing import check_target
    from palm_engine.cli.report import report
    from palm_engine.cli.search import leave, searched
    from palm_engine.selection.choose import Aim, choose
    from palm_engine.selection.result import Target
    from palm_engine.tables.read import read_reward_table
    from palm_engine.tables.to_bundle import save_table

    multiplicative = is_multiplicative(gap)
    if multiplicative and method not in MULTIPLICATIVE:
        raise InvalidInputError(
            f"--gap multiplicative works with the methods {', '.join(MULTIPLICATIVE)}"
        )
    if k is not None and (eps or delta):
        raise InvalidInputError("give either --k or a tolerance (--eps, --delta), not both")
    if out is not None:
        if not is_name(out.name):
            raise InvalidInputError(f"--out {str(out)!r}: a bundle's name has {NAME_RULE}")
        check_target(out, replace=replace)
    seconds_of(time_limit)  # refused before anything is read
    started = time.perf_counter()
    rewards = read_reward_table(table, trait or ())
    _require_room(rewards, out)
    users = users_of_text(population, rewards.traits)
    options = options_of(
        rewards,
        where,
        floor,
        include,
        exclude,
        time_limit=left_of(time_limit, len(rewards.policies), started),
        budget=budget,
        batch=batch,
        seed=seed,
        grid_eps=grid_eps,
        thin_grid=thin_grid,
        grid_delta=grid_delta,
    )
    aim = Aim(objective, users[0], threshold, share, slack)  # type: ignore[arg-type]
    target = None
    if share is None:
        target = Target(k=k, eps=eps, delta=delta, multiplicative=multiplicative)
    elif k is not None or eps or delta:
        raise InvalidInputError("give --share, or --k, --eps or --delta, not both")

    def with_found(found: Found) -> Options:
        return dataclasses.replace(options, found=found)

    chosen, interrupted = searched(
        lambda found: choose(rewards.points, target, with_found(found), method, aim),
        None if json else console,
        f"Selecting from {len(rewards.policies)} policies",
        _best_found,
    )
    summary = report(rewards, chosen, threshold, options.region, target, *users)
    _print_report(summary, rewards, json)
    if out is not None:
        members = {m: summary.weights[m] for m in summary.members}
        lower, upper = parse_bounds(where, "--where")
        limits = Limits(
            {t: (lower.get(t, 0.0), upper.get(t, 1.0)) for t in {**lower, **upper}},
            parse_bounds(floor, "--floor")[0],
            tuple(rewards.policies[rewards.row(p)] for p in include or []),
            tuple(rewards.policies[rewards.row(p)] for p in exclude or []),
        )
        title = f"{summary.method} on {table.name}"
        known = summary.confidence
        in_sample = None if known is None else InSampleBound(**known.model_dump())
        save_table(
            rewards, members, out, title, limits=limits, in_sample=in_sample, replace=replace
        )
        if not json:
            write(f"Wrote {out}. Open it with: palm app {out.parent}")
    if interrupted:
        leave()
    if summary.missed_by is not None:
        raise typer.Exit(3)


def _require_room(rewards: RewardTable, out: Path | None) -> None:
    """Check that a bundle can hold a table.

    Raises:
        InvalidInputError: it has too many policies.
    """
    from palm_engine.bundle.manifest import MOST_CANDIDATES

    if out is not None and len(rewards.policies) > MOST_CANDIDATES:
        raise InvalidInputError(
            f"--out: {len(rewards.policies):,} policies, and a bundle holds {MOST_CANDIDATES:,}:"
            " keep the best in the table, or leave --out out"
        )


def _best_found(selection: Selection | None) -> Selection:
    """What Ctrl-C leaves.

    Raises:
        KeyboardInterrupt: nothing was found yet.
    """
    if selection is None:
        raise KeyboardInterrupt
    return selection


@commands.command()
def certify(
    table: TablePath,
    members: Annotated[str, typer.Option(help="Policies of the portfolio, separated by commas.")],
    trait: Traits = None,
    where: Where = None,
    threshold: Threshold = 0.05,
    population: Population = "uniform",
    json: Json = False,
) -> None:
    """The exact worst gap of a given portfolio.

    With a confidence bound where the table holds prompts.

    Example: palm certify scores.csv --members a,b,c
    """
    from palm_engine.cli.report import report
    from palm_engine.geometry.gap import worst_gap
    from palm_engine.selection.result import Selection
    from palm_engine.tables.read import read_reward_table

    rewards = read_reward_table(table, trait or ())
    started = time.perf_counter()
    rows = tuple(sorted({rewards.row(name.strip()) for name in members.split(",")}))
    options = options_of(rewards, where)
    points = rewards.points
    exact = worst_gap(points[list(rows)], points, options.region)
    found = Selection(
        "given",
        rows,
        points[list(rows)],
        exact,
        seconds=time.perf_counter() - started,
        stopped="given",
    )
    users = users_of_text(population, rewards.traits)
    _print_report(report(rewards, found, threshold, options.region, None, *users), rewards, json)


def _print_report(summary: SelectionReport, rewards: RewardTable, json: bool) -> None:
    from palm_engine.cli.report import UNIFORM
    from palm_engine.cli.terminal import print_warnings

    if json:
        write(summary.model_dump_json())
        return
    bound = (
        ""
        if summary.size_lower_bound is None
        else f", at least {summary.size_lower_bound} needed (proved)"
    )
    shown = Table(title=f"{summary.method}: {summary.size} member(s){bound}")
    longest = max(len(rewards.labels.get(m, m)) for m in summary.members)
    shown.add_column("member", min_width=min(longest, MOST_WIDE), overflow="fold")
    # Many traits stand below each other: beside each other no name would be whole.
    beside = len(rewards.traits) <= MOST_BESIDE
    for trait in rewards.traits if beside else ["rewards"]:
        shown.add_column(trait, justify="right" if beside else "left")
    shown.add_column("stands for")
    for member in summary.members:
        values = rewards.rewards[rewards.policies.index(member)]
        weights = summary.weights[member]
        place = "never picked" if weights is None else weights_text(weights)
        cells = [f"{v:.3f}" for v in values]
        if not beside:
            cells = [", ".join(f"{t} {c}" for t, c in zip(rewards.traits, cells, strict=True))]
        shown.add_row(rewards.labels.get(member, member), *cells, place)
    if summary.missed_by is not None:
        console.print(
            f"The tolerance is MISSED by {summary.missed_by:.4f} ({summary.stopped}): this is the"
            " best found; give it more time, another method, or a looser tolerance."
        )
    console.print(shown)
    print_warnings(rewards)
    gap = summary.worst_gap
    at = weights_text(gap.at_weights_additive)
    multiplicative = (
        f"not defined: {gap.undefined}"
        if gap.multiplicative is None
        else f"{gap.multiplicative:.2%}"
    )
    lines = [
        f"Worst gap {gap.additive:.4f} at {at}; multiplicative {multiplicative}"
        f" (scope: {summary.scope})."
    ]
    if summary.size_upper_bound is not None:
        lines.append(
            f"A grid of weights promises at most {summary.size_upper_bound:,} members for this"
            " tolerance, whatever the policies are (our bound, after PALM)."
        )
    if summary.gap_lower_bound is not None and summary.gap_lower_bound > 5e-5:
        lines.append(
            f"No portfolio of this size has a gap below {summary.gap_lower_bound:.4f} (proved)."
        )
    if summary.confidence is not None:
        c = summary.confidence
        note = f"; {summary.note}" if summary.note else ""
        lines.append(f"{c.confidence:.0%} bound {c.upper:.4f} from {c.prompts} prompts{note}.")
    share = summary.coverage
    lines.append(
        f"{share.share:.1%} of the weights have a gap of at most {share.threshold:g} (sampled)."
    )
    users = summary.users
    who = f"{UNIFORM} users" if users.population == UNIFORM else users.population
    used = ", ".join(
        f"{rewards.labels.get(m, m)} {part:.0%}"
        for m, part in sorted(users.usage.items(), key=lambda item: -item[1])
    )
    known = users.expected_gap_lower_bound
    least = "" if known is None else f", no {summary.size} members less than {known:.4f} (proved)"
    lines.append(
        f"On average {who} lose {users.expected_gap:.4f}{least}; who answers them: {used}"
        " (sampled)."
    )
    lines.append(
        f"{users.within:.1%} of them lose at most {share.threshold:g}. Of users like them, with"
        f" {users.confidence:.0%} confidence: at least {users.within_at_least:.1%}, and at most"
        f" {users.expected_gap_at_most:.4f} on average."
    )
    calls = f", {summary.oracle_calls} oracle calls" if summary.oracle_calls else ""
    lines.append(f"{summary.seconds:.2f} s{calls}; stopped: {summary.stopped}.")
    for line in lines:
        console.print(line)
