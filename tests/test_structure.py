"""The mathematics and the command line work without torch and streamlit, and the engine never
imports streamlit.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Collection
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked}:
            raise ImportError("blocked: " + name, name=name)
sys.meta_path.insert(0, Blocked())
"""


def run(code: str, blocked: set[str]) -> subprocess.CompletedProcess[str]:
    program = BLOCKED.replace("{blocked}", repr(blocked)) + code
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False
    )


HEAVY = {"torch", "streamlit", "transformers", "peft", "sentence_transformers", "plotly", "sklearn"}


def test_mathematics_runs_with_torch_and_streamlit_blocked() -> None:
    done = run(
        "import numpy as np\nimport palm_engine.analysis.curves, palm_engine.bundle.folder,"
        " palm_engine.geometry.confidence\nfrom palm_engine.oracles.gibbs import GibbsOracle\nfrom"
        " palm_engine.selection.minimum import minimum\nfrom palm_engine.selection.result import"
        " Target\nv = GibbsOracle(np.random.default_rng(0).random((4, 5, 3)),"
        " 0.1).solve(np.eye(3)).rewards\nprint(len(minimum(v, Target(k=2)).members))\n",
        HEAVY,
    )
    assert done.stdout.strip() == "2", done.stderr


def test_command_line_runs_with_torch_and_streamlit_blocked(bundles: Path) -> None:
    arguments = ["palm", "show", str(bundles / "demo")]
    show = f"import sys\nsys.argv = {arguments!r}\nfrom palm_engine.cli.main import main\nmain()\n"
    done = run(show, HEAVY)
    assert done.returncode == 0, done.stderr
    assert "7 candidates" in done.stdout


def test_building_without_torch_names_the_extra_to_install(tmp_path: Path) -> None:
    code = (
        "import sys\nsys.argv = ['palm', 'build', 'configs/demo.toml', '--out',"
        f" {str(tmp_path / 'x')!r}]\nfrom palm_engine.cli.main import main\nmain()\n"
    )
    done = run(code, HEAVY)
    assert done.returncode == 2
    assert "extra 'lm'" in done.stderr
    assert "Traceback" not in done.stderr


GROUND = {"errors", "_csv", "_files", "_json", "_limits", "_parquet", "_types", "_version"}
# Which rooms of the engine a room may import, besides the ground (DESIGN, section 4).
ARROWS: dict[str, set[str]] = {
    "geometry": set(),
    "oracles": {"geometry"},
    "selection": {"oracles", "geometry"},
    "preferences": {"geometry"},
    "rewards": {"lm"},
    "lm": set(),
    "bundle": {"geometry", "lm"},  # of lm the settings alone, which need no torch
    "tables": {"bundle", "geometry"},
    "analysis": {"bundle", "tables", "selection", "preferences", "oracles", "geometry"},
    "serving": {"bundle", "lm", "rewards", "geometry"},
    "pipeline": {
        "analysis",
        "bundle",
        "geometry",
        "lm",
        "oracles",
        "rewards",
        "selection",
        "tables",
    },
}
ARROWS["cli"] = set(ARROWS)
TORCH = {"lm", "pipeline", "serving"}


def modules() -> dict[str, Path]:
    """Every module of engine, app and pages by its dotted name."""
    files = [f for room in ("palm_engine", "app", "pages") for f in (ROOT / room).rglob("*.py")]
    return {
        ".".join(f.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): f
        for f in files
    }


def imports(path: Path, known: Collection[str]) -> set[str]:
    """All that a module imports, lazily or for types alone too.

    Modules of the project by their full name.
    """
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inside = {f"{node.module}.{a.name}" for a in node.names}
            found |= (inside & set(known)) or {node.module}
    return found


def test_arrows_point_one_way() -> None:
    known = modules()
    for name, path in known.items():
        parts = name.split(".")
        used = imports(path, known)
        if parts[0] != "palm_engine":
            forbidden = {"palm_engine.cli"} | ({"pages"} if parts[0] == "app" else set())
            assert not any(u.startswith(tuple(forbidden)) for u in used), name
            continue
        assert not any(u.split(".")[0] in ("streamlit", "app", "pages") for u in used), name
        if len(parts) == 1 or parts[1] == "__main__":
            continue
        rooms = (
            {u.split(".")[1] for u in used if u.startswith("palm_engine.")} - GROUND - {parts[1]}
        )
        # What everything stands on knows no room.
        allowed = ARROWS.get(parts[1], set())
        assert parts[1] in {*ARROWS, *GROUND}, name
        assert rooms <= allowed, f"{name} imports {sorted(rooms - allowed)}"
        if parts[1] not in TORCH:
            assert "torch" not in {u.split(".")[0] for u in used}, name


def test_no_module_imports_itself_in_a_circle() -> None:
    known = modules()
    graph = {name: imports(path, known) & set(known) for name, path in known.items()}
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def test_the_root_holds_no_loose_modules() -> None:
    loose = {p.stem for p in (ROOT / "palm_engine").glob("*.py")}
    assert loose <= GROUND | {"__init__", "__main__"}
