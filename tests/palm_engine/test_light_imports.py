"""The mathematics and the command line work without torch and streamlit, and the engine never imports streamlit."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

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
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False)


HEAVY = {"torch", "streamlit", "transformers", "peft", "sentence_transformers", "plotly", "sklearn"}


def test_mathematics_runs_with_torch_and_streamlit_blocked() -> None:
    done = run(
        "import numpy as np\n"
        "import palm_engine.explore, palm_engine.bundle, palm_engine.geometry.confidence\n"
        "from palm_engine.oracles.gibbs import GibbsOracle\n"
        "from palm_engine.selection.minimum import minimum\n"
        "from palm_engine.selection.result import Target\n"
        "v = GibbsOracle(np.random.default_rng(0).random((4, 5, 3)), 0.1).solve(np.eye(3)).values\n"
        "print(len(minimum(v, Target(k=2)).members))\n",
        HEAVY,
    )
    assert done.stdout.strip() == "2", done.stderr


def test_command_line_runs_with_torch_and_streamlit_blocked(bundles: Path) -> None:
    arguments = ["palm", "show", str(bundles / "demo")]
    show = f"import sys\nsys.argv = {arguments!r}\nfrom palm_engine.cli import main\nmain()\n"
    done = run(show, HEAVY)
    assert done.returncode == 0, done.stderr
    assert "7 candidates" in done.stdout


def test_building_without_torch_names_the_extra_to_install(tmp_path: Path) -> None:
    code = (
        f"import sys\nsys.argv = ['palm', 'build', 'configs/demo.toml', '--out', {str(tmp_path / 'x')!r}]\n"
        "from palm_engine.cli import main\nmain()\n"
    )
    done = run(code, HEAVY)
    assert done.returncode == 2
    assert "extra 'lm'" in done.stderr
    assert "Traceback" not in done.stderr


def imported(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def test_arrows_point_one_way() -> None:
    engine = ROOT / "palm_engine"
    forbidden = {
        "geometry": ("oracles", "selection", "rewards", "lm", "pipeline"),
        "oracles": ("selection", "rewards", "lm", "pipeline"),
        "selection": ("rewards", "lm", "pipeline"),
        "rewards": ("selection", "pipeline"),
        "lm": ("selection", "pipeline"),
        "pipeline": ("cli",),
    }
    for path in engine.rglob("*.py"):
        names = imported(path)
        assert not any(n.split(".")[0] in ("streamlit", "app", "pages") for n in names), path
        package = path.relative_to(engine).parts[0]
        for other in forbidden.get(package, ()):
            assert not any(n.startswith(f"palm_engine.{other}") for n in names), f"{path} imports {other}"
        if package in ("geometry", "oracles", "selection"):
            assert "torch" not in {n.split(".")[0] for n in names}, path


def test_modules_stay_small() -> None:
    for path in (*ROOT.glob("palm_engine/**/*.py"), *ROOT.glob("app/**/*.py"), *ROOT.glob("pages/*.py")):
        assert len(path.read_text().splitlines()) <= 270, f"{path} has outgrown one purpose"
