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
    """Lines of Markdown: the top level, then one section per table of the file."""
    yield from _section("Top level", "", BuildConfig)
    for name, field in BuildConfig.model_fields.items():
        model = _model(field)
        if model is not None:
            heading = f"[[{name}]]" if "tuple" in str(field.annotation) else f"[{name}]"
            yield from _section(f"`{heading}`", (model.__doc__ or "").strip(), model)


def _section(heading: str, text: str, model: type[BaseModel]) -> Iterator[str]:
    yield from ("", f"## {heading}", "", " ".join(text.split()), "")
    yield "| key | type | default | meaning |"
    yield "| --- | --- | --- | --- |"
    for name, field in model.model_fields.items():
        if _model(field) is None:
            kind = _type(field.annotation).replace("|", "\\|")
            yield f"| `{name}` | {kind} | {_default(field)} | {_meaning(field)} |"


def _model(field: FieldInfo) -> type[BaseModel] | None:
    for kind in (field.annotation, *get_args(field.annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


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
