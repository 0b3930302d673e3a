"""The public API: complete, documented and light to import."""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import palm_engine as palm


def test_all_names_are_there_sorted_and_documented() -> None:
    names = [n for n in palm.__all__ if n != "__version__"]
    assert names == sorted(names, key=lambda n: (not n.isupper(), not n[0].isupper(), n))
    assert set(palm._HOMES) == set(names)
    assert dir(palm) == sorted(palm.__all__)
    for name in names:
        value = getattr(palm, name)
        assert value is getattr(import_module(f"palm_engine.{palm._HOMES[name]}"), name)
        told = inspect.getdoc(value) if inspect.isroutine(value) or inspect.isclass(value) else "."
        assert told, name
        if inspect.isfunction(value) and inspect.signature(value).parameters:
            assert "Args:" in told, name


def test_unknown_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = palm.nothing


def test_the_import_is_light() -> None:
    code = (
        "import sys, palm_engine; heavy = {'numpy', 'scipy', 'pandas', 'torch', 'pydantic'};"
        " print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_api_page_lists_every_name_that_is_offered() -> None:
    root = Path(__file__).resolve().parents[2]
    listed = (root / "docs" / "api.md").read_text(encoding="utf-8")
    # Errors are listed as a module.
    names = [n for n in palm.__all__ if n != "__version__" and not n.endswith("Error")]
    assert [n for n in names if f".{n}\n" not in listed] == []
    assert "::: palm_engine.errors" in listed
