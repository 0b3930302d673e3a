"""A bundle that is replaced, damaged or deleted while it is open."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from app import cache
from palm_engine.bundle.folder import MANIFEST_FILE, read_bundle
from palm_engine.bundle.writing import rewrite_manifest
from tests.support.bundles import make_bundle
from tests.support.pages import app_on, settle, turn_to

PAGES = ("explore", "coverage", "tradeoff", "generations", "guarantee", "plan", "find")


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    make_bundle(tmp_path / "demo")
    make_bundle(tmp_path / "other", seed=3)
    st.cache_resource.clear()
    return app_on(tmp_path, monkeypatch)


def toasts(app: AppTest) -> str:
    return " ".join(str(t.value) for t in app.toast)


def test_a_newer_bundle_is_shown_and_said(app: AppTest, tmp_path: Path) -> None:
    assert "written anew" not in toasts(app)
    bundle = read_bundle(tmp_path / "demo")
    rewrite_manifest(bundle, bundle.manifest.model_copy(update={"members": ()}))
    app.run()
    assert "demo was written anew" in toasts(app)
    assert any("Nothing is selected" in str(i.value) for i in app.info)
    app.run()
    assert "written anew" not in toasts(app), "once"


@pytest.mark.parametrize("page", PAGES)
def test_a_bundle_that_is_deleted_or_damaged_is_a_sentence(
    app: AppTest, tmp_path: Path, page: str
) -> None:
    turn_to(app, page)
    assert not app.exception
    samples = tmp_path / "demo" / "samples.parquet"
    samples.write_bytes(samples.read_bytes()[:-20])
    os.utime(tmp_path / "demo" / MANIFEST_FILE)
    app.run()
    assert not app.exception
    assert any("can't be opened" in str(e.value) for e in app.error)
    assert any("samples.parquet" in str(t.value) for t in app.text)
    shutil.rmtree(tmp_path / "demo")
    app.run()
    assert not app.exception
    assert not any("Traceback" in str(e.value) for e in app.error)


@pytest.mark.parametrize("page", PAGES)
def test_other_sessions_go_on(
    app: AppTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: str
) -> None:
    """While one session's bundle is damaged and deleted, another's shows the same as before."""

    def seen(of: AppTest) -> list[str]:
        return [str(x.value) for x in (*of.title, *of.text, *of.markdown, *of.caption, *of.error)]

    second = app_on(tmp_path, monkeypatch, page, portfolio="other")
    turn_to(app, page)
    assert not second.exception
    assert not second.error
    before = seen(settle(second.run()).run())
    (tmp_path / "demo" / "samples.parquet").write_bytes(b"PAR1")
    os.utime(tmp_path / "demo" / MANIFEST_FILE)
    assert any("can't be opened" in str(e.value) for e in app.run().error)
    assert seen(second.run()) == before
    shutil.rmtree(tmp_path / "demo")
    app.run()
    assert not app.exception
    assert seen(second.run()) == before


def test_parts_of_two_bundles_are_never_mixed(
    app: AppTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the tables are read, the folder is replaced: what comes back is of one bundle."""
    make_bundle(tmp_path / "newer", candidates=5, seed=9)
    reads = []

    def replaced(folder: Path) -> object:
        found = read_bundle(folder)
        reads.append(folder)
        if len(reads) == 1:
            shutil.rmtree(tmp_path / "demo")
            shutil.copytree(tmp_path / "newer", tmp_path / "demo")
            os.utime(tmp_path / "demo" / MANIFEST_FILE)
        return found

    monkeypatch.setattr("app.cache.read_bundle", replaced)
    st.cache_resource.clear()
    found = cache.bundle(tmp_path, "demo")
    assert len(reads) == 2
    assert len(found.policies) == 5
    assert set(found.samples["policy"]) == set(found.policies)
