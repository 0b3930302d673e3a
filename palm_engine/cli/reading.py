"""`palm reading`: blind sheets of recorded answers, and what readers found."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from palm_engine._csv import csv_text, read_cells
from palm_engine._files import whole_folder, write_whole
from palm_engine.cli.console import console, write
from palm_engine.errors import InvalidInputError

commands = typer.Typer()
reading_commands = typer.Typer(
    help="Have answers read blind, to see whether readers agree with the rewards.",
    no_args_is_help=True,
)
commands.add_typer(reading_commands, name="reading")

HOW_TO = """How to read

answers.csv: grade each answer, seeing its prompt only. "fits prompt": 2 answers this prompt and
makes sense, 1 on its subject or in part, 0 neither. Each trait: 2 clearly there, 1 a little, 0 not.
pairs.csv: which answer has more of the trait, as an answer to this prompt? 1 the first, 2 the
second, 0 neither. An answer that doesn't fit its prompt has none of any trait.
Whoever reads must not see key-answers.csv and key-pairs.csv.
"""
# Columns that hold names, whatever they look like.
NAMES = ("prompt_id", "policy", "trait", "adapter", "rival")
FILES = ("answers.csv", "pairs.csv", "key-answers.csv", "key-pairs.csv")


@reading_commands.command()
def sheets(
    bundle: Annotated[Path, typer.Argument(help="A bundle folder with recorded answers.")],
    out: Annotated[Path, typer.Option(help="Folder for the sheets; it must be new or empty.")],
    prompts: Annotated[int, typer.Option(min=2, help="Certify prompts to read.")] = 30,
    seed: Annotated[int, typer.Option(min=0, help="Of the draws.")] = 0,
) -> None:
    """Draw the sheets: answers to grade, and pairs to decide between, in shuffled order.

    Example: palm reading sheets portfolios/demo --out reading
    """
    from palm_engine.analysis.reading import reading_sheets
    from palm_engine.bundle.folder import read_bundle

    if out.exists() and any(out.iterdir()):
        raise InvalidInputError(f"{out}: isn't empty; sheets that were read would be lost")
    drawn = reading_sheets(read_bundle(bundle), prompts, seed)
    tables = (drawn.answers, drawn.pairs, drawn.answers_key, drawn.pairs_key)
    with whole_folder(out) as part:
        for name, table in zip(FILES, tables, strict=True):
            # Read in spreadsheets, and the texts are a model's.
            write_whole(part / name, csv_text(table))
        write_whole(part / "how-to-read.txt", HOW_TO)
    write(
        f"Wrote {len(drawn.answers)} answers and {len(drawn.pairs)} pairs to {out}. Fill in"
        f" answers.csv and pairs.csv (how-to-read.txt), then: palm reading record {bundle} {out}"
    )


@reading_commands.command()
def record(
    bundle: Annotated[Path, typer.Argument(help="The bundle that the sheets were drawn from.")],
    folder: Annotated[Path, typer.Argument(help="The folder of the filled sheets.")],
    reader: Annotated[str, typer.Option(help="Who read, in words.")],
) -> None:
    """Work out what readers found and record it in the bundle.

    Example: palm reading record portfolios/demo reading --reader "three colleagues"
    """
    from palm_engine.analysis.reading import reading_lines, reading_result
    from palm_engine.bundle.folder import read_bundle
    from palm_engine.bundle.writing import rewrite_manifest

    found = read_bundle(bundle)
    answers, pairs, answers_key, pairs_key = (_table(folder / name) for name in FILES)
    result = reading_result(found, answers, answers_key, pairs, pairs_key, reader)
    rewrite_manifest(found, found.manifest.model_copy(update={"reading": result}))
    for line in reading_lines(found, result):
        console.print(line)
    console.print(f"Recorded in {bundle}.")


def _table(path: Path) -> pd.DataFrame:
    try:
        return read_cells(path, types=dict.fromkeys(NAMES, str))
    except ValueError as error:
        raise InvalidInputError(f"{path}: can't be read as a table: {error}") from error
