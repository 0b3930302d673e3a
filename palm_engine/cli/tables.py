"""`palm select`, `certify`, `curve` and `methods`.

Portfolios from a reward table, no language model needed.
"""

from __future__ import annotations

import re
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from palm_engine.cli.console import Replace, console, error_console, write
from palm_engine.errors import InvalidInputError
from palm_engine.geometry.simplex import weights_text

if TYPE_CHECKING:
    from palm_engine.analysis.populations import Users
    from palm_engine.cli.report import SelectionReport
    from palm_engine.selection.options import Options
    from palm_engine.tables.reward_table import RewardTable

commands = typer.Typer()

TablePath = Annotated[
    Path,
    typer.Argument(
        help=(
            "Rewards: a table (CSV, TSV, Parquet, JSON, JSON Lines) with a column of policies, one"
            " per trait, and cost where there are costs; or a bundle's folder."
        )
    ),
]
Traits = Annotated[
    list[str] | None,
    typer.Option("--trait", help="A column to take, once for each; those like scores if none."),
]
Where = Annotated[
    list[str] | None,
    typer.Option(help='Bound on a weight that counts, e.g. "safety>=.2"; may be repeated.'),
]
Floor = Annotated[
    list[str] | None,
    typer.Option(help='Least reward a member must have, e.g. "safety>=.5"; may be repeated.'),
]
Include = Annotated[
    list[str] | None, typer.Option(help="Policy that must be a member; may be repeated.")
]
Exclude = Annotated[
    list[str] | None, typer.Option(help="Policy that may not be a member; may be repeated.")
]
TimeLimit = Annotated[
    str,
    typer.Option(
        help='Seconds; then the best found and its proved bound. "none": as long as needed.'
    ),
]
LEAST_SECONDS = 0.01
Population = Annotated[
    Path | None,
    typer.Option(
        help="A table of your users' weights (one column per trait, and count or segment if there"
        " are such); uniform users if not given."
    ),
]
Threshold = Annotated[
    float, typer.Option(min=0, help="Additive gap that coverage counts as served.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
MULTIPLICATIVE = ("minimum", "adaptive", "placement")
BOUND = re.compile(r"\s*([A-Za-z0-9._-]+)\s*(>=|<=)\s*([0-9.eE+-]+)\s*\Z")


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
    time_limit: TimeLimit = "60",
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
    population: Population = None,
    out: Annotated[
        Path | None, typer.Option(help="Write a bundle that the dashboard opens.")
    ] = None,
    replace: Replace = False,
    json: Json = False,
) -> None:
    """Choose members: the best k, or the fewest for a tolerance.

    Exit status 3 where no portfolio can meet it.
    """
    from palm_engine.bundle.names import NAME_RULE, is_name
    from palm_engine.bundle.writing import check_target
    from palm_engine.cli.report import report
    from palm_engine.selection.methods import get_method
    from palm_engine.selection.result import Target
    from palm_engine.tables.read import read_reward_table
    from palm_engine.tables.to_bundle import save_table

    multiplicative = _is_multiplicative(gap)
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
    rewards = read_reward_table(table, trait or ())
    users = _users(population, rewards)
    options = _options(
        rewards,
        where,
        floor,
        include,
        exclude,
        time_limit=_seconds(time_limit),
        budget=budget,
        batch=batch,
        seed=seed,
        grid_eps=grid_eps,
        thin_grid=thin_grid,
        grid_delta=grid_delta,
    )
    target = Target(k=k, eps=eps, delta=delta, multiplicative=multiplicative)
    with (
        console.status(f"Selecting from {len(rewards.policies)} policies")
        if not json
        else nullcontext()
    ):
        chosen = get_method(method).select(rewards.points, target, options)
        summary = report(rewards, chosen, threshold, options.region, target, *users)
    _print_report(summary, rewards, json)
    if out is not None:
        members = {m: summary.weights[m] for m in summary.members}
        lower, upper = parse_bounds(where, "--where")
        bounds = {t: (lower.get(t, 0.0), upper.get(t, 1.0)) for t in {**lower, **upper}}
        title = f"{summary.method} on {table.name}"
        save_table(rewards, members, out, title, where=bounds, replace=replace)
        if not json:
            write(f"Wrote {out}. Open it with: palm app --portfolios {out.parent}")


@commands.command()
def certify(
    table: TablePath,
    members: Annotated[str, typer.Option(help="Policies of the portfolio, separated by commas.")],
    trait: Traits = None,
    where: Where = None,
    threshold: Threshold = 0.05,
    population: Population = None,
    json: Json = False,
) -> None:
    """The exact worst gap of a given portfolio.

    With a confidence bound where the table holds prompts.
    """
    from palm_engine.cli.report import report
    from palm_engine.geometry.gap import worst_gap
    from palm_engine.selection.result import Selection
    from palm_engine.tables.read import read_reward_table

    rewards = read_reward_table(table, trait or ())
    started = time.perf_counter()
    rows = tuple(sorted({rewards.row(name.strip()) for name in members.split(",")}))
    options = _options(rewards, where)
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
    users = _users(population, rewards)
    _print_report(report(rewards, found, threshold, options.region, None, *users), rewards, json)


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
    json: Json = False,
) -> None:
    """Size against worst gap: the exact best portfolio of every size."""
    import json as encoder

    from palm_engine.selection.minimum import size_curve
    from palm_engine.tables.read import read_reward_table

    rewards = read_reward_table(table, trait or ())
    seconds = _seconds(time_limit)
    each = None if seconds is None else seconds / min(max_k, len(rewards.policies))
    options = _options(rewards, where, floor, include, exclude, time_limit=each)
    with console.status("Finding the best portfolio of every size") if not json else nullcontext():
        found = size_curve(rewards.points, max_k, options, _is_multiplicative(gap))
    names = [[rewards.policies[m] for m in s.members] for s in found]
    rows = [
        {
            "size": len(s.members),
            "members": members,
            "additive": s.gap.additive,
            "multiplicative": s.gap.multiplicative,
            "gap_lower_bound": s.gap_lower_bound,
            "stopped": s.stopped,
        }
        for s, members in zip(found, names, strict=True)
    ]
    if json:
        write(encoder.dumps({"scope": "candidates", "curve": rows}))
        return
    shown = Table(title="Best portfolio of every size (scope: candidates)")
    for column in ("size", "worst gap", "proved", "members"):
        shown.add_column(column, justify="right" if column == "size" else "left")
    for s, members in zip(found, names, strict=True):
        proved = "optimal" if s.proved else f"not below {s.gap_lower_bound or 0:.4f}"
        own = s.gap.multiplicative if gap == "multiplicative" else s.gap.additive
        shown.add_row(
            str(len(members)), "" if own is None else f"{own:.4f}", proved, ", ".join(members)
        )
    console.print(shown)


@commands.command()
def recommend(
    table: TablePath,
    worth: Annotated[
        float,
        typer.Option(help="What one more member has to lower the worst loss by (additive)."),
    ] = 0.01,
    max_k: Annotated[int, typer.Option(min=1, help="Largest size that is looked at.")] = 12,
    trait: Traits = None,
    time_limit: TimeLimit = "60",
    seed: Annotated[int, typer.Option(min=0, help="Of the split of prompts.")] = 0,
    json: Json = False,
) -> None:
    """Say how many members are worth having: until one more buys too little.

    Example: palm recommend scores.csv --worth .02
    """
    import json as encoder
    from dataclasses import asdict

    from palm_engine.analysis import recommendation
    from palm_engine.cli.terminal import TerminalProgress
    from palm_engine.tables.read import read_reward_table

    rewards = read_reward_table(table, trait or ())
    sizes = min(max_k, len(rewards.policies))
    seconds = _seconds(time_limit)
    each = 1e9 if seconds is None else seconds / sizes
    with TerminalProgress(error_console) as bars:
        report = bars.by_share("Looking at every size")
        found = recommendation.recommend(rewards, worth, sizes, each, seed, report)
        report(1.0, "")
    if json:
        write(encoder.dumps({"scope": "candidates", **asdict(found)}))
        return
    shown = Table(title="The best portfolio of every size (scope: candidates)")
    for column in ("size", "worst loss", "at most", "average loss", "members"):
        shown.add_column(column, justify="left" if column == "members" else "right")
    for row in found.rows:
        mark = "*" if row.size == found.chosen.size else ""
        bound = "" if row.upper is None else f"{row.upper:.4f}"
        names = ", ".join(rewards.labels.get(m, m) for m in row.members)
        shown.add_row(f"{mark}{row.size}", f"{row.worst:.4f}", bound, f"{row.expected:.4f}", names)
    console.print(shown)
    for line in found.in_words():
        console.print(line)


@commands.command()
def methods(json: Json = False) -> None:
    """List the selection methods."""
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


def parse_bounds(texts: list[str] | None, option: str) -> tuple[dict[str, float], dict[str, float]]:
    """`["safety>=.2", "humor<=.5"]` as lower and upper bounds by trait.

    Raises:
        InvalidInputError: naming the option.
    """
    lower: dict[str, float] = {}
    upper: dict[str, float] = {}
    for text in texts or []:
        match = BOUND.match(text)
        try:
            bound = float(match[3]) if match else None
        except ValueError:
            bound = None
        if match is None or bound is None:
            raise InvalidInputError(
                f'{option} {text!r} isn\'t a bound; write "TRAIT>=NUMBER" or "TRAIT<=NUMBER"'
            )
        trait = match[1]
        # Bounds on one trait hold together: the narrowest counts.
        if match[2] == ">=":
            lower[trait] = max(bound, lower.get(trait, bound))
        else:
            upper[trait] = min(bound, upper.get(trait, bound))
    return lower, upper


def _options(
    rewards: RewardTable,
    where: list[str] | None = None,
    floor: list[str] | None = None,
    include: list[str] | None = None,
    exclude: list[str] | None = None,
    **limits: Any,
) -> Options:
    from palm_engine.geometry.region import Region
    from palm_engine.selection.options import Options, below_floors

    lower, upper = parse_bounds(where, "--where")
    floors, ceilings = parse_bounds(floor, "--floor")
    if ceilings:
        raise InvalidInputError('--floor takes "TRAIT>=NUMBER" only')
    region = Region.from_mappings(lower, upper, rewards.traits) if where else None
    ruled_out = [
        *below_floors(rewards.rewards, floors, rewards.traits),
        *(rewards.row(p) for p in exclude or []),
    ]
    both = [p for p in include or [] if p in (exclude or [])]
    if both:
        raise InvalidInputError(f"--include and --exclude both name {both[0]!r}; choose one")
    kept = tuple(rewards.row(p) for p in include or [])
    return Options(region, kept, tuple(ruled_out), **limits)


def _users(path: Path | None, rewards: RewardTable) -> tuple[Users | None, str]:
    """The population of a file and its name; uniform users without one.

    Raises:
        InvalidInputError: it can't be read; names row and column.
    """
    from palm_engine.analysis.populations import read_users
    from palm_engine.cli.report import UNIFORM
    from palm_engine.tables.files import read_table_file

    if path is None:
        return None, UNIFORM
    return read_users(read_table_file(path), rewards.traits), path.name


def _seconds(text: str) -> float | None:
    """A time limit as it is written.

    Raises:
        InvalidInputError: it is neither `none` nor a number of seconds.
    """
    if text == "none":
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not LEAST_SECONDS <= seconds < float("inf"):
        raise InvalidInputError(
            f'--time-limit {text!r}: give seconds from {LEAST_SECONDS:g}, or "none"'
        )
    return seconds


def _is_multiplicative(gap: str) -> bool:
    if gap not in ("additive", "multiplicative"):
        raise InvalidInputError(f"--gap is additive or multiplicative, not {gap!r}")
    return gap == "multiplicative"


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
    shown.add_column("member")
    for trait in rewards.traits:
        shown.add_column(trait, justify="right")
    shown.add_column("stands for")
    for member in summary.members:
        values = rewards.rewards[rewards.policies.index(member)]
        weights = summary.weights[member]
        place = "never picked" if weights is None else weights_text(weights)
        shown.add_row(rewards.labels.get(member, member), *(f"{v:.3f}" for v in values), place)
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
    if summary.gap_lower_bound is not None:
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
    lines.append(
        f"On average {who} lose {users.expected_gap:.4f}; who answers them: {used} (sampled)."
    )
    calls = f", {summary.oracle_calls} oracle calls" if summary.oracle_calls else ""
    lines.append(f"{summary.seconds:.2f} s{calls}; stopped: {summary.stopped}.")
    for line in lines:
        console.print(line)
