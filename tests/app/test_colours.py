"""Colours of members."""

from __future__ import annotations


def test_more_members_than_colours_can_still_be_told_apart() -> None:
    from app.colours import palette

    assert len(set(palette(24))) == 24
