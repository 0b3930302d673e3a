"""Coverage: fields over the simplex, the share within a threshold, how users spread."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from app import cache, settings, state
from app.components import panel as atlas
from app.components.guide import expert, say
from app.components.header import lead_on, open_bundle, open_portfolio
from app.components.panel_view import Field, FieldKind
from app.components.tolerance import choose_tolerance
from app.components.users import the_users
from app.components.utilities import other_utilities
from app.errors import shows_errors
from palm_engine.analysis.verdict import tolerances, tolerances_for
from palm_engine.bundle.folder import Bundle

FIELDS: dict[str, FieldKind] = {
    "Picked member": "member",
    "Gap": "gap",
    "Gap in percent": "multiplicative",
    "Best value": "best",
    "A trait": "trait",
    "Difference": "difference",
}


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
        "On the map",
        list(FIELDS),
        key=settings.seed(f"field.{name}", "Gap", among=FIELDS),
        required=True,
        wrap=True,
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
    trait = st.selectbox(
        "Trait",
        bundle.traits,
        format_func=dict(zip(bundle.traits, bundle.trait_labels, strict=True)).__getitem__,
        key=settings.seed(
            f"field.trait.{bundle.folder.name}", bundle.traits[0], among=bundle.traits
        ),
    )
    row = bundle.traits.index(trait)
    label = bundle.trait_labels[row]
    field = Field(kind="trait", unit=f"{label} (0 to 1)", trait=row)
    return Shown(field, f"Expected {label} of the picked member")


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
        lead_on("tradeoff", "Trade-off", "show_chart")
        return Shown(Field(), "Which member is picked")
    other_key = f"field.other.{bundle.folder.name}"
    name = str(
        st.selectbox(
            "Compared with",
            list(options),
            key=settings.seed(other_key, next(iter(options)), among=options),
        )
    )
    other = tuple(bundle.policies.index(m) for m in options[name])
    field = Field(kind="difference", unit=f"more with what is in use ({bundle.unit})")
    return Shown(field, f"What is in use, minus {name}: above 0 is better served now", other)


def choose_threshold(
    bundle: Bundle, portfolio: state.Portfolio, kind: str, tolerance: float
) -> float | None:
    """The share of the weights within what is tolerated; shares of the best value have a slider."""
    if kind not in ("gap", "multiplicative"):
        return None
    multiplicative = kind == "multiplicative"
    exact = cache.exact_gap(bundle, portfolio.rows)
    if multiplicative and exact.multiplicative is None:
        st.info("The best value isn't above 0 everywhere, so no share of it can be given.")
    worst = (exact.multiplicative or 1.0) if multiplicative else exact.additive
    threshold = tolerance
    if multiplicative:
        top = max(round(1.2 * worst, 3), 0.005)
        threshold = st.slider(
            "The largest share of the best value that you would do without",
            0.0,
            top,
            step=0.001,
            format="%.3f",
            key=settings.seed(f"threshold.{kind}.{bundle.folder.name}", min(0.01, top), 0.0, top),
        )
    found = cache.covered(bundle, portfolio.rows, threshold, multiplicative)
    st.metric(
        f"Of all weights within {threshold:.3f}{' of the best value' if multiplicative else ''}",
        f"{found.share:.1%}",
        help=(
            f"Share of all weights{bundle.where_text}, by volume, whose gap is at most what is"
            " tolerated. Your own users are counted below."
        ),
    )
    say(
        f"Gaps to the candidates at {found.count:,} weights drawn uniformly"
        + expert(f" (scope: sampled; standard error {found.standard_error:.2%})")
        + f". Worst anywhere{bundle.where_text}, exact: {worst:.4f}.",
        style="font-size:.875rem;margin:0",
    )
    return threshold


@st.fragment
@shows_errors
def the_map(bundle: Bundle, portfolio: state.Portfolio, tolerance: float) -> None:
    """Field, threshold and map; its crosshair is Explore's."""
    left, right = st.columns([2, 3])
    with left:
        shown = choose_field(bundle, portfolio)
        threshold = choose_threshold(bundle, portfolio, shown.field.kind, tolerance)
        here = st.container()
    with right:
        atlas.panel(
            bundle,
            atlas.view(bundle, portfolio, "map", shown.field, shown.other, threshold, shown.title),
            "coverage",
        )
    pick = state.picked(bundle, portfolio)
    where = bundle.weights_text(pick.weights)
    here.text(
        f"At your weights ({where}): {bundle.labels[pick.member]} is picked, gap {pick.gap:.4f}"
        f"{expert(' (scope: candidates)')}."
    )
    state.write_url(bundle)


def show() -> None:
    """The page."""
    bundle = open_bundle("Who is served how well?")
    portfolio = open_portfolio(bundle)
    # The map waits for no curve: what is in use says what is worth asking for, too.
    info = cache.known_curve(bundle)
    worst = cache.exact_gap(bundle, portfolio.rows).additive
    limits = tolerances_for([worst]) if info is None else tolerances(info)
    tolerance = choose_tolerance(bundle, limits)
    the_map(bundle, portfolio, tolerance)
    the_users(bundle, portfolio, tolerance)
    other_utilities(bundle, portfolio)


show()
