"""The model behind live answers.

What loading it means, loading with progress, its memory, members in and out.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import pandas as pd
import streamlit as st

from app import cache, jobs, settings, state
from app.components.guide import expert
from app.components.header import lead_on
from app.errors import show_error
from palm_engine._types import Progress
from palm_engine.bundle.folder import Bundle
from palm_engine.errors import PalmError
from palm_engine.lm import missing_packages
from palm_engine.lm.devices import DEVICES, DTYPES, default_threads, usable_cores
from palm_engine.serving.host import LoadOptions
from palm_engine.serving.scoring import Scorer
from palm_engine.serving.selfcheck import SelfCheck


def ready(bundle: Bundle, members: Sequence[str], served: bool) -> bool:
    """Whether somebody can be asked: `members` on the loaded model, or policies that are `served`.

    Shows what to do where the model can't be asked yet, and what is loaded where it can.
    """
    if bundle.manifest.base is None:
        if not served:
            st.info(
                "This bundle names no base model, so nothing can answer live. Recorded answers are"
                " above; `palm build` makes bundles with a base.",
                icon=":material/memory:",
            )
            lead_on("data", "Data", "upload_file")
        return served
    if not members and served:
        return True
    missing = missing_packages()
    if missing:
        st.info(
            f"Live answers need the extra 'lm' ({', '.join(missing)} not installed): pip install -e"
            " '.[lm]'. Recorded answers work without it.",
            icon=":material/memory:",
        )
        return served
    check = _loaded(bundle, members)
    if check is None:
        return served
    for warning in check.warnings:
        st.warning(
            "The loaded members aren't quite what the bundle describes.",
            icon=":material/warning:",
        )
        st.text(warning)
    _memory(bundle, check)
    return True


def _offer(bundle: Bundle) -> None:
    """What would be loaded, from where and how large.

    A click begins a load, noted under the session's key `wanted`.
    """
    assert bundle.manifest.base is not None
    try:
        info = cache.source_info(bundle.manifest.base.source)
        threads = default_threads()
    except PalmError as error:
        show_error("The model can't be looked for.", error)
        return
    other = cache.host().info()
    sentence = info.words + (
        f" {other.source} is loaded now and would be unloaded." if other else ""
    )
    left, right = st.columns([3, 1], vertical_alignment="center")
    left.text(f"No model is loaded yet. {sentence}")
    with right.popover("Settings", icon=":material/tune:"):
        device = st.selectbox(
            "Device",
            [*DEVICES, "spread"],
            key=settings.seed("load.device", "auto", among=[*DEVICES, "spread"]),
            help="auto takes a GPU where there is one; spread puts one model over several GPUs.",
        )
        dtype = st.selectbox(
            "Number format",
            DTYPES,
            key=settings.seed("load.dtype", "auto", among=DTYPES),
            help=(
                "auto: bfloat16 where the hardware computes it, float16 on older GPUs, else"
                " float32."
            ),
        )
        count = st.number_input(
            "CPU threads",
            1,
            max(usable_cores(), threads),
            key=settings.seed("load.threads", threads, 1, max(usable_cores(), threads)),
        )
    state.set_load_options(
        LoadOptions(str(device), str(dtype), int(count), download=not info.ready)
    )
    size = "" if info.download_bytes is None else f" {info.download_bytes / 1e6:,.0f} MB"
    label = "Load the model" if info.ready else f"Fetch{size} and load"
    if info.exists and st.button(label, type="primary", icon=":material/memory:"):
        cache.source_info.clear()
        # Every click is a load of its own: what an earlier one gave isn't true of this one.
        state.want_load(bundle, time.monotonic())
        st.rerun()


def _loaded(bundle: Bundle, members: Sequence[str]) -> SelfCheck | None:
    """Offers to load, loads beside the page what is missing, and checks it.

    None until it is there.
    """
    host = cache.host()
    name = bundle.folder.name
    session = state.session_id()
    wanted = state.load_wanted(bundle)
    cold = wanted is not None
    if not cold and not host.serves(bundle):
        _offer(bundle)
        return None
    # Of a load that was asked for; what is loaded stays as it is otherwise.
    options = state.load_options() if cold else LoadOptions()

    def work(report: Progress) -> SelfCheck:
        check = host.load(
            bundle, list(members), options, lambda share, note: report(0.8 * share, note), session
        )
        if cold:
            report(0.8, "Reading the encoder that scores answers")
            Scorer(bundle)("warm", "up", 1)
        cache.freeze()
        return check

    if cold:
        key = f"load.{name}.{wanted}"
        label = "Loading the model"
    else:
        # Which members are loaded and checked, of which bundle, on which load of the base.
        key = f"check.{name}.{cache.stamp(bundle)}.{host.generation}.{','.join(sorted(members))}"
        label = "Loading members"
    check = jobs.result_of(key, label, work)
    if cold and (check is not None or jobs.failed(key)):
        state.want_load(bundle, None)
        if check is None:
            jobs.forget(key)
            # The settings, beside the message: another device or number format may help.
            _offer(bundle)
            return None
        st.rerun()
    return check


def _memory(bundle: Bundle, check: SelfCheck) -> None:
    """What is loaded and what it takes; members in and out of memory; unload."""
    host = cache.host()
    info = host.info()
    if info is None:
        return
    kind = expert(f" in {info.dtype}")
    sentence = f"{info.source} on {info.device}{kind}: {info.base_bytes / 1e6:,.0f} MB; "
    sentence += f"{info.adapters} adapters {info.adapter_bytes / 1e6:,.0f} MB"
    if info.process_bytes is not None:
        sentence += f"; the whole server {info.process_bytes / 1e6:,.0f} MB"
    if check.closest is not None:
        sentence += expert(
            f". Closest two members: {bundle.label(check.closest[0])} and"
            f" {bundle.label(check.closest[1])}, whose first tokens differ by"
            f" {check.least_distance:.2f} (0 to 1)"
        )
    left, middle, right = st.columns([5, 1.3, 1], vertical_alignment="center")
    left.text(sentence + ".")
    with middle.popover("Members", icon=":material/group:"):
        _members(bundle)
    if right.button(
        "Unload", icon=":material/eject:", help="Free the model's memory, for all sessions."
    ):
        try:
            host.unload(state.session_id())
            cache.freeze()
        except PalmError as error:
            st.warning(str(error))
        else:
            st.rerun()


def _members(bundle: Bundle) -> None:
    """Which adapters are in memory and what each takes; they can be put in and out."""
    backend = cache.host().backend(bundle)
    adapters = [c.policy for c in bundle.manifest.candidates if c.adapter]
    there = set(backend.loaded)
    loaded = [p for p in adapters if p in there]
    frame = pd.DataFrame(
        {
            "adapter": [bundle.label(p) for p in loaded],
            "memory in MB": [backend.bytes_of(p) / 1e6 for p in loaded],
        }
    )
    st.dataframe(
        frame,
        hide_index=True,
        column_config={"memory in MB": st.column_config.NumberColumn(format="%.1f")},
    )
    wanted = st.multiselect(
        "In memory",
        adapters,
        default=loaded,
        format_func=bundle.label,
        key=f"in_memory.{bundle.folder.name}.{','.join(loaded)}",
        help="A member that isn't in memory is loaded again when it is asked.",
    )
    try:
        backend.load([p for p in wanted if p not in loaded])
        for policy in loaded:
            if policy not in wanted:
                backend.unload(policy)
    except PalmError as error:
        show_error("The adapters could not be changed.", error, warns=True)
        return
    if set(wanted) != set(loaded):
        st.rerun()
