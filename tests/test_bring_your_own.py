"""The commands of docs/bring-your-own.md run as they stand, from nothing to certified bundles."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import palm_engine as palm
from palm_engine.analysis.equal_size import at_equal_size
from palm_engine.bundle.folder import read_bundle
from palm_engine.cli.terminal import certificate_lines
from palm_engine.pipeline.config import load_config
from palm_engine.pipeline.rewards import register_from
from palm_engine.selection.minimum import minimum
from palm_engine.selection.result import Target
from palm_engine.serving.scoring import Scorer
from tests.support.browser_tools import free_port, until_served
from tests.support.hub import WritableHub, serving
from tests.support.pages import app_on, turn_to

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "bring-your-own.md"
EXAMPLES = ROOT / "docs" / "examples"


def commands() -> list[str]:
    """The lines of the page's shell blocks."""
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def test_the_page_names_files_that_exist() -> None:
    named = re.findall(r'--8<-- "(.*?)"', PAGE.read_text(encoding="utf-8"))
    assert named
    assert all((ROOT / name).is_file() for name in named)
    config = load_config(EXAMPLES / "mine.toml")
    assert [p.name for p in config.policies] == ["a", "b", "c", "mixed"]
    assert not config.train


def test_what_is_said_of_the_public_table_is_true() -> None:
    table = palm.read_reward_table(EXAMPLES / "alpaca_eval.csv")
    assert len(table.policies) == 58
    assert set(palm.select(table, k=2).policies) == {"NullModel", "gpt4_gamed"}
    honest = [i for i, p in enumerate(table.policies) if p not in ("NullModel", "gpt4_gamed")]
    points = table.points[honest]
    names = [table.policies[i] for i in honest]
    two = minimum(points, Target(k=2))
    assert [names[m] for m in two.members] == ["FuseChat-Gemma-2-9B-Instruct", "text_davinci_001"]
    assert two.gap.additive == pytest.approx(0, abs=1e-9)
    assert minimum(points, Target(k=1)).gap.additive == pytest.approx(0.47, abs=0.005)
    found = {r.method: r.worst for r in at_equal_size(points, 3)}
    assert found["hypervolume"] == pytest.approx(0.19, abs=0.005)
    assert found["medoids"] == pytest.approx(0.11, abs=0.005)


def read_by_somebody(folder: Path) -> None:
    """Fill in the sheets, as readers do."""
    answers = pd.read_csv(folder / "answers.csv", keep_default_na=False)
    names = list(answers.columns)
    for i, column in enumerate(names[names.index("answer") + 1 :]):
        answers[column] = [(i + row) % 3 for row in range(len(answers))]
    answers.to_csv(folder / "answers.csv", index=False)
    pairs = pd.read_csv(folder / "pairs.csv", keep_default_na=False)
    pairs.assign(better=[row % 3 for row in range(len(pairs))]).to_csv(
        folder / "pairs.csv", index=False
    )


def opened(command: str, work: Path, env: dict[str, str]) -> None:
    """Start the dashboard as the page says, see that it serves, and stop it."""
    port = free_port()
    env = env | {"STREAMLIT_SERVER_PORT": str(port), "STREAMLIT_SERVER_HEADLESS": "true"}
    words = shlex.split(command)
    program = str(Path(sys.executable).with_name(words[0]))
    with subprocess.Popen([program, *words[1:]], cwd=work, env=env) as dashboard:
        try:
            until_served(port, dashboard)
        finally:
            dashboard.terminate()


@pytest.mark.slow
def test_from_nothing_to_certified_bundles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("peft")
    work = tmp_path / "work"
    shutil.copytree(EXAMPLES, work)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    hub = type("One", (WritableHub,), {"files": {}, "made": [], "asked": []})
    with serving(hub, tmp_path, monkeypatch):
        env = dict(os.environ) | {"PATH": path, "TERM": "dumb", "HF_TOKEN": "hf_test"}
        for command in commands():
            if command.startswith("palm app"):
                opened(command, work, env)
                continue
            if command.startswith("palm reading record"):
                read_by_somebody(work / "reading")
            done = subprocess.run(
                command,
                shell=True,
                cwd=work,
                env=env,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
            assert "Traceback" not in done.stderr
            if command.startswith("palm"):
                assert "Warning" not in done.stderr, f"{command}\n{done.stderr}"
    models, again, mine = (
        read_bundle(work / "portfolios" / n) for n in ("models", "again", "mine")
    )
    assert models.traits == ["Win-Rate", "less-avg_length", "less-price-per-1M"]
    assert models.trait_labels == ["Win Rate", "less avg_length", "less price per 1M"]
    assert again.traits == ["Win-Rate", "less-avg_length", "cheap"]
    assert mine.policies == ["base", "a", "b", "c", "mixed", "half"]
    assert mine.candidate("mixed").passes == 2
    assert mine.candidate("half").soup == {"a": 0.5, "b": 0.5}
    certificate = mine.manifest.certificate
    assert certificate is not None
    assert certificate.additive.prompts == 12
    assert len(mine.samples) == 6 * 24 * 2
    assert mine.manifest.interpolation is not None
    assert mine.manifest.reading is not None
    assert (work / "mine.md").read_text().count("\n") > 50
    short = read_bundle(work / "portfolios" / "mine-short")
    assert short.traits == [*mine.traits, "short"]
    audit = mine.manifest.reward_audit
    assert audit is not None
    assert not audit.passes, "letters that are counted, and 32 answers, can be won by a constant"
    assert "can be fooled" in certificate_lines(mine)[0]
    # From another folder, as the dashboard does it.
    monkeypatch.chdir(ROOT)
    register_from(work / "mine.toml", work)
    assert set(Scorer(mine)("Hello?", "Yes.", 2)) == set(mine.traits)
    ours = read_bundle(work / "portfolios" / "ours")
    assert ours.manifest == mine.manifest
    # The dashboard opens all of them, on every page.
    for name in ("models", "again", "mine"):
        app = app_on(work / "portfolios", monkeypatch, portfolio=name)
        for page in sorted((ROOT / "pages").glob("*.py")):
            turn_to(app, page.stem)
            assert not app.exception, (name, page.name, [e.value for e in app.exception])
            assert app.selectbox(key="bundle").value == name
            assert not app.error, (name, page.name, [e.value for e in app.error])


def test_what_a_page_takes_from_a_file_is_there() -> None:
    for page in (ROOT / "docs").glob("*.md"):
        text = page.read_text()
        assert not re.search(r"-+8\s+<|--8<--\S", text), f"{page.name}: a snippet's mark is broken"
        for name in re.findall(r'--8<-- "([^"]+)"', text):
            assert (ROOT / name).is_file(), f"{page.name}: {name}"
    own = PAGE.read_text()
    for name in ("mine.toml", "my_rewards.py"):
        assert f'--8<-- "docs/examples/{name}"' in own
