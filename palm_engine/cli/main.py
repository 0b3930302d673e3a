"""The `palm` command, its groups, and the commands that belong to none."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from palm_engine._json import reason
from palm_engine._version import __version__
from palm_engine.cli.console import Replace, console, error_console, write
from palm_engine.cli.dashboard import commands as dashboard_commands
from palm_engine.cli.extending import commands as extend_commands
from palm_engine.cli.gateway import commands as gateway_commands
from palm_engine.cli.importing import commands as import_commands
from palm_engine.cli.reading import commands as reading_commands
from palm_engine.cli.recommending import commands as recommend_commands
from palm_engine.cli.rewards import commands as audit_commands
from palm_engine.cli.rivals import commands as rival_commands
from palm_engine.cli.selecting import commands as select_commands
from palm_engine.cli.serving import commands as serving_commands
from palm_engine.cli.sharing import commands as sharing_commands
from palm_engine.cli.sizes import commands as size_commands
from palm_engine.cli.utility import commands as utility_commands
from palm_engine.errors import InfeasibleError, InvalidInputError, PalmError
from palm_engine.lm import require_language_models

# Of an error: where it is stands at its beginning, how to fix it at its end.
MOST_LETTERS = 2000
INTERRUPTED = 130

app = typer.Typer(
    name="palm",
    help=(
        "Plan, train, certify and explore portfolios of aligned language models.\n\n"
        "Start here: palm app (the dashboard on the demo); palm import scores.csv --out"
        " portfolios/mine (your models, from a table), then palm app portfolios; palm build"
        " configs/demo.toml --out portfolios/new (train a portfolio). Each command has --help."
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(dashboard_commands)
app.add_typer(select_commands)
app.add_typer(size_commands)
app.add_typer(utility_commands)
app.add_typer(recommend_commands)
app.add_typer(import_commands)
app.add_typer(extend_commands)
app.add_typer(reading_commands)
app.add_typer(rival_commands)
app.add_typer(sharing_commands)
app.add_typer(serving_commands)
app.add_typer(gateway_commands)
app.add_typer(audit_commands)


def _print_version(wanted: bool) -> None:
    if wanted:
        console.print(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Options of all commands."""


@app.command()
def show(
    bundle: Annotated[Path, typer.Argument(help="A bundle folder, e.g. portfolios/demo.")],
    json: Annotated[
        bool, typer.Option("--json", help="Print the validated manifest as one JSON object.")
    ] = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the candidates as a Markdown table.")
    ] = False,
) -> None:
    """Validate a bundle and show its candidates, members and certificate.

    Example: palm show portfolios/demo
    """
    from palm_engine.analysis.account import markdown_table
    from palm_engine.bundle.folder import read_bundle
    from palm_engine.cli.terminal import bundle_table, certificate_lines

    found = read_bundle(bundle)
    found.read_tables()
    for candidate in (*found.manifest.candidates, *found.manifest.outside):
        if candidate.adapter is not None:
            found.adapter_folder(candidate.policy)
    if markdown:
        write(markdown_table(found))
        return
    if json:
        write(found.manifest.model_dump_json(exclude_none=True))
        return
    console.print(bundle_table(found))
    for line in certificate_lines(found):
        console.print(line)


@app.command()
def account(
    bundle: Annotated[Path, typer.Argument(help="A bundle folder.")],
    notes: Annotated[
        Path | None,
        typer.Option(help="Markdown to put behind the aims: what was tried and learnt."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The file to write; printed if not given.")
    ] = None,
) -> None:
    """Tell how a bundle came out, as Markdown: aims met and missed, tables, random answers.

    Example: palm account portfolios/demo --notes data/notes.md --out docs/demo.md
    """
    from palm_engine._files import write_whole
    from palm_engine._json import read_text
    from palm_engine.analysis.account import account as told
    from palm_engine.bundle.folder import read_bundle
    from palm_engine.bundle.writing import check_file

    if out is not None:
        check_file(out)
    prose = ""
    if notes is not None:
        try:
            prose = read_text(notes)
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInputError(f"{notes}: can't be read as text ({error})") from error
    text = told(read_bundle(bundle), prose)
    if out is None:
        write(text.removesuffix("\n"))
    else:
        write_whole(out, text)
        write(f"Wrote {out}.")


@app.command()
def answers(
    bundle: Annotated[Path, typer.Argument(help="A bundle folder.")],
    policy: Annotated[str, typer.Argument(help="One of its candidates.")],
    count: Annotated[int, typer.Option(min=1, help="How many answers.")] = 10,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Which random draw.")] = 0,
) -> None:
    """Print recorded answers of a candidate to randomly drawn held-out prompts, with scores.

    Example: palm answers portfolios/demo base
    """
    from palm_engine.bundle.folder import read_bundle

    found = read_bundle(bundle)
    found.candidate(policy)
    held_out = found.prompts[found.prompts["split"] != "train"].set_index("prompt_id")["text"]
    rows = found.samples[
        (found.samples["policy"] == policy) & found.samples["prompt_id"].isin(held_out.index)
    ]
    if rows.empty:
        raise InvalidInputError(f"{bundle}: holds no recorded answers of {policy!r}")
    for row in rows.sample(min(count, len(rows)), random_state=seed).to_dict("records"):
        scores = ", ".join(f"{t} {row[t]:.2f}" for t in found.traits)
        text = " ".join(str(row["text"]).split())
        write(f"- **{held_out[row['prompt_id']]}** {text} ({scores})")


@app.command()
def build(
    config: Annotated[Path, typer.Argument(help="A build configuration, e.g. configs/demo.toml.")],
    out: Annotated[Path, typer.Option("--out", help="The bundle folder to write.")],
    project: Annotated[
        Path, typer.Option(help="Folder that the configuration's data paths start from.")
    ] = Path("."),
    work: Annotated[
        Path | None,
        typer.Option(
            help=(
                "Folder of stage results, reused by a repeated run (default: .NAME.build beside"
                " OUT)."
            )
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="The smallest scale that touches every stage.")
    ] = False,
    engine: Annotated[
        str,
        typer.Option(
            help="Where tasks run: local (processes of this machine), or ray (a cluster; the extra"
            " 'ray')."
        ),
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(help='Of the Ray cluster, or "auto"; left out: one is made on this machine.'),
    ] = None,
    replace: Replace = False,
) -> None:
    """Sample, score, plan, train, evaluate, select and certify.

    Goes on where an earlier run was stopped, whichever engine that used.

    Examples: palm build configs/demo.toml --out portfolios/new

    palm build configs/demo.toml --out portfolios/new --engine ray --address auto --work /shared/new
    """
    from palm_engine.cli.terminal import TerminalProgress, certificate_lines
    from palm_engine.pipeline.config import load_config
    from palm_engine.pipeline.config import quick as quick_config

    if engine not in ("local", "ray"):
        raise InvalidInputError(f"--engine {engine!r} is neither local nor ray")
    if address is not None and engine != "ray":
        raise InvalidInputError("--address goes with --engine ray")
    settings = load_config(config)
    require_language_models("building a bundle")
    from palm_engine.pipeline import build as pipeline

    with TerminalProgress(console) as progress:
        bundle = pipeline.build(
            quick_config(settings) if quick else settings,
            project,
            out,
            progress,
            work,
            on_ray=engine == "ray",
            address=address,
            replace=replace,
        )
    for line in certificate_lines(bundle):
        console.print(line)
    write(f"Wrote {out}. Open it with: palm app {out.parent}")


@app.command()
def base(
    source: Annotated[
        str, typer.Argument(help="smollm2-135m-instruct, a Hugging Face id, or a local folder.")
    ] = "smollm2-135m-instruct",
) -> None:
    """Fetch and convert a base model, once; later calls only say where it is.

    Examples: palm base; palm base Qwen/Qwen3-0.6B
    """
    require_language_models("a base model")
    from palm_engine.lm.base_model.places import fingerprint
    from palm_engine.lm.base_model.source import is_ready, resolve_base

    was_ready = is_ready(source)
    folder = resolve_base(source, lambda text: console.print(text))
    if was_ready:
        console.print(f"Base model ready in {folder}")
    console.print(f"fingerprint {fingerprint(folder)}")


def main() -> None:
    """Entry point: errors become one sentence.

    Exit status 2 for bad input and for files that can't be read or written, 3 for an infeasible
    target.
    """
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # Whoever reads has enough; nothing is left to say, at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except (KeyboardInterrupt, SystemExit) as error:
        if isinstance(error, SystemExit) and error.code != INTERRUPTED:
            raise
        _say("stopped. Builds, evaluations and training go on when the same command is run again.")
        raise SystemExit(INTERRUPTED) from None
    except PalmError as error:
        _say(str(error))
        raise SystemExit(3 if isinstance(error, InfeasibleError) else 2) from error
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _say(
            f"{where}{reason(error)}. Nothing half-written stays; free space or name another place."
        )
        raise SystemExit(2) from error
    except Exception as error:
        if not (why := _of_the_machine(error)):
            raise
        _say(why)
        raise SystemExit(2) from error


def _of_the_machine(error: Exception) -> str:
    """What the machine lacks, in a sentence; "" where the error says something else.

    torch and safetensors have errors of their own for a lack of memory or room on the disk.
    """
    name = type(error).__name__
    text = str(error)
    if isinstance(error, MemoryError) or "OutOfMemory" in name or "allocate memory" in text:
        return (
            "out of memory. Close other programs, or ask for less at once (run.workers,"
            " run.batch_size)."
        )
    full = ("failed writing file", "No space left on device", "unexpected pos")
    if name in ("RuntimeError", "SafetensorError") and any(words in text for words in full):
        return (
            "a file can't be written: the disk is full. Free space and run the same command again;"
            " what is finished is kept."
        )
    return ""


def _say(message: str) -> None:
    half = MOST_LETTERS // 2
    short = message if len(message) <= MOST_LETTERS else f"{message[:half]} ... {message[-half:]}"
    error_console.print(f"palm: {short}", style="red", soft_wrap=True)


if __name__ == "__main__":
    main()
