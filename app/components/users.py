"""Users as dots: who is served how well, by whom, everybody, by segment, or those you brush."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from app import cache, charts, jobs, settings, state
from app.colours import colours_of
from app.components import figure
from app.components.guide import expert, say
from app.errors import show_error, shows_errors
from app.plain import inert
from palm_engine._csv import csv_text
from palm_engine._types import Floats
from palm_engine.analysis.populations import (
    Service,
    read_users,
    sample_table,
    serve,
    who,
    within,
)
from palm_engine.analysis.replacement import replacement
from palm_engine.bundle.folder import Bundle
from palm_engine.errors import PalmError
from palm_engine.geometry.fields import population, users_of
from palm_engine.geometry.users import Users, uniform_users
from palm_engine.selection.parts.cuts import comparator_rows
from palm_engine.tables.read import table_of

KINDS = ("Uniform", "Around a mix", "Uploaded")
# What a gateway recorded; offered where the dashboard is started with its database.
RECORDED = "Recorded"
VARIABLE = "PALM_DATABASE"
UPLOAD = "Upload a table of weights to see how these users would be served."
# How the sentence of a made-up population begins.
DRAWN = "20,000 users drawn"
# Dots that are drawn; more are sampled.
MOST_DOTS = 1500
FORMATS = ["csv", "tsv", "txt", "parquet", "json", "jsonl"]


@st.fragment
@shows_errors
def the_users(bundle: Bundle, portfolio: state.Portfolio, tolerance: float) -> None:
    """How a population is served: figures, a cloud to brush, segments, before and after."""
    st.subheader("Your users")
    users, sentence = _choose(bundle)
    if users is None:
        if sentence == UPLOAD:
            st.info(sentence, icon=":material/upload_file:")
        return
    everybody = _serve(bundle, portfolio.rows, users, tolerance)
    if not sentence.startswith(DRAWN):
        say(
            f"{everybody.everybody.within:.0%} of your users are within what is tolerated: they"
            f" lose at most {tolerance:.3f} {bundle.unit}, whatever they asked for.",
            "your-users",
            "font-size:1.2rem;font-weight:600;margin:0",
        )
    _figures(everybody, portfolio, users, tolerance, sentence)
    drawn = _drawn(users)
    left, right = st.columns([3, 2])
    with left:
        rows = _listed(bundle, portfolio, users, everybody, tolerance)
        event = figure.draw(
            charts.users(
                users.weights[drawn], everybody.gaps[drawn], bundle.trait_labels, tolerance
            ),
            key=f"cloud.{bundle.folder.name}",
            alt="Users by their weights, coloured by what they lose",
            on_select="rerun",
            selection_mode=("box", "lasso"),
            config={"displaylogo": False, "modeBarButtonsToRemove": ["zoom2d", "pan2d"]},
        )
    outlines = _outlines(event["selection"])
    # Of all users, not only of those that are drawn.
    brushed = within(charts.user_places(users.weights), outlines)
    if not outlines and rows is not None:
        brushed = rows
    with right:
        _usage(bundle, portfolio, users, everybody, tolerance, brushed)
    if everybody.segments:
        _segments(bundle, portfolio, everybody)
    _before_and_after(bundle, portfolio, users, everybody, tolerance)
    if not sentence.startswith(DRAWN):
        _others(bundle, portfolio, users, tolerance)
    state.write_url(bundle)


def _listed(
    bundle: Bundle, portfolio: state.Portfolio, users: Users, found: Service, tolerance: float
) -> NDArray[np.intp] | None:
    """Rows of the users that are chosen from a list, as a brush can't be moved by keys."""
    nobody, losing = "nobody (or draw a box over the dots)", "who loses more than is tolerated"
    answered = {f"whom {bundle.labels[row]} answers": i for i, row in enumerate(portfolio.rows)}
    segments = {f"segment {name}": name for name in sorted(set(users.segments))}
    parts = (nobody, losing, *answered, *segments)
    chosen = st.selectbox(
        "Look at",
        parts,
        key=settings.seed(f"look_at.{bundle.folder.name}", nobody, among=parts),
    )
    if chosen == nobody:
        return None
    if chosen == losing:
        return np.flatnonzero(found.gaps > tolerance)
    if chosen in answered:
        return np.flatnonzero(found.members == answered[chosen])
    return np.flatnonzero(np.array(users.segments) == segments[chosen])


def _outlines(selection: Any) -> list[Floats]:
    """The boxes and loops that were drawn on the cloud, as polygons."""
    found = []
    for box in selection.get("box", []):
        (left, right), (low, high) = box["x"], box["y"]
        corners = [(left, low), (right, low), (right, high), (left, high)]
        found.append(np.array(corners, dtype=float))
    for loop in selection.get("lasso", []):
        found.append(np.column_stack([loop["x"], loop["y"]]).astype(float))
    return found


def _serve(
    bundle: Bundle,
    rows: Sequence[int],
    users: Users,
    tolerance: float,
    some: Sequence[int] | NDArray[np.intp] = (),
) -> Service:
    points = bundle.points
    chosen = [int(i) for i in some]
    return serve(points[list(rows)], points[comparator_rows(points)], users, tolerance, chosen)


def _choose(bundle: Bundle) -> tuple[Users | None, str]:
    """The population, and what it is in words; None while nothing was uploaded."""
    name = bundle.folder.name
    d = len(bundle.traits)
    database = os.environ.get(VARIABLE)
    kind = st.segmented_control(
        "Users' weights",
        [*KINDS, *([RECORDED] if database else [])],
        key=settings.seed(f"users.{name}", KINDS[0], among=(*KINDS, RECORDED)),
        required=True,
    )
    if kind == "Around a mix":
        st.caption(
            "Above 1: users gather around a mix with this trait; below 1: they go to extremes"
            f"{expert(' (a Dirichlet distribution)')}."
        )
        alpha = [
            column.number_input(
                inert(label), 0.05, 50.0, step=0.5, key=settings.seed(f"mix-{i}.{name}", 2.0)
            )
            for i, (column, label) in enumerate(
                zip(st.columns(d), bundle.trait_labels, strict=True), start=1
            )
        ]
        drawn = population(d, concentration=alpha)
        return uniform_users(drawn), f"{DRAWN} around this mix"
    if kind == "Uploaded":
        return _uploaded(bundle)
    if kind == RECORDED and database:
        return _recorded(bundle, database)
    return (
        uniform_users(users_of(d, bundle.region)),
        f"{DRAWN} uniformly from all weights{bundle.where_text}",
    )


def _recorded(bundle: Bundle, database: str) -> tuple[Users | None, str]:
    """The requests of this bundle that a gateway recorded."""
    name = bundle.manifest.name
    try:
        file, left = cache.recorded_traffic(database, name)
        users = None if file.frame.empty else read_users(file, bundle.traits)
    except PalmError as error:
        show_error("Recorded requests can't be read.", error)
        return None, ""
    others = f"{left:,} more gave no weights" if left else "all gave weights"
    if users is None:
        st.info(
            f"No request of {name} with weights is recorded yet ({left:,} without): they come by"
            f" `palm serve {inert(str(bundle.folder))}`."
        )
        return None, ""
    count = "1 request" if users.total == 1 else f"{users.total:,.0f} requests"
    return users, f"{count} that the gateway recorded; {others}"


def _uploaded(bundle: Bundle) -> tuple[Users | None, str]:
    name = bundle.folder.name
    left, right = st.columns([4, 1], vertical_alignment="bottom")
    file = left.file_uploader(
        f"A column per trait ({', '.join(bundle.traits)}); if you have them, count and segment",
        FORMATS,
        key=f"file.{name}",
    )
    right.download_button(
        "A sample file",
        sample_table(bundle.traits),
        "users.csv",
        "text/csv",
        icon=":material/download:",
        on_click="ignore",
        key=f"sample.users.{name}",
        help="Weights may sum to anything: 1, 100, or nothing in particular.",
    )
    kept = state.uploaded_users(bundle)
    if file is not None:
        content = file.getvalue()
        key = hashlib.sha256(content).hexdigest()
        try:
            users = read_users(cache.table(file.name, key, content), bundle.traits)
        except PalmError as error:
            show_error("These weights can't be used.", error)
            return None, ""
        kept = (users, file.name)
        state.keep_users(bundle, kept)
    if kept is None:
        return None, UPLOAD
    users, source = kept
    rows = f" in {len(users.weights):,} rows" if users.total != len(users.weights) else ""
    return users, f"{users.total:,.0f} users{rows} of {source}"


def _figures(
    found: Service, portfolio: state.Portfolio, users: Users, tolerance: float, sentence: str
) -> None:
    everybody = found.everybody
    one, two, three, four = st.columns(4)
    one.metric(
        f"Lose at most {tolerance:.3f}",
        f"{everybody.within:.1%}",
        help="Share of these users.",
    )
    two.metric(
        "Lost on average",
        f"{everybody.expected:.4f}",
        help="The mean gap of these users.",
    )
    three.metric("Most lost by one of them", f"{everybody.worst:.4f}", help="Of these users.")
    answering = int((everybody.shares > 0).sum())
    four.metric(
        "Members that answer somebody",
        f"{answering} of {len(portfolio.rows)}",
        help=f"Counted by how evenly they are used: {found.perplexity:.2f}.",
    )
    st.caption(f"{inert(sentence)}; gaps to the candidates{expert(' (scope: sampled)')}.")


def _others(bundle: Bundle, portfolio: state.Portfolio, users: Users, tolerance: float) -> None:
    """Whether other members, as many, would serve the uploaded users better."""
    st.markdown("**Are these the right members for these users?**")
    members = [bundle.policies[row] for row in portfolio.rows]
    content = users.weights.tobytes() + users.counts.tobytes()
    digest = hashlib.sha256(content).hexdigest()
    found = jobs.result_of(
        f"others.{bundle.folder}.{cache.stamp(bundle)}.{portfolio.rows}.{digest}",
        "Looking for better members",
        lambda report: replacement(
            table_of(bundle), members, users, tolerance=tolerance, report=report
        ),
    )
    if found is not None:
        names = dict(zip(bundle.policies, bundle.labels, strict=True))
        for line in found.in_words(names):
            st.text(line)


def _drawn(users: Users) -> np.ndarray:
    """Rows of the users that are drawn, by their counts where there are too many."""
    count = len(users.weights)
    if count <= MOST_DOTS:
        return np.arange(count)
    rng = np.random.default_rng(0)
    share = users.counts / users.counts.sum()
    return np.sort(rng.choice(count, MOST_DOTS, replace=False, p=share))


def _usage(
    bundle: Bundle,
    portfolio: state.Portfolio,
    users: Users,
    found: Service,
    tolerance: float,
    brushed: NDArray[np.intp],
) -> None:
    """Who answers them: everybody, or those that were brushed."""
    shown = found
    title = "Share of users by picked member"
    if len(brushed):
        shown = _serve(bundle, portfolio.rows, users, tolerance, brushed)
        _brushed(bundle, portfolio, users, shown, tolerance, brushed)
        title = "Who answers those that are brushed"
    else:
        st.caption("Draw a box or a loop over dots to see who they are.")
    names = [bundle.labels[i] for i in portfolio.rows]
    numbers = pd.DataFrame(
        {
            "member": names,
            "share of these users": shown.everybody.shares,
            "share of all weights": cache.shares(bundle, portfolio.rows),
        }
    )
    figure.show(
        charts.usage_bars(
            names, shown.everybody.shares.tolist(), colours_of(bundle, portfolio.rows)
        ).update_layout(title=title),
        numbers,
        f"{bundle.manifest.name}-usage",
        f"usage.{bundle.folder.name}",
        title,
    )


def _brushed(
    bundle: Bundle,
    portfolio: state.Portfolio,
    users: Users,
    found: Service,
    tolerance: float,
    rows: NDArray[np.intp],
) -> None:
    """Who was brushed, what they lose, and their rows to take along."""
    part = found.everybody
    mean, segments = who(users, rows)
    listed = ", ".join(f"{name} {share:.0%}" for name, share in segments[:5])
    st.text(
        f"Brushed: {part.users:,.0f} of {users.total:,.0f} users, who want"
        f" {bundle.weights_text(mean)} on average"
        + (f" ({listed})" if listed else "")
        + f". {part.within:.0%} lose at most {tolerance:.3f}; {part.expected:.4f} is lost on"
        f" average, {part.worst:.4f} at worst."
    )
    table = pd.DataFrame(users.weights[rows], columns=bundle.traits)
    table["count"] = users.counts[rows]
    if users.segments:
        table["segment"] = [users.segments[i] for i in rows]
    table["member"] = [bundle.policies[portfolio.rows[m]] for m in found.members]
    table["gap"] = found.gaps
    st.download_button(
        "These users as CSV",
        csv_text(table),
        f"{bundle.manifest.name}-brushed.csv",
        "text/csv",
        icon=":material/download:",
        on_click="ignore",
        key=f"brushed.{bundle.folder.name}",
    )


def _segments(bundle: Bundle, portfolio: state.Portfolio, found: Service) -> None:
    rows = []
    for part in (*found.segments, found.everybody):
        most = int(np.argmax(part.shares))
        rows.append(
            {
                "segment": part.segment,
                "users": part.users,
                "within the tolerance": part.within,
                "lost on average": part.expected,
                "lost at worst": part.worst,
                "answered most by": bundle.labels[portfolio.rows[most]],
                "for": float(part.shares[most]),
            }
        )
    st.markdown("**By segment**, the worst served first")
    figure.table(
        pd.DataFrame(rows),
        f"{bundle.manifest.name}-segments",
        f"segments.{bundle.folder.name}",
        {"users": 0, "within the tolerance": 3, "for": 2},
    )


def _before_and_after(
    bundle: Bundle, portfolio: state.Portfolio, users: Users, ours: Service, tolerance: float
) -> None:
    """The same users under another portfolio: figures, and both clouds on one scale."""
    others = _other_portfolios(bundle, portfolio)
    if not others:
        return
    st.markdown("**Beside another portfolio**")
    name = st.selectbox(
        "Compare with",
        list(others),
        index=None,
        key=settings.seed(f"after.{bundle.folder.name}", None, among=(None, *others)),
        placeholder="choose a portfolio",
    )
    if name is None:
        return
    rows = others[str(name)]
    theirs = _serve(bundle, rows, users, tolerance)
    now, then = ours.everybody, theirs.everybody
    one, two, three = st.columns(3)
    one.metric(
        f"Lose at most {tolerance:.3f}, with {name}",
        f"{then.within:.1%}",
        f"{100 * (then.within - now.within):+.1f} points",
    )
    two.metric(
        f"Lost on average, with {name}",
        f"{then.expected:.4f}",
        f"{then.expected - now.expected:+.4f}",
        delta_color="inverse",
    )
    three.metric(
        f"Most lost by one of them, with {name}",
        f"{then.worst:.4f}",
        f"{then.worst - now.worst:+.4f}",
        delta_color="inverse",
    )
    st.text(f"{name}: {', '.join(bundle.labels[i] for i in rows)}. Changes are to what is in use.")
    drawn = _drawn(users)
    most = float(max(ours.gaps.max(), theirs.gaps.max()))
    for column, title, found in zip(
        st.columns(2), ("In use", str(name)), (ours, theirs), strict=True
    ):
        with column:
            figure.draw(
                charts.users(
                    users.weights[drawn],
                    found.gaps[drawn],
                    bundle.trait_labels,
                    tolerance,
                    title,
                    most,
                ),
                key=f"beside.{title == 'In use'}.{bundle.folder.name}",
                alt=f"Users coloured by what they lose: {title}",
            )


def _other_portfolios(bundle: Bundle, portfolio: state.Portfolio) -> dict[str, list[int]]:
    """What can stand beside the portfolio in use, by its name: all but itself."""
    info = cache.curve(bundle)
    found = {"the bundle's own members": list(bundle.members)} if bundle.members else {}
    for size, members in zip(info.sizes, info.members, strict=True):
        found[f"the best {size}"] = [bundle.row(m) for m in members]
    return {name: rows for name, rows in found.items() if set(rows) != set(portfolio.rows)}
