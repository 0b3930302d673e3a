"""What the browser's panel gets: one versioned schema, for Explore, Coverage, Plan and Share.

`browser/view.schema.json` is written from it; the panel refuses another version.
"""

from __future__ import annotations

import hashlib
from typing import Literal

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from palm_engine._types import Scope

FieldKind = Literal["member", "gap", "multiplicative", "best", "trait", "difference"]
Layout = Literal["full", "map"]
Vector = list[float]


class _Part(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, validate_by_name=True
    )


class Field(_Part):
    """What the map shows: a kind, the unit that hover and legend give, the trait for "trait"."""

    kind: FieldKind = "member"
    unit: str = ""
    trait: int = 0


class Worst(_Part):
    """The worst gap, the average one, where the worst is (d), and a sentence with scope and bound.

    The average is that of uniform users.
    """

    additive: float
    average: float
    at: Vector
    text: str


class Other(_Part):
    """Policies that the map can show in place of the portfolio: one model, or the best there is.

    Attributes:
        label: of the switch.
        title: heading of the map.
        policies: ids.
        names: what they are called.
        about: a sentence per policy.
        colours: one per policy.
        idle: names of those that no uniform user picks.
        members: their points.
        rewards: their reward vectors.
        trained: weights that each was trained at, or None.
        answers: recorded answers to the prompt; None where there is none.
        field: what the map shows.
        worst: their worst gap.
    """

    label: str
    title: str
    policies: list[str]
    names: list[str]
    about: list[str]
    colours: list[str]
    idle: list[str] = []
    members: list[Vector]
    rewards: list[Vector]
    trained: list[Vector | None]
    answers: list[str | None]
    field: Field = Field()
    worst: Worst


# What changes without another drawing of what is there.
MOVING = {"raw", "before", "moves", "mode", "corners"}


class PanelView(_Part):
    """A portfolio on the map; points are rows of d numbers, in the order of `traits`.

    Attributes:
        id: keeps presets of one bundle apart from another's.
        file: name of downloaded files.
        layout: "full" (sliders, card, map, bars) or "map".
        title: heading of the map.
        traits: what the d traits are called.
        trait_ids: their names in exports.
        trait_colours: one colour per trait.
        unit: what gaps are counted in.
        scope: scope of the gaps.
        rival: what gaps are measured against, in words.
        follow: whether the sliders are the user's weights.
        policies: ids of the members.
        names: what members are called.
        about: a sentence per member.
        colours: one colour per member.
        idle: names of members that no uniform user picks.
        members: points of the members.
        rewards: reward vectors of the members.
        trained: weights that each member was trained at, or None.
        candidates: points of the candidates that can be best somewhere.
        candidate_names: what they are called.
        candidate_rewards: their reward vectors.
        base: the base model's reward vector, or None.
        other: points of a second portfolio, for the field "difference".
        field: what the map shows.
        threshold: gap at which a line is drawn, or None.
        worst: the worst gap, or None.
        where: bounds of the weights that count, one pair per trait; empty where all do.
        prompt: the question that `answers` answer, or "".
        answers: the members' recorded answers to it; None where there is none.
        base_answer: the base model's, or None.
        others: what the map can show in place of the portfolio.
        mode: label of the one that is shown so; "" shows the portfolio.
        corners: rows of the three traits at the corners; empty: the first three.
        raw: slider positions, 0 to 100.
        before: those that the server set them from, where Undo goes on another page; or None.
        grid: weights that members of a plan can be moved to; empty where they can't be moved.
        grid_points: the points of the policies planned there.
        moves: how often `raw` was set by the server: the sliders follow when it grows.
    """

    version: Literal[1] = 1
    id: str
    file: str
    layout: Layout
    title: str
    traits: list[str]
    trait_ids: list[str]
    trait_colours: list[str] = []
    unit: str
    scope: Scope
    rival: str
    follow: bool
    policies: list[str]
    names: list[str]
    about: list[str] = []
    colours: list[str]
    idle: list[str] = []
    members: list[Vector]
    rewards: list[Vector]
    trained: list[Vector | None]
    candidates: list[Vector]
    candidate_names: list[str] = []
    candidate_rewards: list[Vector] = []
    base: Vector | None = None
    other: list[Vector] = []
    field: Field = Field()
    threshold: float | None = None
    where: list[tuple[float, float]] = []
    worst: Worst | None = None
    prompt: str = ""
    answers: list[str | None] = []
    base_answer: str | None = None
    others: list[Other] = []
    grid: list[Vector] = []
    grid_points: list[Vector] = []
    raw: Vector = []
    before: Vector | None = None
    moves: int = 0
    mode: str = ""
    corners: list[int] = []

    def for_browser(self, raw: Vector) -> dict[str, object]:
        """The view as JSON, with the slider positions of now.

        `stamp` changes with everything but slider positions: the browser redraws only where it did.
        """
        content = self.model_dump_json(by_alias=True, exclude=MOVING)
        stamp = hashlib.blake2b(content.encode(), digest_size=12).hexdigest()
        shown = self.model_dump(mode="json", by_alias=True)
        return shown | {"raw": raw, "stamp": stamp}
