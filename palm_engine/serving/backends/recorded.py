"""Answers from the bundle's own records, a word at a time.

Works without any model, and is the fake to test with.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from difflib import get_close_matches

from palm_engine.bundle.folder import Bundle
from palm_engine.errors import InvalidInputError
from palm_engine.serving.backends.interface import LiveSettings, Piece, check_request

_WORDS = re.compile(r"\s*\S+")


class RecordedBackend:
    """Replays recorded answers; `seed` chooses among several of one policy.

    `delay` is the pause before a word in s.
    """

    def __init__(self, bundle: Bundle, delay: float = 0.0) -> None:
        self.bundle = bundle
        self.delay = delay

    @property
    def policies(self) -> tuple[str, ...]:
        """Candidates with a recorded answer."""
        recorded = set(self.bundle.samples["policy"].unique())
        return tuple(p for p in self.bundle.policies if p in recorded)

    @property
    def prompts(self) -> tuple[str, ...]:
        """Texts of the prompts that have recorded answers: only those can be asked."""
        table = self.bundle.prompts
        return tuple(table["text"][table["prompt_id"].isin(self.bundle.answered_prompts)])

    def stream(
        self, prompts: Sequence[str], policies: Sequence[str], settings: LiveSettings
    ) -> Iterator[Piece]:
        """See Backend.stream; temperature and the like have no effect on what was recorded.

        Raises:
            InvalidInputError: no answer to a prompt was recorded.
        """
        check_request(self.policies, prompts, policies)
        table = self.bundle.prompts.drop_duplicates("text").set_index("text")["prompt_id"]
        rows: list[list[Piece]] = []
        for policy in policies:
            for prompt in prompts:
                if prompt not in table.index:
                    near = get_close_matches(prompt, list(map(str, table.index)), 2, 0.4)
                    hint = f" (near are {'; '.join(repr(p[:60]) for p in near)})" if near else ""
                    raise InvalidInputError(
                        f"no answer to {prompt[:60]!r} was recorded{hint}; load the model to ask"
                        " what is new"
                    )
                answers = self.bundle.answers(str(table[prompt]), [policy])
                if answers.empty:
                    raise InvalidInputError(
                        f"no answer of {policy!r} to {prompt[:60]!r} was recorded"
                    )
                answer = answers.iloc[settings.seed % len(answers)]
                pieces = _pieces(
                    len(rows), str(answer["text"]), int(answer["tokens"]), settings.max_new_tokens
                )
                ending = str(answer.get("finish_reason") or "")
                if int(answer["tokens"]) > settings.max_new_tokens:
                    ending = "length"
                rows.append([*pieces[:-1], pieces[-1]._replace(finish=ending)])
        return self._replay(rows)

    def _replay(self, rows: list[list[Piece]]) -> Iterator[Piece]:
        for step in range(max(len(pieces) for pieces in rows)):
            for pieces in rows:
                if step < len(pieces):
                    if self.delay:
                        time.sleep(self.delay)
                    yield pieces[step]


def _pieces(row: int, text: str, tokens: int, most: int) -> list[Piece]:
    """The words of an answer, its tokens spread evenly over them, cut after `most` tokens."""
    words = _WORDS.findall(text.strip())
    if not words:
        return [Piece(row, "", True, min(tokens, most))]
    found = []
    before = 0
    for i, word in enumerate(words):
        upto = round(tokens * (i + 1) / len(words))
        last = i == len(words) - 1 or upto >= most
        found.append(Piece(row, word, last, min(upto, most) - before))
        before = upto
        if last:
            break
    return found
