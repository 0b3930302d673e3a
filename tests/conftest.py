"""Fixtures for all tests: one torch thread, and a folder of small bundles."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

# Before numpy is there; OpenBLAS reads it too. Threads that wait for another worker's core slow the
# suite by a tenth.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parents[1]
# Times on a shared machine say nothing about correctness.
hypothesis.settings.register_profile("palm", deadline=None)
hypothesis.settings.load_profile("palm")
os.environ.setdefault("PALM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@pytest.fixture(autouse=True)
def own_main() -> Iterator[None]:
    """The process' own main module: AppTest puts the app in its place and leaves it there.

    A process that a later test starts would then run the whole app first, and die of it.
    """
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of portfolios: several numbers of traits, without texts, without members, of one
    policy.
    """
    from tests.support.bundles import make_bundle

    root = tmp_path_factory.mktemp("portfolios")
    make_bundle(root / "demo")
    make_bundle(root / "two", d=2)
    make_bundle(root / "five", d=5)
    make_bundle(root / "no-texts", texts=False)
    make_bundle(root / "no-members", members=0)
    make_bundle(root / "single", candidates=1, members=0)
    return root
