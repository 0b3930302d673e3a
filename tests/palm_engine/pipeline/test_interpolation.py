"""Soups and mixtures of the corners beside the portfolio: drawn by a real (tiny) model."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from palm_engine.analysis.choosing import select
from palm_engine.analysis.interpolation import interpolation_info, interpolation_lines
from palm_engine.bundle.folder import Bundle, read_bundle
from palm_engine.bundle.writing import rewrite_manifest
from palm_engine.cli.main import app
from palm_engine.errors import InvalidInputError
from palm_engine.geometry.pick import pick_info
from palm_engine.pipeline.evaluate import prompt_means
from palm_engine.pipeline.interpolation import corner_adapters
from tests.support.letters import lettered_bundle, register

pytest.importorskip("torch")
pytest.importorskip("peft")


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """Adapters a, b and c are the corners; all run under the plain system prompt."""
    made = lettered_bundle(tmp_path)
    corners = dict(zip("abc", ((1, 0, 0), (0, 1, 0), (0, 0, 1)), strict=True))
    candidates = tuple(
        c.model_copy(
            update={
                "system": "" if c.policy in corners else c.system,
                "weights": dict(zip(made.traits, map(float, corners[c.policy]), strict=True))
                if c.policy in corners
                else None,
            }
        )
        for c in made.manifest.candidates
    )
    assert made.manifest.sampling is not None
    greedy = made.manifest.sampling.model_copy(update={"temperature": 0.0})
    changes = {"candidates": candidates, "sampling": greedy}
    return rewrite_manifest(made, made.manifest.model_copy(update=changes))


def test_it_is_measured_on_the_same_prompts_and_recorded(bundle: Bundle) -> None:
    arguments = ["interpolate", str(bundle.folder), "--random", "2", "--workers", "1"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "At 2 random weights the picked member is worth" in done.output
    after = read_bundle(bundle.folder)
    found = after.manifest.interpolation
    assert found is not None
    assert found.corners == ("a", "b", "c")
    assert (found.split, found.prompts) == ("choose", 3)
    assert [r.is_member for r in found.rows] == [True] * 3 + [False] * 2
    ids = list(after.prompts.loc[after.prompts["split"] == "choose", "prompt_id"])
    recorded = prompt_means(after.samples, after.policies, ids, after.traits).mean(axis=0)
    for row in found.rows:
        w = [row.weights[t] for t in after.traits]
        picked = pick_info(after.points, after.members, w).member
        assert row.member == after.policies[picked]
        assert row.portfolio_value == pytest.approx(recorded[picked] @ w, abs=1e-4)
    # At a corner's own weights a soup and a mixture are that corner.
    for row in found.rows[:3]:
        assert row.soup_value == pytest.approx(row.mixture_value, abs=1e-9)
    info = interpolation_info(after, found)
    random = [r for r in found.rows if not r.is_member]
    own, equal, soup, mixture, _ = info.rivals
    assert soup.value == pytest.approx(sum(r.soup_value for r in random) / 2)
    assert soup.difference == found.soup_minus_portfolio
    assert found.soup_minus_portfolio.estimate == pytest.approx(soup.value - own.value)
    assert (soup.passes, mixture.passes) == (1, 3)
    # At equal cost: the best portfolio of as many as there are corners.
    best = select(after, k=3)
    assert found.equal_members == tuple(best.policies)
    assert (equal.name, equal.passes) == ("portfolio of 3", 1)
    for row in found.rows:
        w = [row.weights[t] for t in after.traits]
        picked = pick_info(after.points, [after.row(p) for p in best.policies], w).member
        assert row.equal_value == pytest.approx(recorded[picked] @ w, abs=1e-4)
    for rival in (soup, mixture):
        assert rival.to_equal is not None
        assert rival.to_equal.estimate == pytest.approx(rival.value - equal.value)
    assert f"At equal cost, a portfolio of 3 is worth {equal.value:.3f}." in info.verdict
    assert len(interpolation_lines(after, found)) == 1 + len(found.rows)

    # Repeated, nothing is drawn again.
    again = CliRunner().invoke(app, arguments)
    assert "Draw answers" not in again.output
    assert read_bundle(bundle.folder).manifest.interpolation == found


def test_without_corners_or_with_another_reward_it_is_refused(bundle: Bundle) -> None:
    plain = bundle.manifest.model_copy(
        update={
            "candidates": tuple(
                c.model_copy(update={"weights": None}) for c in bundle.manifest.candidates
            )
        }
    )
    with pytest.raises(InvalidInputError, match="no adapter was trained for 'safety' alone"):
        corner_adapters(Bundle(bundle.folder, plain))
    first = bundle.manifest.traits[0].model_copy(update={"reward_sha256": "0" * 64})
    changed = bundle.manifest.model_copy(update={"traits": (first, *bundle.manifest.traits[1:])})
    rewrite_manifest(bundle, changed)
    register()
    done = CliRunner().invoke(app, ["interpolate", str(bundle.folder), "--workers", "1"])
    assert done.exit_code != 0
    assert "a reward has changed" in str(done.exception)
