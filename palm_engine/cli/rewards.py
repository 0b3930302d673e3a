"""`palm rewards`: what rewards are worth before anything is certified with them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from palm_engine.errors import InvalidInputError
from palm_engine.lm import require_language_models

commands = typer.Typer()
reward_commands = typer.Typer(help="Check the rewards of a bundle.", no_args_is_help=True)
commands.add_typer(reward_commands, name="rewards")
console = Console()
error_console = Console(stderr=True)


@reward_commands.command()
def audit(
    bundle: Annotated[Path, typer.Argument(help="A bundle folder, e.g. portfolios/demo.")],
    tries: Annotated[int, typer.Option(min=1, help="Constant answers, and as many parrots.")] = 200,
    prompts: Annotated[int, typer.Option(min=2, help="Held-out prompts to answer.")] = 40,
    seed: Annotated[int, typer.Option(min=0, help="Of the draws.")] = 0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show the result; don't record it.")
    ] = False,
    download: Annotated[
        bool, typer.Option("--download", help="Fetch the base model if it isn't on this machine.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Score answers that nobody should be paid for, and compare them with the members.

    Constant answers, the prompt repeated, random words, no answer, and answers to other prompts.
    The result is recorded in the bundle, and the Guarantee page begins with it where it is bad.
    Exit status 1 if an attack is ahead of the members by more than 0.02 somewhere, or if shuffled
    answers keep more than half of the members' gain over the base.

    Example: palm rewards audit portfolios/demo --tries 50
    """
    from palm_engine.bundle.folder import read_bundle, rewrite_manifest
    from palm_engine.cli.terminal import TerminalProgress, audit_lines

    found = read_bundle(bundle)
    base = found.manifest.base
    if base is None:
        raise InvalidInputError(
            f"{bundle}/portfolio.json: base is missing, so lengths in its tokens can't be counted"
        )
    require_language_models("a reward audit")
    from palm_engine.lm.base_model.load import token_counter
    from palm_engine.lm.base_model.source import resolve_base
    from palm_engine.pipeline.audit import audit_rewards

    count = token_counter(resolve_base(base.source, _print_error, download))
    with TerminalProgress(error_console if json else console) as bars:
        step = bars.stage("Scoring attacks", 1.0)
        shares = [0.0]

        def report(share: float, _: str) -> None:
            step(share - shares[-1])
            shares.append(share)

        result = audit_rewards(found, count, tries, prompts, seed, report)
    if not dry_run:
        rewrite_manifest(found, found.manifest.model_copy(update={"reward_audit": result}))
    if json:
        typer.echo(result.model_dump_json())
    else:
        for line in audit_lines(result):
            console.print(line, highlight=False, markup=False)
        if not dry_run:
            console.print(f"Recorded in {bundle}.", highlight=False, markup=False)
    if not result.passes:
        raise typer.Exit(1)


def _print_error(text: str) -> None:
    error_console.print(text, highlight=False)
