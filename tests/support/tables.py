"""Tables of models, as strangers bring them."""

from __future__ import annotations

import numpy as np

MEANS = ((8, 3, 90), (4, 8, 60), (5, 4, 12), (6, 6, 50), (7, 5, 40), (5, 7, 30))


def judged() -> str:
    """A long CSV: six models of unlike strengths, graded on thirty prompts, with their answers."""
    rng = np.random.default_rng(0)
    rows = ["model,prompt,answer,care,wit,length"]
    for q in range(30):
        for m, (care, wit, length) in enumerate(MEANS):
            first, second = rng.integers(-1, 2, 2)
            scores = f"{care + first},{wit + second},{length + q}"
            rows.append(f"org/model-{m},Question {q}?,Answer {q} of {m},{scores}")
    return "\n".join(rows)
