"""Who answers, and where the certificate's bound may stand beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palm_engine.bundle.folder import Bundle, read_bundle
from palm_engine.geometry.gap import worst_gap
from palm_engine.serving.gateway.errors import UnknownModelError
from palm_engine.serving.gateway.portfolio import ServedPortfolio

DEMO = Path(__file__).resolve().parents[4] / "portfolios" / "demo"


@pytest.fixture(scope="module")
def demo() -> Bundle:
    return read_bundle(DEMO)


@given(raw=st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_the_gap_of_any_answer_is_at_most_the_worst_and_what_it_says_adds_up(
    demo: Bundle, raw: list[float]
) -> None:
    w = (np.array(raw) + 1e-9) / (np.array(raw) + 1e-9).sum()
    served = ServedPortfolio.of(demo)
    worst = worst_gap(demo.points[demo.members], demo.points).additive
    decision = served.decide(w)
    assert decision.gap <= worst + 1e-9
    assert decision.value + decision.gap == pytest.approx((demo.points @ w).max())
    assert decision.policy == served.router.pick(w).policy
    others = [served.decide(w, policy) for policy in served.router.policies]
    assert max(o.value for o in others) == pytest.approx(decision.value)
    assert [o.policy for o in others] == list(served.router.policies)


def test_the_bound_stands_beside_the_pick_alone_drawn_as_evaluated(demo: Bundle) -> None:
    served = ServedPortfolio.of(demo)
    w = np.array([0.2, 0.3, 0.5])
    picked = served.decide(w)
    certificate = demo.manifest.certificate
    assert certificate is not None
    said = picked.as_json("request", True)["bound"]
    assert said["worst_gap"] == pytest.approx(certificate.additive.upper, abs=1e-6)
    assert said["confidence"] == 0.95
    assert picked.as_json("request", False)["bound"] is None
    others = [p for p in served.router.policies if p != picked.policy]
    assert all(served.decide(w, p).bound is None for p in others)
    assert served.decide(w, picked.policy).bound is not None


def test_outside_the_weights_that_count_there_is_no_bound(demo: Bundle) -> None:
    manifest = demo.manifest.model_copy(update={"where": {"safety": (0.3, 1.0)}})
    served = ServedPortfolio.of(Bundle(demo.folder, manifest))
    assert served.decide(np.array([0.4, 0.3, 0.3])).bound is not None
    assert served.decide(np.array([0.2, 0.4, 0.4])).bound is None


def test_an_unknown_model_is_answered_with_those_there_are(demo: Bundle) -> None:
    with pytest.raises(UnknownModelError, match="palm, lora-32-20-48"):
        ServedPortfolio.of(demo).decide(np.full(3, 1 / 3), "gpt-9")
