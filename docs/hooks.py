"""Writes the configuration reference from the pydantic models, so that it can't go stale."""

from __future__ import annotations

from collections.abc import Iterator
from types import NoneType
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from palm_engine.pipeline.config import BuildConfig

MARK = "<!-- configuration -->"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace the mark by the reference (a hook of mkdocs)."""
    return markdown.replace(MARK, "\n".join(reference())) if MARK in markdown else markdown


def reference() -> Iterator[str]:
    """Lines of Markdown: the top level, then one section per table of the file, nested ones too."""
    yield from _section("Top level", "", BuildConfig)
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
        yield f"| `{name}` | {kind} | {'' if inner else _default(field)} | {_meaning(field)} |"


def _type(annotation: Any) -> str:
    parts = [a for a in get_args(annotation) if a not in (Ellipsis, NoneType)]
    if parts and "tuple" in str(annotation):
        return f"list of {_type(parts[0])}"
    if parts and NoneType in get_args(annotation):
        return _type(parts[0])
    return getattr(annotation, "__name__", str(annotation))


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "**required**"
    return "" if field.default in (None, ()) else f"`{field.default}`"


def _meaning(field: FieldInfo) -> str:
    limits = [str(m) for m in field.metadata if hasattr(m, "ge") or hasattr(m, "gt")]
    return " ".join(filter(None, [field.description, f"({', '.join(limits)})" if limits else ""]))
