"""A reward that is a Python function of the user's own."""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from inspect import Parameter, signature
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from palm_engine._types import Floats
from palm_engine.errors import ConfigError
from palm_engine.rewards.settings import FunctionSettings


class FunctionReward:
    """Scores by the function that `settings.entry` names.

    Args:
        settings: from a configuration.
        project: folder where the module is looked for first.

    Raises:
        ConfigError: there is no such module or function, or importing it fails.
    """

    def __init__(self, settings: FunctionSettings, project: Path) -> None:
        self.name = settings.title
        self.normalisation = "as the function gives it, in [0, 1]"
        module_name, _, name = settings.entry.partition(":")
        module = _module(module_name, project)
        function = getattr(module, name, None)
        if not callable(function):
            raise ConfigError(
                f"reward {settings.entry!r}: {module.__file__} has no function {name}"
            )
        self._function: Callable[..., Any] = function
        self._with_tokens = _positional(function) >= 3
        # Of whole files: what the function calls there changes scores too.
        files = sorted(_files(Path(module.__file__), project)) if module.__file__ else []
        source = b"".join(file.read_bytes() for file in files)
        self.fingerprint = hashlib.sha256(settings.entry.encode() + source).hexdigest()
        self.card = {
            "function": settings.entry,
            "takes": "prompts, answers" + (", tokens" if self._with_tokens else ""),
            "sha256 of its files": hashlib.sha256(source).hexdigest(),
        }

    def score(
        self, prompts: Sequence[str], answers: Sequence[str], tokens: Sequence[int]
    ) -> Floats:
        """What the function returns, shape (n,)."""
        given = (list(prompts), list(answers), list(tokens))
        found = self._function(*given[: 3 if self._with_tokens else 2])
        return np.asarray(found, dtype=float)


def _positional(function: Callable[..., Any]) -> int:
    kinds = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in kinds for p in signature(function).parameters.values())


def _files(file: Path, project: Path, known: frozenset[Path] = frozenset()) -> set[Path]:
    """A module's file and those of the project that it imports, and those that they import."""
    found = {file, *known}
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):  # a compiled module
        return found
    names = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{a.name}" for a in node.names)}
    for name in names:
        place = project.joinpath(*name.split("."))
        for used in (place.with_suffix(".py"), place / "__init__.py"):
            if used.is_file() and used not in found:
                found |= _files(used, project, frozenset(found))
    return found


def _module(name: str, project: Path) -> ModuleType:
    file = project.joinpath(*name.split(".")).with_suffix(".py")
    try:
        if not file.is_file():
            return importlib.import_module(name)
        # Under a name of its own: two projects may each have a `rewards.py`.
        spec = importlib.util.spec_from_file_location(f"palm_reward_{abs(hash(file))}", file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    except Exception as error:  # whatever the user's module raises
        raise ConfigError(
            f"reward module {name!r}: can't be imported ({type(error).__name__}: {error}); it is"
            f" looked for as {file} and among installed packages"
        ) from error
    return module
