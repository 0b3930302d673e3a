"""What a manifest's parts say of each other: names that exist, vectors of all traits, true bounds.

The shapes of single fields are the schema's; here are the sentences between them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from math import comb

import numpy as np

from palm_engine._types import Floats
from palm_engine.bundle.schema import (
    Candidate,
    Certificate,
    Interpolation,
    Member,
    Reading,
    RewardAudit,
)
from palm_engine.bundle.tables import require_unreserved
from palm_engine.geometry.confidence import Bound
from palm_engine.geometry.simplex import grid

# Of weights that must sum to 1, and of estimates beside their bounds: rounding in files.
ROUNDING = 1e-6
# Weights at which a certificate is compared with the rewards, at most.
GRID = 703
# Of a certificate's gap beside that of the rewards, both rounded in files.
FIT = 1e-4


def require_traits(traits: list[str], where: Mapping[str, tuple[float, float]]) -> None:
    """Check the traits' names and the bounds of their weights.

    Raises:
        ValueError: names the field.
    """
    _require_distinct("traits", traits)
    require_unreserved(traits)
    for trait, (low, high) in where.items():
        if trait not in traits:
            raise ValueError(f"where: {trait!r} is not a trait")
        if not 0 <= low <= high <= 1:
            raise ValueError(f"where.{trait}: {low} to {high} are no bounds of a weight")


def require_known_traits(field: str, named: Collection[str], traits: Collection[str]) -> None:
    """Check that what is named is a trait.

    Raises:
        ValueError: names the field.
    """
    for trait in named:
        if trait not in traits:
            raise ValueError(f"{field}: {trait!r} is not a trait")


def require_policies(field: str, named: Sequence[str], known: Collection[str]) -> None:
    """Check that what is named is a candidate.

    Raises:
        ValueError: names the field.
    """
    _require_known(field, named, known)


def require_candidates(
    candidates: Sequence[Candidate], outside: Sequence[Candidate], traits: Collection[str]
) -> None:
    """Check that policies are distinct, and their vectors, adapters and mixtures complete.

    Raises:
        ValueError: names the field.
    """
    everyone = (*candidates, *outside)
    _require_distinct("candidates", [c.policy for c in everyone])
    names = {c.policy for c in everyone}
    with_adapter = {c.policy for c in everyone if c.adapter is not None}
    for i, candidate in enumerate(everyone):
        for name, named in _vectors_of(candidate):
            _require_vector(f"candidates.{i}.{name}", named, traits)
        inside = candidate.adapter
        if inside is not None and not _is_inside(inside):
            raise ValueError(f"candidates.{i}.adapter: must be a path inside the bundle")
        _check_mixture(f"candidates.{i}.mixture", candidate, with_adapter)
        _require_known(f"candidates.{i}.soup", candidate.soup or (), names)


def require_members(
    members: Sequence[Member], traits: Collection[str], known: Collection[str]
) -> None:
    """Check that members are candidates, each once, with weights.

    Raises:
        ValueError: names the field.
    """
    _require_distinct("members", [m.policy for m in members])
    for i, member in enumerate(members):
        _require_known(f"members.{i}.policy", [member.policy], known)
        _require_weights(f"members.{i}.weights", member.weights, traits)


def _require_distinct(field: str, names: list[str]) -> None:
    name, count = Counter(names).most_common(1)[0] if names else ("", 0)
    if count > 1:
        raise ValueError(f"{field}: {name!r} is listed twice")


def _require_known(field: str, names: Collection[str], known: Collection[str]) -> None:
    strange = [n for n in names if n not in known]
    if strange:
        raise ValueError(f"{field}: {strange[0]!r} is not a candidate")


def _require_vector(field: str, named: Mapping[str, float], traits: Collection[str]) -> None:
    if set(named) != set(traits):
        raise ValueError(f"{field}: must name exactly the traits {sorted(traits)}")


def _require_weights(field: str, named: Mapping[str, float], traits: Collection[str]) -> None:
    _require_vector(field, named, traits)
    if abs(sum(named.values()) - 1) > 1e-3:
        raise ValueError(f"{field}: weights must sum to 1, not {sum(named.values()):g}")


def _require_bound(field: str, bound: Bound) -> None:
    if bound.lower > bound.upper + ROUNDING:
        raise ValueError(f"{field}: lower {bound.lower} is above upper {bound.upper}")
    if not bound.lower - ROUNDING <= bound.estimate <= bound.upper + ROUNDING:
        raise ValueError(
            f"{field}: the estimate {bound.estimate} isn't between lower {bound.lower} and upper"
            f" {bound.upper}"
        )
    if not 0 < bound.confidence < 1:
        raise ValueError(f"{field}.confidence: {bound.confidence} isn't between 0 and 1")
    if bound.prompts < 1 or bound.resamples < 1:
        raise ValueError(f"{field}: prompts and resamples are counts from 1")
    if bound.clusters is not None and not 1 <= bound.clusters <= bound.prompts:
        raise ValueError(f"{field}.clusters: {bound.clusters} of {bound.prompts} prompts")


def _is_inside(path: str) -> bool:
    parts = path.split("/")
    plain = all(part not in ("", ".", "..") for part in parts)
    return plain and len(path) <= 300 and "\0" not in path and "\\" not in path


def _check_mixture(field: str, candidate: Candidate, with_adapter: Collection[str]) -> None:
    if (candidate.kind == "mixture") != bool(candidate.mixture):
        raise ValueError(f"{field}: a mixture needs parts, and nothing else has some")
    lacking = sorted(set(candidate.mixture or ()) - set(with_adapter))
    if lacking:
        raise ValueError(f"{field}: {lacking[0]!r} is no policy with an adapter")


def _vectors_of(candidate: Candidate) -> Iterator[tuple[str, Mapping[str, float]]]:
    yield "rewards", candidate.rewards
    for split, rewards in candidate.evaluated.items():
        yield f"evaluated.{split}", rewards
    if candidate.weights is not None:
        yield "weights", candidate.weights
    if candidate.planned is not None:
        yield "planned.rewards", candidate.planned.rewards


def require_certificate(
    certificate: Certificate,
    traits: Collection[str],
    known: Collection[str],
    outside: Collection[str],
) -> None:
    """Check a certificate's names, sizes and bounds.

    Raises:
        ValueError: names the field.
    """
    field = "certificate"
    _require_weights(f"{field}.at_weights", certificate.at_weights, traits)
    _require_known(f"{field}.single_best", [certificate.single_best], known)
    _require_bound(f"{field}.additive", certificate.additive)
    _require_bound(f"{field}.single_best_minus_members", certificate.single_best_minus_members)
    if certificate.additive.estimate < -ROUNDING:
        raise ValueError(f"{field}.additive.estimate: a worst gap isn't below 0")
    if not certificate.curve:
        raise ValueError(f"{field}.curve: must hold at least one size")
    _require_distinct(f"{field}.curve", [f"size {point.k}" for point in certificate.curve])
    for i, point in enumerate(certificate.curve):
        _require_known(f"{field}.curve.{i}.members", point.members, known)
        _require_bound(f"{field}.curve.{i}.gap", point.gap)
        if point.gap.estimate < -ROUNDING or point.choose_gap < -ROUNDING:
            raise ValueError(f"{field}.curve.{i}: a worst gap isn't below 0")
        if len(set(point.members)) != point.k:
            raise ValueError(f"{field}.curve.{i}: {len(point.members)} members for size {point.k}")
    for i, test in enumerate(certificate.corner_tests):
        place = f"{field}.corner_tests.{i}"
        if test.trait not in traits:
            raise ValueError(f"{place}.trait: {test.trait!r} is not a trait")
        _require_known(place, [test.adapter, test.rival], known)
        _require_bound(f"{place}.difference", test.difference)
    if certificate.multiplicative is not None and certificate.multiplicative < -ROUNDING:
        raise ValueError(f"{field}.multiplicative: a worst gap isn't below 0")
    for i, spread in enumerate(certificate.diversity):
        if spread.vendi is not None and spread.vendi > len(spread.members) + ROUNDING:
            raise ValueError(f"{field}.diversity.{i}.vendi: above the number of members")
        _require_known(f"{field}.diversity.{i}.members", spread.members, known)
    for i, left_out in enumerate(certificate.outside_test):
        place = f"{field}.outside_test.{i}"
        _require_known(f"{place}.policy", [left_out.policy], outside)
        _require_weights(f"{place}.weights", left_out.weights, traits)


def require_fit(
    certificate: Certificate,
    members: Sequence[Member],
    candidates: Sequence[Candidate],
    with_cost: bool,
    where: Mapping[str, tuple[float, float]],
) -> None:
    """Check that a certificate is of these members and of these candidates' rewards.

    At its weights they have the gap that it says, and nowhere on a grid of the weights that count a
    larger one; nor have the portfolios of its curve.

    Args:
        certificate: of the bundle; its names exist.
        members: of the bundle; their names exist.
        candidates: with their rewards on the prompts that the certificate was made on.
        with_cost: whether values count the KL cost.
        where: bounds of the weights that count, by trait.

    Raises:
        ValueError: there are no members, or they have another gap.
    """
    if not members:
        raise ValueError("certificate: there are no members that it could be of")
    traits = list(certificate.at_weights)
    rows = {c.policy: i for i, c in enumerate(candidates)}
    points = np.array([[c.rewards[t] for t in traits] for c in candidates])
    costs = np.array([with_cost * c.kl_cost for c in candidates])
    at = np.array([[certificate.at_weights[t] for t in traits]])
    weights = np.vstack([at, _some_weights(traits, where)])
    values = points @ weights.T - costs[:, None]
    best = values.max(axis=0)
    slack = FIT + certificate.tolerance
    own = [rows[m.policy] for m in members]
    gaps = best - values[own].max(axis=0)
    field = "certificate.additive.estimate"
    if abs(gaps[0] - certificate.additive.estimate) > slack:
        raise ValueError(
            f"{field}: is {certificate.additive.estimate:.6g}, but the members' gap at its weights"
            f" is {gaps[0]:.6g}; it was made of other members or rewards"
        )
    _require_largest(field, certificate.additive.estimate, gaps, slack)
    for i, point in enumerate(certificate.curve):
        gaps = best - values[[rows[m] for m in point.members]].max(axis=0)
        _require_largest(f"certificate.curve.{i}.gap.estimate", point.gap.estimate, gaps, slack)


def _require_largest(field: str, worst: float, gaps: Floats, slack: float) -> None:
    if gaps.max() > worst + slack:
        raise ValueError(
            f"{field}: is {worst:.6g}, but these members' gap is {gaps.max():.6g} at some weights;"
            " it was made of other members or rewards"
        )


def _some_weights(traits: Sequence[str], where: Mapping[str, tuple[float, float]]) -> Floats:
    """The finest grid of at most GRID weights, those that count of it."""
    d = len(traits)
    steps = 1
    while comb(steps + d, d - 1) <= GRID:
        steps += 1
    found = grid(d, steps)
    low, high = np.array([where.get(t, (0.0, 1.0)) for t in traits]).T
    counts = ((found >= low - ROUNDING) & (found <= high + ROUNDING)).all(axis=1)
    some: Floats = found[counts]
    return some


def require_audit(audit: RewardAudit, traits: Collection[str], known: Collection[str]) -> None:
    """Check the weights at which attacks lead, and the members that they were put against.

    Raises:
        ValueError: names the field.
    """
    for i, attack in enumerate(audit.attacks):
        _require_weights(f"reward_audit.attacks.{i}.at_weights", attack.at_weights, traits)
    _require_known("reward_audit.against", audit.against, known)


def require_interpolation(
    found: Interpolation, traits: Collection[str], known: Collection[str]
) -> None:
    """Check the rows' weights and the policies they name.

    Raises:
        ValueError: names the field.
    """
    _require_known("interpolation.corners", found.corners, known)
    _require_known("interpolation.equal_members", found.equal_members, known)
    for i, row in enumerate(found.rows):
        _require_weights(f"interpolation.rows.{i}.weights", row.weights, traits)
        _require_known(f"interpolation.rows.{i}", [row.member, row.corner], known)
    _require_bound("interpolation.soup_minus_portfolio", found.soup_minus_portfolio)
    _require_bound("interpolation.mixture_minus_portfolio", found.mixture_minus_portfolio)
    for name in ("soup_minus_equal", "mixture_minus_equal"):
        bound = getattr(found, name)
        if bound is not None:
            _require_bound(f"interpolation.{name}", bound)


def require_reading(reading: Reading, traits: Collection[str], known: Collection[str]) -> None:
    """Check that what was read are policies and traits of the bundle.

    Raises:
        ValueError: names the field.
    """
    for i, policy in enumerate(reading.policies):
        _require_known(f"reading.policies.{i}.policy", [policy.policy], known)
        _require_vector(f"reading.policies.{i}.grades", policy.grades, traits)
    for i, agreement in enumerate(reading.agreement):
        if agreement.trait not in traits:
            raise ValueError(f"reading.agreement.{i}.trait: {agreement.trait!r} is not a trait")
    for i, preference in enumerate(reading.preferences):
        _require_known(f"reading.preferences.{i}", [preference.adapter, preference.rival], known)
        if preference.trait not in traits:
            raise ValueError(f"reading.preferences.{i}.trait: {preference.trait!r} is not a trait")
