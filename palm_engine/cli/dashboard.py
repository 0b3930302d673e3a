"""`palm app`: opens the dashboard, from a clone or a wheel, on the bundles of any folder."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from palm_engine.cli.rewards import Project, Rewards, use_rewards
from palm_engine.errors import DependencyError

commands = typer.Typer()
PACKAGE = "palm_dashboard"


def dashboard_home() -> Path:
    """The folder that holds `app/main.py`: the clone, or what the wheel installed.

    Raises:
        DependencyError: the dashboard is not installed.
    """
    clone = Path(__file__).resolve().parents[2]
    if (clone / "app" / "main.py").is_file() and (clone / "pyproject.toml").is_file():
        return clone
    spec = find_spec(PACKAGE)
    for place in (spec.submodule_search_locations or []) if spec else []:
        if (Path(place) / "app" / "main.py").is_file():
            return Path(place)
    raise DependencyError(
        "the dashboard is not installed: pip install 'palm-atlas[app]', or run it in a clone"
    )


def bundles_folder(named: Path | None, home: Path) -> Path:
    """The folder of bundles: as named, PALM_PORTFOLIOS, ./portfolios, or the demo's."""
    if named is not None:
        return named.expanduser().resolve()
    if os.environ.get("PALM_PORTFOLIOS"):
        return Path(os.environ["PALM_PORTFOLIOS"]).expanduser().resolve()
    here = Path("portfolios").resolve()
    return here if here.is_dir() else home / "portfolios"


def command_line(
    home: Path, folder: Path, port: int | None, outside: str | None = None
) -> list[str]:
    """The command that serves the dashboard, to run in `home`, where its settings are."""
    words = [sys.executable, "-m", "streamlit", "run", str(home / "app" / "main.py")]
    if port is not None:
        words += ["--server.port", str(port)]
    if outside is not None:
        words += ["--browser.serverAddress", outside]
    return [*words, "--", "--portfolios", str(folder)]


@commands.command()
def app(
    folder: Annotated[
        Path | None, typer.Argument(help="Folder of bundles; the same as --portfolios.")
    ] = None,
    portfolios: Annotated[
        Path | None,
        typer.Option(
            help="Folder of bundles (default: PALM_PORTFOLIOS, ./portfolios, or the demo's)."
        ),
    ] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port to listen on.")] = None,
    server: Annotated[
        list[str] | None,
        typer.Option(
            help="A server that live answers may be asked of, where a bundle's remote policies"
            " answered; it is sent prompts. May be repeated; URL#VARIABLE names the variable that"
            " holds its key."
        ),
    ] = None,
    load: Annotated[
        bool,
        typer.Option("--load", help="Load the first bundle's model at once, for live answers."),
    ] = False,
    outside: Annotated[
        str | None,
        typer.Option(
            help="Host name under which a reverse proxy on this machine shows the dashboard; pages"
            " of that origin may connect (SECURITY.md)."
        ),
    ] = None,
    rewards: Rewards = None,
    project: Project = Path("."),
) -> None:
    """Open the dashboard in the browser; it listens on this machine only. Ctrl-C ends it.

    Examples: palm app; palm app results; palm app results --port 8600
    """
    if find_spec("streamlit") is None or find_spec("plotly") is None:
        raise DependencyError("the dashboard needs the extra 'app': pip install 'palm-atlas[app]'")
    home = dashboard_home()
    served = bundles_folder(folder or portfolios, home)
    if rewards is not None:
        use_rewards(rewards, project)  # refused here rather than in the browser
        os.environ["PALM_REWARDS"] = str(rewards.resolve())
        os.environ["PALM_PROJECT"] = str(project.resolve())
    if server:
        from palm_engine.serving.servers import VARIABLE

        os.environ[VARIABLE] = ",".join(server)
    if load:
        os.environ["PALM_LOAD"] = "1"
    words = command_line(home, served, port, outside)
    if os.name == "posix":
        # In its place, so that whatever ends this process ends the server.
        os.chdir(home)
        os.execv(words[0], words)
    try:
        done = subprocess.run(words, cwd=home, check=False)
    except KeyboardInterrupt:
        return
    raise typer.Exit(done.returncode)
