"""`palm utility`: portfolios for users who don't add their traits up."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

import typer

from palm_engine.cli.console import console, write
from palm_engine.cli.table_options import (
    Exclude,
    Floor,
    Include,
    Json,
    TablePath,
    TimeLimit,
    Traits,
    Where,
    options_of,
    parse_bounds,
    seconds_of,
)
from palm_engine.errors import InvalidInputError
from palm_engine.geometry.simplex import weights_text

if TYPE_CHECKING:
    from palm_engine.geometry.utilities import Utility
    from palm_engine.tables.reward_table import RewardTable

commands = typer.Typer()
MOST_NAMED = 5


@commands.command()
def utility(
    table: TablePath,
    k: Annotated[
        int | None, typer.Option("--k", min=1, help="Choose the best so many members.")
    ] = None,
    members: Annotated[
        str | None, typer.Option(help="Or look at these policies, separated by commas.")
    ] = None,
    mean: Annotated[
        float | None,
        typer.Option("--mean", help="A weighted p-mean: 1 adds up, 0 is the geometric mean."),
    ] = None,
    at_least: Annotated[
        list[str] | None,
        typer.Option("--at-least", help='A required reward, "safety>=.7"; may be repeated.'),
    ] = None,
    price: Annotated[
        float, typer.Option(min=0.001, max=1e6, help="Of a unit that --at-least misses.")
    ] = 10.0,
    chebyshev: Annotated[
        bool,
        typer.Option("--chebyshev", help="The worst trait counts: its distance to the best."),
    ] = False,
    trait: Traits = None,
    where: Where = None,
    floor: Floor = None,
    include: Include = None,
    exclude: Exclude = None,
    time_limit: TimeLimit = "60",
    json: Json = False,
) -> None:
    """Members for users who don't add traits up: p-means, requirements, or the worst trait.

    p-means and requirements are exact over all weights; the worst trait (Chebyshev) is looked at on
    a lattice of weights, with a bound in between.

    Examples:
    palm utility scores.csv --mean 0 --k 3

    palm utility scores.csv --at-least "safety>=.7" --members a,b

    palm utility scores.csv --chebyshev --k 4
    """
    import json as encoder

    from palm_engine.cli.terminal import print_warnings
    from palm_engine.selection.by_utility import best_for, candidates_never_linear
    from palm_engine.tables.read import read_reward_table

    if (k is None) == (members is None):
        raise InvalidInputError("give --k to choose members, or --members to look at some")
    rewards = read_reward_table(table, trait or ())
    named, wanted = _utility(rewards, mean, at_least or [], price, chebyshev)
    limits = options_of(rewards, where, floor, include, exclude, time_limit=seconds_of(time_limit))
    points = rewards.points
    lower = None
    if k is not None:
        found = best_for(wanted, points, k, limits)
        rows, worst, lower = found.members, found.worst, found.lower_bound
    else:
        rows = tuple(sorted({rewards.row(name.strip()) for name in str(members).split(",")}))
        worst = wanted.worst(points[list(rows)], points, limits.region)
    never = candidates_never_linear(wanted, points, limits.region)
    names = [rewards.policies[i] for i in rows]
    if json:
        output: dict[str, Any] = dataclasses.asdict(worst)
        output["at"] = dict(zip(rewards.traits, map(float, worst.at), strict=True))
        output |= {
            "utility": named,
            "members": names,
            "lower_bound": lower,
            "best_for_no_linear_weights": [rewards.policies[i] for i in never],
            "warnings": rewards.warnings,
        }
        write(encoder.dumps(output))
        return
    labels = [rewards.labels.get(n, n) for n in names]
    console.print(f"{len(names)} member{'s' * (len(names) != 1)} for users of {named}:")
    write(", ".join(labels))
    at = weights_text(dict(zip(rewards.traits, map(float, worst.at), strict=True)))
    exact = worst.scope == "candidates"
    console.print(
        f"The worst-off user loses {_text(worst.loss, worst.unit)} at {at}"
        + (
            " (exact over all weights; scope: candidates)."
            if exact
            else f"; nobody more than {_text(worst.upper, worst.unit)} (scope: sampled, with the"
            " bound between the weights)."
        )
    )
    if lower is not None and lower > 5e-5:
        console.print(
            f"No {len(names)} members lose less than {_text(lower, worst.unit)} (proved)."
        )
    if never:
        shown = ", ".join(rewards.labels.get(p, p) for p in (rewards.policies[i] for i in never))
        console.print(
            f"Best for some of these users, and for no linear weights: {len(never)} of"
            f" {len(rewards.policies)} candidates"
            + (f" ({shown})." if len(never) <= MOST_NAMED else ".")
        )
    print_warnings(rewards)


def _text(loss: float, unit: str) -> str:
    return f"{loss:.1%} of the best" if unit == "share" else f"{loss:.4f}"


def _utility(
    rewards: RewardTable, mean: float | None, least: list[str], price: float, chebyshev: bool
) -> tuple[str, Utility]:
    """The utility in words, and itself."""
    from palm_engine.geometry.utilities import AtLeast, Chebyshev, PMean

    if (mean is not None) + bool(least) + chebyshev != 1:
        raise InvalidInputError(
            "give one utility: --mean P, --at-least TRAIT>=NUMBER or --chebyshev"
        )
    if mean is not None:
        return f"a p-mean with p = {mean:g}", PMean(mean)
    if chebyshev:
        return "Chebyshev's utility", Chebyshev.of(rewards.points)
    lower, upper = parse_bounds(least, "--at-least")
    if upper:
        raise InvalidInputError(f"--at-least {least[0]!r}: write TRAIT>=NUMBER")
    unknown = [t for t in lower if t not in rewards.traits]
    if unknown:
        raise InvalidInputError(
            f"--at-least: unknown trait {unknown[0]!r}; the traits are {', '.join(rewards.traits)}"
        )
    beyond = [t for t, x in lower.items() if not 0 <= x <= 1]
    if beyond:
        raise InvalidInputError(
            f"--at-least {beyond[0]}>={lower[beyond[0]]:g}: rewards are from 0 to 1"
        )
    required = tuple(lower.get(t, float("-inf")) for t in rewards.traits)
    text = ", ".join(f"{t} at least {x:g}" for t, x in lower.items())
    return f"{text}, a missing unit costs {price:g}", AtLeast(required, price)
