"""Figures, drawn from the engine's result dataclasses.

Nothing is computed here but where a mark goes.
"""

from app.charts.certificate import interval, reached
from app.charts.people import chances, cloud, usage_bars, user_places, users, worst_places
from app.charts.rivals import interpolation
from app.charts.sizes import METHOD_LINES, multiples, plan_curve, size_curve
from app.charts.tables import normalised_gaps, scaling

__all__ = [
    "METHOD_LINES",
    "chances",
    "cloud",
    "interpolation",
    "interval",
    "multiples",
    "normalised_gaps",
    "plan_curve",
    "reached",
    "scaling",
    "size_curve",
    "usage_bars",
    "user_places",
    "users",
    "worst_places",
]
