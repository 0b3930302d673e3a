"""Users who don't add traits up: what the portfolio in use costs them, and who would serve them."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app import cache, settings, state
from app.components.guide import expert, say
from app.errors import show_error, shows_errors
from palm_engine.analysis.by_utility import UtilitySelection
from palm_engine.analysis.story import loss_text
from palm_engine.bundle.folder import Bundle
from palm_engine.errors import PalmError

ADD, MEAN, REQUIRED, WORST = "Traits add up", "A lack counts", "Required", "Weakest trait"
KINDS = (ADD, MEAN, REQUIRED, WORST)
MOST_NAMED = 5


@st.fragment
@shows_errors
def other_utilities(bundle: Bundle, portfolio: state.Portfolio) -> None:
    """Let the user choose another kind of user; the worst-off of them, and the best for them."""
    name = bundle.folder.name
    st.subheader("What if users don't add traits up?")
    kind = st.segmented_control(
        "Such a user's value",
        KINDS,
        key=settings.seed(f"utility.{name}", ADD, among=KINDS),
        required=True,
        wrap=True,
    )
    if kind == ADD:
        st.caption(
            "Every figure above is of users for whom a little more of one trait makes up for a"
            " little less of another. Choose other users to see what they would lose."
        )
    else:
        asked = _asked(bundle, str(kind))
        try:
            ours, best = cache.for_utility(bundle, portfolio.rows, asked)
        except PalmError as error:
            show_error("This can't be said of these models.", error, warns=True)
        else:
            _say(bundle, ours, best)
    state.write_url(bundle)


def _asked(bundle: Bundle, kind: str) -> dict[str, Any]:
    """What `select_by_utility` is to be asked."""
    name = bundle.folder.name
    if kind == MEAN:
        mean = st.slider(
            "How far one trait makes up for another",
            0.0,
            2.0,
            step=0.1,
            format="%.1f",
            key=settings.seed(f"utility.mean.{name}", 0.0, 0.0, 2.0),
            help=(
                "1: in full, traits add up. 0: a trait near 0 spoils all (the geometric mean)."
                " Above 1: what is good counts more than what is bad."
            ),
        )
        return {"mean": float(mean)}
    if kind == WORST:
        st.caption("The trait that is farthest from its best, weighed, is what such a user sees.")
        return {"chebyshev": True}
    one, two, three = st.columns(3)
    trait = one.selectbox(
        "Required trait",
        bundle.traits,
        format_func=dict(zip(bundle.traits, bundle.trait_labels, strict=True)).__getitem__,
        key=settings.seed(f"utility.trait.{name}", bundle.traits[0], among=bundle.traits),
    )
    top = float(bundle.points[:, bundle.traits.index(trait)].max())
    least = two.number_input(
        "At least",
        0.0,
        1.0,
        step=0.01,
        key=settings.seed(f"utility.least.{name}", round(0.9 * max(top, 0.0), 2), 0.0, 1.0),
        help=f"The best model has {top:.2f}.",
    )
    price = three.number_input(
        "What a missing unit costs",
        0.1,
        1000.0,
        step=1.0,
        key=settings.seed(f"utility.price.{name}", 10.0, 0.1, 1000.0),
        help=f"In {bundle.unit}, for each unit of the trait that an answer lacks.",
    )
    return {"at_least": {trait: float(least)}, "price": float(price)}


def _say(bundle: Bundle, ours: UtilitySelection, best: UtilitySelection) -> None:
    def lost(loss: float) -> str:
        share = ours.unit == "share"
        return loss_text(loss, share, bundle.unit) + (" of the best" if share else "")

    count = len(ours.policies)
    exact = expert(
        f" (exact; scope: {ours.scope})"
        if ours.scope == "candidates"
        else f"; nobody more than {lost(ours.upper)} (scope: {ours.scope})"
    )
    say(
        f"With what is in use, the worst-off such user loses {lost(ours.loss)}, at"
        f" {bundle.weights_text([ours.at[t] for t in bundle.traits])}{exact}.",
        "utility-ours",
        "font-size:1.2rem;font-weight:600;margin:0",
    )
    names = ", ".join(bundle.label(p) for p in best.policies)
    same = set(best.policies) == set(ours.policies) or best.loss >= ours.loss - 5e-5
    who = "One model" if count == 1 else f"{count} models"
    proved = ""
    if best.lower_bound is not None and best.lower_bound > 5e-5:
        proved = expert(f" None of this size lose less than {lost(best.lower_bound)} (proved).")
    say(
        f"{who} can't do better for such users.{proved}"
        if same
        else f"{who} chosen for them would lose at most {lost(best.loss)}: {names}.{proved}",
        "utility-best",
    )
    if ours.never_linear:
        never = [bundle.label(p) for p in ours.never_linear]
        more = f" and {len(never) - MOST_NAMED} more" if len(never) > MOST_NAMED else ""
        say(
            "Best for some of these users, and never for users who add traits up:"
            f" {', '.join(never[:MOST_NAMED])}{more}.",
            "utility-never",
        )
