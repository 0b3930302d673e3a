"""Find my model: the questions that a bundle's recorded answers can ask a user."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import pandas as pd

from palm_engine._types import Floats
from palm_engine.bundle.folder import Bundle
from palm_engine.errors import InvalidInputError
from palm_engine.geometry.simplex import named_weights
from palm_engine.preferences.finding import Answered, Finding, find_member
from palm_engine.preferences.posterior import AnswerModel

# In values of answers: a difference of .1 is seen three times in four.
MODEL = AnswerModel(tau=0.1, ties=1.0)
# Questions that are kept; drawn where there are more.
MOST_QUESTIONS = 5000


@dataclass(frozen=True)
class Questions:
    """Pairs of recorded answers to one prompt each.

    Attributes:
        bundle: where they come from.
        members: rows of the candidates to find one of.
        table: one row per question: prompt_id, prompt, first, second (texts), first_policy,
            second_policy.
        differences: rewards of the first answer minus those of the second, shape (m, d).
    """

    bundle: Bundle
    members: tuple[int, ...]
    table: pd.DataFrame = field(repr=False)
    differences: Floats = field(repr=False)

    def find(self, answers: Sequence[Answered], seed: int = 0) -> Finding:
        """What some answers say about the right member, and what to ask next."""
        return find_member(
            self.bundle.points[list(self.members)],
            self.differences,
            answers,
            MODEL,
            list(self.table["prompt_id"]),
            seed=seed,
            region=self.bundle.region,
        )

    def log(self, answers: Sequence[Answered], seed: int = 0) -> pd.DataFrame:
        """The answers for export: what was asked, what was said, and what was known after it."""
        traits = self.bundle.traits
        rows = []
        for number, answer in enumerate(answers, start=1):
            found = self.find(answers[:number], seed)
            row: dict[str, object] = {"number": number}
            row |= {str(k): v for k, v in self.table.iloc[answer.question].items()}
            row["answer"] = answer.outcome or "skipped"
            row["member"] = self.bundle.policies[self.members[found.member]]
            row["probability"] = round(found.probability, 6)
            weights = named_weights(found.posterior.mean, traits, 6)
            row |= {f"weight_{t}": w for t, w in weights.items()}
            rows.append(row)
        return pd.DataFrame(rows)


def questions(bundle: Bundle, members: Sequence[int], seed: int = 0) -> Questions:
    """Questions about members' recorded answers to held-out prompts.

    Each pair of members is a question wherever both answered in other words; which answer comes
    first is drawn.

    Args:
        bundle: with recorded answers.
        members: rows of the candidates.
        seed: of what is drawn.

    Raises:
        InvalidInputError: fewer than two members, or no prompt that two of them answered in other
            words.
    """
    rows = tuple(members)
    if len(rows) < 2:
        raise InvalidInputError("with fewer than two members there is nothing to ask")
    names = [bundle.policies[i] for i in rows]
    held_out = bundle.prompts[bundle.prompts["split"] != "train"]
    texts = held_out.set_index("prompt_id")["text"]
    answers = bundle.samples[
        bundle.samples["policy"].isin(names) & bundle.samples["prompt_id"].isin(texts.index)
    ]
    first = answers.drop_duplicates(["prompt_id", "policy"])
    rng = np.random.default_rng((seed, 17))
    found = []
    differences = []
    for prompt_id, group in first.groupby("prompt_id", sort=True, observed=True):
        given = group.to_dict("records")
        for a, b in combinations(given, 2):
            if not str(a["text"]).strip() or not str(b["text"]).strip():
                continue
            if str(a["text"]).strip() == str(b["text"]).strip():
                continue
            if not np.isfinite([x[t] for x in (a, b) for t in bundle.traits]).all():
                continue
            one, two = (a, b) if rng.random() < 0.5 else (b, a)
            found.append(
                (
                    prompt_id,
                    texts[prompt_id],
                    one["text"],
                    two["text"],
                    one["policy"],
                    two["policy"],
                )
            )
            differences.append([one[t] - two[t] for t in bundle.traits])
    if not found:
        raise InvalidInputError(
            "no two members have different recorded answers to a held-out prompt"
        )
    columns = ["prompt_id", "prompt", "first", "second", "first_policy", "second_policy"]
    table = pd.DataFrame(found, columns=columns).astype(str)
    values = np.array(differences, dtype=float)
    if len(table) > MOST_QUESTIONS:
        kept = np.sort(rng.choice(len(table), MOST_QUESTIONS, replace=False))
        table = table.iloc[kept].reset_index(drop=True)
        values = values[kept]
    return Questions(bundle, rows, table, values)
