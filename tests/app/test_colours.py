"""Colours of members."""

from __future__ import annotations

from pathlib import Path

from palm_engine.bundle.folder import read_bundle


def test_more_members_than_colours_can_still_be_told_apart() -> None:
    from app.colours import palette

    assert len(set(palette(24))) == 24


def test_a_candidate_keeps_its_colour_in_every_portfolio(bundles: Path) -> None:
    from app.colours import colours_of

    bundle = read_bundle(bundles / "demo")
    everything = colours_of(bundle, range(len(bundle.policies)))
    assert len(set(everything)) == len(everything)
    for rows in ([3, 1], [5], list(reversed(range(7)))):
        assert colours_of(bundle, rows) == [everything[i] for i in rows]
