"""Coverage: fields over the simplex, the share within a threshold, how users spread."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from app import cache, charts, state
from app.colours import colours_of
from app.components import figure
from app.components import panel as atlas
from app.components.header import open_bundle, open_portfolio
from app.components.panel_view import Field, FieldKind
from app.errors import shows_errors
from palm_engine.analysis.populations import read_users
from palm_engine.bundle.folder import Bundle
from palm_engine.errors import PalmError
from palm_engine.geometry.fields import population, users_of
from palm_engine.geometry.pick import pick_info
from palm_engine.geometry.simplex import named_weights, weights_text

FIELDS: dict[str, FieldKind] = {
    "Picked member": "member",
    "Gap": "gap",
    "Multiplicative gap": "multiplicative",
    "Best value": "best",
    "A trait": "trait",
    "Difference": "difference",
}
USERS = ("Uniform", "Dirichlet", "Uploaded")


@dataclass(frozen=True)
class Shown:
    """What the map shows, the rows that a difference is taken to, and the figure's title."""

    field: Field
    title: str
    other: tuple[int, ...] = ()


def choose_field(bundle: Bundle, portfolio: state.Portfolio) -> Shown:
    """Let the user choose what the map shows."""
    name = bundle.folder.name
    unit = bundle.unit
    picked = st.segmented_control(
        "On the map", list(FIELDS), default="Gap", key=f"field.{name}", required=True, wrap=True
    )
    kind = FIELDS[picked or "Gap"]
    if kind == "trait":
        return _trait(bundle)
    if kind == "difference":
        return _difference(bundle, portfolio)
    return {
        "member": Shown(Field(), "Which member is picked"),
        "gap": Shown(
            Field(kind="gap", unit=f"gap ({unit})"),
            "How far the picked member is behind the best candidate",
        ),
        "multiplicative": Shown(
            Field(kind="multiplicative", unit="gap (share of best value)"),
            "Share of the best candidate's value that is lost",
        ),
        "best": Shown(
            Field(kind="best", unit=f"best value ({unit})"), "What the best candidate gives"
        ),
    }[kind]


def _trait(bundle: Bundle) -> Shown:
    trait = st.selectbox("Trait", bundle.traits, key=f"field.trait.{bundle.folder.name}")
    field = Field(kind="trait", unit=f"{trait} (0 to 1)", trait=bundle.traits.index(trait))
    return Shown(field, f"Expected {trait} of the picked member")


def _difference(bundle: Bundle, portfolio: state.Portfolio) -> Shown:
    info = cache.curve(bundle)
    options: dict[str, tuple[str, ...]] = {}
    if bundle.members and set(bundle.members) != set(portfolio.rows):
        options["the bundle's own members"] = tuple(bundle.policies[i] for i in bundle.members)
    for k, members in zip(info.sizes, info.members, strict=True):
        if k != len(portfolio.rows):
            options[f"best {k}"] = members
    if not options:
        st.info("There is no other portfolio to compare with.")
        return Shown(Field(), "Which member is picked")
    name = str(
        st.selectbox("Compared with", list(options), key=f"field.other.{bundle.folder.name}")
    )
    other = tuple(bundle.policies.index(m) for m in options[name])
    field = Field(kind="difference", unit=f"difference ({bundle.unit})")
    return Shown(field, f"Value in use minus value of {name}", other)


def choose_threshold(bundle: Bundle, portfolio: state.Portfolio, kind: str) -> float | None:
    """The threshold slider and the share of the simplex that it covers."""
    if kind not in ("gap", "multiplicative"):
        return None
    multiplicative = kind == "multiplicative"
    exact = cache.exact_gap(bundle, portfolio.rows)
    if multiplicative and exact.multiplicative is None:
        st.info(
            "The best value isn't above 0 everywhere, so a multiplicative gap isn't defined for"
            " all weights."
        )
    worst = (exact.multiplicative or 1.0) if multiplicative else exact.additive
    top = max(round(1.2 * worst, 3), 0.005)
    threshold = st.slider(
        "Threshold: a gap up to this counts as covered",
        0.0,
        top,
        min(0.01, top),
        0.001,
        "%.3f",
        key=f"threshold.{kind}.{bundle.folder.name}",
    )
    found = cache.covered(bundle, portfolio.rows, threshold, multiplicative)
    st.metric(
        f"Covered at {threshold:.3f}{' of the best value' if multiplicative else ''}",
        f"{found.share:.1%}",
        help="Share of the simplex of weights, by volume, whose gap is at most the threshold.",
    )
    st.caption(
        f"Gaps to the candidates (scope: candidates), on {found.count:,} uniformly drawn weights "
        f"(standard error {found.standard_error:.2%}). Worst anywhere, exact: {worst:.4f}."
    )
    return threshold


@st.fragment
@shows_errors
def the_map(bundle: Bundle, portfolio: state.Portfolio) -> None:
    """Field, threshold and map; its crosshair is Explore's."""
    left, right = st.columns([2, 3])
    with left:
        shown = choose_field(bundle, portfolio)
        threshold = choose_threshold(bundle, portfolio, shown.field.kind)
        here = st.container()
    with right:
        atlas.panel(
            bundle,
            atlas.view(bundle, portfolio, "map", shown.field, shown.other, threshold, shown.title),
            "coverage",
        )
    pick = pick_info(bundle.points, list(portfolio.rows), state.weights(bundle))
    where = weights_text(named_weights(pick.weights, bundle.traits))
    here.text(
        f"At your weights ({where}): {bundle.labels[pick.member]} is picked, gap {pick.gap:.4f}"
        " (scope: candidates)."
    )
    state.write_url(bundle)


def choose_users(bundle: Bundle) -> tuple[NDArray[np.float64] | None, str]:
    """Weights of the population, shape (users, d), and what it is in words.

    None while nothing was uploaded.
    """
    name = bundle.folder.name
    d = len(bundle.traits)
    kind = st.segmented_control(
        "Users' weights", USERS, default=USERS[0], key=f"users.{name}", required=True
    )
    if kind == "Dirichlet":
        st.caption(
            "Above 1: users gather around a mix with this trait; below 1: they go to extremes."
        )
        alpha = [
            column.number_input(trait, 0.05, 50.0, 2.0, 0.5, key=f"alpha.{name}.{trait}")
            for column, trait in zip(st.columns(d), bundle.traits, strict=True)
        ]
        return (
            population(d, concentration=alpha),
            "20,000 users drawn from this Dirichlet distribution",
        )
    if kind == "Uploaded":
        file = st.file_uploader(
            f"CSV with a column per trait: {', '.join(bundle.traits)}", "csv", key=f"file.{name}"
        )
        if file is None:
            return None, ""
        try:
            users = read_users(file, bundle.traits, file.name)
        except PalmError as error:
            st.error("These weights can't be used.")
            st.text(str(error))
            return None, ""
        return users, f"{len(users):,} users uploaded"
    where = f" with {bundle.region_text}" if bundle.region_text else ""
    return users_of(d, bundle.region), f"20,000 users drawn uniformly from all weights{where}"


@st.fragment
@shows_errors
def the_users(bundle: Bundle, portfolio: state.Portfolio) -> None:
    """How a population spreads over the members, and what it loses on average."""
    st.subheader("Who answers whom")
    users, sentence = choose_users(bundle)
    if users is None:
        st.info(
            "Upload a table of weights to see how these users would be served.",
            icon=":material/upload_file:",
        )
        return
    found = cache.used(bundle.points, portfolio.rows, users)
    one, two, three = st.columns(3)
    one.metric(
        "Expected gap",
        f"{found.mean_gap:.4f}",
        help="Mean additive gap over these users (scope: sampled).",
    )
    two.metric(
        "Members in effective use",
        f"{found.perplexity:.2f}",
        help="Usage perplexity: exp of the entropy of the shares; 1 to the number of members.",
    )
    three.metric(
        "Members picked by anyone", f"{int((found.shares > 0).sum())} of {len(portfolio.rows)}"
    )
    st.caption(f"{sentence}; gaps to the candidates (scope: sampled).")
    names = [bundle.labels[i] for i in portfolio.rows]
    numbers = pd.DataFrame(
        {
            "member": names,
            "share of these users": found.shares,
            "share of the simplex": cache.shares(bundle.points, portfolio.rows),
        }
    )
    figure.show(
        charts.usage_bars(names, found.shares.tolist(), colours_of(bundle, portfolio.rows)),
        numbers,
        f"{bundle.manifest.name}-usage",
        f"usage.{bundle.folder.name}",
        "Share of users by picked member",
    )


def show() -> None:
    """The page."""
    bundle = open_bundle("Who is served how well?")
    portfolio = open_portfolio(bundle)
    the_map(bundle, portfolio)
    the_users(bundle, portfolio)


show()
