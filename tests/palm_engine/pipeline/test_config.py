"""Build configurations: mistakes are named by file and field."""

from __future__ import annotations

from pathlib import Path

import pytest

from palm_engine.errors import ConfigError
from palm_engine.pipeline.config import load_config

ROOT = Path(__file__).resolve().parents[3]


DEMO = ROOT / "configs" / "demo.toml"


def test_the_demo_configuration_is_valid() -> None:
    config = load_config(DEMO)
    assert [t.name for t in config.traits] == ["safety", "humor", "brevity"]


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("seed = ", "sede = ", "sede: unknown key"),
        ("temperature = 0.5", "temperature = 7", "sampling.temperature"),
        ("[[styles]]\nname = ", "[[styles]]\nname = 'base' #", "kept for the unadapted"),
        ("rank = 4", 'rank = "four"', "training.rank"),
        ('name = "demo"', 'name = ".demo"', "name: String should match"),
        ('name = "safety"', 'name = ".."', r"traits\.0\.name"),
        ('reward = "humor"', 'reward = "humour"', r"traits\.1\.reward: .*'humour'.*known are"),
        ('name = "demo"', "name = 'a b'", "name"),
        ("[pool]", "[pool", "not valid TOML"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, old: str, new: str, match: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(DEMO.read_text().replace(old, new, 1))
    with pytest.raises(ConfigError, match=match):
        load_config(path)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_config(tmp_path / "none.toml")


def test_only_regression_goes_on_from_an_adapter(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    text = DEMO.read_text()
    path.write_text(text.replace("[training]\n", '[training]\nmethod = "dpo"\n'))
    with pytest.raises(ConfigError, match=r"warm_start: .*'dpo' begins at the base"):
        load_config(path)
    assert load_config(DEMO).rounds.warm_start
