"""Live settings are checked by name."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
from palm_engine.errors import InvalidInputError
from palm_engine.lm import devices


@pytest.mark.parametrize(("variable", "value"), [("PALM_THREADS", "none"), ("PALM_DEVICE", "tpu")])
def test_settings_that_make_no_sense_are_named(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(InvalidInputError, match=variable):
        devices.default_threads() if variable == "PALM_THREADS" else devices.pick_device()
