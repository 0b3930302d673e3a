"""The portfolio beside interpolation of its corners, in words and numbers."""

from __future__ import annotations

from dataclasses import dataclass

from palm_engine.bundle.folder import Bundle
from palm_engine.bundle.schema import Interpolation
from palm_engine.geometry.confidence import Bound


@dataclass(frozen=True)
class Rival:
    """One way to serve every weights, with what it is worth and what it takes.

    Attributes:
        name: of the way.
        value: mean over the random weights.
        adapters: how many are hosted.
        passes: of the model, per token.
        difference: its value minus the portfolio's, with a bound; None for those without one.
        to_equal: the same to the portfolio of as many policies as there are corners.
        ahead: at how many of the random weights it is ahead of the picked member.
    """

    name: str
    value: float
    adapters: int
    passes: int
    difference: Bound | None
    to_equal: Bound | None
    ahead: int


@dataclass(frozen=True)
class InterpolationInfo:
    """Everything that page, terminal and documents say.

    Attributes:
        rivals: the portfolio first; soup and mixture after those it hosts.
        weights: number of random weights.
        prompts: number of prompts.
        verdict: one sentence.
    """

    rivals: tuple[Rival, ...]
    weights: int
    prompts: int
    verdict: str


def interpolation_info(bundle: Bundle, found: Interpolation) -> InterpolationInfo:
    """What was measured, at the random weights alone: those that no member was trained for.

    Args:
        bundle: whose members were compared.
        found: as recorded in it.
    """
    rows = [r for r in found.rows if not r.is_member]
    count = len(rows)
    d = len(found.corners)

    def mean(values: list[float]) -> float:
        return sum(values) / count

    def ahead(values: list[float]) -> int:
        return sum(v > r.portfolio_value for v, r in zip(values, rows, strict=True))

    soups = [r.soup_value for r in rows]
    mixtures = [r.mixture_value for r in rows]
    corners = [r.corner_value for r in rows]
    own = [r.portfolio_value for r in rows]
    hosted = sum(bundle.candidate(m.policy).adapter is not None for m in bundle.manifest.members)
    soup, mixture = found.soup_minus_portfolio, found.mixture_minus_portfolio
    equals = [r.equal_value for r in rows if r.equal_value is not None]
    soup_to_equal, mixture_to_equal = found.soup_minus_equal, found.mixture_minus_equal
    rivals = [
        Rival("this portfolio", mean(own), hosted, 1, None, None, 0),
        Rival("soup of the corners", mean(soups), d, 1, soup, soup_to_equal, ahead(soups)),
        Rival(
            "mixing at every token",
            mean(mixtures),
            d,
            d,
            mixture,
            mixture_to_equal,
            ahead(mixtures),
        ),
        Rival("best corner alone", mean(corners), d, 1, None, None, ahead(corners)),
    ]
    words = (
        f"At {count} random weights the picked member is worth {mean(own):.3f}, a soup of the"
        f" corner adapters {mean(soups):.3f}, mixing their logits {mean(mixtures):.3f}, at"
        f" {d} passes of the model per token. {_compared(soup, mixture)}"
    )
    if equals and soup_to_equal is not None and mixture_to_equal is not None:
        hosted = sum(bundle.candidate(p).adapter is not None for p in found.equal_members)
        name = f"portfolio of {len(found.equal_members)}"
        rivals.insert(1, Rival(name, mean(equals), hosted, 1, None, None, ahead(equals)))
        words += (
            f" At equal cost, a portfolio of {len(found.equal_members)} is worth"
            f" {mean(equals):.3f}. {_compared(soup_to_equal, mixture_to_equal)}"
        )
    return InterpolationInfo(tuple(rivals), count, found.prompts, words)


def _compared(soup: Bound, mixture: Bound) -> str:
    words = {"soup": _place(soup), "mixture": _place(mixture)}
    if len(set(words.values())) == 1:
        return f"With 95 % confidence both are {words['soup']}."
    each = ", ".join(f"the {name} is {place}" for name, place in words.items())
    return f"With 95 % confidence {each}."


def _place(difference: Bound) -> str:
    if difference.upper < 0:
        return "behind"
    if difference.lower > 0:
        return "ahead"
    return "no different, as far as this shows"


def interpolation_lines(bundle: Bundle, found: Interpolation) -> list[str]:
    """The same for a terminal: the verdict, then a line per weights.

    Args:
        bundle: whose members were compared.
        found: as recorded in it.
    """
    info = interpolation_info(bundle, found)
    lines = [info.verdict]
    for row in found.rows:
        kind = "member's weights" if row.is_member else "random weights"
        lines.append(
            f"{kind} {bundle.weights_text(row.weights)}: {bundle.label(row.member)}"
            f" {row.portfolio_value:.3f}, soup {row.soup_value:.3f}, mixing"
            f" {row.mixture_value:.3f}, {bundle.label(row.corner)} {row.corner_value:.3f}"
        )
    return lines
