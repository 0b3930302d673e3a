"""Stage 2 and the scoring half of stage 5: the rewards of a configuration, and what they gave.

Scores are kept by content under the reward's fingerprint: what was scored once costs nothing again,
and a reward that changed scores everything anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from palm_engine._types import Floats
from palm_engine.pipeline.config import BuildConfig, load_config
from palm_engine.pipeline.engines.interface import Engine
from palm_engine.pipeline.store import Store
from palm_engine.rewards import configure_reward, make_reward, reward_names
from palm_engine.rewards.interface import OutOfRangeError, Reward, fingerprint_of, scores_of
from palm_engine.rewards.judge import asks_server, spent_by

# An answer that every reward should be able to score.
TRIED = "I don't know."
# Scores are kept after each so many answers: what a judge was paid for isn't lost.
CHUNK = 512
_WIDTH = 32


@dataclass(frozen=True)
class Measure:
    """A trait's reward, and a second judge of another kind where there is one.

    Attributes:
        trait: its name.
        reward: what scores everything.
        title: under which bundles record the reward.
        judges: rewards by title that corner tests ask, the trait's own first.
        display_name: the trait's, for people.
    """

    trait: str
    reward: Reward
    title: str
    judges: dict[str, Reward] = field(default_factory=dict)
    display_name: str = ""


@dataclass(frozen=True)
class ScoreTask:
    """Answers to score by one reward.

    Attributes:
        rows: which they are.
        prompts: of each.
        answers: of each.
        tokens: of each answer.
        config: that names the reward; None where that is at hand.
        project: folder that paths and modules of the configuration start from.
        place: the reward's trait, by its number, and its title.
    """

    rows: tuple[int, ...]
    prompts: tuple[str, ...]
    answers: tuple[str, ...]
    tokens: tuple[int, ...]
    config: BuildConfig | None = None
    project: Path = Path(".")
    place: tuple[int, str] = (0, "")


@dataclass(frozen=True)
class Spread:
    """How scoring is spread: over what, and where its processes have the rewards from."""

    engine: Engine
    config: BuildConfig
    project: Path


_made: dict[str, TraitRewards] = {}


def score_rows(task: ScoreTask) -> Floats:
    """Scores of a task, shape (n,), in a process that makes the rewards once."""
    assert task.config is not None
    mark = f"{task.project}:{task.config.model_dump_json()}"
    if mark not in _made:
        _made.clear()
        _made[mark] = TraitRewards.of(task.config, task.project)
    number, title = task.place
    judge = _made[mark].measures[number].judges[title]
    return _scores_of(judge, task)


def _scores_of(reward: Reward, task: ScoreTask) -> Floats:
    """Scores of a task's answers.

    Raises:
        OutOfRangeError: names the row among all that are scored, not among the task's.
    """
    try:
        return scores_of(reward, list(task.prompts), list(task.answers), list(task.tokens))
    except OutOfRangeError as error:
        raise OutOfRangeError(error.name, task.rows[error.row], error.told) from error


class TraitRewards:
    """The rewards of all traits, in the order of the traits.

    Args:
        measures: one per trait.
        store: keeps scores, or None.
    """

    def __init__(self, measures: Sequence[Measure], store: Store | None = None) -> None:
        self.measures = tuple(measures)
        self._store = store
        self._kept: dict[str, dict[str, float]] = {}
        self._spread: Spread | None = None

    @classmethod
    def of(
        cls,
        config: BuildConfig,
        project: Path = Path("."),
        store: Store | None = None,
        engine: Engine | None = None,
    ) -> TraitRewards:
        """The rewards that a configuration names, made now: what can't be had is refused early.

        Args:
            config: of the build.
            project: folder that paths and modules start from.
            store: keeps scores, or None.
            engine: that scoring is spread over; None scores in this process.

        Raises:
            PalmError: a reward can't be made; says which.
        """
        most = config.sampling.max_new_tokens
        measures = []
        for trait in config.traits:
            reward = make_reward(trait.reward, project, most)
            judges = {trait.title: reward}
            if trait.second is not None:
                judges[trait.second_title] = make_reward(trait.second, project, most)
            elif (second := f"{trait.title}.second") in reward_names():
                judges[second] = make_reward(second, project, most)
            measures.append(Measure(trait.name, reward, trait.title, judges, trait.display_name))
        made = cls(measures, store)
        if engine is not None:
            made._spread = Spread(engine, config, project.resolve())
        return made

    @property
    def traits(self) -> list[str]:
        """Names of the traits."""
        return [m.trait for m in self.measures]

    def only(self, traits: Sequence[str]) -> TraitRewards:
        """The rewards of some of the traits."""
        made = TraitRewards([m for m in self.measures if m.trait in traits], self._store)
        made._spread = self._spread
        return made

    def key(self) -> list[str]:
        """What scores depend on besides the answers."""
        return [fingerprint_of(m.reward) for m in self.measures]

    def spent(self) -> list[str]:
        """What judges on servers have read and written so far, a sentence each.

        Gates and second judges count too; one that several traits share is told once.
        """
        return spent_by(
            part for m in self.measures for part in {m.title: m.reward, **m.judges}.items()
        )

    def score(
        self,
        answers: pd.DataFrame,
        texts: dict[str, str],
        progress: Callable[[float], None] = lambda _: None,
    ) -> pd.DataFrame:
        """`answers` with one score column per trait, each in [0, 1].

        Args:
            answers: columns prompt_id, text, tokens.
            texts: prompts by id.
            progress: gets the share done, piece by piece.

        Raises:
            InvalidInputError: a reward gives something else than a score in [0, 1].
        """
        scored = answers.copy()
        prompts = [texts[p] for p in scored["prompt_id"]]
        given = [str(t) for t in scored["text"]]
        tokens = [int(t) for t in scored["tokens"]]
        for measure in self.measures:
            scored[measure.trait] = self._scores(
                measure.reward,
                prompts,
                given,
                tokens,
                lambda share: progress(share / len(self.measures)),
            )
        return scored

    def scores_by(
        self,
        reward: Reward,
        prompts: Sequence[str],
        answers: Sequence[str],
        tokens: Sequence[int],
        progress: Callable[[float], None] = lambda _: None,
    ) -> Floats:
        """Scores by one reward, a trait's or a second judge, shape (n,); kept as all others."""
        return self._scores(reward, list(prompts), list(answers), list(tokens), progress)

    def try_out(self, prompt: str) -> None:
        """Score one answer by every reward: what can't score is found before anything is drawn.

        Its scores are kept, so that a judge on a server is paid once.

        Args:
            prompt: one that will be answered.

        Raises:
            PalmError: as the reward raises it.
        """
        asked = {id(r): r for m in self.measures for r in (m.reward, *m.judges.values())}
        for reward in asked.values():
            self._scores(reward, [prompt], [TRIED], [len(TRIED.split())], lambda _: None)

    def score_texts(
        self, prompts: Sequence[str], answers: Sequence[str], tokens: Sequence[int]
    ) -> Floats:
        """Scores of texts, shape (n, d); nothing is kept."""
        columns = [scores_of(m.reward, prompts, answers, tokens) for m in self.measures]
        return np.stack(columns, axis=1)

    def _scores(
        self,
        reward: Reward,
        prompts: list[str],
        answers: list[str],
        tokens: list[int],
        progress: Callable[[float], None],
    ) -> Floats:
        kept = self._kept_of(reward)
        keys = [_key(*row) for row in zip(prompts, answers, tokens, strict=True)]
        first = {k: i for i, k in reversed(list(enumerate(keys)))}
        wanted = [first[k] for k in dict.fromkeys(keys) if k not in kept]
        tasks = [
            ScoreTask(
                tuple(rows),
                tuple(prompts[i] for i in rows),
                tuple(answers[i] for i in rows),
                tuple(tokens[i] for i in rows),
            )
            for start in range(0, len(wanted), CHUNK)
            if (rows := wanted[start : start + CHUNK])
        ]
        for task, found in self._scored(reward, tasks):
            kept.update(zip((keys[i] for i in task.rows), map(float, found), strict=True))
            self._keep(reward, kept)
            progress(len(task.rows) / max(len(wanted), 1))
        if not wanted:
            progress(1.0)
        return np.array([kept[k] for k in keys])

    def _scored(
        self, reward: Reward, tasks: Sequence[ScoreTask]
    ) -> Iterator[tuple[ScoreTask, Floats]]:
        """Scores of tasks as they come: here, or spread over an engine.

        A judge on a server is asked from here: it is slow by itself, and counts what it costs.
        """
        spread = self._spread
        place = self._place(reward)
        asks = asks_server(reward)
        if spread is None or place is None or asks:
            for task in tasks:
                yield task, _scores_of(reward, task)
            return
        named = [
            replace(t, config=spread.config, project=spread.project, place=place) for t in tasks
        ]
        yield from spread.engine.run(score_rows, named)

    def _place(self, reward: Reward) -> tuple[int, str] | None:
        """The number of the trait that a reward judges among the configuration's, and its title."""
        if self._spread is None:
            return None
        names = [trait.name for trait in self._spread.config.traits]
        for measure in self.measures:
            for title, judge in measure.judges.items():
                if judge is reward:
                    return names.index(measure.trait), title
        return None

    def _kept_of(self, reward: Reward) -> dict[str, float]:
        mark = fingerprint_of(reward)
        if mark not in self._kept:
            self._kept[mark] = {}
            if self._store is not None and self._store.is_current(_file(mark), mark):
                frame = pd.read_parquet(self._store.path(_file(mark)))
                self._kept[mark] = dict(zip(frame["key"], frame["score"], strict=True))
        return self._kept[mark]

    def _keep(self, reward: Reward, kept: dict[str, float]) -> None:
        if self._store is not None:
            mark = fingerprint_of(reward)
            frame = pd.DataFrame({"key": list(kept), "score": list(kept.values())})
            self._store.put_table(_file(mark), mark, frame)


def register_from(path: Path, project: Path = Path(".")) -> None:
    """Make the rewards of a configuration known to the bundles that record them.

    So a bundle's answers can be scored again, live or in an audit, with rewards that only a
    configuration may name.

    Args:
        path: of the configuration.
        project: folder that its paths and modules start from.

    Raises:
        ConfigError: the configuration can't be read.
    """
    config = load_config(path)
    for trait in config.traits:
        if not isinstance(trait.reward, str):
            configure_reward(trait.name, trait.title, partial(make_reward, trait.reward, project))


def _file(mark: str) -> str:
    return f"scores/{hashlib.sha256(mark.encode()).hexdigest()[:16]}.parquet"


def _key(prompt: str, answer: str, tokens: int) -> str:
    whole = f"{len(prompt)}:{prompt}{answer}:{tokens}"
    return hashlib.sha256(whole.encode()).hexdigest()[:_WIDTH]
