"""What the commands on tables share: their options, and what these mean on a table."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from palm_engine.errors import InvalidInputError

if TYPE_CHECKING:
    from palm_engine.geometry.users import Users
    from palm_engine.selection.options import Options
    from palm_engine.tables.reward_table import RewardTable

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
# "auto": so long, or less for so many policies.
USUAL_SECONDS = 60.0
MANY = 200_000
MANY_SECONDS = 20.0
Population = Annotated[
    str,
    typer.Option(
        help="uniform; dirichlet:A or dirichlet:A,B,C (a concentration for all traits, or one for"
        " each); or a table of your users' weights (one column per trait, and count or segment if"
        " there are such)."
    ),
]
Threshold = Annotated[
    float, typer.Option(min=0, help="Additive gap that coverage counts as served.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
BOUND = re.compile(r"\s*([A-Za-z0-9._-]+)\s*(>=|<=)\s*([0-9.eE+-]+)\s*\Z")


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


def options_of(
    rewards: RewardTable,
    where: list[str] | None = None,
    floor: list[str] | None = None,
    include: list[str] | None = None,
    exclude: list[str] | None = None,
    **limits: Any,
) -> Options:
    """Guardrails on a table, from the words of the command line and a bundle's own.

    Args:
        rewards: the table.
        where: bounds on weights, as written.
        floor: least rewards of members, as written.
        include: policies that must be members.
        exclude: policies that may not be members.
        limits: further fields of `Options`.

    Raises:
        InvalidInputError: names the option.
    """
    from palm_engine.analysis.limits import options_of_limits
    from palm_engine.geometry.region import Region
    from palm_engine.selection.options import Options, below_floors

    lower, upper = parse_bounds(where, "--where")
    floors, ceilings = parse_bounds(floor, "--floor")
    if ceilings:
        raise InvalidInputError('--floor takes "TRAIT>=NUMBER" only')
    own = Options()
    if rewards.limits is not None:
        own = options_of_limits(rewards.limits, rewards.rewards, rewards.traits, rewards.row)
    region = Region.from_mappings(lower, upper, rewards.traits) if where else own.region
    ruled_out = [
        *own.exclude,
        *below_floors(rewards.rewards, floors, rewards.traits),
        *(rewards.row(p) for p in exclude or []),
    ]
    both = [p for p in include or [] if p in (exclude or [])]
    if both:
        raise InvalidInputError(f"--include and --exclude both name {both[0]!r}; choose one")
    kept = dict.fromkeys([*own.include, *(rewards.row(p) for p in include or [])])
    return Options(region, tuple(kept), tuple(dict.fromkeys(ruled_out)), **limits)


def users_of_text(text: str, traits: Sequence[str]) -> tuple[Users | None, str]:
    """The population that is named and its name; None for uniform users.

    Raises:
        InvalidInputError: a concentration that makes no sense, or a file that can't be read; names
            row and column.
    """
    from palm_engine.analysis.populations import read_users
    from palm_engine.cli.report import UNIFORM
    from palm_engine.geometry.fields import population
    from palm_engine.geometry.users import uniform_users
    from palm_engine.tables.files import read_table_file

    if text == UNIFORM:
        return None, UNIFORM
    kind, colon, numbers = text.partition(":")
    if kind == "dirichlet":
        d = len(traits)
        try:
            alpha = [float(x) for x in numbers.split(",")] if colon else [1.0]
        except ValueError:
            alpha = []
        if len(alpha) not in (1, d):
            raise InvalidInputError(
                f"--population {text!r}: write dirichlet:A, or dirichlet:A,B,... with a number for"
                f" each of {', '.join(traits)}"
            )
        drawn = population(d, concentration=alpha[0] if len(alpha) == 1 else alpha)
        return uniform_users(drawn), text
    path = Path(text)
    return read_users(read_table_file(path), traits), path.name


def seconds_of(text: str) -> float | None:
    """A time limit as it is written.

    Raises:
        InvalidInputError: it is neither `none`, `auto` nor a number of seconds.
    """
    if text == "none":
        return None
    if text == "auto":
        return USUAL_SECONDS
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not LEAST_SECONDS <= seconds < float("inf"):
        raise InvalidInputError(
            f'--time-limit {text!r}: give seconds from {LEAST_SECONDS:g}, or "none"'
        )
    return seconds


def left_of(text: str, policies: int, started: float) -> float | None:
    """What is left of a time limit for the search: reading a large table counts, too.

    Args:
        text: the limit, as it is written.
        policies: how many there are.
        started: on the clock of `time.perf_counter`.

    Raises:
        InvalidInputError: see `seconds_of`.
    """
    seconds = seconds_of(text)
    if seconds is None:
        return None
    if text == "auto" and policies > MANY:
        seconds = MANY_SECONDS
    return max(seconds - (time.perf_counter() - started), LEAST_SECONDS)


def is_multiplicative(gap: str) -> bool:
    """Whether the multiplicative gap is asked for.

    Raises:
        InvalidInputError: neither kind is.
    """
    if gap not in ("additive", "multiplicative"):
        raise InvalidInputError(f"--gap is additive or multiplicative, not {gap!r}")
    return gap == "multiplicative"
