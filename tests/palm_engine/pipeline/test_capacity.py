"""A build that can't fit the memory is refused with figures, before anything is drawn."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from palm_engine.errors import ConfigError
from palm_engine.lm import memory
from palm_engine.pipeline.capacity import Room, require_memory
from palm_engine.pipeline.config import BuildConfig
from tests.support.build import small_config
from tests.support.fakes import tiny_base

pytest.importorskip("torch")
PROMPTS = pd.DataFrame({"text": ["x" * 300, "y"]})


def config(workers: int, batch_size: int) -> BuildConfig:
    return small_config(run={"workers": workers, "batch_size": batch_size})


def test_what_fits_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = tiny_base(tmp_path / "base")
    monkeypatch.setattr(memory, "free_bytes", lambda device: None)
    require_memory(Room(config(8, 4096), PROMPTS, base))
    monkeypatch.setattr(memory, "free_bytes", lambda device: 8_000_000)
    require_memory(Room(config(2, 16), PROMPTS, base))
    with pytest.raises(ConfigError, match="2 processes that draw 4096 answers at once") as error:
        require_memory(Room(config(2, 4096), PROMPTS, base))
    ways = str(error.value).partition("What would fit: ")[2]
    found = [
        [int(word) for word in way.split() if word.isdigit()] for way in ways[:-1].split(" or ")
    ]
    assert [workers for workers, _ in found] == [2, 1]
    assert found[1][1] > found[0][1]
    for workers, rows in found:
        require_memory(Room(config(workers, rows), PROMPTS, base))
        with pytest.raises(ConfigError):
            require_memory(Room(config(workers, rows + 1), PROMPTS, base))
    many = small_config(run={"workers": 1, "batch_size": 1}, selection={"resamples": 100_000})
    with pytest.raises(ConfigError, match=r"resamples: 100,000 times .* ask for at most") as error:
        require_memory(Room(many, PROMPTS, base))
    most = int(str(error.value).rpartition(" ")[2].replace(",", ""))
    assert 1000 < most < 100_000
    fits = small_config(run={"workers": 1, "batch_size": 1}, selection={"resamples": most})
    require_memory(Room(fits, PROMPTS, base))
    monkeypatch.setattr(memory, "free_bytes", lambda device: 100_000)
    with pytest.raises(ConfigError, match="a smaller base"):
        require_memory(Room(config(1, 1), PROMPTS, base))
