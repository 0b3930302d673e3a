"""What is to be imported from a table, and how: the same from the page and the command line."""

from __future__ import annotations

import shlex
from collections.abc import Collection
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from palm_engine.bundle.names import MOST_LABEL, Name, safe_name
from palm_engine.bundle.tables import RESERVED, require_unreserved
from palm_engine.bundle.validation import describe_validation_error
from palm_engine.errors import InvalidInputError
from palm_engine.tables.columns import MOST_TRAITS, Columns, recognise
from palm_engine.tables.files import TableFile
from palm_engine.tables.numbers import Decimal, is_plain, numbers_of
from palm_engine.tables.scaling import METHODS, Direction, Scaling, guess_direction, guess_scaling

Missing = Literal["refuse", "drop-policy", "drop-prompt"]


# Columns that name what a value is of.
TASKS = {"metric", "task", "benchmark", "scenario", "criterion", "dimension", "category", "trait"}
# Columns that a message looks at.
MOST_SHOWN = 100
# What is written of an amount: a number with a unit before or after it.
_AMOUNT = r"\s*[$€£¥~<>≈+-]?\s*\d"


class SpecPart(BaseModel):
    """Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TraitSpec(SpecPart):
    """A trait of the new bundle, the column it comes from, and its normalisation."""

    name: Name
    column: str
    scaling: Scaling = Scaling()

    @property
    def is_usual(self) -> bool:
        """Whether the trait is called as its column says."""
        return trait_name(self.column, self.scaling.direction) == self.name

    @property
    def label(self) -> str:
        """The name for people; "" where the trait's name is that already."""
        words = _words(self.column, self.scaling.direction)
        return words[:MOST_LABEL] if self.is_usual and words != self.name else ""

    @property
    def text(self) -> str:
        """As `--trait` takes it."""
        s = self.scaling
        parts = [self.column if self.is_usual else f"{self.name}={self.column}"]
        if s.direction == "lower" or s.direction != guess_direction(self.column):
            parts.append(s.direction)
        if s.method == "range":
            parts += ["range", _number(s.low), _number(s.high)]
        else:
            parts.append(s.method)
        return ":".join(parts)


def _number(value: float | None) -> str:
    """All digits of a range's end, and none that aren't needed."""
    return repr(value).removesuffix(".0")


def trait_name(column: str, direction: Direction, taken: Collection[str] = ()) -> str:
    """The usual name of a trait: what there is more of where its reward is higher.

    Args:
        column: it comes from.
        direction: a column where lower is better gives `less-COLUMN`.
        taken: names in use.
    """
    return safe_name(_words(column, direction), {*taken, *RESERVED})


def _words(column: str, direction: Direction) -> str:
    return f"less {column}" if direction == "lower" else column


class ImportSpec(SpecPart):
    """Columns, traits and what is done about missing cells."""

    policy: str
    prompt: str | None = None
    prompt_text: str | None = None
    text: str | None = None
    sample: str | None = None
    cluster: str | None = None
    cost: str | None = None
    tokens: str | None = None
    traits: tuple[TraitSpec, ...] = Field(min_length=2, max_length=MOST_TRAITS)
    missing: Missing = "refuse"
    decimal: Decimal = "auto"

    @model_validator(mode="after")
    def _distinct(self) -> ImportSpec:
        names = [t.name for t in self.traits]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"traits: two are called {name!r}; name one of them otherwise")
        require_unreserved(names)
        return self

    def command(
        self,
        table: Path | str,
        out: Path | str,
        recognised: Columns,
        *,
        k: int = 4,
        title: str = "",
        seed: int = 0,
        replace: bool = False,
    ) -> str:
        """The command line that imports the same.

        Args:
            table: its file.
            out: the bundle's folder.
            recognised: what would be taken if nothing was said.
            k: members to choose.
            title: of the bundle; its file's name if empty.
            seed: of the split of prompts.
            replace: whether another bundle is replaced.
        """
        words = ["palm", "import", str(table), "--out", str(out), "--policy", self.policy]
        for option in ("prompt", "prompt_text", "text", "sample", "cluster", "cost", "tokens"):
            column = getattr(self, option)
            if column is not None or getattr(recognised, option) is not None:
                words += [f"--{option.replace('_', '-')}", column or ""]
        for trait in self.traits:
            words += ["--trait", trait.text]
        words += ["--missing", self.missing] if self.missing != "refuse" else []
        words += ["--decimal", self.decimal] if self.decimal != "auto" else []
        words += ["--k", str(k)] if k != 4 else []
        words += ["--title", title] if title else []
        words += ["--seed", str(seed)] if seed else []
        words += ["--replace"] if replace else []
        return shlex.join(words)


def default_spec(
    file: TableFile, traits: tuple[str, ...] = (), decimal: Decimal = "auto"
) -> ImportSpec:
    """What importing a table would do if nothing is said.

    Args:
        file: the table.
        traits: columns to take; those that look like traits if none is given.
        decimal: see `numbers.numbers_of`.

    Raises:
        InvalidInputError: no column names policies, or traits have to be chosen.
    """
    columns = recognise(file.frame, file.sign(decimal))
    return spec_of(file, columns, traits or columns.suggested, decimal)


def _nearly_numbers(file: TableFile, columns: Columns, decimal: Decimal) -> str:
    """What keeps other columns from being numbers: the first such cell, by column."""
    words = {columns.policy, columns.prompt, columns.prompt_text, columns.text, *columns.numeric}
    notes = []
    for column in file.frame.columns[:MOST_SHOWN]:
        cells = file.frame[column].head(1000)
        if not is_plain(cells):
            notes.append(f"column {column} holds neither numbers nor words")
            continue
        read = numbers_of(cells, file.sign(decimal))
        some = (~read.missing & ~read.wrong).any() or cells.astype(str).str.match(_AMOUNT).all()
        if column in words or not some or not read.wrong.any():
            continue
        row = int(read.wrong.argmax())
        cell = str(file.frame[column].iloc[row])[:40]
        notes.append(f"{file.row(row)}, column {column}: {read.why(repr(cell))}")
    return "".join(f"; {note}" for note in notes[:3])


def _tidy_hint(file: TableFile, columns: Columns) -> str:
    """What to do with a row per policy, task and value; "" where the table doesn't look so."""
    for name in file.frame.columns:
        if name.strip().lower() in TASKS and name not in (*columns.numeric, columns.policy):
            return (
                f"; the table seems to have a row per policy and {name}: make the values of {name}"
                " columns (a pivot)"
            )
    return ""


def spec_of(
    file: TableFile, columns: Columns, traits: tuple[str, ...], decimal: Decimal = "auto"
) -> ImportSpec:
    """An import of some columns, each with the normalisation that it looks like.

    Raises:
        InvalidInputError: no column names policies, or the number of traits doesn't work.
    """
    if columns.policy is None:
        raise InvalidInputError(
            f"{file.name}: no column that names policies was recognised; the columns are"
            f" {', '.join(file.frame.columns)}; say which (--policy COLUMN)"
        )
    for name in traits:
        if name not in file.frame:
            raise InvalidInputError(
                f"{file.name}: no column {name!r}; it has {', '.join(file.frame.columns)}"
            )
    if not 2 <= len(traits) <= MOST_TRAITS:
        raise InvalidInputError(
            f"{file.name}: {len(traits)} column(s) look like traits ({', '.join(traits)}); choose 2"
            f" to {MOST_TRAITS} (--trait COLUMN, once for each). Columns with numbers:"
            f" {', '.join(columns.numeric) or 'none'}{_nearly_numbers(file, columns, decimal)}"
            f"{_tidy_hint(file, columns)}"
        )
    taken: list[str] = []
    specs = []
    for column in traits:
        scaling = guess_scaling(column, file.numbers(column, decimal))
        taken.append(trait_name(column, scaling.direction, taken))
        specs.append(TraitSpec(name=taken[-1], column=column, scaling=scaling))
    return ImportSpec(
        policy=columns.policy,
        prompt=columns.prompt,
        prompt_text=columns.prompt_text,
        text=columns.text,
        sample=columns.sample,
        cluster=columns.cluster,
        cost=columns.cost,
        tokens=columns.tokens,
        traits=tuple(specs),
        decimal=decimal,
    )


def parse_trait(text: str, file: TableFile, decimal: Decimal = "auto") -> TraitSpec:
    """A trait as the command line gives it: `[NAME=]COLUMN[:lower|higher][:METHOD[:LOW:HIGH]]`.

    Where direction or method are left out, what the column looks like is taken.

    Args:
        text: as `speed=latency ms:lower:min-max` or `score:range:1:10`.
        file: the table, for the column's name and look.
        decimal: see `numbers.numbers_of`.

    Raises:
        InvalidInputError: names the part that can't be read.
    """
    column, options = _column_and_options(text, file)
    name = ""
    if column not in file.frame and "=" in column:
        name, _, column = column.partition("=")
    if column not in file.frame:
        raise InvalidInputError(
            f"--trait {text!r}: no column {column!r}; {file.name} has"
            f" {', '.join(file.frame.columns)}"
        )
    guess = guess_scaling(column, file.numbers(column, decimal))
    direction = guess.direction
    chosen: dict[str, object] = {}
    while options:
        option = options.pop(0)
        if option in ("lower", "higher"):
            direction = option  # type: ignore[assignment]
        elif option in METHODS:
            chosen = {"method": option}
            if option == "range":
                try:
                    low, high = map(float, options[:2])
                except ValueError:
                    raise InvalidInputError(
                        f"--trait {text!r}: write range:LOW:HIGH, as in range:1:10"
                    ) from None
                chosen |= {"low": low, "high": high}
                options = options[2:]
        else:
            raise InvalidInputError(
                f"--trait {text!r}: {option!r} is neither lower, higher nor one of"
                f" {', '.join(METHODS)}"
            )
    if not chosen:
        chosen = guess.model_dump(exclude={"direction"})
    try:
        scaling = Scaling.model_validate({**chosen, "direction": direction})
        return TraitSpec(
            name=name or trait_name(column, scaling.direction), column=column, scaling=scaling
        )
    except ValidationError as error:
        raise InvalidInputError(f"--trait {text!r}: {describe_validation_error(error)}") from error


def _column_and_options(text: str, file: TableFile) -> tuple[str, list[str]]:
    """The longest beginning that is a column, since names may hold colons."""
    parts = text.split(":")
    for count in range(len(parts), 0, -1):
        head = ":".join(parts[:count])
        if head in file.frame or head.partition("=")[2] in file.frame:
            return head, [p.strip() for p in parts[count:]]
    return parts[0], [p.strip() for p in parts[1:]]
