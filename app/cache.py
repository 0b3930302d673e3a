"""Work that sessions share: cached calls of the engine, the loaded model, the portfolio in use.

Views and orders of prompts keep caches of their own beside them.
"""

from __future__ import annotations

import gc
import os
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from app import jobs, state
from palm_engine._types import Floats, Progress
from palm_engine.analysis import curves as explore
from palm_engine.analysis.by_utility import UtilitySelection, select_by_utility
from palm_engine.analysis.finding import Questions
from palm_engine.analysis.finding import questions as find_questions
from palm_engine.analysis.limits import options_of_limits
from palm_engine.analysis.normalisation import GapsBySize, gaps_by_size
from palm_engine.analysis.plan import PlanInfo, built_resolution, plan
from palm_engine.analysis.story import Story
from palm_engine.analysis.story import story_of as story
from palm_engine.analysis.verdict import Verdict, verdict
from palm_engine.bundle.folder import MANIFEST_FILE, Bundle, list_bundles, read_bundle
from palm_engine.errors import BundleError, PalmError
from palm_engine.geometry.fields import Coverage, coverage, region_shares
from palm_engine.geometry.gap import WorstGap, worst_gap
from palm_engine.geometry.region import Region
from palm_engine.selection.options import Options
from palm_engine.selection.parts.cuts import comparator_rows
from palm_engine.selection.result import Target
from palm_engine.serving.host import LoadOptions, ModelHost
from palm_engine.tables.columns import Columns, recognise
from palm_engine.tables.files import TableFile, read_table_file
from palm_engine.tables.numbers import Decimal

if TYPE_CHECKING:
    from palm_engine.lm.base_model.source import SourceInfo

MOST_SIZES = 8
# For members of another utility: then the best found, with what is proved of it.
UTILITY_SECONDS = 2.0
# Of a bundle that is replaced while it is read.
READS = 5


def bundle_names(root: Path) -> list[str]:
    """Bundles under `root`; looked up on every run, so that a new one appears."""
    return list_bundles(root)


@st.cache_resource(show_spinner=False)
def own_rewards() -> None:
    """Make the rewards known that `palm app --rewards CONFIG` names, once per server."""
    if config := os.environ.get("PALM_REWARDS"):
        from palm_engine.pipeline.rewards import register_from

        register_from(Path(config), Path(os.environ.get("PALM_PROJECT", ".")))


@st.cache_data(show_spinner="Reading the table", max_entries=4)
def table(name: str, key: str, _content: bytes) -> TableFile:
    """A table that was uploaded, by its name and a key of its content."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / Path(name).name
        path.write_bytes(_content)
        read = read_table_file(path)
    return replace(read, name=path.name)


@st.cache_data(show_spinner="Reading recorded requests", max_entries=4, ttl=30)
def recorded_traffic(database: str, bundle: str) -> tuple[TableFile, int]:
    """The weights of requests that a gateway recorded of a bundle, and how many gave none.

    Args:
        database: where they are kept, as in PALM_DATABASE.
        bundle: its name.

    Raises:
        DependencyError: the extra 'serve' isn't installed.
        InvalidInputError: the database can't be opened.
    """
    from palm_engine.serving.profiles.database import Database
    from palm_engine.serving.profiles.export import traffic_table
    from palm_engine.serving.profiles.store import Profiles

    opened = Database(database)
    try:
        frame, left = traffic_table(Profiles(opened).traffic(), bundle=bundle)
    finally:
        opened.close()
    return TableFile("recorded requests", frame, 1), left


@st.cache_data(show_spinner=False, max_entries=8)
def recognised(_file: TableFile, key: str, decimal: Decimal) -> Columns:
    """What the columns of a table look like, by a key of its content and its decimal sign."""
    return recognise(_file.frame, _file.sign(decimal))


@st.cache_data(show_spinner="Comparing portfolios", max_entries=32)
def gaps_of(points: Floats) -> GapsBySize:
    """Worst gaps by portfolio size."""
    return gaps_by_size(points)


def bundle(root: Path, name: str) -> Bundle:
    """The validated bundle; read again when its manifest changes.

    Raises:
        BundleError: it can't be read.
    """
    folder = root / name
    for _ in range(READS):
        before = _written(folder)
        found = _read(str(folder), before)
        if _written(folder) == before:
            return found
        # It was replaced while it was read: parts may be of two bundles.
        _read.clear(str(folder), before)
    raise BundleError(f"{folder}: is being written all the time; try again in a moment")


def stamp(of: Bundle) -> int:
    """Changes when the bundle is written anew; part of the keys of work that is kept."""
    return _written(of.folder)


def _written(folder: Path) -> int:
    """When the bundle was written, in nanoseconds; 0 where there is none."""
    try:
        return (folder / MANIFEST_FILE).stat().st_mtime_ns
    except OSError:
        return 0


@st.cache_resource(show_spinner="Opening the bundle", max_entries=8)
def _read(folder: str, stamp: int) -> Bundle:
    found = read_bundle(Path(folder))
    found.read_tables()  # later they may be another bundle's
    return found


@st.cache_resource(show_spinner=False, max_entries=24)
def planned(
    folder: str,
    stamp: int,
    traits: tuple[str, ...],
    beta: float,
    target: tuple[int | None, float, float],
    with_kl_cost: bool,
    most: int,
    _report: Progress,
) -> PlanInfo:
    """The plan on a bundle's pool for some of its traits, kept for all sessions.

    Args:
        folder: the bundle's.
        stamp: of the bundle (see `stamp`).
        traits: that count, in the bundle's order.
        beta: the temperature.
        target: k, eps and delta.
        with_kl_cost: count the KL cost.
        most: the largest size of the curve.
    """
    of = _read(folder, stamp)
    rewards = of.pool_rewards
    assert rewards is not None, "the page offers no plan without a pool"
    # The build's own grid, so that both plan the same, where it has these traits.
    whole = len(traits) == len(of.traits)
    return plan(
        rewards[:, :, [of.traits.index(t) for t in traits]],
        [beta],
        Target(k=target[0], eps=target[1], delta=target[2]),
        with_kl_cost,
        built_resolution(of.manifest.built.config) if whole else None,
        most,
        _report,
    )


def planned_value(of: Bundle, w: tuple[float, ...]) -> float | None:
    """What the closed form expects of a model made for exactly `w`, in the bundle's value.

    None without a pool.
    """
    rewards = of.pool_rewards
    betas = of.manifest.beta
    if rewards is None or not betas:
        return None
    from palm_engine.oracles.gibbs import GibbsOracle

    oracle = GibbsOracle(rewards, min(betas), with_kl_cost=of.with_cost)
    return float(oracle.answer(np.array([w])).optimum[0])


def exact_gap(of: Bundle, portfolio: tuple[int, ...]) -> WorstGap:
    """The exact worst gap of a portfolio over the simplex, against the bundle's candidates."""
    return _exact_gap(of.points, portfolio, _bounds(of), of.region)


def for_utility(
    of: Bundle, portfolio: tuple[int, ...], asked: Mapping[str, Any]
) -> tuple[UtilitySelection, UtilitySelection]:
    """What a portfolio costs users of a utility, and the best of its size for them.

    Args:
        of: the bundle.
        portfolio: rows of the members.
        asked: the utility, as `select_by_utility` takes it.

    Raises:
        InvalidInputError: rewards that the utility isn't defined for.
        InfeasibleError: no portfolio of the size keeps the bundle's limits.
    """
    return _for_utility(str(of.folder), stamp(of), portfolio, dict(asked), of)


@st.cache_data(show_spinner="Choosing for such users", max_entries=32)
def _for_utility(
    folder: str, stamp: int, portfolio: tuple[int, ...], asked: dict[str, Any], _of: Bundle
) -> tuple[UtilitySelection, UtilitySelection]:
    names = [_of.policies[row] for row in portfolio]
    limits = Options(time_limit=UTILITY_SECONDS)
    return (
        select_by_utility(_of, members=names, **asked),
        select_by_utility(_of, k=len(names), options=limits, **asked),
    )


Bounds = tuple[tuple[str, float, float], ...]


def _bounds(of: Bundle) -> Bounds:
    """The weights that count, as a part of a key."""
    return tuple((t, low, high) for t, (low, high) in of.manifest.where.items())


@st.cache_data(show_spinner=False, max_entries=64)
def _exact_gap(
    points: np.ndarray, portfolio: tuple[int, ...], bounds: Bounds, _region: Region | None
) -> WorstGap:
    return worst_gap(points[list(portfolio)], points, _region)


def covered(
    of: Bundle, portfolio: tuple[int, ...], threshold: float, multiplicative: bool
) -> Coverage:
    """Share of the simplex whose gap is at most `threshold`."""
    return _covered(of.points, portfolio, threshold, multiplicative, _bounds(of), of.region)


@st.cache_data(show_spinner=False, max_entries=256)
def _covered(
    points: np.ndarray,
    portfolio: tuple[int, ...],
    threshold: float,
    multiplicative: bool,
    bounds: Bounds,
    _region: Region | None,
) -> Coverage:
    rows = comparator_rows(points)
    return coverage(
        points[list(portfolio)],
        points[rows],
        threshold,
        region=_region,
        multiplicative=multiplicative,
    )


def shares(of: Bundle, portfolio: tuple[int, ...]) -> np.ndarray:
    """Share of the weights that count where each member is picked."""
    return _shares(of.points, portfolio, _bounds(of), of.region)


@st.cache_data(show_spinner=False, max_entries=64)
def _shares(
    points: np.ndarray, portfolio: tuple[int, ...], bounds: Bounds, _region: Region | None
) -> np.ndarray:
    return region_shares(points[list(portfolio)], region=_region)


def story_of(of: Bundle, portfolio: tuple[int, ...]) -> Story:
    """The portfolio beside the best single model."""
    return _story(str(of.folder), stamp(of), portfolio, of)


@st.cache_resource(show_spinner=False, max_entries=64)
def _story(folder: str, stamp: int, portfolio: tuple[int, ...], _of: Bundle) -> Story:
    return story(_of, portfolio)


def verdict_of(of: Bundle, info: explore.CurveInfo, tolerance: float) -> Verdict:
    """How many members are enough for a tolerance."""
    return _verdict(str(of.folder), stamp(of), tolerance, info, of)


@st.cache_resource(show_spinner=False, max_entries=256)
def _verdict(
    folder: str, stamp: int, tolerance: float, _info: explore.CurveInfo, _of: Bundle
) -> Verdict:
    return verdict(_info, _of.policies, _of.points, tolerance, _of.region)


def questions(of: Bundle, portfolio: tuple[int, ...]) -> Questions:
    """What can be asked to find a member.

    Raises:
        InvalidInputError: there is nothing to ask about.
    """
    return _questions(str(of.folder), stamp(of), portfolio, of)


@st.cache_resource(show_spinner=False, max_entries=16)
def _questions(folder: str, stamp: int, portfolio: tuple[int, ...], _of: Bundle) -> Questions:
    return find_questions(_of, portfolio)


def curve(of: Bundle) -> explore.CurveInfo:
    """Size against worst gap: recorded in the certificate, or computed from the rewards.

    While it is computed, progress is shown and the page stops here.
    """
    certificate = of.manifest.certificate
    if certificate is None:
        return _computed_curve(of)
    points = certificate.curve
    return explore.CurveInfo(
        tuple(p.k for p in points),
        tuple(p.members for p in points),
        tuple(p.choose_gap for p in points),
        tuple(p.gap.estimate for p in points),
        tuple(p.gap.upper for p in points),
        points[0].gap.confidence if points else None,
        True,
    )


def known_curve(of: Bundle) -> explore.CurveInfo | None:
    """The curve where it is known at once; None where it would have to be worked out."""
    if of.manifest.certificate is not None:
        return curve(of)
    return _curves().get((str(of.folder), stamp(of)))


@st.cache_resource(show_spinner=False)
def _curves() -> dict[tuple[str, int], explore.CurveInfo]:
    """Computed curves, shared by all sessions, by folder and stamp."""
    return {}


def curve_at_once(of: Bundle) -> Callable[[], explore.CurveInfo]:
    """Gives the curve without a page: as it is known, else worked out in seconds."""
    known = _curves().get((str(of.folder), stamp(of)))
    if of.manifest.certificate is not None:
        known = curve(of)
    limits = options_of_limits(of.limits, of.rewards, of.traits, of.row)

    def work() -> explore.CurveInfo:
        return known or explore.best_of_every_size(
            of.points, of.policies, MOST_SIZES, 2.0, limits=limits
        )

    return work


def _computed_curve(of: Bundle) -> explore.CurveInfo:
    """Worked out beside the page, with progress, where it isn't known.

    The page stops until it is.
    """
    known = _curves()
    key = (str(of.folder), stamp(of))
    if key not in known:
        points = of.points
        names = tuple(of.policies)
        limits = options_of_limits(of.limits, of.rewards, of.traits, of.row)
        info = jobs.result_of(
            f"curve.{key}",
            "Finding the best portfolio of every size",
            lambda report: explore.best_of_every_size(
                points, names, MOST_SIZES, report=report, limits=limits
            ),
        )
        if info is None:
            st.stop()
        known[key] = info
    return known[key]


def portfolio(of: Bundle) -> state.Portfolio | None:
    """The portfolio in use: of the chosen size, else the bundle's members.

    None when nothing is selected.
    """
    named = state.chosen_members(of)
    if named is not None and named[0] and set(named[0]) <= set(of.policies):
        return state.Portfolio(
            tuple(sorted({of.policies.index(m) for m in named[0]})), named[1], None
        )
    if named is not None:
        st.toast(
            "The link names members that this bundle doesn't have; its own are shown.",
            icon=":material/link_off:",
        )
        state.forget_choice(of)
    size = state.chosen_size(of)
    if size is not None:
        info = curve(of)
        if size in info.sizes:
            i = info.sizes.index(size)
            rows = tuple(of.policies.index(m) for m in info.members[i])
            if set(rows) == set(of.members):
                return _own(of)
            certificate = of.manifest.certificate
            bound = certificate.curve[i].gap if certificate else None
            return state.Portfolio(rows, f"best {size} of {len(of.policies)} candidates", bound)
        st.toast(
            f"There is no portfolio of the size that the link names; sizes are {info.sizes[0]} to"
            f" {info.sizes[-1]}.",
            icon=":material/link_off:",
        )
        state.forget_choice(of)
    if of.members:
        return _own(of)
    return None


def _own(of: Bundle) -> state.Portfolio:
    certificate = of.manifest.certificate
    return state.Portfolio(
        tuple(of.members),
        "the bundle's own members",
        certificate.additive if certificate else None,
    )


def preload(root: Path, name: str | None) -> None:
    """Begin to load the model of the first bundle that is opened, where the server is told to."""
    if os.environ.get("PALM_LOAD") == "1" and name is not None:
        _preload(str(root), name)


@st.cache_resource(show_spinner=False)
def _preload(root: str, name: str) -> threading.Thread:
    """Once for all sessions, beside the pages; what fails is said where somebody asks for it."""
    of = read_bundle(Path(root) / name)
    members = [of.policies[i] for i in of.members if of.manifest.candidates[i].can_run]
    model = host()

    def work() -> None:
        with suppress(PalmError):
            model.load(of, members, LoadOptions())

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


@st.cache_resource(show_spinner=False)
def host() -> ModelHost:
    """The one loaded model of this server, shared by all sessions."""
    return ModelHost()


@st.cache_data(show_spinner=False, max_entries=16, ttl=60)
def base_gigabytes(source: str) -> float | None:
    """What a base model's weights take at two bytes per parameter, in GB; None if it isn't here."""
    from palm_engine.lm.base_model.source import is_ready, parameter_count

    try:
        return 2 * parameter_count(source) / 1e9 if is_ready(source) else None
    except (PalmError, ImportError):
        return None


@st.cache_data(show_spinner=False, max_entries=8, ttl=60)
def source_info(source: str) -> SourceInfo:
    """Whether a base model is on this machine, and what fetching it would mean."""
    from palm_engine.lm.base_model.source import describe

    return describe(source)


@st.cache_resource(show_spinner=False)
def settle(page: str, bundle: str) -> None:
    """Called after a page was first shown.

    What is loaded by then stays, so it need not be searched for garbage.
    """
    freeze()


def freeze() -> None:
    """Take all that is loaded now out of the search for garbage.

    Streamlit collects garbage after every rerun; over all imported modules that is a stall of some
    80 ms while the last of the page is still to be sent. With torch loaded it is most of a second,
    several times a second while answers stream, and the model gets no turn.
    """
    gc.collect()
    gc.freeze()
