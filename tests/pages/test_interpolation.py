"""Trade-off answers whether one interpolated model would do instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from app import charts
from palm_engine.analysis.interpolation import interpolation_info
from palm_engine.bundle.folder import Bundle
from palm_engine.bundle.schema import BaseInfo, Interpolated, Interpolation
from palm_engine.bundle.writing import rewrite_manifest
from palm_engine.geometry.confidence import Bound
from tests.support.bundles import make_bundle
from tests.support.pages import app_on, settle, texts, turn_to

WEIGHTS = ((0.2, 0.3, 0.5), (0.6, 0.3, 0.1), (1.0, 0.0, 0.0))


def measured(bundle: Bundle) -> Interpolation:
    """Two random weights and a member's; the soup is behind, the mixture can't be told apart."""
    rows = tuple(
        Interpolated(
            weights=dict(zip(bundle.traits, w, strict=True)),
            is_member=i == 2,
            member="m1",
            corner="m2",
            portfolio_value=0.6 + 0.1 * i,
            corner_value=0.4,
            soup_value=0.5,
            mixture_value=0.65,
        )
        for i, w in enumerate(WEIGHTS)
    )

    def bound(estimate: float) -> Bound:
        return Bound(estimate, estimate - 0.04, estimate + 0.02, 0.95, 12, 100)

    return Interpolation(
        split="choose",
        prompts=12,
        seed=0,
        corners=("m1", "m2", "m3"),
        rows=rows,
        soup_minus_portfolio=bound(-0.15),
        mixture_minus_portfolio=bound(0.0),
    )


def test_the_page_says_what_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = make_bundle(tmp_path / "demo")
    found = measured(bundle)
    rewrite_manifest(bundle, bundle.manifest.model_copy(update={"interpolation": found}))
    app = app_on(tmp_path, monkeypatch)
    page = settle(turn_to(app, "tradeoff"))
    assert not page.exception
    shown = texts(page)
    info = interpolation_info(bundle, found)
    assert info.verdict in shown
    assert "the soup is behind, the mixture is no different, as far as this shows" in info.verdict
    alike = found.model_copy(update={"mixture_minus_portfolio": found.soup_minus_portfolio})
    assert "both are behind" in interpolation_info(bundle, alike).verdict
    assert [r.ahead for r in info.rivals] == [0, 0, 1, 0]
    figure = charts.interpolation(bundle, found, info)
    ours = next(t for t in figure.data if t.name == "this portfolio")
    assert list(ours.x) == pytest.approx([0.6, 0.7]), "member's own weights are left aside"


def test_the_page_compares_at_equal_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = make_bundle(tmp_path / "demo")
    found = measured(bundle)
    rows = tuple(r.model_copy(update={"equal_value": 0.55}) for r in found.rows)
    equal = found.model_copy(
        update={
            "rows": rows,
            "equal_members": ("m1", "m2"),
            "soup_minus_equal": Bound(-0.05, -0.09, -0.01, 0.95, 12, 100),
            "mixture_minus_equal": Bound(0.1, 0.05, 0.15, 0.95, 12, 100),
        }
    )
    rewrite_manifest(bundle, bundle.manifest.model_copy(update={"interpolation": equal}))
    app = app_on(tmp_path, monkeypatch)
    page = settle(turn_to(app, "tradeoff"))
    assert not page.exception
    sentence = (
        "At equal cost, a portfolio of 2 is worth 0.550. With 95 % confidence the soup is behind,"
        " the mixture is ahead."
    )
    assert sentence in texts(page)
    info = interpolation_info(bundle, equal)
    assert [r.name for r in info.rivals][:2] == ["this portfolio", "portfolio of 2"]
    figure = charts.interpolation(bundle, equal, info)
    assert any(list(t.x or ()) == [0.55, 0.55] for t in figure.data)


def test_a_bundle_that_could_be_measured_says_how(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = make_bundle(tmp_path / "demo")
    app = app_on(tmp_path, monkeypatch)
    page = settle(turn_to(app, "tradeoff"))
    assert "interpolated" not in texts(page), "figures alone can't be interpolated"
    base = BaseInfo(source="somewhere")
    rewrite_manifest(bundle, bundle.manifest.model_copy(update={"base": base}))
    page = settle(turn_to(app, "tradeoff"))
    assert not page.exception
    assert any("palm interpolate" in c.value for c in page.code)
