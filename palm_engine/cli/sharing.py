"""`palm push` and `palm pull`: bundles on the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from palm_engine.cli.console import Replace, console, write

commands = typer.Typer()


@commands.command()
def push(
    bundle: Annotated[Path, typer.Argument(help="A bundle folder, e.g. portfolios/mine.")],
    repo: Annotated[str, typer.Argument(help="The repository, owner/name.")],
    public: Annotated[
        bool, typer.Option("--public", help="Make a new repository public; private otherwise.")
    ] = False,
    message: Annotated[str, typer.Option(help="Of the commit.")] = "",
    card: Annotated[
        bool, typer.Option("--card", help="Only print the model card; upload nothing.")
    ] = False,
) -> None:
    """Upload a bundle with a model card written from its certificate.

    The hub is that of HF_ENDPOINT; the token that of `hf auth login` or HF_TOKEN.

    Example: palm push portfolios/mine me/my-portfolio
    """
    from palm_engine.bundle.folder import read_bundle
    from palm_engine.pipeline.sharing import model_card
    from palm_engine.pipeline.sharing import push as upload

    found = read_bundle(bundle)
    if card:
        write(model_card(found, repo))
        return
    address = upload(found, repo, not public, message, _print)
    write(f"Pushed to {address}")


@commands.command()
def pull(
    repo: Annotated[str, typer.Argument(help="The repository, owner/name.")],
    out: Annotated[Path, typer.Option(help="The bundle folder to write.")],
    replace: Replace = False,
) -> None:
    """Download a bundle and check it; nothing but a bundle's own files is fetched.

    Example: palm pull me/my-portfolio --out portfolios/mine
    """
    from palm_engine.pipeline.sharing import pull as download

    found = download(repo, out, _print, replace)
    write(
        f"Wrote {out}: {len(found.policies)} candidates, {len(found.members)} members. Open it"
        f" with: palm app {out.parent}"
    )


def _print(text: str) -> None:
    console.print(text)
