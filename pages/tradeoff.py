"""Trade-off: how many members for how small a worst gap; a chosen size is used on every page."""

from __future__ import annotations

from dataclasses import asdict, replace

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import cache, charts, jobs, settings, state
from app.components import figure
from app.components.guide import expert, say
from app.components.header import lead_on, open_bundle
from app.components.hosting_cost import assumptions, cost_panel, served_adapters
from app.components.rivals import interpolation_panel
from app.components.sizes import decide, pick_size
from app.components.tolerance import choose_share, drag_tolerance
from app.plain import inert
from palm_engine._types import Floats, Progress
from palm_engine.analysis.comparison import RANDOM_DRAWS, MethodCurve, compare_methods
from palm_engine.analysis.curves import CurveInfo
from palm_engine.analysis.hosting_cost import by_size
from palm_engine.analysis.story import expected_gaps
from palm_engine.analysis.verdict import Verdict, share_verdict, tolerances
from palm_engine.bundle.folder import Bundle
from palm_engine.geometry.confidence import Bound, simultaneous_bounds
from palm_engine.geometry.gap import minimum_of_envelope, worst_gap
from palm_engine.selection.parts.grids import promised_size

BAND_RESAMPLES = 400
ADDITIVE = "In reward units"
MULTIPLICATIVE = "In percent"


def table(bundle: Bundle, info: CurveInfo, others: list[MethodCurve]) -> pd.DataFrame:
    """The curve's numbers, as shown and as downloaded."""
    columns: dict[str, object] = {"members": info.sizes}
    if info.certify is not None and info.upper is not None:
        columns |= {"exact best": info.certify, "bound": info.upper}
        if info.choose != info.certify:
            columns["exact best on choose prompts"] = info.choose
    else:
        columns |= {"exact best": info.choose}
    columns |= {c.label: c.gaps for c in others}
    columns |= {f"{c.label}, average loss": c.averages for c in others}
    columns["exact best portfolio"] = [", ".join(bundle.label(p) for p in m) for m in info.members]
    return pd.DataFrame(columns)


def chosen_on(bundle: Bundle) -> Floats:
    """The points that members are chosen on: of the choose prompts, where there are some."""
    seen = bundle.points_on("choose") if bundle.manifest.certificate else None
    return bundle.points if seen is None else seen


def compared(
    bundle: Bundle, info: CurveInfo, multiplicative: bool, beside: bool
) -> list[MethodCurve] | None:
    """Every method at the curve's sizes, chosen as the exact ones.

    Beside each other they are measured where they chose, where none is below the exact one; else on
    the prompts of the promise. None while it is worked out.
    """
    seen = chosen_on(bundle)
    return jobs.result_of(
        f"compare.{bundle.folder.name}.{cache.stamp(bundle)}.{multiplicative}.{beside}",
        "Comparing methods",
        lambda report: compare_methods(
            seen,
            seen if beside else bundle.points,
            info.sizes,
            multiplicative,
            report,
            () if multiplicative else ("minimum",),
            bundle.region,
        ),
    )


def _first(customdata: object) -> object:
    return customdata[0] if isinstance(customdata, list | tuple) else customdata


def use(
    bundle: Bundle,
    method: str,
    size: int,
    multiplicative: bool,
    curves: list[MethodCurve],
    info: CurveInfo,
) -> None:
    """Use the portfolio behind a point: the one of that method, gap and size that was clicked."""
    if method == "minimum" and not multiplicative:
        if size in info.sizes:
            state.choose_size(bundle, size)
            st.rerun()
        return
    curve = next((c for c in curves if c.method == method), None)
    if curve is not None and size in curve.sizes:
        rows = curve.members[curve.sizes.index(size)]
        gap = "multiplicative" if multiplicative else "additive"
        state.choose_members(
            bundle, [bundle.policies[i] for i in rows], f"{curve.label}, {size}, {gap} gap"
        )
        st.rerun()


def multiplicative_band(
    bundle: Bundle, exact: MethodCurve
) -> tuple[tuple[float, ...] | None, float | None]:
    """Bounds on the multiplicative gaps of all sizes at once, from the certify prompts.

    None without them, or until then.
    """
    if bundle.manifest.certificate is None:
        return None, None

    def work(report: Progress) -> list[Bound]:
        scores = bundle.scores_on("certify")
        if scores is None:
            return []
        portfolios = [list(rows) for rows in exact.members]
        return simultaneous_bounds(
            scores,
            portfolios,
            resamples=BAND_RESAMPLES,
            multiplicative=True,
            report=lambda share: report(share, "resampling prompts"),
            clusters=bundle.clusters_on("certify"),
            span=bundle.span,
        )

    found = jobs.result_of(
        f"band.{bundle.folder.name}.{cache.stamp(bundle)}", "Bounding the multiplicative gaps", work
    )
    return (tuple(b.upper for b in found), found[0].confidence) if found else (None, None)


def _tolerated(
    bundle: Bundle, told: Verdict, info: CurveInfo, multiplicative: bool
) -> tuple[float | None, int | None]:
    """The tolerance that is drawn, and the fewest members that are enough for it.

    In percent both are decided here, in a sentence.

    Args:
        bundle: that is open.
        told: what was decided in reward units.
        info: the curve that is drawn.
        multiplicative: whether its gaps are.

    Returns:
        The tolerance in the curve's units, None where bounds are on their way; the fewest, if any.
    """
    if not multiplicative:
        return told.tolerance, told.enough.size if told.enough else None
    # Scores are looked up only where there are no bounds yet: it takes a pass over all answers.
    unbounded = info.upper is None and bundle.manifest.certificate is not None
    if unbounded and bundle.scores_on("certify") is not None:
        return None, None
    sentence = st.container()
    tolerated = choose_share(bundle, info.upper or info.measured)
    found = share_verdict(info, tolerated)
    with sentence:
        say(found.in_words(bundle.where_text), "verdict-share", "font-weight:600;margin:0")
    return tolerated, found.size


def candidates_view(
    bundle: Bundle,
    info: CurveInfo,
    told: Verdict,
    options: DeltaGenerator,
    beside_at: DeltaGenerator,
) -> None:
    """The evaluated candidates: exact best of each size beside the other methods.

    How they are looked at is set in `options`, whether beside other methods in `beside_at`.
    """
    gap = options.segmented_control(
        "Worst gap",
        [ADDITIVE, MULTIPLICATIVE],
        key=settings.seed(f"gap.{bundle.folder.name}", ADDITIVE, among=(ADDITIVE, MULTIPLICATIVE)),
        required=True,
    )
    multiplicative = gap == MULTIPLICATIVE
    beside = beside_at.toggle(
        "Beside PALM (reconstructed), greedy, uniform and random",
        key=settings.seed(f"beside.{bundle.folder.name}", False),
    )
    others = compared(bundle, info, multiplicative, beside) if beside or multiplicative else []
    if others is None and multiplicative:
        return
    apart = bundle.manifest.certificate is not None and chosen_on(bundle) is not bundle.points
    shown = replace(info, certify=None, upper=None, confidence=None) if beside else info
    if multiplicative and others:
        exact = next(c for c in others if c.method == "minimum")
        names = tuple(tuple(bundle.policies[i] for i in rows) for rows in exact.members)
        upper, confidence = (None, None) if beside else multiplicative_band(bundle, exact)
        shown = CurveInfo(
            exact.sizes,
            names,
            exact.gaps,
            exact.gaps if upper else None,
            upper,
            confidence,
            info.proved,
        )
    tolerated, lit = (None, None) if beside else _tolerated(bundle, told, shown, multiplicative)
    all_curves = list(others or [])
    others = [c for c in all_curves if c.method != "minimum"] if beside else []
    portfolio = cache.portfolio(bundle)
    marked = None
    if portfolio is not None:
        worst = cache.exact_gap(bundle, portfolio.rows)
        if beside and apart:
            seen = chosen_on(bundle)
            worst = worst_gap(seen[list(portfolio.rows)], seen, bundle.region)
        own = worst.multiplicative if multiplicative else worst.additive
        marked = None if own is None else (len(portfolio.rows), own)
    unit = "share of the best value" if multiplicative else bundle.unit
    numbers = table(bundle, shown, others)
    event = figure.show(
        charts.size_curve(
            shown,
            marked,
            others,
            unit,
            tolerated,
            lit,
        ),
        numbers,
        f"{bundle.manifest.name}-tradeoff",
        f"size_curve.{bundle.folder.name}",
        "Worst gap against portfolio size",
        movable=not beside,
        on_select="rerun",
        selection_mode="points",
    )
    if tolerated is not None:
        chart = f"size_curve.{bundle.folder.name}"
        drag_tolerance(bundle, chart, None if multiplicative else tolerances(info))
    points = [p for p in (event["selection"]["points"] if event else []) if p.get("customdata")]
    clicked = (
        (str(_first(points[0]["customdata"])), int(points[0]["x"]), multiplicative)
        if points
        else None
    )
    if state.is_new_click(bundle, clicked) and clicked is not None:
        use(bundle, clicked[0], clicked[1], multiplicative, all_curves, info)
    sentence = "Click a point to use that portfolio everywhere." + expert(" Scope: candidates.")
    if others:
        sentence += (
            f" Grey band: the range of {RANDOM_DRAWS} random draws; its point is the first of them."
        )
    if apart and beside:
        sentence += (
            " Every method is measured on the choose prompts, where it chose, so none is below the"
            " exact best. What is promised on other prompts is seen without the other methods."
        )
    elif bundle.manifest.certificate is not None:
        sentence += " The bound holds for all sizes at once, so picking one by looking is fair."
    if not bundle.with_cost and portfolio is not None and marked is not None and 0 < marked[1] < 1:
        least = minimum_of_envelope(bundle.points, bundle.region)[0] if multiplicative else None
        most = promised_size(len(bundle.traits), marked[1], least)
        sentence += (
            f" For a worst gap of {marked[1]:.4f} a grid of weights promises {most:,} members at"
            " most, whatever the policies are (our bound, after PALM);"
            f" {len(portfolio.rows)} do here."
        )
    st.caption(sentence)
    assumed, currency = assumptions(bundle)
    adapters = [served_adapters(bundle, members) for members in info.members]
    averages = [row.expected for row in told.rows]
    by = by_size(info.sizes, info.measured, averages, adapters, assumed)
    monthly = [float(price) for price in by["serving per month"]]
    figure.show(
        charts.multiples(told, len(portfolio.rows) if portfolio else None, monthly, currency),
        pd.DataFrame(
            [
                asdict(r) | {"members": ", ".join(r.members), "serving per month": price}
                for r, price in zip(told.rows, monthly, strict=True)
            ]
        ),
        f"{bundle.manifest.name}-sizes",
        f"multiples.{bundle.folder.name}",
        "Promised worst gap, expected gap, coverage and price by portfolio size",
    )
    st.caption(
        "Green: the fewest that are enough; outlined: in use. The best portfolio for the worst-off"
        " user can serve the average one worse than a smaller portfolio does: both are shown."
        f" Expected gap and coverage: of 20,000 uniform users{expert(' (scope: sampled)')}."
    )
    figure.numbers(numbers)


def plan_view(bundle: Bundle) -> None:
    """The same trade-off in closed form, over the pool's planned policies: before any training."""
    rewards = bundle.pool_rewards
    betas = bundle.manifest.beta
    if rewards is None or not betas:
        st.info(
            "This bundle has no pool to plan on; `palm build` makes one.",
            icon=":material/architecture:",
        )
        lead_on("data", "Data", "upload_file")
        return
    with_kl_cost = bundle.with_cost
    info = jobs.result_of(
        f"curve.{bundle.folder.name}.{cache.stamp(bundle)}",
        "Planning every size",
        lambda report: cache.planned(
            str(bundle.folder),
            cache.stamp(bundle),
            tuple(bundle.traits),
            min(betas),
            (1, 0.0, 0.0),
            with_kl_cost,
            8,
            report,
        ),
    )
    if info is None:
        return
    numbers = pd.DataFrame(
        {
            "members": [len(s.members) for s in info.curve],
            "planned worst gap": [s.gap.additive for s in info.curve],
            "planned average loss": expected_gaps(
                info.policies.points, [s.members for s in info.curve]
            ),
        }
    )
    figure.show(
        charts.plan_curve(info, None),
        numbers,
        f"{bundle.manifest.name}-planned-tradeoff",
        f"planned.{bundle.folder.name}",
        "Planned worst gap against portfolio size",
    )
    st.caption(
        f"What {len(info.policies.names)} planned policies would do, before any training; trained"
        " ones fall short. The Plan page plans anew."
        + expert(f" Scope: pool, beta {min(betas):g}.")
    )
    figure.numbers(numbers)


def show() -> None:
    """The page."""
    bundle = open_bundle("How many members are enough?")
    info = cache.curve(bundle)
    which = "exact best" if info.proved else "best found in time (not all proved)"
    on = (
        " on the choose prompts, measured on the certify prompts"
        if info.certify is not None
        else ""
    )
    told = decide(bundle, info)
    if bundle.limits_text:
        st.caption(inert(bundle.limits_text))
    pick_size(bundle, info)
    with st.expander("Other ways to look"):
        st.caption(
            f"Each point of the thick line is the {which} portfolio of its size{on}; its worst gap"
            " is"
            + (
                f" taken over all weights with {bundle.region_text}."
                if bundle.region_text
                else " taken over the whole simplex of weights."
            )
        )
        views = ("Candidates", "Plan") if bundle.pool_rewards is not None else ("Candidates",)
        view = st.segmented_control(
            "Show",
            views,
            key=settings.seed(f"view.{bundle.folder.name}", "Candidates", among=views),
            required=True,
        )
        options = st.container()
    beside_at = st.container()
    if view == "Plan":
        plan_view(bundle)
    else:
        candidates_view(bundle, info, told, options, beside_at)
    portfolio = cache.portfolio(bundle)
    if portfolio is not None:
        st.subheader("In use now")
        st.text(", ".join(bundle.labels[i] for i in portfolio.rows))
    averages = [row.expected for row in told.rows]
    cost_panel(bundle, info, averages, len(portfolio.rows) if portfolio else None)
    interpolation_panel(bundle)


show()
