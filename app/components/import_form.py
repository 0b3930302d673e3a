"""The form of the Data page: which column is what, which traits, how each becomes a reward."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import streamlit as st

from app import charts, settings
from app.components import figure
from app.plain import inert
from palm_engine.analysis.normalisation import scaling_info
from palm_engine.bundle.names import NAME_RULE, is_name
from palm_engine.bundle.tables import RESERVED
from palm_engine.errors import InvalidInputError
from palm_engine.tables.columns import MOST_TRAITS, Columns
from palm_engine.tables.files import TableFile
from palm_engine.tables.numbers import Decimal
from palm_engine.tables.scaling import METHODS, Scaling, guess_scaling, scale
from palm_engine.tables.spec import ImportSpec, TraitSpec, trait_name

ROLES = {
    "policy": "Policies (names)",
    "prompt": "Prompts",
    "text": "Answers",
    "cost": "Cost taken off",
    "prompt_text": "Prompts' words",
    "sample": "Answer number",
    "cluster": "Prompts' clusters",
    "tokens": "Answer length",
}
FIRST = 4
METHOD_WORDS = {
    "unit": "already 0 to 1",
    "range": "fixed range",
    "min-max": "min-max of the table",
    "quantile": "rank (quantile)",
    "logistic": "logistic around the median",
}
SIGNS = {"auto": "recognised", ".": "point", ",": "comma"}
MISSING_WORDS = {
    "refuse": "refuse the table",
    "drop-policy": "drop the policy",
    "drop-prompt": "drop the prompt",
}


def decimal(key: str) -> Decimal:
    """Which sign stands before the decimals, where it can't be seen from the numbers."""
    chosen = st.segmented_control(
        "Decimal sign",
        list(SIGNS),
        format_func=SIGNS.__getitem__,
        required=True,
        key=settings.seed(f"{key}.decimal", "auto", among=SIGNS),
        help='"1,234" is a thousand or one and a bit; recognised from all numbers of a column.',
    )
    return cast(Decimal, chosen)


def roles(file: TableFile, found: Columns, key: str) -> Columns:
    """Which column is what, as recognised and changed by the user."""
    options = [None, *map(str, file.frame.columns)]
    chosen: dict[str, str | None] = {}

    def pick(role: str) -> None:
        recognised = getattr(found, role)
        chosen[role] = st.selectbox(
            ROLES[role],
            options,
            format_func=lambda c: "none" if c is None else c,
            key=settings.seed(f"{key}.{role}", recognised, among=options),
        )

    for column, role in zip(st.columns(FIRST), list(ROLES)[:FIRST], strict=True):
        with column:
            pick(role)
    with st.expander("More columns"):
        rest = list(ROLES)[FIRST:]
        for column, role in zip(st.columns(len(rest)), rest, strict=True):
            with column:
                pick(role)
    return replace(found, **chosen)  # type: ignore[arg-type]


def traits(file: TableFile, columns: Columns, key: str, sign: Decimal) -> list[TraitSpec]:
    """The traits that were chosen, each with direction and normalisation."""
    used = {getattr(columns, role) for role in ROLES}
    options = [str(c) for c in file.frame.columns if c not in used]
    usual = [c for c in columns.suggested if c not in used][:MOST_TRAITS]
    names = st.multiselect(
        "Traits (2 to 8)",
        options,
        max_selections=MOST_TRAITS,
        key=settings.seed(f"{key}.traits", usual, among=options),
        help="Columns of scores. What they mean is chosen below, one by one.",
    )
    specs: list[TraitSpec] = []
    for name in map(str, names):
        specs.append(_trait(file, name, key, sign, [s.name for s in specs]))
    return specs


def _trait(file: TableFile, column: str, key: str, sign: Decimal, taken: list[str]) -> TraitSpec:
    """Name, direction and normalisation of one column, with a picture of what it does."""
    read = file.numbers(column, sign)
    guess = guess_scaling(column, read)
    with st.container(border=True):
        left, middle, right = st.columns([1.2, 1.6, 2.4], vertical_alignment="center")
        with left:
            st.markdown("**Trait**")
            st.text(column)
            place = st.empty()
            if missing := int(read.missing.sum()):
                st.caption(f"{missing:,} of {len(read.values):,} cells missing")
        with middle:
            direction = st.segmented_control(
                "Better is",
                ["higher", "lower"],
                required=True,
                key=settings.seed(f"{key}.direction.{column}", guess.direction),
            )
            method = st.selectbox(
                "Normalisation",
                METHODS,
                format_func=METHOD_WORDS.__getitem__,
                key=settings.seed(f"{key}.method.{column}", guess.method, among=METHODS),
            )
            content: dict[str, object] = {"method": method, "direction": direction}
            if method == "range":
                low, high = st.columns(2)
                content["low"] = low.number_input(
                    "from", key=settings.seed(f"{key}.low.{column}", float(guess.low or 0.0))
                )
                content["high"] = high.number_input(
                    "to", key=settings.seed(f"{key}.high.{column}", float(guess.high or 1.0))
                )
                if content["low"] >= content["high"]:  # type: ignore[operator]
                    st.warning("The range is empty: `from` must be below `to`.")
                    st.stop()
        scaling = Scaling.model_validate(content)
        with right:
            try:
                scaled = scale(read.values, scaling, column)
            except InvalidInputError as error:
                st.warning("This normalisation doesn't fit the column.")
                st.text(str(error))
                st.stop()
            figure.draw(
                charts.scaling(scaling_info(read.values, scaled.rewards)),
                key=f"{key}.picture.{column}",
                config={"displayModeBar": False},
            )
            st.caption(scaled.words.capitalize() + ".")
    usual = trait_name(column, scaling.direction, taken)
    # The usual name says which direction is better, so it is another widget in the other one.
    called = settings.seed(f"{key}.called.{column}.{scaling.direction}", usual)
    name = str(place.text_input("Name", key=called, help=NAME_RULE))
    if not is_name(name) or name in taken or name in RESERVED:
        why = "is taken" if is_name(name) else f"is no name: {NAME_RULE}"
        st.warning(f"The trait of column {inert(column)} needs another name.")
        st.text(f"{name!r} {why}.")
        st.stop()
    return TraitSpec(name=name, column=column, scaling=scaling)


def spec(
    file: TableFile, columns: Columns, chosen: list[TraitSpec], key: str, sign: Decimal
) -> ImportSpec | None:
    """The whole import; None, with what to do, while something is missing."""
    if columns.policy is None:
        st.info("Choose the column that names the policies.", icon=":material/table:")
        return None
    if len(chosen) < 2:
        st.info("Choose at least two traits: a portfolio is about trade-offs between them.")
        return None
    missing = "refuse"
    holes = sum(int(file.numbers(t.column, sign).missing.sum()) for t in chosen)
    if holes or columns.prompt is not None:
        ways = [w for w in MISSING_WORDS if w != "drop-prompt" or columns.prompt is not None]
        missing = st.radio(
            f"Where a score is missing ({holes:,} cells)",
            ways,
            format_func=MISSING_WORDS.__getitem__,
            horizontal=True,
            key=settings.seed(f"{key}.missing", "refuse", among=ways),
            help="Also where a policy has no row for some prompt.",
        )
    return ImportSpec.model_validate(
        {
            **{role: getattr(columns, role) for role in ROLES},
            "traits": [t.model_dump() for t in chosen],
            "missing": missing,
            "decimal": sign,
        }
    )
