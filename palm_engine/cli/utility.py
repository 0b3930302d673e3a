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
    from palm_engine.analysis.by_utility import UtilitySelection

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

    from palm_engine.analysis.by_utility import selected_for, utility_of
    from palm_engine.cli.terminal import print_warnings
    from palm_engine.tables.read import read_reward_table

    rewards = read_reward_table(table, trait or ())
    if (k is None) == (members is None):
        raise InvalidInputError("give --k to choose members, or --members to look at some")
    if (mean is not None) + bool(at_least) + chebyshev != 1:
        raise InvalidInputError(
            "give one utility: --mean P, --at-least TRAIT>=NUMBER or --chebyshev"
        )
    required, beyond = parse_bounds(at_least, "--at-least")
    if beyond:
        raise InvalidInputError(f"--at-least {(at_least or [''])[0]!r}: write TRAIT>=NUMBER")
    named = utility_of(rewards, mean, required, chebyshev, price)
    limits = options_of(rewards, where, floor, include, exclude, time_limit=seconds_of(time_limit))
    names = None if members is None else [name.strip() for name in members.split(",")]
    found = selected_for(named, rewards, limits, k, names)
    if json:
        write(encoder.dumps(_as_json(found, rewards.warnings)))
        return
    labels = [rewards.labels.get(n, n) for n in found.policies]
    count = len(labels)
    console.print(f"{count} member{'s' * (count != 1)} for users of {found.utility}:")
    write(", ".join(labels))
    exact = found.scope == "candidates"
    console.print(
        f"The worst-off user loses {_text(found.loss, found.unit)} at {weights_text(found.at)}"
        + (
            " (exact over all weights; scope: candidates)."
            if exact
            else f"; nobody more than {_text(found.upper, found.unit)} (scope: sampled, with the"
            " bound between the weights)."
        )
    )
    if found.lower_bound is not None and found.lower_bound > 5e-5:
        least = _text(found.lower_bound, found.unit)
        console.print(f"No {count} members lose less than {least} (proved).")
    if found.never_linear:
        never = [rewards.labels.get(p, p) for p in found.never_linear]
        console.print(
            f"Best for some of these users, and for no linear weights: {len(never)} of"
            f" {len(rewards.policies)} candidates"
            + (f" ({', '.join(never)})." if len(never) <= MOST_NAMED else ".")
        )
    print_warnings(rewards)


def _as_json(found: UtilitySelection, warnings: dict[str, str]) -> dict[str, Any]:
    told = dataclasses.asdict(found)
    names = {"policies": "members", "never_linear": "best_for_no_linear_weights"}
    return {names.get(key, key): value for key, value in told.items()} | {"warnings": warnings}


def _text(loss: float, unit: str) -> str:
    return f"{loss:.1%} of the best" if unit == "share" else f"{loss:.4f}"
