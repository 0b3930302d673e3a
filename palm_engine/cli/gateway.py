"""`palm serve`: one address for applications; and `palm users`: whose weights it knows."""

from __future__ import annotations

import asyncio
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from palm_engine.cli.console import console, error_console, write
from palm_engine.cli.serving import BundlePath, Download
from palm_engine.cli.table_options import Population, users_of_text
from palm_engine.errors import InvalidInputError
from palm_engine.geometry.simplex import weights_of, weights_text
from palm_engine.serving.profiles.database import DEFAULT_URL, Database
from palm_engine.serving.profiles.profile import SOURCES, Profile
from palm_engine.serving.profiles.recorder import Recorder
from palm_engine.serving.profiles.store import Profiles

if TYPE_CHECKING:
    from palm_engine._types import Floats
    from palm_engine.bundle.folder import Bundle
    from palm_engine.serving.gateway.app import Gateway
    from palm_engine.serving.gateway.portfolio import ServedPortfolio
    from palm_engine.serving.gateway.upstream import Upstream
    from palm_engine.serving.host import LoadOptions

commands = typer.Typer()

DatabaseUrl = Annotated[
    str,
    typer.Option(
        "--database",
        envvar="PALM_DATABASE",
        show_envvar=True,
        help="Users and traffic: sqlite:///FILE, or postgresql://USER:PASSWORD@HOST/NAME.",
    ),
]


@commands.command()
def serve(
    bundle: BundlePath,
    upstream: Annotated[
        str | None,
        typer.Option(
            help="The engine: an OpenAI-compatible server, as in http://localhost:8000/v1."
        ),
    ] = None,
    local: Annotated[
        bool, typer.Option("--local", help="Load the members in this process instead.")
    ] = False,
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but this machine's needs --api-key.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8080,
    base_model: Annotated[
        str, typer.Option(help="What the engine calls the base, for members that are prompts.")
    ] = "base",
    api_key: Annotated[
        Path | None, typer.Option(help="A file of keys: a line NAME KEY for each.")
    ] = None,
    rate: Annotated[
        str | None,
        typer.Option(help='Requests of each key, or of each address, as in "60/minute".'),
    ] = None,
    default: Annotated[
        str | None,
        typer.Option(help='Weights of requests without any, as in "safety=.5,humor=.5".'),
    ] = None,
    population: Population = "uniform",
    database: DatabaseUrl = DEFAULT_URL,
    record: Annotated[
        bool,
        typer.Option("--record/--no-record", help="Record the weights of requests, no prompts."),
    ] = True,
    record_prompts: Annotated[
        bool, typer.Option("--record-prompts", help="Record prompts and user ids too.")
    ] = False,
    timeout: Annotated[
        float, typer.Option(min=1, help="Seconds that the engine may be silent.")
    ] = 120.0,
    key_variable: Annotated[
        str, typer.Option(help="Environment variable that holds the engine's key.")
    ] = "OPENAI_API_KEY",
    device: Annotated[
        str, typer.Option(help="With --local: auto, cpu, cuda, mps, or spread (several GPUs).")
    ] = "auto",
    dtype: Annotated[
        str, typer.Option(help="With --local: auto, float32, bfloat16 or float16.")
    ] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="With --local: CPU threads.")] = None,
    download: Download = False,
) -> None:
    """One address for applications: the member that suits a request's weights answers it.

    OpenAI's interface at /v1/chat/completions. Weights come with the request (`palm: {"weights":
    {...}}`), in the header X-PALM-Weights, from the profile of its user, or by default from the
    population. Without weights the member answers that is best for the population's mean, which is
    the best single choice for a user of whom nothing is known.

    Examples: palm serve portfolios/demo --local

    palm serve portfolios/demo --upstream http://localhost:8000/v1 --api-key keys.txt --host 0.0.0.0
    """
    from palm_engine.serving.gateway.server import require_gateway

    if (upstream is None) is not local:
        raise InvalidInputError("give either --upstream URL or --local")
    require_gateway()
    from palm_engine.bundle.folder import read_bundle
    from palm_engine.serving.gateway.access import Access, read_keys
    from palm_engine.serving.gateway.app import Gateway
    from palm_engine.serving.gateway.portfolio import ServedPortfolio
    from palm_engine.serving.gateway.server import Watch, identity_of, is_local, listen
    from palm_engine.serving.gateway.upstream import HttpUpstream
    from palm_engine.serving.host import LoadOptions

    keys = None if api_key is None else read_keys(api_key)
    if keys is None and not is_local(host):
        raise InvalidInputError(
            f"--host {host} can be reached from other machines: give --api-key FILE with a line"
            " NAME KEY for each application"
        )
    access = Access(keys, rate)
    seen = identity_of(bundle)
    found = read_bundle(bundle)
    served = ServedPortfolio.of(found, base_model)

    def default_of(served_bundle: Bundle) -> Floats:
        return _default_weights(served_bundle, default, population)

    weights = default_of(found)
    profiles = Profiles(Database(database))
    engine = (
        HttpUpstream(str(upstream), timeout, key_variable)
        if not local
        else _local_engine(found, LoadOptions(device, dtype, threads, download))
    )
    asyncio.run(_check(engine, served))
    gateway = Gateway(
        served=served,
        upstream=engine,
        access=access,
        default=weights,
        profiles=profiles,
        recorder=Recorder(profiles) if record or record_prompts else None,
        record_prompts=record_prompts,
        host=host,
    )
    _announce(gateway, port)
    listen(gateway, port, Watch(gateway, base_model, seen, default_of))
    console.print("The gateway has ended.")


async def _check(engine: Upstream, served: ServedPortfolio) -> None:
    from palm_engine.serving.gateway.upstream import HttpUpstream

    try:
        await engine.require(served)
    finally:
        if isinstance(engine, HttpUpstream):
            await engine.close()  # its connections belong to this event loop


def _default_weights(bundle: Bundle, text: str | None, population: str) -> Floats:
    """Weights of requests without any: as given, or the population's mean."""
    import numpy as np

    from palm_engine.selection.population import users_where
    from palm_engine.serving.router import parse_weights

    traits = bundle.traits
    if text is not None:
        return weights_of(parse_weights(text, "--default"), traits)
    users, _ = users_of_text(population, traits)
    if users is None and bundle.region is None:
        return np.full(len(traits), 1 / len(traits))
    people = users or users_where(len(traits), bundle.region)
    return np.asarray(people.shares @ people.weights)


def _local_engine(bundle: Bundle, options: LoadOptions) -> Upstream:
    """The members, loaded in this process."""
    from palm_engine.lm import require_language_models
    from palm_engine.serving.gateway.local import LocalUpstream
    from palm_engine.serving.host import ModelHost
    from palm_engine.serving.ticket import Limits

    require_language_models("palm serve --local")
    model = ModelHost(Limits(prompt_characters=16_000, new_tokens=1024, waiting=256))
    members = [bundle.policies[row] for row in bundle.members]
    with error_console.status("Loading the model") as status:
        check = model.load(bundle, members, options, lambda _, note: status.update(note))
    for warning in check.warnings:
        error_console.print(warning, style="yellow")
    return LocalUpstream(model, options)


def _announce(gateway: Gateway, port: int) -> None:
    """Say where it listens, what it keeps, and how to ask it."""
    bundle = gateway.served.bundle
    shown = f"[{gateway.host}]" if ":" in gateway.host else gateway.host
    default = weights_text(dict(zip(bundle.traits, map(float, gateway.default), strict=True)))
    names = ", ".join(bundle.label(p) for p in gateway.served.router.policies)
    console.print(f"Serving {bundle.manifest.name} at http://{shown}:{port}/v1: {names}")
    console.print(f"Requests without weights: {default}")
    assert gateway.profiles is not None
    what = "users"
    if gateway.recorder is not None:
        what += ", weights of requests"
    if gateway.record_prompts:
        what += " and their prompts"
    console.print(f"Keeps {what} in {gateway.profiles.database.name}")
    console.print("Stop it with Ctrl-C: running answers end first.")


users_commands = typer.Typer(help="Weights by user id, as the gateway uses them.")
commands.add_typer(users_commands, name="users", no_args_is_help=True)
UserId = Annotated[str, typer.Argument(help="A user id, as the application knows it.")]


@users_commands.command("list")
def list_users(
    database: DatabaseUrl = DEFAULT_URL,
    most: Annotated[int, typer.Option(min=1, help="How many to print.")] = 100,
) -> None:
    """Print users with their weights.

    Example: palm users list --database sqlite:///palm-users.db
    """
    profiles = _open(database)
    shown = list(islice(profiles.all(), most + 1))
    for profile in shown[:most]:
        write(_line(profile))
    if not shown:
        console.print(f"No users in {profiles.database.name} yet; write one with palm users set.")
    if len(shown) > most:
        console.print(f"Only the first {most} are shown; --most shows more.")


@users_commands.command("show")
def show_user(user: UserId, database: DatabaseUrl = DEFAULT_URL) -> None:
    """Print the weights that a user had, the latest last.

    Example: palm users show ada
    """
    profiles = _open(database)
    history = profiles.history(user)
    if not history:
        raise InvalidInputError(f"there is no user {user!r} in {profiles.database.name}")
    for profile in history:
        write(_line(profile))


@users_commands.command("set")
def set_user(
    user: UserId,
    weights: Annotated[str, typer.Option(help='As in "safety=.5,humor=.3,brevity=.2".')],
    source: Annotated[
        str, typer.Option(help="Where they come from: set, asked (Find my model) or default.")
    ] = "set",
    database: DatabaseUrl = DEFAULT_URL,
) -> None:
    """Write a user's weights. A running gateway uses them from the next request on.

    Example: palm users set ada --weights safety=.2,humor=.8
    """
    from palm_engine.serving.router import parse_weights

    parsed = parse_weights(weights)
    if not isinstance(parsed, dict):
        raise InvalidInputError('--weights: name the traits, as in "safety=.5,humor=.5"')
    if source not in SOURCES:
        raise InvalidInputError(f"--source {source!r}: it is one of {', '.join(SOURCES)}")
    write(_line(_open(database).set(user, parsed, source)))


@users_commands.command("export")
def export_users(
    out: Annotated[Path, typer.Option(help="The file to write: .csv or .parquet.")],
    traffic: Annotated[
        bool,
        typer.Option("--traffic", help="Weights of recorded requests in place of users."),
    ] = False,
    with_default: Annotated[
        bool,
        typer.Option(
            "--with-default", help="Count requests too whose weights nobody gave (the default's)."
        ),
    ] = False,
    bundle: Annotated[
        str, typer.Option(help="With --traffic: of the bundle of this name alone.")
    ] = "",
    database: DatabaseUrl = DEFAULT_URL,
) -> None:
    """Write users, or recorded traffic, as a population: for palm recommend and the Coverage page.

    Example: palm users export --traffic --out traffic.parquet
    """
    from palm_engine.bundle.writing import check_file
    from palm_engine.serving.profiles.export import traffic_table, users_table, write_table

    check_file(out)
    profiles = _open(database)
    if traffic:
        table, left = traffic_table(profiles.traffic(), with_default, bundle)
    else:
        table, left = users_table(profiles.all()), 0
    if table.empty:
        raise InvalidInputError(
            f"{profiles.database.name}: nothing to write yet"
            + (f" but {left:,} requests with default weights (--with-default)" if left else "")
        )
    write_table(table, out)
    counted = int(table["count"].sum()) if traffic else len(table)
    what = "request" if traffic else "user"
    console.print(f"Wrote {counted:,} {what}{'s' * (counted != 1)} to {out}.")
    if left:
        console.print(
            f"Left out, as nobody gave their weights: {left:,} (--with-default counts them)."
        )


@users_commands.command("delete")
def delete_user(
    user: UserId,
    database: DatabaseUrl = DEFAULT_URL,
) -> None:
    """Delete a user: weights, history, recorded prompts. This can't be taken back.

    Example: palm users delete ada
    """
    profiles = _open(database)
    if not profiles.delete(user):
        raise InvalidInputError(f"there is no user {user!r} in {profiles.database.name}")
    write(f"Deleted {user}.")


def _open(url: str) -> Profiles:
    return Profiles(Database(url))


def _line(profile: Profile) -> str:
    at = f"{profile.at:%Y-%m-%d %H:%M}"
    return f"{profile.user}\t{weights_text(profile.weights)}\t{profile.source}\t{at}"
