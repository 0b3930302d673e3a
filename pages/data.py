"""Data: a table of one's own becomes a bundle; the same as `palm import`."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pandas as pd
import streamlit as st

from app import cache, charts, jobs, settings, state
from app.components import figure, import_form
from app.components.guide import expert
from app.errors import show_error
from palm_engine._types import Progress
from palm_engine.analysis.guarantee import dropped_words
from palm_engine.bundle.folder import Bundle
from palm_engine.bundle.names import NAME_RULE, is_name, safe_name
from palm_engine.bundle.writing import check_target, previous
from palm_engine.errors import PalmError
from palm_engine.tables.files import SUFFIXES, TableFile
from palm_engine.tables.importing import import_table
from palm_engine.tables.reward_table import RewardTable
from palm_engine.tables.scaling import Scaling
from palm_engine.tables.spec import ImportSpec

SHOWN = 8
FILE = "data.file"


def _let_go() -> None:
    """A file that was taken away is forgotten; one that is only out of sight is kept."""
    if st.session_state.get(FILE) is None:
        state.keep_table()


def uploaded() -> tuple[TableFile, str] | None:
    """The table that was dropped, and a key of its content."""
    given = st.file_uploader(
        "Drop a table here",
        type=[s.removeprefix(".") for s in SUFFIXES],
        help="CSV, TSV, Parquet, JSON or JSON Lines. It stays on the machine that runs this page.",
        key=FILE,
        on_change=_let_go,
    )
    kept = state.kept_table()
    if given is None and kept is not None:
        name, another = st.columns([4, 1], vertical_alignment="center")
        name.text(f"{kept[0].name}, as you left it.")
        another.button("Another table", icon=":material/close:", on_click=state.keep_table)
        return kept
    if given is None:
        return None
    content = given.getvalue()
    key = hashlib.sha256(content).hexdigest()[:16]
    try:
        kept = (cache.table(given.name, key, content), key)
        state.keep_table(kept)
        return kept
    except PalmError as error:
        show_error("This file can't be read as a table.", error, warns=True)
        return None


def welcome() -> None:
    """What can be dropped, by example."""
    st.markdown(
        "**One row per model** (a leaderboard), or **one row per model and prompt** (scores of a"
        " judge), with or without the answers' texts. Columns may have any name:"
    )
    left, right = st.columns(2)
    left.dataframe(
        pd.DataFrame(
            {
                "model": ["org/large", "org/small"],
                "win_rate": ["87.1%", "54.0%"],
                "avg_length": ["2,049", "980"],
            }
        ),
        hide_index=True,
    )
    right.dataframe(
        pd.DataFrame(
            {
                "model": ["org/large", "org/large"],
                "prompt": ["How do I ...?", "Write a ..."],
                "helpful": [9, 7],
                "seconds": [2.5, 3.1],
                "output": ["You can ...", "Once ..."],
            }
        ),
        hide_index=True,
    )


def preview(file: TableFile) -> None:
    """The first rows as they were read."""
    rows = len(file.frame)
    st.caption(f"{rows:,} row{'' if rows == 1 else 's'}, {len(file.frame.columns)} columns")
    st.dataframe(file.frame.head(SHOWN).astype(str), hide_index=True)
    if file.encoding:
        st.info(
            f"The file isn't UTF-8; it was read as {file.encoding}. If names or texts look odd,"
            " save it as UTF-8.",
            icon=":material/translate:",
        )


def imported(file: TableFile, spec: ImportSpec) -> RewardTable | None:
    """The table under the chosen settings; None, with the reason, where they don't fit."""
    try:
        return import_table(file, spec)
    except PalmError as error:
        show_error("The table can't be imported like this.", error, warns=True)
        return None


def effects(file: TableFile, spec: ImportSpec, table: RewardTable, key: str) -> None:
    """What the normalisation does to the gaps, beside min-max for all traits."""
    plain = tuple(
        t.model_copy(update={"scaling": Scaling(method="min-max", direction=t.scaling.direction)})
        for t in spec.traits
    )
    curves = {"as chosen": cache.gaps_of(table.points)}
    if plain != spec.traits:
        try:
            other = import_table(file, spec.model_copy(update={"traits": plain}))
            curves["min-max for every trait"] = cache.gaps_of(other.points)
        except PalmError:
            pass  # a constant column has no min-max to compare with
    left, right = st.columns(2)
    for column, kind in ((left, "additive"), (right, "multiplicative")):
        numbers = pd.DataFrame(
            {
                name: pd.Series(getattr(curve, kind), index=list(curve.sizes), dtype=float)
                for name, curve in curves.items()
            }
        )
        if kind == "additive":
            for name, curve in curves.items():
                averages = pd.Series(curve.averages, index=list(curve.sizes), dtype=float)
                numbers[f"{name}, average loss"] = averages
        with column:
            figure.show(
                charts.normalised_gaps(curves, kind),
                numbers.rename_axis("members").reset_index(),
                f"gaps-{kind}",
                f"{key}.gaps.{kind}",
                f"Worst {kind} gap by portfolio size under the chosen normalisation",
            )
    st.caption(
        f"A gap is in units of the normalised rewards{expert(' (scope: candidates)')}. A"
        " multiplicative gap is a share of the best value, so it moves with where 0 lies."
    )
    if table.record is not None and (dropped := dropped_words(table.record)):
        st.text(dropped)
    for name, warning in table.warnings.items():
        st.text(f"⚠ {table.labels.get(name, name)} {warning}.")


def target(out: Path, key: str) -> tuple[bool, bool]:
    """Whether a bundle may be written there, and whether it replaces another."""
    try:
        check_target(out)
    except PalmError as error:
        show_error("There is a bundle of that name.", error, warns=True)
    else:
        return True, False
    if not st.checkbox(f"Replace it, and keep the old one as {previous(out).name}", key=key):
        return False, False
    try:
        check_target(out, replace=True)
    except PalmError as error:
        st.text(str(error))
        return False, False
    return True, True


def finish(file: TableFile, spec: ImportSpec, table: RewardTable, key: str) -> None:
    """Name, size, the command line that does the same, and the button."""
    root = state.portfolios_root()
    left, right = st.columns([2, 1])
    stem = safe_name(Path(file.name).stem, cache.bundle_names(root))
    named = settings.seed(f"{key}.name", stem)
    name = left.text_input("Name of the bundle", key=named, help=NAME_RULE)
    most = min(12, len(table.policies))
    size = settings.seed(f"{key}.k", min(4, most), 1, most)
    k = int(right.number_input("Members to choose", 1, most, key=size))
    with st.expander("Title and split"):
        left, right = st.columns([2, 1])
        title = left.text_input(
            "Title",
            key=settings.seed(f"{key}.title", ""),
            placeholder=Path(file.name).stem,
            max_chars=200,
        )
        seed = int(
            right.number_input(
                "Seed of the split of prompts",
                0,
                key=settings.seed(f"{key}.seed", 0),
                help="Members are chosen on a random half of the prompts, certified on the other.",
            )
        )
    if not is_name(name):
        st.warning(f"A bundle's name has {NAME_RULE}.")
        return
    out = root / name
    job = f"import.{key}.{name}"
    # Once it is at work, the bundle of that name is the one that it makes.
    started = st.session_state.get(f"{key}.started")
    replace = started == f"{job}.replace"
    if started not in (job, f"{job}.replace"):
        may, replace = target(out, f"{key}.replace.{name}")
        if not may:
            return
    command = spec.command(
        Path(file.name).name,
        out,
        cache.recognised(file, key, spec.decimal),
        k=k,
        title=title,
        seed=seed,
        replace=replace,
    )
    if st.button("Make the bundle", type="primary", icon=":material/add_chart:"):
        jobs.forget(job)
        started = f"{job}.replace" if replace else job
        st.session_state[f"{key}.started"] = started
    st.caption("The same on the command line:")
    st.code(command, language="sh", wrap_lines=True)
    if started not in (job, f"{job}.replace"):
        return

    def work(report: Progress) -> Bundle:
        from palm_engine.pipeline.importing import import_bundle

        return import_bundle(
            table, out, title or Path(file.name).stem, k, seed, command, report, replace
        )

    made = jobs.result_of(job, "Making the bundle", work)
    if made is not None:
        state.open_bundle_next(made.folder.name)
        st.session_state.pop(f"{key}.started")
        st.switch_page("../pages/explore.py")


state.head().title("Which of your models are enough?")
st.caption(
    "Your own models, scored by anybody: which few are enough for every preference? Nothing is sent"
    " anywhere."
)
found = uploaded()
if found is None:
    welcome()
else:
    table_file, table_key = found
    preview(table_file)
    st.subheader("What the columns are")
    sign = import_form.decimal(f"data.{table_key}")
    columns = import_form.roles(
        table_file, cache.recognised(table_file, table_key, sign), f"data.{table_key}"
    )
    st.subheader("Traits")
    chosen = import_form.traits(table_file, columns, f"data.{table_key}", sign)
    wanted = import_form.spec(table_file, columns, chosen, f"data.{table_key}", sign)
    rewards = None if wanted is None else imported(table_file, wanted)
    if wanted is not None and rewards is not None:
        st.subheader("What it does to the gaps")
        effects(table_file, wanted, rewards, f"data.{table_key}")
        st.subheader("The bundle")
        finish(table_file, wanted, rewards, f"data.{table_key}")
