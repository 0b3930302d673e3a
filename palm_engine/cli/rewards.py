"""`palm rewards`: what rewards are worth before anything is certified with them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from palm_engine.cli.console import console, error_console, write
from palm_engine.errors import InvalidInputError
from palm_engine.lm import require_language_models

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from palm_engine.bundle.folder import Bundle
    from palm_engine.pipeline.config import BuildConfig
    from palm_engine.pipeline.store import Store

Rewards = Annotated[
    Path | None,
    typer.Option(
        help="The build configuration that the bundle's rewards come from; its code is run."
    ),
]
Project = Annotated[
    Path, typer.Option(help="Folder that the configuration's paths and modules start from.")
]
commands = typer.Typer()
reward_commands = typer.Typer(
    help="Fit rewards, and audit them before they are trusted.", no_args_is_help=True
)
commands.add_typer(reward_commands, name="rewards")


@reward_commands.command()
def audit(
    target: Annotated[
        Path, typer.Argument(help="A bundle folder, or a build configuration (.toml).")
    ],
    tries: Annotated[int, typer.Option(min=1, help="Constant answers, and as many parrots.")] = 200,
    prompts: Annotated[int, typer.Option(min=2, help="Held-out prompts to answer.")] = 40,
    seed: Annotated[int, typer.Option(min=0, help="Of the draws.")] = 0,
    rewards: Rewards = None,
    project: Project = Path("."),
    work: Annotated[
        Path | None, typer.Option(help="Folder of scores, reused by a repeated run.")
    ] = None,
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
    Of a configuration, its demonstrations are compared with: do it before anything is trained.
    Without demonstrations it says what the rewards pay such answers, and gives no verdict.
    Exit status 1 if an attack is ahead of the members by more than 0.02 somewhere, or if shuffled
    answers keep more than half of the members' gain over the base.

    Examples: palm rewards audit portfolios/demo --tries 50; palm rewards audit configs/demo.toml
    """
    from palm_engine.bundle.folder import read_bundle
    from palm_engine.bundle.writing import check_own, rewrite_manifest
    from palm_engine.cli.terminal import TerminalProgress, audit_lines
    from palm_engine.pipeline.config import load_config

    require_language_models("a reward audit")
    from palm_engine.lm.base_model.load import token_counter
    from palm_engine.lm.base_model.source import located, resolve_base
    from palm_engine.pipeline.audit import audit_configuration, audit_rewards, registered
    from palm_engine.pipeline.extend import work_folder
    from palm_engine.pipeline.rewards import TraitRewards
    from palm_engine.pipeline.store import Store

    if rewards is not None:
        use_rewards(rewards, project)
    config = load_config(target) if target.suffix == ".toml" else None
    if config is None and not dry_run:
        check_own(target)
    found = read_bundle(target) if config is None else None
    source = _base_of(found, target) if config is None else located(config.base, project)
    count = token_counter(resolve_base(source, _print_error, download))
    place = work or work_folder(target) / "audit"
    store = Store(place)
    if config is not None and config.data.demonstrations is None:
        _scores_alone(config, project, count, prompts, seed, store, json)
        return
    with store.held(), TerminalProgress(error_console if json else console) as bars:
        report = bars.by_share("Scoring attacks")
        if config is not None:
            known = TraitRewards.of(config, project, store)
            result = audit_configuration(
                config, project, count, tries, prompts, seed, report, known
            )
        else:
            assert found is not None
            known = registered(found, store)
            result = audit_rewards(found, count, tries, prompts, seed, report, known)
        for sentence in known.spent():
            bars.note(sentence)
    recorded = found is not None and not dry_run
    if found is not None and recorded:
        rewrite_manifest(found, found.manifest.model_copy(update={"reward_audit": result}))
    if json:
        write(result.model_dump_json())
    else:
        for line in audit_lines(result):
            console.print(line)
        if recorded:
            console.print(f"Recorded in {target}.")
    if not result.passes:
        raise typer.Exit(1)


def _scores_alone(
    config: BuildConfig,
    project: Path,
    count: Callable[[Sequence[str]], list[int]],
    prompts: int,
    seed: int,
    store: Store,
    json: bool,
) -> None:
    """What the rewards of a configuration without demonstrations pay; no verdict on that."""
    import json as encoder

    from palm_engine.cli.terminal import TerminalProgress, paid_lines
    from palm_engine.pipeline.audit import score_attacks
    from palm_engine.pipeline.rewards import TraitRewards

    with store.held(), TerminalProgress(error_console if json else console) as bars:
        report = bars.by_share("Scoring attacks")
        known = TraitRewards.of(config, project, store)
        found = score_attacks(config, project, count, prompts, seed, report, known)
    if json:
        write(encoder.dumps({"most": found}))
        return
    console.print(
        "There are no demonstrations to compare with, so this is no verdict: audit the bundle once"
        " it is built. An answer that suits no question should be paid nothing."
    )
    for line in paid_lines(found):
        console.print(line)


@reward_commands.command()
def fit(
    labelled: Annotated[
        Path, typer.Argument(help="A CSV: topic, prompt, answer and a column of 0 and 1.")
    ],
    trait: Annotated[str, typer.Option(help="The column to learn.")],
    out: Annotated[Path, typer.Option(help="The probe's file (.json).")],
    features: Annotated[
        str, typer.Option(help="What it looks at: answer, prompt, product; comma-separated.")
    ] = "answer",
    outputs: Annotated[
        Path | None,
        typer.Option(help="A CSV of your policies' own labelled answers: a harder test."),
    ] = None,
    meaning: Annotated[str, typer.Option(help="What 1 means, for the card.")] = "",
) -> None:
    """Fit a reward on labelled examples, and say how well it tells them apart.

    It is used as: reward = {kind = "probe", weights = "FILE"} of a trait in a configuration.

    Example: palm rewards fit labelled.csv --trait formal --out formal.json
    """
    require_language_models("fitting a reward")
    from palm_engine.bundle.writing import check_file
    from palm_engine.rewards.fit import fit_probe

    check_file(out)
    parts = tuple(part.strip() for part in features.split(",") if part.strip())
    card = fit_probe(labelled, trait, out, parts, outputs, meaning)
    text = (
        f"{out}: {card['examples']} examples of {card['topics']} topics, AUROC"
        f" {card['auroc_cross_validated']} on other topics"
    )
    if outputs is not None:
        text += f", {card['auroc_model_outputs']} on {card['model_outputs']} model outputs"
    console.print(text)


@reward_commands.command()
def train(
    labelled: Annotated[
        list[Path], typer.Argument(help="CSVs: prompt, answer and a column per label.")
    ],
    out: Annotated[Path, typer.Option(help="The reward model's folder.")],
    head: Annotated[
        list[str], typer.Option(help="A label and its largest value, as fit:2; once for each.")
    ],
    base: Annotated[
        str, typer.Option(help="all-MiniLM-L6-v2, or any causal base model.")
    ] = "all-MiniLM-L6-v2",
    test: Annotated[
        list[str] | None,
        typer.Option(help="NAME=CSV of answers that are not trained on; may be repeated."),
    ] = None,
    relevance: Annotated[
        str | None,
        typer.Option(
            help=(
                "The label that says whether an answer belongs to its prompt: mismatched pairs are"
                " added as examples without it."
            )
        ),
    ] = None,
    mismatches: Annotated[
        int, typer.Option(min=1, help="Other prompts per answer, for --relevance.")
    ] = 1,
    hard: Annotated[
        int,
        typer.Option(
            min=0,
            max=20,
            help="Rounds against answers to other prompts that it pays most, for --relevance.",
        ),
    ] = 0,
    rank: Annotated[int, typer.Option(min=1, max=64, help="Of the LoRA.")] = 32,
    first_layer: Annotated[int, typer.Option(min=0, help="Layers below stay as they are.")] = 0,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the answers.")] = 4,
    learning_rate: Annotated[float, typer.Option(help="After warm-up.")] = 1e-3,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Train a small reward model on labelled answers: LoRA and a head per label.

    It is used as: reward = {kind = "reward_model", folder = "DIR", head = "fit"}.

    Example: palm rewards train a.csv --head fit:2 --head kind:1 --relevance fit --out judge
    """
    require_language_models("training a reward model")
    from pydantic import ValidationError

    from palm_engine.bundle.validation import describe_validation_error
    from palm_engine.cli.terminal import TerminalProgress
    from palm_engine.lm.base_model.source import located
    from palm_engine.lm.reward_model import ENCODER, RewardModelSettings
    from palm_engine.rewards.train import train_model

    heads = {}
    for text in head:
        name, _, most = text.partition(":")
        try:
            heads[name] = float(most or 1)
        except ValueError:
            heads[name] = math.nan
        if not 0 < heads[name] < math.inf:
            raise InvalidInputError(f"--head {text!r}: write NAME:LARGEST, as in fit:2")
    tests = {}
    for text in test or []:
        name, _, path = text.partition("=")
        if not path:
            raise InvalidInputError(f"--test {text!r}: write NAME=FILE")
        tests[name] = Path(path)
    if hard and relevance is None:
        raise InvalidInputError("--hard: name the label that such answers lack (--relevance)")
    if relevance is not None and relevance not in heads:
        raise InvalidInputError(f"--relevance {relevance!r} is not one of the heads")
    try:
        settings = RewardModelSettings(
            # Wherever it scores later, a folder is found again.
            base=base if base == ENCODER else located(base, Path()),
            heads=tuple(heads),
            rank=rank,
            alpha=2 * rank,
            first_layer=first_layer,
            learning_rate=learning_rate,
            epochs=epochs,
            seed=seed,
        )
    except ValidationError as error:
        raise InvalidInputError(f"--{describe_validation_error(error)}") from error
    with TerminalProgress(console) as bars:
        report = bars.by_share("Training the reward model")
        card = train_model(
            labelled, heads, out, settings, tests, None, relevance, mismatches, hard, report
        )
        report(1.0, "")
    for key, value in card.items():
        if key.startswith("AUROC"):
            console.print(f"{key}: {value}")
    console.print(f"Wrote {out}.")


def use_rewards(config: Path, project: Path) -> None:
    """Make the rewards of a configuration known; the project's folder is where they start from."""
    from palm_engine.pipeline.rewards import register_from

    register_from(config, project)


def _base_of(found: Bundle | None, target: Path) -> str:
    if found is None or found.manifest.base is None:
        raise InvalidInputError(
            f"{target}/portfolio.json: base is missing, so lengths in its tokens can't be counted"
        )
    return found.manifest.base.source


def _print_error(text: str) -> None:
    error_console.print(text)
