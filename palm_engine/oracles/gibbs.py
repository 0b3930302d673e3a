"""The closed-form oracle: KL-regularised optima over a scored pool, without training.

Over N samples per prompt drawn from a reference, with rewards r(x, y_n) in [0, 1]^d, the optimum of
`E[w·r] - beta * KL(pi || reference)` is the Gibbs policy `pi_w(n|x) ~ p_n exp(w·r(x, y_n) / beta)`,
its value `V(w) = beta * mean_x log sum_n p_n exp(w·r / beta)` (for example Korbak et al. 2022,
arXiv 2206.00761). Scope of everything here: all policies over the sampled pool. Finitely many
samples underestimate the true optimum (Jensen's inequality).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from palm_engine._types import Floats
from palm_engine.errors import InvalidInputError
from palm_engine.oracles.interface import Answers


@dataclass(frozen=True)
class GibbsSolution:
    """Optima for m weight vectors.

    Attributes:
        rewards: expected rewards over the pool, (m, d), in [0, 1].
        kl_cost: beta KL to the reference, (m,), at least 0.
        optimum: V(w), (m,).
    """

    rewards: Floats
    kl_cost: Floats
    optimum: Floats


class GibbsOracle:
    """Closed-form oracle over a scored pool.

    Exact over the pool for the KL-inclusive value: tolerance 0. Without the KL cost it answers with
    reward vectors, whose best value over the pool isn't known: its tolerance is beta ln N, the most
    that KL can have cost.
    """

    def __init__(
        self,
        rewards: Floats,
        beta: float,
        reference: Floats | None = None,
        with_kl_cost: bool = True,
    ) -> None:
        """Make an oracle.

        Args:
            rewards: scores of the pool, shape (prompts, samples, d), in [0, 1].
            beta: temperature, above 0.
            reference: probabilities of the samples under the reference, (prompts, samples); None is
                uniform; 0 pads prompts that have fewer samples.
            with_kl_cost: count the KL cost in the value.

        Raises:
            InvalidInputError: another shape, a score out of range, or a beta that is not positive.
        """
        if rewards.ndim != 3 or min(rewards.shape) < 1:
            raise InvalidInputError(
                f"pool rewards must have shape (prompts, samples, traits), got {rewards.shape}"
            )
        if not (np.isfinite(rewards).all() and rewards.min() >= 0 and rewards.max() <= 1):
            where = np.argwhere(~((rewards >= 0) & (rewards <= 1)))[0]
            raise InvalidInputError(
                f"pool rewards must lie in [0, 1]; prompt, sample, trait {where.tolist()} doesn't"
            )
        if not beta > 0:
            raise InvalidInputError(f"beta must be positive, got {beta}")
        self.rewards = rewards
        self.with_kl_cost = with_kl_cost
        self.beta = beta
        prompts, samples, _ = rewards.shape
        probabilities = (
            np.full((prompts, samples), 1.0 / samples) if reference is None else reference
        )
        if probabilities.shape != (prompts, samples) or not np.allclose(probabilities.sum(1), 1):
            raise InvalidInputError(
                f"reference must be a distribution a prompt, shape {(prompts, samples)}"
            )
        with np.errstate(divide="ignore"):
            self._log_reference = np.log(probabilities)
        # The KL of a policy that puts all its mass on the least likely answer: ln N where all are
        # equally likely.
        self._most_kl = float(-np.log(probabilities[probabilities > 0].min()))

    def solve(self, weights: Floats) -> GibbsSolution:
        """Optima at given weights, in blocks that fit the cache.

        Args:
            weights: shape (m, d).
        """
        weights = np.atleast_2d(np.asarray(weights, dtype=float))
        prompts, samples, d = self.rewards.shape
        rewards = np.empty((len(weights), d))
        optimum = np.empty(len(weights))
        block = max(1, 400_000 // (prompts * samples))
        flat = self.rewards.reshape(prompts * samples, d)
        for start in range(0, len(weights), block):
            w = weights[start : start + block]
            logits = (w @ flat.T).reshape(
                len(w), prompts, samples
            ) / self.beta + self._log_reference
            peak = logits.max(axis=2, keepdims=True)
            mass = np.exp(logits - peak)
            total = mass.sum(axis=2, keepdims=True)
            optimum[start : start + block] = self.beta * (np.log(total) + peak)[:, :, 0].mean(
                axis=1
            )
            mass /= total * prompts
            rewards[start : start + block] = mass.reshape(len(w), -1) @ flat
        # V = w·v - beta KL gives the cost without a second pass.
        kl_cost = np.maximum(np.einsum("md,md->m", weights, rewards) - optimum, 0.0)
        return GibbsSolution(rewards, kl_cost, optimum)

    @property
    def tolerance(self) -> float:
        """0 for the KL-inclusive value, else beta ln N."""
        return 0.0 if self.with_kl_cost else self.beta * self._most_kl

    @property
    def d(self) -> int:
        """Number of traits."""
        return int(self.rewards.shape[2])

    @property
    def floor(self) -> float:
        """Rewards are at least 0; a KL cost can't pass beta ln N, nor 1 at an optimum."""
        return -min(1.0, self.beta * self._most_kl) if self.with_kl_cost else 0.0

    def answer(self, weights: Floats) -> Answers:
        """The Gibbs policies at given weights.

        Args:
            weights: shape (m, d).

        Returns:
            Points v - c with the KL cost, whose optimum is V(w); else v at this beta.
        """
        solved = self.solve(weights)
        if self.with_kl_cost:
            return Answers(solved.rewards - solved.kl_cost[:, None], solved.optimum)
        return Answers(
            solved.rewards, np.einsum("md,md->m", np.atleast_2d(weights), solved.rewards)
        )

    def policy(self, w: Floats) -> Floats:
        """The Gibbs policy at some weights.

        Args:
            w: shape (d,).

        Returns:
            Probabilities of the pool's samples, shape (prompts, samples).
        """
        logits = self.rewards @ np.asarray(w, dtype=float) / self.beta + self._log_reference
        mass = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(mass / mass.sum(axis=1, keepdims=True))
