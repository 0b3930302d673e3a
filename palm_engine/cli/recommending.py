"""`palm recommend`: how many members are worth having, and whether they suit one's users."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from palm_engine.cli.console import console, error_console, write
from palm_engine.cli.table_options import Json, TablePath, TimeLimit, Traits, seconds_of
from palm_engine.errors import InvalidInputError

commands = typer.Typer()
WORTH = 0.01
MOST = 12


@commands.command()
def recommend(
    table: TablePath,
    worth: Annotated[
        float,
        typer.Option(help="What one more member has to lower the worst loss by (additive)."),
    ] = WORTH,
    max_k: Annotated[int, typer.Option(min=1, help="Largest size that is looked at.")] = MOST,
    trait: Traits = None,
    time_limit: TimeLimit = "60",
    users: Annotated[
        Path | None,
        typer.Option(
            help=(
                "A table of users' weights, as of palm users export: whether other members, as"
                " many as the bundle has, would serve them better."
            )
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the split of prompts.")] = 0,
    json: Json = False,
) -> None:
    """Say how many members are worth having: until one more buys too little.

    With --users: whether a bundle's members are the right ones for these users.

    Examples: palm recommend scores.csv --worth .02

    palm recommend portfolios/demo --users traffic.parquet
    """
    if users is not None and (trait or worth != WORTH or max_k != MOST):
        raise InvalidInputError("--users goes without --trait, --worth and --max-k")
    if users is not None:
        _recommend_for(table, users, seconds_of(time_limit), seed, json)
        return
    import json as encoder

    from palm_engine.analysis import recommendation
    from palm_engine.cli.terminal import TerminalProgress, print_warnings
    from palm_engine.tables.read import read_reward_table

    rewards = read_reward_table(table, trait or ())
    sizes = min(max_k, len(rewards.policies))
    seconds = seconds_of(time_limit)
    each = 1e9 if seconds is None else seconds / sizes
    with TerminalProgress(error_console) as bars:
        report = bars.by_share("Looking at every size")
        found = recommendation.recommend(rewards, worth, sizes, each, seed, report)
        report(1.0, "")
    if json:
        output = {"scope": "candidates", **dataclasses.asdict(found), "warnings": rewards.warnings}
        write(encoder.dumps(output))
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
    print_warnings(rewards)


def _recommend_for(folder: Path, file: Path, seconds: float | None, seed: int, json: bool) -> None:
    """Whether other members would serve the users of a file better than a bundle's own."""
    import json as encoder

    from palm_engine.analysis.populations import read_users
    from palm_engine.analysis.replacement import replacement
    from palm_engine.bundle.folder import read_bundle
    from palm_engine.cli.terminal import TerminalProgress, print_warnings
    from palm_engine.tables.files import read_table_file
    from palm_engine.tables.read import table_of

    if not folder.is_dir():
        raise InvalidInputError(
            f"{folder}: --users goes with the bundle that serves them, a folder; import a table"
            " with palm import and choose members with palm select"
        )
    bundle = read_bundle(folder)
    if not bundle.members:
        raise InvalidInputError(f"{folder}: nothing is selected in this bundle (palm select)")
    people = read_users(read_table_file(file), bundle.traits)
    rewards = table_of(bundle)
    members = [bundle.policies[row] for row in bundle.members]
    with TerminalProgress(error_console) as bars:
        report = bars.by_share("Looking for better members")
        found = replacement(rewards, members, people, seconds, seed, report=report)
    if json:
        now = found.now.everybody
        output = {
            "scope": "sampled",
            "users": found.users,
            "members": found.members,
            "usage": dict(zip(found.members, map(float, now.shares), strict=True)),
            "expected": now.expected,
            "worst": now.worst,
            "single": found.single,
            "single_expected": found.single_expected,
            "others": found.others,
            "others_expected": found.others_now.everybody.expected,
            "saved": None if found.saved is None else dataclasses.asdict(found.saved),
            "is_better": found.is_better,
            "proved": found.proved,
        }
        write(encoder.dumps(output | {"warnings": rewards.warnings}))
        return
    for line in found.in_words(dict(zip(bundle.policies, bundle.labels, strict=True))):
        console.print(line)
    print_warnings(rewards)
