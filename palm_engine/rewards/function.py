"""A reward that is a Python function of the user's own."""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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
        self._project = project.resolve()
        self._function: Callable[..., Any] = function
        self._with_tokens = _positional(function) >= 3
        # Of whole files: what the function calls there changes scores too.
        files = (
            sorted(_files(Path(module.__file__), _roots(module, project)))
            if module.__file__
            else []
        )
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
        with _found_first(self._project):
            found = self._function(*given[: 3 if self._with_tokens else 2])
        return np.asarray(found, dtype=float)


def _positional(function: Callable[..., Any]) -> int:
    kinds = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in kinds for p in signature(function).parameters.values())


def _roots(module: ModuleType, project: Path) -> dict[str, Path]:
    """Where modules that change a score lie, by how their names begin.

    That is the project, and the package that the function is in: all else is somebody else's, and
    has versions.
    """
    roots = {"": project.resolve()}
    if module.__file__ is not None:
        file = Path(module.__file__).resolve()
        depth = module.__name__.count(".") + (file.stem == "__init__")
        roots[module.__name__.partition(".")[0]] = file.parents[depth]
    return roots


def _files(file: Path, roots: dict[str, Path], known: frozenset[Path] = frozenset()) -> set[Path]:
    """A module's file and those of `roots` that it imports, and those that they import."""
    found = {file, *known}
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):  # a compiled module
        return found
    for used in _imported(tree, file, roots):
        if used.is_file() and used not in found:
            found |= _files(used, roots, frozenset(found))
    return found


def _imported(tree: ast.AST, file: Path, roots: dict[str, Path]) -> list[Path]:
    """Files that may be what a module imports; most aren't there."""
    places = []
    for node in ast.walk(tree):
        names: list[str] = []
        level = 0
        if isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            level = node.level
            names = [module, *(f"{module}.{a.name}".lstrip(".") for a in node.names)]
        for name in filter(None, names):
            parts = name.split(".")
            if level:
                bases = [file.resolve().parents[level - 1]]
            else:
                bases = [root for top, root in roots.items() if top in ("", parts[0])]
            places += [base.joinpath(*parts) for base in bases]
    return [p for place in places for p in (place.with_suffix(".py"), place / "__init__.py")]


@contextmanager
def _found_first(project: Path) -> Iterator[None]:
    """The project's own modules can be imported, and are found before all others.

    Afterwards they are forgotten again: two projects may each have a `helpers.py`.
    """
    before = set(sys.modules)
    sys.path.insert(0, str(project))
    try:
        yield
    finally:
        sys.path.remove(str(project))
        own = {n: m for n, m in sys.modules.items() if n not in before and _is_below(m, project)}
        for name in own:
            del sys.modules[name]
        sys.modules.update({n: m for n, m in own.items() if _is_elsewhere(n)})


def _is_below(module: ModuleType, project: Path) -> bool:
    file = getattr(module, "__file__", None)
    # A package without a file of its own has folders only.
    places = [file] if file else list(getattr(module, "__path__", []))
    return any(project in Path(place).resolve().parents for place in places)


def _is_elsewhere(name: str) -> bool:
    """Whether a module is found without the project, as an installed one."""
    try:
        return importlib.util.find_spec(name.partition(".")[0]) is not None
    except (ImportError, ValueError):
        return False


def _module(name: str, project: Path) -> ModuleType:
    project = project.resolve()
    file = project.joinpath(*name.split(".")).with_suffix(".py")
    try:
        with _found_first(project):
            other = sys.modules.get(name)
            if file.is_file() and other is not None and other.__file__ != str(file):
                del sys.modules[name]  # of another project
            return importlib.import_module(name)
    except Exception as error:  # whatever the user's module raises
        raise ConfigError(
            f"reward module {name!r}: can't be imported ({type(error).__name__}: {error}); it is"
            f" looked for as {file} and among installed packages"
        ) from error
