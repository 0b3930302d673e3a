"""`palm interpolate`: what soups and mixtures of a bundle's corner adapters are worth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from palm_engine.cli.console import console, error_console, write
from palm_engine.cli.rewards import Project, Rewards, use_rewards
from palm_engine.lm import require_language_models

commands = typer.Typer()


@commands.command()
def interpolate(
    bundle: Annotated[Path, typer.Argument(help="A bundle folder with corner adapters.")],
    random: Annotated[int, typer.Option(min=1, help="Weights drawn at random.")] = 10,
    prompts: Annotated[int, typer.Option(min=2, help="Prompts of the choose split.")] = 60,
    seed: Annotated[int, typer.Option(min=0, help="Of the draws.")] = 0,
    rewards: Rewards = None,
    project: Project = Path("."),
    work: Annotated[
        Path | None,
        typer.Option(help="Folder of drawn and scored answers, reused by a repeated run."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that draw answers.")] = 2,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show the result; don't record it.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare the portfolio with interpolation: one model for all weights, made of the corners.

    A soup adds the corner adapters up with a user's weights; decoding-time mixing adds their
    logits up at every token. Both answer at the members' weights and at random ones, and are scored
    beside the picked member on the same prompts. The result is recorded in the bundle and shown on
    the Trade-off page.

    Example: palm interpolate portfolios/demo --random 10 --prompts 60
    """
    from palm_engine.analysis.interpolation import interpolation_lines
    from palm_engine.bundle.folder import read_bundle
    from palm_engine.bundle.writing import check_own, rewrite_manifest
    from palm_engine.cli.terminal import TerminalProgress
    from palm_engine.pipeline.extend import work_folder
    from palm_engine.pipeline.interpolation import measure_interpolation

    require_language_models("a comparison with interpolation")
    if rewards is not None:
        use_rewards(rewards, project)
    if not dry_run:
        check_own(bundle)
    found = read_bundle(bundle)
    with TerminalProgress(error_console if json else console) as progress:
        place = work or work_folder(bundle) / "interpolation"
        result = measure_interpolation(found, place, progress, random, prompts, seed, workers)
    made = found.manifest.model_copy(update={"interpolation": result})
    if not dry_run:
        found = rewrite_manifest(found, made)
    if json:
        write(result.model_dump_json())
        return
    for line in interpolation_lines(found, result):
        console.print(line)
    if not dry_run:
        console.print(f"Recorded in {bundle}.")
