"""`palm import`: a table of rewards, scores or answers becomes a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from palm_engine.cli.console import Replace, console, error_console, write
from palm_engine.errors import InvalidInputError

if TYPE_CHECKING:
    from palm_engine.bundle.folder import Bundle
    from palm_engine.bundle.schema import ImportRecord
    from palm_engine.tables.files import TableFile
    from palm_engine.tables.spec import ImportSpec

commands = typer.Typer()
COLUMN_OPTIONS = (
    "policy",
    "prompt",
    "prompt_text",
    "text",
    "sample",
    "cluster",
    "cost",
    "tokens",
)


@commands.command(name="import")
def import_(
    table: Annotated[Path, typer.Argument(help="CSV, TSV, Parquet, JSON or JSON Lines.")],
    out: Annotated[Path, typer.Option(help="The bundle folder to write, as portfolios/mine.")],
    trait: Annotated[
        list[str] | None,
        typer.Option(
            help=(
                "A trait, once for each: [NAME=]COLUMN[:lower|higher][:METHOD[:LOW:HIGH]]; METHOD"
                " is unit, range, min-max, quantile or logistic. As the column looks if not given."
            )
        ),
    ] = None,
    policy: Annotated[str | None, typer.Option(help="Column of the policies' names.")] = None,
    prompt: Annotated[
        str | None, typer.Option(help='Column of prompts; "" for one row per policy.')
    ] = None,
    prompt_text: Annotated[str | None, typer.Option(help="Column of the prompts' words.")] = None,
    text: Annotated[str | None, typer.Option(help='Column of answers; "" for none.')] = None,
    sample: Annotated[str | None, typer.Option(help="Column that numbers answers.")] = None,
    cluster: Annotated[
        str | None,
        typer.Option(help="Column of groups of prompts that resemble each other."),
    ] = None,
    cost: Annotated[
        str | None, typer.Option(help='Column taken off the value; "" for none.')
    ] = None,
    tokens: Annotated[str | None, typer.Option(help="Column of the answers' lengths.")] = None,
    missing: Annotated[
        str, typer.Option(help="Missing cells: refuse, drop-policy or drop-prompt.")
    ] = "refuse",
    decimal: Annotated[
        str, typer.Option(help='Decimal sign: "." or ","; auto recognises it.')
    ] = "auto",
    k: Annotated[int, typer.Option("--k", min=1, help="Members to choose.")] = 4,
    title: Annotated[str, typer.Option(help="What people read.")] = "",
    seed: Annotated[int, typer.Option(min=0, help="Of the split of prompts.")] = 0,
    replace: Replace = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be imported.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Make a bundle that the dashboard opens from a table of rewards, scores or answers.

    Columns are recognised, and what was understood is shown with the command that says it in full.
    With 20 prompts or more, members are chosen on half of them and certified on the others.

    Examples:
    palm import leaderboard.csv --out portfolios/models

    palm import scores.tsv --out portfolios/judged --trait helpful:range:1:10 --trait words:lower
    """
    from palm_engine.bundle.names import NAME_RULE, is_name
    from palm_engine.bundle.writing import check_target
    from palm_engine.cli.terminal import TerminalProgress, print_warnings
    from palm_engine.pipeline.importing import import_bundle
    from palm_engine.tables.columns import recognise
    from palm_engine.tables.files import read_table_file
    from palm_engine.tables.importing import import_table

    if not is_name(out.name):
        raise InvalidInputError(f"--out {str(out)!r}: a bundle's name has {NAME_RULE}")
    if not dry_run:
        check_target(out, replace=replace)
    file = read_table_file(table)
    given = {
        "policy": policy,
        "prompt": prompt,
        "prompt_text": prompt_text,
        "text": text,
        "sample": sample,
        "cluster": cluster,
        "cost": cost,
        "tokens": tokens,
    }
    spec = _spec(file, given, trait or [], missing, decimal)
    known = recognise(file.frame, file.sign(spec.decimal))
    command = spec.command(table, out, known, k=k, title=title, seed=seed, replace=replace)
    if file.encoding:
        error_console.print(
            f"{table}: isn't UTF-8; read as {file.encoding}. If names or texts look odd, save it as"
            " UTF-8."
        )
    if not json:
        _print_spec(spec, command)
    with error_console.status("Reading the table"):
        rewards = import_table(file, spec)
    if not json:
        assert rewards.record is not None
        lost = {what: n for what, n in rewards.record.dropped.items() if n}
        if lost:
            words = ", ".join(f"{n:,} {what}" for what, n in lost.items())
            console.print(f"Dropped for missing cells: {words}.")
        print_warnings(rewards)
    if dry_run:
        return
    with TerminalProgress(error_console) as bars:
        report = bars.by_share("Making the bundle")
        bundle = import_bundle(rewards, out, title or table.stem, k, seed, command, report, replace)
        report(1.0, "")
    if json:
        write(_as_json(bundle, command, rewards.record))
        return
    _print_members(bundle)
    write(f"Wrote {out}. Open it with: palm app {out.parent}")


def _spec(
    file: TableFile,
    given: dict[str, str | None],
    traits: list[str],
    missing: str,
    decimal: str,
) -> ImportSpec:
    from dataclasses import replace

    from pydantic import ValidationError

    from palm_engine.bundle.validation import describe_validation_error
    from palm_engine.tables.columns import MOST_TRAITS, recognise
    from palm_engine.tables.spec import ImportSpec, parse_trait, spec_of

    if decimal not in ("auto", ".", ","):
        raise InvalidInputError(f'--decimal {decimal!r} is not auto, "." or ","')
    named = {name: column or None for name, column in given.items() if column is not None}
    for name, column in named.items():
        if column is not None and column not in file.frame:
            raise InvalidInputError(
                f"--{name.replace('_', '-')} {column!r}: no such column; {file.name} has"
                f" {', '.join(file.frame.columns)}"
            )
    columns = replace(recognise(file.frame, file.sign(decimal)), **named)  # type: ignore[arg-type]
    used = {getattr(columns, name) for name in COLUMN_OPTIONS}
    suggested = tuple(c for c in columns.suggested if c not in used)
    if traits:
        if not 2 <= len(traits) <= MOST_TRAITS:
            raise InvalidInputError(f"--trait: give 2 to {MOST_TRAITS}; {len(traits)} given")
        chosen = [parse_trait(t, file, decimal) for t in traits]  # type: ignore[arg-type]
        base = spec_of(file, columns, tuple(file.frame.columns[:2]), decimal)  # type: ignore[arg-type]
        content = {**base.model_dump(), "traits": [t.model_dump() for t in chosen]}
    else:
        content = spec_of(file, columns, suggested, decimal).model_dump()  # type: ignore[arg-type]
    try:
        return ImportSpec.model_validate({**content, "missing": missing})
    except ValidationError as error:
        raise InvalidInputError(describe_validation_error(error)) from error


def _print_spec(spec: ImportSpec, command: str) -> None:
    roles = {n: getattr(spec, n) for n in COLUMN_OPTIONS if getattr(spec, n)}
    read = ", ".join(f"{name.replace('_', ' ')}: {column}" for name, column in roles.items())
    console.print(f"Columns: {read}")
    shown = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("trait", "column", "better", "normalisation"):
        shown.add_column(heading)
    for trait in spec.traits:
        s = trait.scaling
        span = f" {s.low:g} to {s.high:g}" if s.method == "range" else ""
        shown.add_row(trait.name, trait.column, s.direction, s.method + span)
    console.print(shown)
    console.print("The same, said in full:")
    write(f"  {command}")


def _print_members(bundle: Bundle) -> None:
    manifest = bundle.manifest
    names = ", ".join(bundle.label(m.policy) for m in manifest.members)
    console.print(f"Members: {names}")
    certificate = manifest.certificate
    if certificate is not None:
        bound = certificate.additive
        console.print(
            f"Worst gap {bound.estimate:.4f}, at most {bound.upper:.4f} with"
            f" {bound.confidence:.0%} confidence ({certificate.certified_on}; scope: candidates)",
        )
        return
    from palm_engine.geometry.gap import worst_gap

    gap = worst_gap(bundle.points[bundle.members], bundle.points).additive
    console.print(f"Worst gap {gap:.4f} (exact for these numbers; no prompts to bound it with)")


def _as_json(bundle: Bundle, command: str, record: ImportRecord | None) -> str:
    import json as encoder
    from dataclasses import asdict

    certificate = bundle.manifest.certificate
    content = {
        "bundle": str(bundle.folder),
        "policies": len(bundle.policies),
        "traits": bundle.traits,
        "members": [m.policy for m in bundle.manifest.members],
        "worst_gap": None if certificate is None else asdict(certificate.additive),
        "warnings": {c.policy: c.warning for c in bundle.manifest.candidates if c.warning},
        "dropped": {} if record is None else record.dropped,
        "command": command,
    }
    return encoder.dumps(content)
