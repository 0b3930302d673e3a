"""The live panel and map: declares the browser component and puts together what it shows.

Everything that moves under the hand is computed in the browser from the points given here
(`browser/*.js`, plain JavaScript, no network); the server follows with what needs it. Also used,
unchanged, by the page that is shared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import streamlit as st
from numpy.typing import ArrayLike

from app import cache, settings, state
from app.colours import TRAIT_GREYS, colours_of, palette
from app.components.panel_view import Field, Layout, Other, PanelView, Worst
from palm_engine.analysis.plan import PlanInfo
from palm_engine.analysis.story import expected_gap
from palm_engine.bundle.folder import Bundle
from palm_engine.bundle.schema import Candidate
from palm_engine.selection.parts.cuts import comparator_rows
from palm_engine.selection.result import Selection

HERE = Path(__file__).resolve().parent
ENGINE = ("dom.js", "geometry.js", "draw.js", "build.js", "paint.js", "panel.js", "export.js")


def script(*last: str) -> str:
    """The panel's JavaScript as one text: the shared files, then `last`."""
    return "\n".join(
        (HERE / "browser" / name).read_text(encoding="utf-8") for name in (*ENGINE, *last)
    )


def styles() -> str:
    """The panel's style sheet."""
    return (HERE / "browser" / "panel.css").read_text(encoding="utf-8")


_component = st.components.v2.component("palm_atlas.panel", css=styles(), js=script("component.js"))


def describe(bundle: Bundle, candidate: Candidate) -> str:
    """What kind of policy this is, in a sentence."""
    runs = (
        f'under the system prompt "{candidate.system}"'
        if candidate.system
        else "under the plain system prompt"
    )
    if candidate.kind == "adapter" and candidate.weights is not None:
        weights = bundle.weights_text(candidate.weights)
        return f"An adapter trained for {weights}; runs {runs}."
    if candidate.soup or candidate.mixture:
        labels = {c.policy: c.label for c in bundle.manifest.candidates}
        parts = ", ".join(
            f"{w:.0%} {labels.get(p, p)}"
            for p, w in (candidate.soup or candidate.mixture or {}).items()
        )
        what = (
            "A soup: adapters added up with weights"
            if candidate.soup
            else f"A mixture of {candidate.passes} passes per token"
        )
        return f"{what} ({parts}); runs {runs}."
    if candidate.kind == "remote":
        told = f"; it {candidate.warning}" if candidate.warning else ""
        asked = (
            ", asked without top_k and repetition_penalty, which its server refuses"
            if candidate.served_plainly
            else ""
        )
        return f"Evaluated elsewhere{asked}{told}: the bundle holds its rewards, not the model."
    if candidate.kind == "adapter":
        return f"An adapter; runs {runs}." if candidate.adapter else "From a table of rewards."
    return f"The base model, not trained; runs {runs}."


def worst_text(bundle: Bundle, portfolio: state.Portfolio, at: ArrayLike) -> str:
    """Where the worst gap is, its scope, and its confidence bound where there is one."""
    where = bundle.weights_text(at)
    whole = f"weights with {bundle.region_text}" if bundle.region_text else "whole simplex"
    text = f"at {where} (scope: {portfolio.scope}, {whole})"
    if portfolio.bound is not None:
        bound = portfolio.bound
        text += f"; {bound.confidence:.0%} bound {bound.upper:.4f} from {bound.prompts} prompts"
    return text


def view(
    bundle: Bundle,
    portfolio: state.Portfolio,
    layout: Layout = "full",
    field: Field | None = None,
    other: tuple[int, ...] = (),
    threshold: float | None = None,
    title: str = "Who answers, by what matters to you",
    prompt_id: str = "",
) -> dict[str, object]:
    """The portfolio for the panel, as JSON.

    `layout` is "full" (sliders, map, answer, bars) or "map". `other` are the rows of the portfolio
    that the field "difference" compares with; `prompt_id` the question whose recorded answers are
    shown.
    """
    full = layout == "full"
    key = (str(bundle.folder), cache.stamp(bundle), portfolio.rows, portfolio.label)
    shown = _view(
        key, layout, title, field or Field(), other, threshold, prompt_id, bundle, portfolio
    )
    return shown | {
        "raw": state.raw_weights(bundle),
        "before": state.weights_before(bundle),
        "moves": state.moves(bundle),
        "mode": str(st.session_state[settings.seed(_mode_key(bundle), "")]) if full else "",
        "corners": _corners(bundle),
    }


def _mode_key(bundle: Bundle) -> str:
    return f"shown.{bundle.folder.name}"


def _corners(bundle: Bundle) -> list[int]:
    """The traits at the corners of the map of more than three; empty: the first three."""
    text = str(st.session_state[settings.seed(_corners_key(bundle), "")])
    numbers = [int(n) for n in text.split(".") if n.isdecimal() and len(n) < 3]
    return numbers if _are_corners(numbers, len(bundle.traits)) else []


def _corners_key(bundle: Bundle) -> str:
    return f"corners.{bundle.folder.name}"


def _are_corners(numbers: object, d: int) -> bool:
    return (
        isinstance(numbers, list)
        and d > 3
        and len(numbers) == len({*numbers}) == 3
        and all(isinstance(n, int) and 0 <= n < d for n in numbers)
    )


# Kept: the weights are all that changes while a slider moves.
@st.cache_resource(show_spinner=False, max_entries=64)
def _view(
    key: tuple[Any, ...],
    layout: Layout,
    title: str,
    field: Field,
    other: tuple[int, ...],
    threshold: float | None,
    prompt_id: str,
    _bundle: Bundle,
    _portfolio: state.Portfolio,
) -> dict[str, object]:
    bundle = _bundle
    rows = list(_portfolio.rows)
    best = comparator_rows(bundle.points).tolist()
    base = [i for i, policy in enumerate(bundle.policies) if policy == "base"]
    ours = _policies(bundle, rows, prompt_id)
    theirs = _policies(bundle, best, prompt_id)
    base_answers = _answers(bundle, base, prompt_id)
    full = layout == "full"
    return PanelView(
        id=bundle.folder.name,
        file=f"{bundle.folder.name}-{field.kind}",
        layout=layout,
        title=title,
        traits=bundle.trait_labels,
        trait_ids=bundle.traits,
        trait_colours=list(TRAIT_GREYS[: len(bundle.traits)]),
        unit=bundle.unit,
        scope=_portfolio.scope,
        rival="best candidate",
        follow=True,
        **ours,
        candidates=theirs["members"],
        candidate_names=theirs["names"],
        candidate_rewards=theirs["rewards"],
        base=_rewards(bundle, base)[0] if base else None,
        other=bundle.points[list(other)].tolist(),
        field=field,
        threshold=threshold,
        worst=_worst(bundle, _portfolio),
        where=[bundle.manifest.where.get(t, (0.0, 1.0)) for t in bundle.traits]
        if bundle.manifest.where
        else [],
        prompt=str(bundle.prompts.set_index("prompt_id")["text"][prompt_id]) if prompt_id else "",
        base_answer=base_answers[0] if base_answers else None,
        others=_others(bundle, _portfolio, best, prompt_id) if full else [],
    ).for_browser([])


def _policies(bundle: Bundle, rows: Sequence[int], prompt_id: str) -> dict[str, Any]:
    """What the panel holds of some candidates."""
    candidates = [bundle.manifest.candidates[i] for i in rows]
    shares = cache.shares(bundle, tuple(rows)) if rows else ()
    return {
        "policies": [c.policy for c in candidates],
        "names": [c.label for c in candidates],
        "about": [describe(bundle, c) for c in candidates],
        "colours": colours_of(bundle, rows),
        "idle": [c.label for c, s in zip(candidates, shares, strict=True) if not s],
        "members": bundle.points[list(rows)].round(9).tolist(),
        "rewards": _rewards(bundle, rows),
        "trained": [_vector(c.weights, bundle.traits) for c in candidates],
        "answers": _answers(bundle, rows, prompt_id),
    }


def _others(
    bundle: Bundle, portfolio: state.Portfolio, best: Sequence[int], prompt_id: str
) -> list[Other]:
    """The best single model, and all candidates that are best somewhere (rows `best`)."""
    told = cache.story_of(bundle, portfolio.rows)
    field = Field(
        kind="multiplicative" if told.multiplicative else "gap",
        unit="share lost" if told.multiplicative else f"gap ({bundle.unit})",
    )

    def other(label: str, title: str, rows: Sequence[int], field: Field) -> Other:
        instead = state.Portfolio(tuple(rows), label, None)
        return Other(
            label=label,
            title=title,
            field=field,
            worst=_worst(bundle, instead),
            **_policies(bundle, rows, prompt_id),
        )

    name = bundle.labels[told.single]
    shares = cache.shares(bundle, tuple(best))
    somewhere = [row for row, share in zip(best, shares, strict=True) if share > 0]
    return [
        other("One model", f"What {name} alone loses", [told.single], field),
        other("Best there is", "The best of all candidates", somewhere, Field()),
    ]


def _worst(bundle: Bundle, portfolio: state.Portfolio) -> Worst:
    exact = cache.exact_gap(bundle, portfolio.rows)
    return Worst(
        additive=exact.additive,
        average=expected_gap(bundle.points, portfolio.rows, bundle.region),
        at=[round(float(w), 4) for w in exact.at_weights_additive],
        text=worst_text(bundle, portfolio, exact.at_weights_additive),
    )


def _rewards(bundle: Bundle, rows: Sequence[int]) -> list[list[float]]:
    candidates = bundle.manifest.candidates
    return [[round(candidates[i].rewards[t], 6) for t in bundle.traits] for i in rows]


def _answers(bundle: Bundle, rows: Sequence[int], prompt_id: str) -> list[str | None]:
    """The first recorded answer of each to a prompt."""
    names = [bundle.manifest.candidates[i].policy for i in rows]
    found = bundle.records(prompt_id) if prompt_id else {}
    return [str(found[name][0]["text"]) if name in found else None for name in names]


def _vector(weights: Mapping[str, float] | None, traits: Sequence[str]) -> list[float] | None:
    return None if weights is None else [weights[t] for t in traits]


def plan_view(
    bundle: Bundle,
    traits: list[str],
    info: PlanInfo,
    shown: Selection,
    title: str,
    with_kl_cost: bool,
    field: Field,
) -> dict[str, object]:
    """The map of a plan: its members, which can be moved, over their regions or their gap.

    Args:
        bundle: that is open.
        traits: that are planned for.
        info: the plan.
        shown: the members, as planned or as moved.
        title: of the map.
        with_kl_cost: whether values count the KL cost.
        field: what the map shows.
    """
    policies = info.policies
    rows = list(shown.members)
    best = comparator_rows(policies.points)
    weights = [policies.weights[i] for i in rows]
    raw = state.raw_weights(bundle)
    at = ~np.isnan(policies.weights).any(axis=1)
    return PanelView(
        id=f"{bundle.folder.name}-plan",
        file=f"{bundle.folder.name}-plan",
        layout="map",
        title=title,
        traits=[bundle.trait_labels[bundle.traits.index(t)] for t in traits],
        trait_ids=traits,
        unit="reward minus KL cost" if with_kl_cost else "reward units",
        scope="pool",
        rival="best planned policy",
        follow=False,
        policies=[policies.names[i] for i in rows],
        names=[f"{i + 1}" for i in range(len(rows))],
        colours=_planned_colours(info, rows),
        members=policies.points[rows].round(9).tolist(),
        rewards=policies.rewards[rows].tolist(),
        trained=[None if np.isnan(w).any() else w.tolist() for w in weights],
        candidates=policies.points[best].round(9).tolist(),
        field=field,
        grid=policies.weights[at].round(6).tolist(),
        grid_points=policies.points[at].round(6).tolist(),
    ).for_browser([raw[bundle.traits.index(t)] for t in traits])


def _planned_colours(info: PlanInfo, rows: Sequence[int]) -> list[str]:
    """Colours of planned members: those of several sizes have the same in each, moved ones keep it.

    Args:
        info: the plan.
        rows: of what is shown: the plan's members, each perhaps moved.
    """
    planned = info.chosen.members if len(rows) == len(info.chosen.members) else rows
    order = list(dict.fromkeys([r for size in info.curve for r in size.members] + list(planned)))
    colours = dict(zip(order, palette(len(order)), strict=True))
    return [colours[row] for row in planned]


def panel(
    bundle: Bundle,
    shown: dict[str, object],
    key: str,
    moved: Callable[[list[int]], None] = lambda rows: None,
) -> None:
    """Mount the panel; what the user does in it becomes the session's weights.

    Args:
        bundle: that is open.
        shown: the view.
        key: of the panel.
        moved: gets the places on the grid that members of a plan were moved to.
    """
    name = f"{key}.{bundle.folder.name}"

    def follow() -> None:
        raw = st.session_state[name].get("raw")
        if isinstance(raw, list):
            state.follow_weights(bundle, raw)

    def move() -> None:
        rows = st.session_state[name].get("moved")
        if isinstance(rows, list) and all(isinstance(r, int) for r in rows):
            moved(rows)

    def switch() -> None:
        mode = st.session_state[name].get("mode")
        if mode in ("", *(other["label"] for other in cast(list[Any], shown["others"]))):
            st.session_state[settings.seed(_mode_key(bundle), "")] = mode

    def turn() -> None:
        corners = st.session_state[name].get("corners")
        if _are_corners(corners, len(bundle.traits)):
            st.session_state[settings.seed(_corners_key(bundle), "")] = ".".join(map(str, corners))

    _component(
        key=name,
        data=shown,
        on_raw_change=follow,
        on_moved_change=move,
        on_mode_change=switch,
        on_corners_change=turn,
    )
