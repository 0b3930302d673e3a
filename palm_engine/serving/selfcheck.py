"""What is checked when policies are loaded.

That base and adapters are those of the bundle, and that policies differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from palm_engine.serving.backends.interface import live_settings
from palm_engine.serving.backends.local import LocalBackend

PROMPT = "My old ladder wobbles. Can I still use it?"
SAME = 1e-3


@dataclass(frozen=True)
class SelfCheck:
    """`warnings` in plain words (none: all is well).

    `least_distance` between two policies' next-token distributions.

    Distances are in total variation, 0 to 1; `closest` are the two policies, None where there are
    fewer than two.
    """

    warnings: tuple[str, ...]
    least_distance: float | None
    closest: tuple[str, str] | None


def self_check(backend: LocalBackend, policies: Sequence[str]) -> SelfCheck:
    """Check the base's fingerprint, and that every two policies answer differently.

    Args:
        backend: with the model loaded.
        policies: to check; loaded now if they aren't. One that can't be loaded is named in a
            warning and left out.

    Raises:
        ModelSourceError: none of them can be loaded.
    """
    warnings = []
    wanted = backend.bundle.manifest.base
    base = backend.model.base
    if wanted is not None and wanted.fingerprint and wanted.fingerprint != base.fingerprint:
        warnings.append(
            f"The base model in {base.folder} isn't the one that these adapters were trained and"
            f" evaluated on (fingerprint {base.fingerprint[:12]}..., the bundle's is"
            f" {wanted.fingerprint[:12]}...). Answers may differ, and no figure of this bundle"
            " holds for them."
        )
    if wanted is not None and not wanted.fingerprint:
        warnings.append(
            "The bundle doesn't record which base its adapters belong to, so that wasn't checked."
        )
    unknown = [
        c.label
        for c in map(backend.bundle.candidate, policies)
        if c.adapter and not (c.adapter_sha256 or c.adapter_weights_sha256)
    ]
    if unknown:
        warnings.append(
            f"No hash is recorded for {', '.join(unknown)}: whether they were changed wasn't"
            " checked."
        )
    if not policies:
        return SelfCheck(tuple(warnings), None, None)
    refused = backend.load_each(policies)
    label = backend.bundle.label
    warnings += [f"{label(p)} can't answer here: {reason}" for p, reason in refused.items()]
    mixed = {c.policy for c in backend.bundle.manifest.candidates if c.mixture}
    policies = [p for p in policies if p not in refused and p not in mixed]
    if not policies:
        return SelfCheck(tuple(warnings), None, None)
    distributions = next_token_distributions(backend, policies, PROMPT)
    distances = {
        (policies[i], policies[j]): float((distributions[i] - distributions[j]).abs().sum()) / 2
        for i, j in combinations(range(len(policies)), 2)
    }
    warnings += [
        f"{label(a)} and {label(b)} answer alike: the same adapter under two names, or one that"
        " has no effect."
        for (a, b), distance in distances.items()
        if not distance >= SAME  # also where it is no number
    ]
    closest = min(distances, key=distances.__getitem__) if distances else None
    return SelfCheck(tuple(warnings), None if closest is None else distances[closest], closest)


def next_token_distributions(backend: LocalBackend, policies: Sequence[str], prompt: str) -> Any:
    """Probabilities of the first token of each policy's answer, at temperature 1.

    Tensor (policies, vocabulary).
    """
    import torch

    from palm_engine.lm.generation.conversation import left_padded

    requests = backend.requests([prompt], policies, live_settings(backend.bundle))
    model = backend.model.base.model
    batch = left_padded(model, backend.model.base.tokenizer, requests)
    rows = torch.arange(len(policies), device=batch.input_ids.device)
    with torch.inference_mode(), backend.running(policies, 1)(rows):
        out = model(
            input_ids=batch.input_ids,
            attention_mask=batch.mask,
            position_ids=batch.positions,
            use_cache=False,
            logits_to_keep=1,
        )
    return torch.softmax(out.logits[:, -1].float(), -1).cpu()
