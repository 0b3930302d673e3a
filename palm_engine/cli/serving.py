"""`palm generate`, `export` and `route`: members at work in a terminal, and on a server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from palm_engine.cli.console import console, error_console, write
from palm_engine.cli.rewards import Project, Rewards, use_rewards
from palm_engine.errors import InvalidInputError

if TYPE_CHECKING:
    from palm_engine.bundle.folder import Bundle
    from palm_engine.serving.backends.interface import Backend

commands = typer.Typer()
export_commands = typer.Typer(help="Write a portfolio for a server.", no_args_is_help=True)
commands.add_typer(export_commands, name="export")

BundlePath = Annotated[Path, typer.Argument(help="A bundle folder, e.g. portfolios/demo.")]
Weights = Annotated[
    str, typer.Option(help='The user\'s weights, e.g. "safety=.5,humor=.3,brevity=.2".')
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Download = Annotated[
    bool, typer.Option("--download", help="Fetch the base model if it isn't on this machine.")
]


@commands.command()
def generate(
    bundle: BundlePath,
    prompt: Annotated[str, typer.Option(help="The question.")],
    weights: Weights,
    everyone: Annotated[
        bool, typer.Option("--all", help="All members, not only the picked one.")
    ] = False,
    temperature: Annotated[
        float | None, typer.Option(help="0 is greedy (default: the bundle's own).")
    ] = None,
    top_p: Annotated[float | None, typer.Option(help="Share of probability to draw from.")] = None,
    max_new_tokens: Annotated[
        int | None, typer.Option(min=1, help="Longest answer, in tokens.")
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="The same seed gives a member the same answer.")
    ] = 0,
    backend: Annotated[
        str, typer.Option(help="local, recorded, or remote (with --url).")
    ] = "local",
    url: Annotated[
        str | None,
        typer.Option(help="An OpenAI-compatible server, as in http://localhost:8000/v1."),
    ] = None,
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda, mps, or spread (several GPUs).")
    ] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads.")] = None,
    download: Download = False,
    rewards: Rewards = None,
    project: Project = Path("."),
    json: Json = False,
) -> None:
    """Answer a prompt, token by token, as the member picked at the weights or as all members.

    Example: palm generate portfolios/demo --prompt "How do I boil an egg?" --weights humor=1 --all
    """
    from palm_engine.bundle.folder import read_bundle
    from palm_engine.cli.terminal import StreamedAnswers
    from palm_engine.serving.answering import answer_all, value_at, verdict
    from palm_engine.serving.backends.interface import live_settings
    from palm_engine.serving.host import LoadOptions
    from palm_engine.serving.router import Router, parse_weights

    if rewards is not None:
        use_rewards(rewards, project)
    found = read_bundle(bundle)
    router = Router.of(found)
    w = router.weights(parse_weights(weights))
    picked = router.pick(w).policy
    members = sorted(router.policies, key=lambda m: m != picked) if everyone else [picked]
    settings = live_settings(
        found, temperature=temperature, top_p=top_p, max_new_tokens=max_new_tokens, seed=seed
    )
    options = LoadOptions(device, dtype, threads, download)
    source = _backend(found, backend, url, members, options)
    members = [m for m in members if m in source.policies]
    shown = StreamedAnswers(console if not json else None, members, picked, found.label)
    with shown:
        answers = answer_all(found, source, prompt, members, settings, shown.update)
    for notice in dict.fromkeys(a.notice for a in answers if a.notice):
        error_console.print(notice, style="yellow", markup=False)
    if json:
        import json as encoder

        answers_json = [
            {
                "policy": a.policy,
                "text": a.text,
                "scores": dict(a.scores),
                "value": value_at(a, found.traits, w),
                "finish_reason": a.finish or None,
                "notice": a.notice or None,
            }
            for a in answers
        ]
        effective = dict(zip(found.traits, map(float, w), strict=True))
        write(
            encoder.dumps(
                {"prompt": prompt, "weights": effective, "picked": picked, "answers": answers_json}
            )
        )
        return
    shown.summary(answers, verdict(found, answers, w))


@commands.command()
def route(bundle: BundlePath, weights: Weights, json: Json = False) -> None:
    """Say which member answers a user with these weights. No model is loaded.

    Example: palm route portfolios/demo --weights safety=.6,humor=.4
    """
    from palm_engine.bundle.folder import read_bundle
    from palm_engine.serving.router import Router, parse_weights

    router = Router.of(read_bundle(bundle))
    found = router.pick(parse_weights(weights))
    if json:
        import json as encoder

        content = {
            "policy": found.policy,
            "model": found.model,
            "system": found.system,
            "value": found.value,
        }
        write(encoder.dumps(content))
    else:
        write(found.policy)


@export_commands.command()
def vllm(
    bundle: BundlePath,
    out: Annotated[Path, typer.Argument(help="The folder to write.")],
    download: Download = False,
) -> None:
    """Base, adapters, licences, start command and routing file for vLLM. See docs/serving.md.

    Example: palm export vllm portfolios/demo serving
    """
    from palm_engine.bundle.folder import read_bundle
    from palm_engine.lm import require_language_models
    from palm_engine.serving.export_vllm import export_vllm

    require_language_models("an export")
    done = export_vllm(
        read_bundle(bundle),
        out,
        lambda text: console.print(text),
        download,
    )
    console.print(
        f"Wrote {done.folder}. Start it with: {done.folder}/start.sh, which runs",
    )
    write(done.shell)


def _backend(
    found: Bundle, kind: str, url: str | None, members: list[str], options: object
) -> Backend:
    from palm_engine.serving.backends.recorded import RecordedBackend
    from palm_engine.serving.host import LoadOptions, ModelHost

    assert isinstance(options, LoadOptions)
    if kind == "recorded":
        return RecordedBackend(found)
    if kind == "remote":
        from palm_engine.serving.backends.remote import RemoteBackend

        if url is None:
            raise InvalidInputError(
                "--backend remote needs --url, as in --url http://localhost:8000/v1"
            )
        return RemoteBackend(found, url)
    if kind != "local":
        raise InvalidInputError(f"--backend {kind!r} is not one of local, recorded, remote")
    host = ModelHost()
    with error_console.status("Loading the model") as status:
        check = host.load(found, members, options, lambda share, note: status.update(note))
    for warning in check.warnings:
        error_console.print(warning, style="yellow")
    return host.backend(found)
