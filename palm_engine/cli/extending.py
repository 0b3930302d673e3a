"""`palm add` and `palm evaluate`: further policies, prompts and rewards for a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from palm_engine.bundle.served import KEY_VARIABLE
from palm_engine.cli.console import Replace, console, write
from palm_engine.cli.rewards import Project, Rewards, use_rewards
from palm_engine.errors import InvalidInputError
from palm_engine.lm import require_language_models

if TYPE_CHECKING:
    import pandas as pd

    from palm_engine.bundle.folder import Bundle
    from palm_engine.pipeline.extend import Addition, ExtendOptions
    from palm_engine.pipeline.further_traits import FurtherTrait

commands = typer.Typer()

BundlePath = Annotated[Path, typer.Argument(help="A bundle folder with a base model and prompts.")]
Out = Annotated[
    Path | None, typer.Option(help="Write a new bundle there instead of changing this one.")
]
Work = Annotated[
    Path | None,
    typer.Option(help="Folder of drawn and scored answers, reused by a repeated run."),
]
Members = Annotated[
    int | None,
    typer.Option("--k", min=1, help="Members to choose; as many as now if not given."),
]
Keep = Annotated[
    bool, typer.Option("--keep-members", help="Leave the members as they are; only certify anew.")
]
KeyVariable = Annotated[str, typer.Option(help="Environment variable with the server's key.")]
Workers = Annotated[int, typer.Option(min=1, help="Processes that draw answers.")]


@commands.command()
def add(
    bundle: BundlePath,
    name: Annotated[str, typer.Option(help="The policy's name in the bundle.")],
    adapter: Annotated[
        str | None,
        typer.Option(
            help="A PEFT LoRA adapter for the bundle's base: its folder, or a Hugging Face id."
        ),
    ] = None,
    soup: Annotated[
        str | None,
        typer.Option(help='Adapters of the bundle combined exactly: "POLICY=.5,POLICY=.5".'),
    ] = None,
    mix: Annotated[
        str | None,
        typer.Option(help='Adapters mixed at every token, a pass for each: "POLICY=.5,POLICY=.5".'),
    ] = None,
    url: Annotated[str | None, typer.Option(help="OpenAI-compatible server; with --model.")] = None,
    model: Annotated[str | None, typer.Option(help="The policy's name on its server.")] = None,
    no_extras: Annotated[
        bool,
        typer.Option("--no-extras", help="Don't send top_k and repetition_penalty to the server."),
    ] = False,
    key_variable: KeyVariable = KEY_VARIABLE,
    system: Annotated[
        str, typer.Option(help="System prompt it runs under; alone, it makes a prompted policy.")
    ] = "",
    display: Annotated[str, typer.Option(help="Name for people.")] = "",
    weights: Annotated[
        str | None,
        typer.Option(help='What the adapter was trained for: "TRAIT=NUMBER,TRAIT=NUMBER".'),
    ] = None,
    rewards: Rewards = None,
    project: Project = Path("."),
    out: Out = None,
    work: Work = None,
    k: Members = None,
    keep_members: Keep = False,
    workers: Workers = 2,
    replace: Replace = False,
) -> None:
    """Add a policy: an adapter, a soup, a mixture, a system prompt, or a model on a server.

    It answers the prompts that the others answered, which are not asked again; then members are
    chosen and certified anew.

    Examples:
    palm add portfolios/demo --name mine --adapter my-lora --out portfolios/more

    palm add portfolios/demo --name half --soup "lora-100-00-00=.5,lora-00-100-00=.5"
    """
    from palm_engine.bundle.folder import read_bundle
    from palm_engine.bundle.names import NAME_RULE, is_name
    from palm_engine.pipeline.store import Store

    if not is_name(name):
        raise InvalidInputError(f"--name {name!r}: a policy's name has {NAME_RULE}")
    require_language_models("adding a policy")
    found = read_bundle(bundle)
    given = [x for x in (adapter, soup, mix, url) if x is not None]
    if len(given) > 1 or (not given and not system):
        raise InvalidInputError(
            "say what to add: one of --adapter DIR, --soup WEIGHTS, --mix WEIGHTS, --url URL with"
            " --model, or --system TEXT alone for the base under a system prompt"
        )
    if (url is None) != (model is None):
        raise InvalidInputError("a remote policy needs both --url and --model")
    if weights is not None and adapter is None:
        raise InvalidInputError("--weights say what an --adapter was trained for")
    if name in found.policies:
        raise InvalidInputError(f"--name {name!r} is in the bundle already; choose another name")
    from palm_engine.pipeline.extend import ExtendOptions

    target = out or bundle
    _check_target(found, target, replace)
    folder = Store(_work(work, target)).folder
    addition = _addition(
        found,
        name,
        system,
        display,
        weights,
        adapter,
        soup,
        mix,
        folder / "adapters" / name,
        url,
        model,
        not no_extras,
    )
    if url is not None:
        addition = _with_remote(addition, url, str(model), not no_extras, key_variable)
    options = ExtendOptions(k=k, keep_members=keep_members, workers=workers, replace=replace)
    _run(found, target, folder, options, rewards, project, additions=[addition])


@commands.command()
def evaluate(
    bundle: BundlePath,
    prompts: Annotated[
        Path | None,
        typer.Option(help="A CSV of prompts to add: prompt_id, kind, split, text."),
    ] = None,
    trait: Annotated[
        list[str] | None,
        typer.Option(
            help=(
                "A trait to add and the reward that measures it, as depth=length, or the name"
                " alone of one in --rewards; may be repeated; needs --out."
            )
        ),
    ] = None,
    rescore: Annotated[
        bool,
        typer.Option("--rescore", help="Score every answer anew."),
    ] = False,
    rewards: Rewards = None,
    project: Project = Path("."),
    out: Out = None,
    work: Work = None,
    k: Members = None,
    keep_members: Keep = False,
    server: Annotated[
        list[str] | None,
        typer.Option(
            help=(
                "Address that may be asked for policies that answer there, as URL or URL#VARIABLE"
                " (which holds its key); may be repeated."
            )
        ),
    ] = None,
    key_variable: KeyVariable = KEY_VARIABLE,
    workers: Workers = 2,
    replace: Replace = False,
) -> None:
    """Draw and score what a bundle lacks, then choose and certify anew.

    Missing are answers to prompts that are added, scores of traits that are added, and scores of
    rewards that changed since the bundle was scored. What is there already costs nothing; a run
    that was stopped goes on.

    Examples:
    palm evaluate portfolios/demo --prompts more.csv --out portfolios/wider

    palm evaluate portfolios/demo --trait depth=length --out portfolios/deeper
    """
    from palm_engine.bundle.folder import read_bundle
    from palm_engine.pipeline.extend import ExtendOptions
    from palm_engine.pipeline.sample import read_prompts

    require_language_models("an evaluation")
    found = read_bundle(bundle)
    new = None if prompts is None else read_prompts(prompts)
    if new is not None and not set(new["split"]) <= {"choose", "certify"}:
        raise InvalidInputError(f"{prompts}: split: added prompts are for choose or certify")
    target = out or bundle
    traits = _further(trait or [], rewards)
    if traits and target.resolve() == bundle.resolve():
        raise InvalidInputError(
            "--trait: with another trait it is another bundle (what was measured over all traits"
            " isn't kept), so say where to write it (--out DIR)"
        )
    options = ExtendOptions(
        k=k,
        keep_members=keep_members,
        rescore=rescore,
        workers=workers,
        servers=tuple(server or ()),
        key_variable=key_variable,
        replace=replace,
    )
    folder = _work(work, target)
    _run(found, target, folder, options, rewards, project, prompts=new, traits=traits)


def _further(given: Sequence[str], rewards: Path | None) -> list[FurtherTrait]:
    """Traits to add, from NAME=REWARD or the NAME of one in the configuration of rewards."""
    from palm_engine.pipeline.config import load_config
    from palm_engine.pipeline.further_traits import FurtherTrait

    known = {} if rewards is None else {t.name: t.title for t in load_config(rewards).traits}
    found = []
    for text in given:
        name, _, reward = text.partition("=")
        if not reward and name not in known:
            raise InvalidInputError(
                f"--trait {text!r}: write NAME=REWARD, or the name of a trait in --rewards CONFIG"
            )
        found.append(FurtherTrait(name, reward or known[name]))
    return found


def _work(work: Path | None, target: Path) -> Path:
    from palm_engine.pipeline.extend import work_folder

    return work or work_folder(target)


def _addition(
    bundle: Bundle,
    name: str,
    system: str,
    display: str,
    weights: str | None,
    adapter: str | None,
    soup: str | None,
    mix: str | None,
    folder: Path,
    url: str | None,
    model: str | None,
    extras: bool,
) -> Addition:
    from pydantic import ValidationError

    from palm_engine.bundle.schema import Candidate
    from palm_engine.bundle.validation import describe_validation_error
    from palm_engine.lm.adapters.files import adapter_sha256
    from palm_engine.lm.adapters.source import resolve_adapter
    from palm_engine.pipeline.extend import Addition

    parts = None if soup is None else _parts(bundle, "--soup", soup)
    mixture = None if mix is None else _parts(bundle, "--mix", mix)
    for combined in (parts, mixture):
        if combined is not None:
            system = system or _common_system(bundle, combined)
    source: Path | None = None
    if parts is not None:
        from palm_engine.lm.adapters.soup import write_soup
        from palm_engine.pipeline.recorded import evaluated_adapter

        source = write_soup(folder, {evaluated_adapter(bundle, p): w for p, w in parts.items()})
    elif adapter is not None:
        # Refused before anything is drawn.
        source = resolve_adapter(adapter, report=lambda text: console.print(text))
        _require_fits(bundle, source)
    kind = "prompted"
    if url is not None:
        kind = "remote"
    elif mixture is not None:
        kind = "mixture"
    elif source is not None:
        kind = "adapter" if parts is None else "soup"
    content: dict[str, Any] = {
        "policy": name,
        "display_name": display,
        "kind": kind,
        "role": "added",
        "system": system,
        "weights": None if weights is None else _named(bundle, weights),
        "adapter": None if source is None else f"adapters/{name}",
        "adapter_sha256": None if source is None else adapter_sha256(source),
        "soup": parts,
        "mixture": mixture,
        "served": "" if url is None else f"{model} at {url}",
        "served_plainly": url is not None and not extras,
        "rewards": dict.fromkeys(bundle.traits, 0.0),
    }
    try:
        return Addition(Candidate.model_validate(content), source)
    except ValidationError as error:
        raise InvalidInputError(f"--name {name!r}: {describe_validation_error(error)}") from error


def _named(bundle: Bundle, weights: str) -> dict[str, float]:
    from palm_engine.geometry.simplex import named_weights, weights_of
    from palm_engine.serving.router import parse_weights

    traits = bundle.traits
    return named_weights(weights_of(parse_weights(weights), traits), traits, 6)


def _require_fits(bundle: Bundle, adapter: Path) -> None:
    from palm_engine.lm.adapters.stacked_linear import require_fits
    from palm_engine.lm.base_model.source import resolve_base

    if bundle.manifest.base is not None:
        require_fits(adapter, resolve_base(bundle.manifest.base.source, lambda _: None))


def _parts(bundle: Bundle, option: str, text: str) -> dict[str, float]:
    """Weights by policy, of policies of the bundle that have an adapter."""
    parts: dict[str, float] = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        policy, _, number = part.rpartition("=")
        try:
            parts[policy.strip()] = float(number)
        except ValueError:
            raise InvalidInputError(f'{option} {part!r}: write "POLICY=NUMBER"') from None
        bundle.adapter_folder(policy.strip())
    if not any(parts.values()):
        raise InvalidInputError(f"{option}: at least one weight must be other than 0")
    return parts


def _common_system(bundle: Bundle, parts: dict[str, float]) -> str:
    systems = {bundle.candidate(p).system or "" for p in parts}
    if len(systems) > 1:
        raise InvalidInputError(
            "the parts run under different system prompts, so what combines them has none; give"
            " one (--system)"
        )
    return systems.pop()


def _with_remote(
    addition: Addition, url: str, model: str, extras: bool, key_variable: str
) -> Addition:
    from dataclasses import replace

    return replace(
        addition,
        remote={"url": url, "model": model, "extras": extras, "key_variable": key_variable},
    )


def _check_target(bundle: Bundle, out: Path, replace: bool) -> None:
    from palm_engine.bundle.writing import HOLDINGS, check_previous, check_target

    own = out.resolve() == bundle.folder.resolve()
    check_target(out, HOLDINGS if own else (), replace)
    if replace:
        check_previous(out)


def _run(
    bundle: Bundle,
    out: Path,
    work: Path,
    options: ExtendOptions,
    rewards: Path | None,
    project: Path,
    additions: Sequence[Addition] = (),
    prompts: pd.DataFrame | None = None,
    traits: Sequence[FurtherTrait] = (),
) -> None:
    from palm_engine.cli.terminal import TerminalProgress, certificate_lines
    from palm_engine.pipeline.extend import extend

    _check_target(bundle, out, options.replace)
    if rewards is not None:
        use_rewards(rewards, project)
    with TerminalProgress(console) as progress:
        made = extend(bundle, out, work, progress, additions, prompts, options, traits)
    for line in certificate_lines(made):
        console.print(line)
    write(f"Wrote {out}. Open it with: palm app {out.parent}")
