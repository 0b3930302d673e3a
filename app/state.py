"""What a session keeps between reruns and pages, typed; widgets keep their own keys."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

from app import settings
from palm_engine._types import Scope
from palm_engine.bundle.folder import MANIFEST_FILE, Bundle
from palm_engine.geometry.confidence import Bound
from palm_engine.geometry.pick import PickInfo, pick_info
from palm_engine.geometry.simplex import normalise

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

    from palm_engine.geometry.users import Users
    from palm_engine.preferences.posterior import Outcome
    from palm_engine.serving.answering import LiveAnswer
    from palm_engine.serving.backends.interface import LiveSettings
    from palm_engine.serving.host import LoadOptions
    from palm_engine.serving.ticket import Ticket
    from palm_engine.tables.files import TableFile

MAX_SLIDER = 100.0
MOST_ASKED = 50
# Keys of the session; those of one bundle are followed by its name.
_BUNDLE = "bundle"
_ROOT = "portfolios_root"
_WRITTEN = "written_url"
# So long a browser may still tell the address of before.
MOMENT = 1.0
_SESSION = "session"
_RAW = "raw"
_BEFORE = "raw_before"
_SIZE = "size"
_MEMBERS = "members"
_PROMPT = "prompt"
_TICKET = "ticket"
_HISTORY = "history"
_CLICKED = "clicked"
_LOAD = "load"
_SAID = "said"
_HEAD = "head"
_CHOICES = "choices"
_USERS = "uploaded_users"
_TABLE = "dropped_table"
_MOVED = "moved"
_PLANNED = "planned"


def _key(kind: str, bundle: str) -> str:
    return f"{kind}.{bundle}"


@dataclass(frozen=True)
class Portfolio:
    """The portfolio in use.

    Attributes:
        rows: of its members among the candidates.
        label: where it comes from.
        bound: on its worst gap, where one was certified.
        scope: of the gap.
    """

    rows: tuple[int, ...]
    label: str
    bound: Bound | None
    scope: Scope = "candidates"


@dataclass(frozen=True)
class Said:
    """What a user said to a question of "Find my model".

    Attributes:
        question: its row.
        outcome: what it means; None: skipped.
        said: the button: first, second, both, neither, skip.
    """

    question: int
    outcome: Outcome | None
    said: str


@dataclass(frozen=True)
class Asked:
    """A live question that is over.

    Attributes:
        prompt: the question.
        answers: as far as they came.
        settings: how they were drawn.
        tokens_a_second: how fast it went, or None.
        stopped: whether it was stopped.
        error: why it failed, or "".
    """

    prompt: str
    answers: tuple[LiveAnswer, ...]
    settings: LiveSettings
    tokens_a_second: float | None
    stopped: bool
    error: str = ""


def set_portfolios_root(root: Path) -> None:
    """Say which folder of bundles this session may read."""
    st.session_state[_ROOT] = str(root)


def portfolios_root() -> Path:
    """The folder of bundles that this session may read."""
    return Path(st.session_state[_ROOT])


def kept_table() -> tuple[TableFile, str] | None:
    """The table that was dropped on Data, and a key of its content."""
    table: tuple[TableFile, str] | None = st.session_state.get(_TABLE)
    return table


def keep_table(table: tuple[TableFile, str] | None = None) -> None:
    """Keep a table that was dropped on Data; None: forget it."""
    st.session_state[_TABLE] = table


def uploaded_users(bundle: Bundle) -> tuple[Users, str] | None:
    """The users that were uploaded for a bundle, and the name of their file."""
    users: tuple[Users, str] | None = st.session_state.get(_users_key(bundle))
    return users


def keep_users(bundle: Bundle, users: tuple[Users, str]) -> None:
    """Keep uploaded users, and the name of their file."""
    st.session_state[_users_key(bundle)] = users


def _users_key(bundle: Bundle) -> str:
    # Their columns are the traits': of other ones they say nothing.
    return _key(_USERS, ".".join([bundle.folder.name, *bundle.traits]))


def set_head(place: DeltaGenerator) -> None:
    """Say where this run's page puts its title."""
    st.session_state[_HEAD] = place


def head() -> DeltaGenerator:
    """Where the page puts its title."""
    place: DeltaGenerator = st.session_state[_HEAD]
    return place


def open_name() -> str | None:
    """The name of the bundle that is open, None before the first."""
    name = st.session_state.get(_BUNDLE)
    return None if name is None else str(name)


def open_key() -> str:
    """Key of the bundle picker."""
    return _BUNDLE


def open_bundle_next(name: str) -> None:
    """Have the next run open this bundle: a widget's value can't be set once it is drawn."""
    st.session_state[f"{_BUNDLE}.next"] = name


def take_next_bundle() -> None:
    """Open the bundle that the run before asked for."""
    wanted = st.session_state.pop(f"{_BUNDLE}.next", None)
    if wanted is not None:
        st.session_state[_BUNDLE] = wanted


def is_newer(bundle: Bundle, written: int) -> bool:
    """Whether the bundle was written anew since this session last looked; asked once per run.

    Args:
        bundle: that is open.
        written: when it was written.
    """
    key = _key("written", bundle.folder.name)
    before = st.session_state.get(key)
    st.session_state[key] = written
    return before is not None and before != written


def prompt_key(bundle: Bundle) -> str:
    """Key of the prompt picker."""
    return _key(_PROMPT, bundle.folder.name)


def open_prompt(bundle: Bundle) -> str:
    """The prompt_id that is open, "" before the first."""
    return str(st.session_state.get(prompt_key(bundle), ""))


def load_options() -> LoadOptions:
    """How this session wants a model to be loaded."""
    from palm_engine.serving.host import LoadOptions

    options: LoadOptions = st.session_state.get(f"{_LOAD}.options", LoadOptions())
    return options


def set_load_options(options: LoadOptions) -> None:
    """Keep how a model is to be loaded."""
    st.session_state[f"{_LOAD}.options"] = options


def load_wanted(bundle: Bundle) -> float | None:
    """When a load of the bundle's model was last asked for, until it is over."""
    wanted: float | None = st.session_state.get(_key(f"{_LOAD}.wanted", bundle.folder.name))
    return wanted


def want_load(bundle: Bundle, when: float | None) -> None:
    """Ask for a load of the bundle's model; None: it is over."""
    st.session_state[_key(f"{_LOAD}.wanted", bundle.folder.name)] = when


def raw_weights(bundle: Bundle) -> list[float]:
    """Slider positions, 0 to 100, one per trait; all in the middle at first."""
    kept = st.session_state.get(_key(_RAW, bundle.folder.name), [])
    if len(kept) != len(bundle.traits):
        return [50.0] * len(bundle.traits)
    return [float(x) for x in kept]


def follow_weights(bundle: Bundle, raw: Sequence[float]) -> None:
    """Take over what the browser's sliders say.

    Anything that isn't one number from 0 to 100 a trait is ignored.
    """
    values = [float(x) if isinstance(x, int | float) else np.nan for x in raw]
    if len(values) == len(bundle.traits) and all(0 <= x <= MAX_SLIDER for x in values):
        st.session_state[_key(_RAW, bundle.folder.name)] = values
        st.session_state.pop(_key(_BEFORE, bundle.folder.name), None)


def move_weights(bundle: Bundle, raw: Sequence[float] | NDArray[np.float64]) -> None:
    """Set the weights from here: the browser's sliders follow, and can be put back."""
    earlier = raw_weights(bundle)
    follow_weights(bundle, [round(float(x), 1) for x in raw])
    st.session_state[_key(_BEFORE, bundle.folder.name)] = earlier
    key = _key(_MOVED, bundle.folder.name)
    st.session_state[key] = moves(bundle) + 1


def weights_before(bundle: Bundle) -> list[float] | None:
    """Slider positions that were left by `move_weights`, until one is moved by hand."""
    found: list[float] | None = st.session_state.get(_key(_BEFORE, bundle.folder.name))
    return found


def moves(bundle: Bundle) -> int:
    """How often the weights were set from here and not in the browser."""
    return int(st.session_state.get(_key(_MOVED, bundle.folder.name), 0))


def said(bundle: Bundle, portfolio: Portfolio) -> tuple[Said, ...]:
    """Answers to the questions of "Find my model" about these members, in order.

    A bundle that was written anew begins with none: its questions may be others.
    """
    answers: tuple[Said, ...] = st.session_state.get(_said_key(bundle, portfolio), ())
    return answers


def say(bundle: Bundle, portfolio: Portfolio, answer: Said) -> None:
    """Keep an answer; a second one to the same question (a key pressed twice) is none."""
    before = said(bundle, portfolio)
    if answer.question not in {earlier.question for earlier in before}:
        st.session_state[_said_key(bundle, portfolio)] = (*before, answer)


def unsay(bundle: Bundle, portfolio: Portfolio, count: int = 1) -> None:
    """Take the last answers back."""
    answers = said(bundle, portfolio)
    st.session_state[_said_key(bundle, portfolio)] = answers[: len(answers) - count]


def _said_key(bundle: Bundle, portfolio: Portfolio) -> str:
    try:
        written = (bundle.folder / MANIFEST_FILE).stat().st_mtime_ns
    except OSError:  # deleted meanwhile: the page says so when it is drawn
        written = 0
    rows = "-".join(map(str, portfolio.rows))
    return _key(_SAID, f"{bundle.folder.name}.{written}.{rows}")


def picked(bundle: Bundle, portfolio: Portfolio) -> PickInfo:
    """The member that the weights in use pick, its value and its gap."""
    return pick_info(bundle.points, list(portfolio.rows), weights(bundle))


def weights(bundle: Bundle) -> NDArray[np.float64]:
    """Effective weights: non-negative, summing to 1."""
    return normalise(raw_weights(bundle))


def restore_from_url(names: Sequence[str]) -> None:
    """Open the view that the address names, as far as it makes sense.

    Once per session, and again where the address is another than was written last: Back, Forward,
    or an address that was typed. Weights alone are the browser's own.
    """
    query = st.query_params.to_dict()
    written: Written | None = st.session_state.get(_WRITTEN)
    if written is not None and not written.is_left_by(query):
        return
    # Where Back led to, Forward may lead away from at once.
    st.session_state[_WRITTEN] = Written({} if written is None else _view(query), {}, 0.0)
    name = query.get("portfolio", names[0] if names else "")
    if name not in names:
        return
    if written is not None and st.session_state.get(_BUNDLE) == name:
        for kept in (_SIZE, _MEMBERS):
            st.session_state.pop(_key(kept, name), None)
    st.session_state[_BUNDLE] = name
    settings.take_from_address(query, name)
    with suppress(ValueError):
        raw = [float(x) for x in query.get("w", "").split("-")]
        if all(0 <= x <= MAX_SLIDER for x in raw):
            st.session_state[_key(_RAW, name)] = raw
    if query.get("k"):
        # What it can't be is said by the page, which knows the sizes.
        st.session_state[_key(_SIZE, name)] = (
            int(query["k"]) if query["k"].isdecimal() and len(query["k"]) < 6 else 0
        )
    if query.get("members"):
        named = tuple(query["members"].split(","))
        st.session_state[_key(_MEMBERS, name)] = (named, "members that a link names")
    if query.get("prompt"):
        st.session_state[_key(_PROMPT, name)] = query["prompt"]


def write_url(bundle: Bundle) -> None:
    """Put portfolio, weights, size, prompt and settings into the address: a link opens this view.

    While a slider moves the browser replaces the weights in the address, which the server doesn't
    see and needn't: they are written here only where something else changes, as a step of the
    history. They come from the session, which the browser keeps informed.
    """
    raw = "-".join(f"{round(x, 1):g}" for x in raw_weights(bundle))
    wanted = {"portfolio": bundle.folder.name, "w": raw}
    size = chosen_size(bundle)
    prompt = st.session_state.get(prompt_key(bundle))
    if size is not None:
        wanted["k"] = str(size)
    if (named := chosen_members(bundle)) is not None:
        wanted["members"] = ",".join(named[0])
    if prompt:
        wanted["prompt"] = str(prompt)
    wanted |= settings.for_address(bundle.folder.name)
    now = st.query_params.to_dict()
    moved = _key(f"{_MOVED}.written", bundle.folder.name)
    # Weights that were set from here are in no address yet.
    if (
        "w" not in now
        or now | {"w": raw} != wanted
        or st.session_state.get(moved, 0) != moves(bundle)
    ):
        st.query_params.from_dict(wanted)
    st.session_state[moved] = moves(bundle)
    before: Written | None = st.session_state.get(_WRITTEN)
    if before is None or before.view != _view(wanted):
        last = {} if before is None else before.view
        st.session_state[_WRITTEN] = Written(_view(wanted), last, time.monotonic())


@dataclass(frozen=True)
class Written:
    """What was put into the address last.

    Attributes:
        view: what it says besides the weights.
        before: the view before that, which a browser may still tell for a moment.
        at: time.monotonic() when it was written.
    """

    view: dict[str, str]
    before: dict[str, str]
    at: float

    def is_left_by(self, query: Mapping[str, str]) -> bool:
        """Whether an address is another view: Back, Forward, or one that was typed."""
        now = _view(query)
        if not self.view or "portfolio" not in now or now == self.view:
            return False
        return now != self.before or time.monotonic() - self.at > MOMENT


def _view(query: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in query.items() if name != "w"}


def chosen_size(bundle: Bundle) -> int | None:
    """The size chosen on the trade-off page, or None for the bundle's own members."""
    size = st.session_state.get(_key(_SIZE, bundle.folder.name))
    return None if size is None else int(size)


def choose_size(bundle: Bundle, size: int | None) -> None:
    """Use the best portfolio of `size` everywhere (None: the bundle's own members)."""
    _remember_choice(bundle)
    st.session_state.pop(_key(_MEMBERS, bundle.folder.name), None)
    st.session_state[_key(_SIZE, bundle.folder.name)] = size


def planned_members(bundle: Bundle, plan: str, policies: int) -> tuple[int, ...] | None:
    """The planned policies that a plan's members were moved to by hand; None: as planned.

    They are in the address: a link opens the moved plan.

    Args:
        bundle: that is open.
        plan: what the plan was made from.
        policies: how many it chooses from.
    """
    text = str(st.session_state[settings.seed(_key(_PLANNED, bundle.folder.name), "")])
    mark, _, places = text.partition("~")
    numbers = places.split(".")
    if mark != _mark(plan) or not all(n.isdecimal() and len(n) < 8 for n in numbers):
        return None
    rows = tuple(map(int, numbers))
    return rows if max(rows) < policies else None


def move_planned(bundle: Bundle, plan: str, rows: tuple[int, ...] | None) -> None:
    """Move a plan's members (None: back to where the plan has them)."""
    text = "" if rows is None else f"{_mark(plan)}~{'.'.join(map(str, rows))}"
    st.session_state[_key(_PLANNED, bundle.folder.name)] = text


def _mark(plan: str) -> str:
    return hashlib.sha256(plan.encode()).hexdigest()[:8]


def tolerance_key(bundle: Bundle) -> str:
    """Key of the tolerance on Trade-off."""
    return _key("tolerance", bundle.folder.name)


def tolerance(bundle: Bundle) -> float | None:
    """The largest loss that the user tolerates; None until one is set."""
    value = settings.kept(tolerance_key(bundle))
    return None if value is None or settings.is_first(tolerance_key(bundle)) else float(value)


def is_expert() -> bool:
    """Whether everything is said, or only what anybody understands."""
    return bool(settings.kept("expert"))


def session_id() -> str:
    """Random id of this browser session; never shown."""
    if _SESSION not in st.session_state:
        st.session_state[_SESSION] = secrets.token_hex(16)
    return str(st.session_state[_SESSION])


def connection() -> Callable[[], bool] | None:
    """Tells, on any thread, whether this session's tab is still open; None without a server."""
    context = get_script_run_ctx()
    if context is None or not runtime.exists():
        return None
    server, session = runtime.get_instance(), context.session_id
    return lambda: server.is_active_session(session)


def ticket(bundle: Bundle) -> Ticket | None:
    """The live question of this session about the bundle, until its answers are in the history."""
    return st.session_state.get(_key(_TICKET, bundle.folder.name))


def set_ticket(bundle: Bundle, question: Ticket | None) -> None:
    """Keep a live question (None: it is over)."""
    st.session_state[_key(_TICKET, bundle.folder.name)] = question


def look_at_tickets() -> None:
    """Called on every run of every page: this session is still there, and so are its questions."""
    for key, question in list(st.session_state.items()):
        if str(key).startswith(f"{_TICKET}.") and question is not None:
            question.look()


def history(bundle: Bundle, stamp: int) -> list[Asked]:
    """Live questions of this session with their answers, oldest first.

    The latest MOST_ASKED are kept.

    A bundle that was written anew (`stamp`) begins a new one: policies and traits may be others.
    """
    kept: list[Asked] = st.session_state.setdefault(
        _key(_HISTORY, f"{bundle.folder.name}.{stamp}"), []
    )
    del kept[:-MOST_ASKED]
    return kept


def chosen_members(bundle: Bundle) -> tuple[tuple[str, ...], str] | None:
    """Policies (and what they are) that were chosen by name, as by a click on a method's line.

    None otherwise.
    """
    return st.session_state.get(_key(_MEMBERS, bundle.folder.name))


def choose_members(bundle: Bundle, policies: Sequence[str], label: str) -> None:
    """Use these policies everywhere."""
    _remember_choice(bundle)
    st.session_state[_key(_SIZE, bundle.folder.name)] = None
    st.session_state[_key(_MEMBERS, bundle.folder.name)] = (tuple(policies), label)


def forget_choice(bundle: Bundle) -> None:
    """Use the bundle's own members: what a link named isn't there, so nothing is to be undone."""
    st.session_state.pop(_key(_MEMBERS, bundle.folder.name), None)
    st.session_state[_key(_SIZE, bundle.folder.name)] = None


def _remember_choice(bundle: Bundle) -> None:
    past = st.session_state.setdefault(_key(_CHOICES, bundle.folder.name), [])
    past.append((chosen_size(bundle), chosen_members(bundle)))
    del past[:-MOST_ASKED]


def can_undo_choice(bundle: Bundle) -> bool:
    """Whether another portfolio was in use before."""
    return bool(st.session_state.get(_key(_CHOICES, bundle.folder.name)))


def undo_choice(bundle: Bundle) -> None:
    """Use the portfolio that was in use before."""
    size, members = st.session_state[_key(_CHOICES, bundle.folder.name)].pop()
    st.session_state[_key(_SIZE, bundle.folder.name)] = size
    st.session_state.pop(_key(_MEMBERS, bundle.folder.name), None)
    if members is not None:
        st.session_state[_key(_MEMBERS, bundle.folder.name)] = members


def is_new_click(bundle: Bundle, point: object, place: str = "curve") -> bool:
    """Whether a click on a `point` of a `place` (the curve, the matrix) is a new one.

    A selected point is reported again on every rerun.

    None says that nothing is selected any more, so that the same point can be clicked again.
    """
    key = _key(f"{_CLICKED}.{place}", bundle.folder.name)
    new = st.session_state.get(key) != point
    st.session_state[key] = point
    return new
