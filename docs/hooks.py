"""Writes the configuration reference from the pydantic models, so that it can't go stale."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from palm_engine.pipeline.config import BuildConfig

MARK = "<!-- configuration -->"
EXAMPLE = Path(__file__).parent / "examples" / "every_table.toml"
TOP = "Top level"
LIMITS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace the mark by the reference (a hook of mkdocs)."""
    return markdown.replace(MARK, "\n".join(reference())) if MARK in markdown else markdown


def reference() -> Iterator[str]:
    """Lines of Markdown: the top level, then one section per table of the file, nested ones too."""
    yield from _section(TOP, _words(BuildConfig), BuildConfig)
    seen: set[type[BaseModel]] = {BuildConfig}
    kinds: list[type[BaseModel]] = []
    for name, field in BuildConfig.model_fields.items():
        many = "tuple" in str(field.annotation)
        for model in models_in(field.annotation):
            yield from _table(name, model, "[[{}]]" if many else "[{}]", seen, kinds)
    for model in kinds:
        if model not in seen:
            seen.add(model)
            yield from _section(f"`kind = {_kind(model)}`", _words(model), model)


def _table(
    name: str,
    model: type[BaseModel],
    form: str,
    seen: set[type[BaseModel]],
    kinds: list[type[BaseModel]],
) -> Iterator[str]:
    """The section of a table, then those of the tables in it; kinds are kept for later."""
    if model in seen:
        return
    if _kind(model):
        kinds.append(model)
        return
    seen.add(model)
    yield from _section(f"`{form.format(name)}`", _words(model), model)
    for inner, field in model.model_fields.items():
        for nested in models_in(field.annotation):
            yield from _table(f"{name}.{inner}", nested, form, seen, kinds)


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """All models that a field may hold, in their order."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return list(dict.fromkeys(m for part in get_args(annotation) for m in models_in(part)))


def _words(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").strip()


def _kind(model: type[BaseModel]) -> str:
    """What `kind` is in a table of this model; "" where there is none."""
    field = model.model_fields.get("kind")
    return "" if field is None else " or ".join(f'"{k}"' for k in get_args(field.annotation))


def _section(heading: str, text: str, model: type[BaseModel]) -> Iterator[str]:
    yield from ("", f"## {heading}", "", " ".join(text.split()), "")
    yield "| key | type | default | meaning |"
    yield "| --- | --- | --- | --- |"
    for name, field in model.model_fields.items():
        inner = models_in(field.annotation)
        kind = "a table, below" if inner else _type(field.annotation)
        if inner and all(map(_kind, inner)):
            kind = "a name, or a table of a kind below"
        kind = kind.replace("|", "\\|")
        meaning = _meaning(field) or "as in the heading"
        yield f"| `{name}` | {kind} | {'' if inner else _default(field)} | {meaning} |"
    example = examples().get(heading.strip("`"))
    if example:
        yield from ("", "```toml", example, "```")


@cache
def examples() -> dict[str, str]:
    """The blocks of `every_table.toml`, by the heading of the section that each belongs to."""
    found: dict[str, str] = {}
    text = EXAMPLE.read_text(encoding="utf-8").partition("\n")[2]
    for block in re.split(r"\n(?=\[)", text):
        header = re.match(r"\[+[a-z_.]+\]+", block)
        heading = header[0] if header else TOP
        kind = re.search(r"reward = \{ (kind = \"\w+\")", block)
        if kind:
            found[kind[1]] = block.strip()
        if heading == "[[policies]]" and heading in found:
            block = found[heading] + "\n\n" + block
        if heading == "[display_names]":
            found[TOP] += "\n\n" + block.strip()
        elif heading != "[[traits]]" or "second" in block:
            found[heading] = block.strip()
    return found


def _type(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return " or ".join(f"`{a}`" for a in get_args(annotation))
    parts = [a for a in get_args(annotation) if a not in (Ellipsis, NoneType)]
    if parts and "tuple" in str(annotation):
        return f"list of {_type(parts[0])}"
    if parts and NoneType in get_args(annotation):
        return _type(parts[0])
    return getattr(annotation, "__name__", str(annotation))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    return "" if field.default in (None, (), "", PydanticUndefined) else f"`{field.default}`"


def _meaning(field: FieldInfo) -> str:
    limits = [
        f"{words} {getattr(m, name)}"
        for m in field.metadata
        for name, words in LIMITS.items()
        if getattr(m, name, None) is not None
    ]
    return " ".join(filter(None, [field.description, f"({', '.join(limits)})" if limits else ""]))
