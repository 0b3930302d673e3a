"""What SECURITY.md says of the code: nothing that runs what it reads."""

from __future__ import annotations

import ast
from importlib.metadata import distributions
from pathlib import Path

import pytest

from palm_engine.bundle.folder import Bundle
from palm_engine.errors import InvalidInputError
from palm_engine.pipeline.audit import audit_rewards
from palm_engine.serving.scoring import Scorer
from tests.support.bundles import make_bundle

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted(f for room in ("palm_engine", "app", "pages") for f in (ROOT / room).rglob("*.py"))
# Calls that run what they are given, or what a file holds.
RUNS = {"eval", "exec", "compile", "__import__"}
LOADS = {
    ("pickle", "load"),
    ("pickle", "loads"),
    ("torch", "load"),
    ("joblib", "load"),
    ("yaml", "load"),
    ("marshal", "loads"),
    ("pd", "read_pickle"),
    ("os", "system"),
    ("os", "popen"),
}


def calls(path: Path) -> list[ast.Call]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_module_runs_what_it_reads(path: Path) -> None:
    for call in calls(path):
        where = f"{path.relative_to(ROOT)}, line {call.lineno}"
        named = call.func
        if isinstance(named, ast.Name):
            assert named.id not in RUNS, where
        if isinstance(named, ast.Attribute) and isinstance(named.value, ast.Name):
            assert (named.value.id, named.attr) not in LOADS, where
        for option in call.keywords:
            value = option.value.value if isinstance(option.value, ast.Constant) else None
            if option.arg in ("trust_remote_code", "allow_pickle", "shell"):
                assert value is False, f"{where}: {option.arg} must be off, in writing"
            if option.arg == "use_safetensors":
                assert value is True, where


def test_models_and_tokenizers_are_loaded_without_their_code() -> None:
    """Every from_pretrained of a whole model or tokenizer says so."""
    found = 0
    for path in FILES:
        for call in calls(path):
            named = call.func
            if not (isinstance(named, ast.Attribute) and named.attr == "from_pretrained"):
                continue
            owner = named.value.id if isinstance(named.value, ast.Name) else ""
            if owner == "PeftModel":
                continue  # of a folder that check_adapter_folder has seen: safetensors only
            found += 1
            options = {option.arg for option in call.keywords}
            assert "trust_remote_code" in options, f"{path.relative_to(ROOT)}, line {call.lineno}"
            if owner not in ("AutoTokenizer", "AutoConfig") and "gguf_file" not in options:
                assert "use_safetensors" in options, f"{path}, line {call.lineno}"
    assert found >= 4


def test_the_wheel_and_the_demo_hold_no_pickle() -> None:
    odd = {".pkl", ".pickle", ".pt", ".pth", ".bin", ".npy", ".npz", ".joblib"}
    folders = ("palm_engine", "app", "pages", "portfolios/demo", "data", "configs")
    for folder in folders:
        for path in (ROOT / folder).rglob("*"):
            assert path.suffix not in odd, path


# Data of libraries' own tests, a file of torch's that nothing loads, and numbers of scipy's.
HARMLESS = ("/test/", "/tests/", "torch/bin/", "scipy/stats/")
PICKLED = (".pkl", ".pickle", ".pt", ".ckpt", ".joblib", ".dill", ".npy", ".npz", ".h5")


@pytest.mark.slow
def test_no_dependency_brings_a_pickle_or_runs_remote_code_unasked() -> None:
    """Of all that is installed beside this: every file, and every default of every function."""
    seen = 0
    for package in distributions():
        for file in package.files or []:
            name = file.as_posix()
            if file.suffix in PICKLED:
                assert any(part in name for part in HARMLESS), name
            if file.suffix != ".py":
                continue
            try:
                source = Path(str(file.locate())).read_bytes()
            except OSError:
                continue
            if b"trust_remote_code" in source:
                seen += 1
                assert not trusting(source), name
    assert seen > 10


def trusting(source: bytes) -> list[str]:
    """Functions and fields whose default is to run a model's own code."""
    found = []
    for node in ast.walk(ast.parse(source)):
        pairs: list[tuple[str, ast.expr | None]] = []
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            plain = [*node.args.posonlyargs, *node.args.args]
            last = plain[len(plain) - len(node.args.defaults) :]
            pairs += [(a.arg, d) for a, d in zip(last, node.args.defaults, strict=True)]
            named = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
            pairs += [(a.arg, d) for a, d in named]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            pairs.append((node.target.id, node.value))
        found += [
            name
            for name, default in pairs
            if name == "trust_remote_code" and getattr(default, "value", None) is True
        ]
    return found


def test_a_default_that_trusts_is_noticed() -> None:
    assert trusting(b"def load(a, trust_remote_code=True): ...") == ["trust_remote_code"]
    assert trusting(b"def load(*, trust_remote_code: bool = True): ...") == ["trust_remote_code"]
    assert trusting(b"class A:\n    trust_remote_code: bool = True") == ["trust_remote_code"]
    assert not trusting(b"def load(a=True, trust_remote_code=False): ...")


def test_pages_know_no_reward_but_those_that_a_configuration_named() -> None:
    """Rewards of one's own are code: only who starts the dashboard can name a configuration."""
    makers = []
    for path in FILES:
        if path.relative_to(ROOT).parts[0] not in ("app", "pages"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                assert not node.module.startswith("palm_engine.rewards"), path
                names = {alias.name for alias in node.names}
                if {"register_from", "register_reward", "make_reward"} & names:
                    makers.append(path.name)
            elif isinstance(node, ast.Import):
                assert not any(a.name.startswith("palm_engine.rewards") for a in node.names), path
    assert makers == ["cache.py"]


def test_a_bundle_that_names_a_function_runs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = make_bundle(tmp_path / "b")
    (tmp_path / "own.py").write_text("open('ran', 'w').close()\ndef low(p, a): return [0.0]\n")
    traits = tuple(
        t.model_copy(update={"reward": "function own:low"}) for t in bundle.manifest.traits
    )
    odd = Bundle(bundle.folder, bundle.manifest.model_copy(update={"traits": traits}))
    monkeypatch.chdir(tmp_path)
    scorer = Scorer(odd)
    assert len(scorer.missing) == len(bundle.traits)
    assert scorer("Why?", "So.", 1) == {}
    with pytest.raises(InvalidInputError, match="is not known here"):
        audit_rewards(odd, lambda texts: [1] * len(texts))
    assert not (tmp_path / "ran").exists()
