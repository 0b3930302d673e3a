"""Answers of a server kept part by part: what was asked, and paid, isn't asked again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from palm_engine.pipeline.store import Store, key_of

# Answers that are kept at once: as many may have to be asked again.
PART = 512
# prompt_id, text of the prompt, number of the sample.
Asked = tuple[str, str, int]


def rows_of(prompts: Sequence[tuple[str, str]], samples: int) -> list[Asked]:
    """Every answer that is wanted, prompt by prompt.

    Args:
        prompts: prompt_id and text of each.
        samples: answers to each.
    """
    return [(pid, text, i) for pid, text in prompts for i in range(samples)]


def kept_in_parts(
    name: str,
    key: str,
    rows: Sequence[Asked],
    store: Store,
    ask: Callable[[Sequence[Asked]], pd.DataFrame],
    progress: Callable[[float], None] = lambda _: None,
) -> pd.DataFrame:
    """All answers, asked where they are not kept; then kept whole as `name`.

    Args:
        name: of the whole, a Parquet file of the store.
        key: what the answers depend on.
        rows: that are wanted.
        store: keeps parts, and the whole.
        ask: gives the answers of some rows, one row each.
        progress: gets the number of answers of each part that is there already.
    """
    if not store.is_current(name, key):
        frames = []
        names = [f"{name}.part-{i}" for i in range(-(-len(rows) // PART))]
        for number, part in enumerate(names):
            some = rows[number * PART : (number + 1) * PART]
            part_key = key_of(key, number, PART)
            if store.is_current(part, part_key):
                progress(len(some))
            else:
                store.put_table(part, part_key, ask(some))
            frames.append(pd.read_parquet(store.path(part)))
        store.put_table(name, key, pd.concat(frames, ignore_index=True))
        for part in names:
            store.begin(part)
            store.path(part).unlink(missing_ok=True)
    return pd.read_parquet(store.path(name))
