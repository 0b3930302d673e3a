"""What the gateway serves: a bundle's members, and who answers at some weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from palm_engine._types import Floats
from palm_engine.bundle.folder import Bundle
from palm_engine.geometry.confidence import Bound
from palm_engine.geometry.pick import pick_info
from palm_engine.geometry.simplex import named_weights
from palm_engine.serving.gateway.errors import UnknownModelError
from palm_engine.serving.router import Router

# The model that leaves the choice to the gateway.
PICK = "palm"
DIGITS = 6


@dataclass(frozen=True)
class Decision:
    """Who answers a request, and what it costs the user not to get the best candidate.

    Attributes:
        bundle: whose policy it is.
        policy: who answers.
        label: its name for people.
        model: what the server behind the gateway calls it.
        system: its system prompt.
        weights: effective weights, by trait.
        value: of the policy at the weights.
        gap: additive, at the weights, against all candidates.
        multiplicative_gap: the gap as a share of the best value; None where that isn't positive.
        bound: of the portfolio's worst gap; None where it doesn't hold for this answer.
    """

    bundle: Bundle
    policy: str
    label: str
    model: str
    system: str
    weights: dict[str, float]
    value: float
    gap: float
    multiplicative_gap: float | None
    bound: Bound | None

    def as_json(self, source: str, as_evaluated: bool) -> dict[str, Any]:
        """What an answer says of it.

        Args:
            source: where the weights come from.
            as_evaluated: whether the answer is drawn and prompted as the rewards were measured.
        """
        share = self.multiplicative_gap
        bound = None
        if self.bound is not None and as_evaluated:
            bound = {
                "worst_gap": round(self.bound.upper, DIGITS),
                "confidence": self.bound.confidence,
            }
        return {
            "policy": self.policy,
            "label": self.label,
            "weights": {t: round(w, DIGITS) for t, w in self.weights.items()},
            "source": source,
            "value": round(self.value, DIGITS),
            "gap": {
                "additive": round(self.gap, DIGITS),
                "multiplicative": None if share is None else round(share, DIGITS),
                "scope": "candidates",
            },
            "bound": bound,
            "as_evaluated": as_evaluated,
        }


@dataclass(frozen=True)
class ServedPortfolio:
    """A bundle's members as they are served.

    Attributes:
        bundle: whose they are.
        router: that picks.
    """

    bundle: Bundle
    router: Router

    @classmethod
    def of(cls, bundle: Bundle, base_model: str = "base") -> ServedPortfolio:
        """The members of a bundle.

        Args:
            bundle: with a portfolio.
            base_model: what the server behind the gateway calls the base.

        Raises:
            InvalidInputError: nothing is selected in the bundle.
        """
        return cls(bundle, Router.of(bundle, base_model))

    @property
    def models(self) -> list[str]:
        """Models that can be asked for: the pick, then each member."""
        return [PICK, *(p for p in self.router.policies if p != PICK)]

    def decide(self, weights: Floats, model: str | None = None) -> Decision:
        """Who answers.

        Args:
            weights: effective weights, shape (d,).
            model: a member, PICK, or None to pick.

        Raises:
            UnknownModelError: there is no such model.
        """
        picked = self._picked(weights)
        if model in (None, PICK, picked.policy):
            return picked
        if model not in self.router.policies:
            raise UnknownModelError(
                f"there is no model {model!r}; those here are {', '.join(self.models)}"
            )
        bundle = self.bundle
        policy = str(model)
        value = float(bundle.points[bundle.row(policy)] @ weights)
        best = picked.value + picked.gap
        return replace(
            self._served(picked, policy),
            value=value,
            gap=max(best - value, 0.0),
            multiplicative_gap=max(best - value, 0.0) / best if best > 0 else None,
            bound=None,  # of the portfolio's pick, not of a member at any weights
        )

    def _picked(self, weights: Floats) -> Decision:
        bundle = self.bundle
        info = pick_info(bundle.points, bundle.members, weights)
        certificate = bundle.manifest.certificate
        inside = bundle.region is None or bool(bundle.region.contains(weights)[0])
        made = Decision(
            bundle=bundle,
            policy="",
            label="",
            model="",
            system="",
            weights=named_weights(weights, bundle.traits),
            value=info.member_value,
            gap=info.gap,
            multiplicative_gap=info.multiplicative_gap,
            bound=certificate.additive if certificate is not None and inside else None,
        )
        return self._served(made, bundle.policies[info.member])

    def _served(self, decision: Decision, policy: str) -> Decision:
        place = self.router.policies.index(policy)
        return replace(
            decision,
            policy=policy,
            label=self.bundle.label(policy),
            model=self.router.models[place],
            system=self.router.systems[place],
        )
