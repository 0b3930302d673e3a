"""The documentation is true: its reference leaves nothing out, its commands exist."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pydantic import BaseModel
from typer.main import get_command

from palm_engine.cli.main import app
from palm_engine.pipeline.config import BuildConfig, load_config
from tests.support.browser_tools import PAGES

ROOT = Path(__file__).resolve().parents[1]
PLACE = ROOT / "docs" / "hooks.py"


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hooks", PLACE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def reachable(hooks: ModuleType, model: type[BaseModel], found: set[type[BaseModel]]) -> None:
    found.add(model)
    for field in model.model_fields.values():
        for inner in hooks.models_in(field.annotation):
            if inner not in found:
                reachable(hooks, inner, found)


def test_every_field_of_every_table_is_in_the_reference(hooks: ModuleType) -> None:
    lines = list(hooks.reference())
    sections: dict[str, set[str]] = {}
    for line in lines:
        if line.startswith("## "):
            heading = line
            sections[heading] = set()
        elif line.startswith("| `"):
            sections[heading].add(line.split("`")[1])
    models: set[type[BaseModel]] = set()
    reachable(hooks, BuildConfig, models)
    assert len(models) > 15
    for model in models:
        fields = set(model.model_fields)
        assert fields in list(sections.values()), model.__name__
    for model in models:
        for name, field in model.model_fields.items():
            told = field.description or name == "kind" or hooks.models_in(field.annotation)
            assert told, f"{model.__name__}.{name} has no meaning in the reference"
    text = "\n".join(lines)
    assert "**required**" not in next(line for line in lines if line.startswith("| `options`"))
    for heading in ("[training.dpo]", "[training.grpo]", 'kind = "judge"', 'kind = "classifier"'):
        assert f"## `{heading}`" in text
    assert "no longer linear" in text, "what GDPO's normalisation changes"


def test_every_section_of_the_reference_has_an_example_that_is_read(hooks: ModuleType) -> None:
    headings = [
        line.removeprefix("## ").strip("`") for line in hooks.reference() if line[:3] == "## "
    ]
    examples = hooks.examples()
    assert set(headings) == set(examples)
    assert all(len(text) > 10 for text in examples.values())
    config = load_config(hooks.EXAMPLE)
    kinds = {t.reward.kind for t in config.traits if not isinstance(t.reward, str)}
    assert {f'kind = "{kind}"' for kind in kinds} == {h for h in headings if h[:4] == "kind"}
    # Every table of the file is in some example: nothing is cut.
    shown = "\n".join(examples.values())
    for line in hooks.EXAMPLE.read_text(encoding="utf-8").splitlines()[1:]:
        assert line in shown, line


def commands() -> list[tuple[str, str]]:
    """Every `palm ...` line of the README and the documentation, with its page."""
    found = []
    for page in [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]:
        text = page.read_text(encoding="utf-8")
        blocks = re.findall(r"```[a-z]*\n(.*?)```", text, re.DOTALL)
        lines = [line.strip() for block in blocks for line in block.splitlines()]
        lines += re.findall(r"`(palm [^`\n]+)`", text)
        whole = [line.removeprefix("$ ").removeprefix(".venv/bin/") for line in lines]
        found += [(page.name, line) for line in whole if line.startswith("palm ")]
    return sorted(set(found))


@pytest.mark.parametrize(("page", "line"), commands())
def test_every_command_that_is_shown_exists_with_its_options(page: str, line: str) -> None:
    group: Any = get_command(app)
    words = shlex.split(line.partition("   #")[0], comments=True)[1:]
    # palm push|pull stands for both.
    names = words[:1]
    while words and hasattr(group, "commands"):
        names = words.pop(0).split("|")
        for name in names:
            if name.startswith("-"):
                return
            assert name in group.commands, f"{page}: {line}: no command {name}"
        group = group.commands[names[0]]
    known = {option for p in group.params for option in (*p.opts, *p.secondary_opts)}
    for word in words:
        option = word.partition("=")[0]
        if option.startswith("--"):
            assert option in known | {"--help"}, f"{page}: {line}: no option {option}"


def test_every_page_is_pictured_at_both_sizes() -> None:
    text = (ROOT / "docs" / "pages.md").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for path in (*PAGES, "live"):
        for suffix in ("", "-phone"):
            name = f"{path or 'explore'}{suffix}.png"
            assert f"](images/{name})" in text
            assert f"](docs/images/{name})" in readme
            assert (ROOT / "docs" / "images" / name).read_bytes()[:4] == b"\x89PNG", name


def test_what_an_answer_says_of_its_member_is_what_the_demo_says() -> None:
    import json

    import numpy as np

    from palm_engine.bundle.folder import read_bundle
    from palm_engine.serving.gateway.portfolio import ServedPortfolio

    text = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
    shown = json.loads(re.search(r"```json\n(.*?)```", text, re.DOTALL)[1])  # type: ignore[index]
    served = ServedPortfolio.of(read_bundle(ROOT / "portfolios" / "demo"))
    w = np.array([shown["weights"][t] for t in served.bundle.traits])
    assert served.decide(w).as_json("request", True) == shown
