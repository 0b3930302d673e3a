"""The live panel and map: declares the browser component and puts together what it shows.

Everything that moves under the hand is computed in the browser from the points given here
(`browser/*.js`, plain JavaScript, no network); the server follows with what needs it. Also used,
unchanged, by the page that is shared.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import ArrayLike

from app import cache, state
from app.colours import palette
from palm_engine.analysis.plan import PlanInfo
from palm_engine.bundle.folder import Bundle
from palm_engine.bundle.schema import Candidate
from palm_engine.selection.parts.cuts import comparator_rows

HERE = Path(__file__).resolve().parent
ENGINE = ("geometry.js", "draw.js", "panel.js", "export.js")
TRAIT_COLOURS = (
    "#2f5d8a",
    "#c96f4a",
    "#6b8f3c",
    "#8a5a9e",
    "#b8973d",
    "#3d8f8a",
    "#a34d5f",
    "#7a7a7a",
)
FIELDS = ("member", "gap", "multiplicative", "best", "trait", "difference")


def script(*last: str) -> str:
    """The panel's JavaScript as one text: the shared files, then `last`."""
    return "\n".join(
        (HERE / "browser" / name).read_text(encoding="utf-8") for name in (*ENGINE, *last)
    )


def styles() -> str:
    """The panel's style sheet."""
    return (HERE / "browser" / "panel.css").read_text(encoding="utf-8")


_component = st.components.v2.component("palm_atlas.panel", css=styles(), js=script("component.js"))


@dataclass(frozen=True)
class Field:
    """What the map shows: one of FIELDS, the trait's index for "trait", and the unit that hover and
    legend give.
    """

    kind: str = "member"
    unit: str = ""
    trait: int = 0


def describe(candidate: Candidate) -> str:
    """What kind of policy this is, in a sentence."""
    runs = (
        f'under the system prompt "{candidate.system}"'
        if candidate.system
        else "under the plain system prompt"
    )
    if candidate.kind == "adapter" and candidate.weights is not None:
        weights = ", ".join(f"{t} {w:.2f}" for t, w in candidate.weights.items())
        return f"An adapter trained for {weights}; runs {runs}."
    return f"The base model, not trained; runs {runs}."


def worst_text(bundle: Bundle, portfolio: state.Portfolio, at: ArrayLike) -> str:
    """Where the worst gap is, its scope, and its confidence bound where there is one."""
    where = ", ".join(f"{t} {w:.2f}" for t, w in zip(bundle.traits, np.asarray(at), strict=True))
    text = f"at {where} (scope: {portfolio.scope}, whole simplex)"
    if portfolio.bound is not None:
        bound = portfolio.bound
        text += f"; {bound.confidence:.0%} bound {bound.upper:.4f} from {bound.prompts} prompts"
    return text


def view(
    bundle: Bundle,
    portfolio: state.Portfolio,
    layout: str = "full",
    field: Field | None = None,
    other: tuple[int, ...] = (),
    threshold: float | None = None,
    title: str = "Which member is picked, by weights",
) -> dict[str, Any]:
    """Everything the panel needs, as JSON.

    Points of members and candidates, names, colours, weights.

    `layout` is "full" (sliders, card, map, bars) or "map". `other` are the rows of the portfolio
    that the field "difference" compares with.
    """
    key = (str(bundle.folder), cache.stamp(bundle), portfolio.rows, portfolio.label, layout, title)
    shown = _view(key, field or Field(), other, threshold, bundle, portfolio)
    return shown | {"raw": state.raw_weights(bundle), "version": state.weights_version()}


# Kept: the weights are all that changes while a slider moves.
@st.cache_resource(show_spinner=False, max_entries=64)
def _view(
    key: tuple[Any, ...],
    field: Field,
    other: tuple[int, ...],
    threshold: float | None,
    _bundle: Bundle,
    _portfolio: state.Portfolio,
) -> dict[str, Any]:
    bundle, portfolio, (*_, layout, title) = _bundle, _portfolio, key
    candidates, rows = bundle.manifest.candidates, list(portfolio.rows)
    best = comparator_rows(bundle.points)
    exact = cache.exact_gap(bundle, portfolio.rows)
    rewards = [[round(candidates[i].rewards[t], 6) for t in bundle.traits] for i in best]
    trained = [candidates[i].weights for i in rows]
    shown: dict[str, Any] = {
        "id": bundle.folder.name,
        "file": f"{bundle.folder.name}-{field.kind}",
        "layout": layout,
        "title": title,
        "traits": bundle.traits,
        "traitColours": TRAIT_COLOURS[: len(bundle.traits)],
        "unit": state.unit_of(bundle),
        "scope": portfolio.scope,
        "rival": "best candidate",
        "follow": True,
        "names": [bundle.policies[i] for i in rows],
        "about": [describe(candidates[i]) for i in rows],
        "colours": palette(len(rows)),
        "members": bundle.points[rows].round(9).tolist(),
        "rewards": [[candidates[i].rewards[t] for t in bundle.traits] for i in rows],
        "trained": [None if w is None else [w[t] for t in bundle.traits] for w in trained],
        "candidates": bundle.points[best].round(9).tolist(),
        "candidateNames": [bundle.policies[i] for i in best],
        "candidateRewards": rewards,
        "base": (
            [candidates[bundle.policies.index("base")].rewards[t] for t in bundle.traits]
            if "base" in bundle.policies
            else None
        ),
        "other": bundle.points[list(other)].tolist(),
        "field": {"kind": field.kind, "unit": field.unit, "trait": field.trait},
        "threshold": threshold,
        "worst": {
            "additive": exact.additive,
            "at": [round(float(w), 4) for w in exact.at_weights_additive],
            "text": worst_text(bundle, portfolio, exact.at_weights_additive),
        },
    }
    return _stamped(shown)


def plan_view(
    bundle: Bundle, traits: list[str], info: PlanInfo, title: str, with_kl_cost: bool
) -> dict[str, Any]:
    """The map of a plan: regions of the planned members and the weights that each would be trained
    at.
    """
    rows, policies = list(info.chosen.members), info.policies
    best = comparator_rows(policies.points)
    on = [bundle.traits.index(t) for t in traits]
    shown: dict[str, Any] = {
        "id": f"{bundle.folder.name}-plan",
        "file": f"{bundle.folder.name}-plan",
        "layout": "map",
        "title": title,
        "traits": traits,
        "unit": state.unit(with_kl_cost),
        "scope": "pool",
        "rival": "best planned policy",
        "follow": False,
        "names": [policies.names[i] for i in rows],
        "colours": palette(len(rows)),
        "members": policies.points[rows].round(9).tolist(),
        "rewards": policies.rewards[rows].tolist(),
        "trained": [
            None if np.isnan(policies.weights[i]).any() else policies.weights[i].tolist()
            for i in rows
        ],
        "candidates": policies.points[best].round(9).tolist(),
        "other": [],
        "field": {"kind": "member", "unit": "", "trait": 0},
        "threshold": None,
    }
    raw = [state.raw_weights(bundle)[i] for i in on]
    return _stamped(shown) | {"raw": raw, "version": state.weights_version()}


def _stamped(shown: dict[str, Any]) -> dict[str, Any]:
    # The browser redraws only where this changed: most reruns bring it nothing new.
    shown["stamp"] = hashlib.blake2b(json.dumps(shown).encode(), digest_size=12).hexdigest()
    return shown


def panel(bundle: Bundle, shown: dict[str, Any], key: str) -> None:
    """Mount the panel; what the user does in it becomes the session's weights."""
    name = f"{key}.{bundle.folder.name}"

    def follow() -> None:
        told = st.session_state[name].get("raw")
        if isinstance(told, list):
            state.follow_weights(bundle, told)

    _component(key=name, data=shown, on_raw_change=follow)
