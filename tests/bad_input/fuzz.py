"""Mutates good files at random and reads them: only the project's own errors may come out.

`make fuzz` runs it for ten minutes. What fails is written to `build/fuzz/`, named by seed and
number, to become a case of the corpus.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from palm_engine.errors import PalmError
from tests.bad_input import bundles, tables

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "build" / "fuzz"
# Words that parsers stumble over.
WORDS = (
    *("NaN", "Infinity", "-1", "1e999", "9" * 40, "0x1", "null", "true", '"', "'", "\\", "\\u0000"),
    *(
        ",",
        ";",
        "\t",
        "\r",
        "\n",
        "[",
        "]",
        "{",
        "}",
        "=",
        "#",
        "\0",
        "\ufeff",
        "\ud7ff",
        "é",
        "../",
    ),
    *("policy", "prompt_id", "text", "safety", "inf", "nan", "%", "1,5", "1.000,5", "--x", "=1+1"),
)
VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1e308,
    -0.5,
    "",
    "x",
    "../x",
    "\n",
    [],
    {},
    [[]],
    "\u202e",
    2**64,
)


@dataclass
class Tally:
    """What became of the inputs, by kind of file."""

    accepted: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many were tried."""
        return self.accepted.total() + self.refused.total() + len(self.failed)


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Bytes with a few changes: flipped, cut, repeated, swapped for words."""
    content = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        place = rng.randrange(len(content) + 1)
        length = rng.choice((1, 1, 2, 5, 20, 200))
        kind = rng.randrange(5)
        if kind == 0 and place < len(content):
            content[place] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del content[place : place + length]
        elif kind == 2:
            content[place:place] = content[place : place + length] * rng.choice((1, 2, 50))
        elif kind == 3:
            content[place : place + rng.choice((0, 1, 3))] = rng.choice(WORDS).encode()
        else:
            del content[place:]
    return bytes(content)


def rearranged(raw: Any, rng: random.Random) -> Any:
    """A JSON value with one part replaced, removed or repeated."""
    places: list[tuple[Any, Any]] = []
    stack = [raw]
    while stack:
        value = stack.pop()
        keys: Any = value.keys() if isinstance(value, dict) else range(len(value))
        for key in keys:
            places.append((value, key))
            if isinstance(value[key], (dict, list)):
                stack.append(value[key])
    holder, key = rng.choice(places)
    kind = rng.randrange(4)
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, list):
        holder.append(holder[key])
    elif kind == 2:
        other, name = rng.choice(places)
        if name in other if isinstance(other, dict) else name < len(other):
            holder[key] = json.loads(json.dumps(other[name]))
    else:
        holder[key] = rng.choice(VALUES)
    return raw


def readers(folder: Path) -> dict[str, Callable[[random.Random], Path]]:
    """By kind of file: writes a mutated one, reads it, and gives its path."""
    from palm_engine.bundle.folder import read_bundle
    from palm_engine.pipeline.config import load_config
    from palm_engine.tables.files import read_table_file
    from palm_engine.tables.importing import import_table
    from palm_engine.tables.spec import default_spec

    good = bundles.good()
    manifest = (good / "portfolio.json").read_text(encoding="utf-8")
    config = (ROOT / "configs" / "demo.toml").read_bytes()
    long = tables.LONG.encode()
    seeds = {".csv": [tables.GOOD.encode(), long], ".json": [], ".jsonl": []}
    records = [{"policy": p, "safety": 0.1, "humor": 0.9} for p in "ab"]
    seeds[".json"].append(json.dumps(records).encode())
    seeds[".jsonl"].append("\n".join(map(json.dumps, records)).encode())

    def table(rng: random.Random) -> Path:
        suffix = rng.choice(sorted(seeds))
        path = folder / f"t{suffix}"
        path.write_bytes(mutated(rng.choice(seeds[suffix]), rng))
        file = read_table_file(path)
        import_table(file, default_spec(file))
        return path

    def parquet(rng: random.Random) -> Path:
        name = rng.choice(("samples", "prompts", "pool"))
        path = folder / "b" / f"{name}.parquet"
        if not path.parent.is_dir():
            shutil.copytree(good, path.parent)
        content = (good / path.name).read_bytes()
        path.write_bytes(mutated(content, rng))
        try:
            read_bundle(path.parent).read_tables()
        finally:
            shutil.copyfile(path, folder / "last")
            path.write_bytes(content)
        return folder / "last"

    def raw_manifest(rng: random.Random) -> Path:
        return manifest_of(mutated(manifest.encode(), rng))

    def other_manifest(rng: random.Random) -> Path:
        return manifest_of(json.dumps(rearranged(json.loads(manifest), rng)).encode())

    def manifest_of(content: bytes) -> Path:
        path = folder / "m" / "portfolio.json"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        read_bundle(path.parent)
        return path

    def configuration(rng: random.Random) -> Path:
        path = folder / "c.toml"
        path.write_bytes(mutated(config, rng))
        load_config(path)
        return path

    return {
        "table": table,
        "parquet": parquet,
        "manifest, bytes": raw_manifest,
        "manifest, parts": other_manifest,
        "configuration": configuration,
    }


def fuzz(seed: int, stop: Callable[[int], bool], folder: Path) -> Iterator[Tally]:
    """Mutate and read until `stop` of the count says so; yields the tally after every input.

    Args:
        seed: of all choices.
        stop: gets how many inputs were tried.
        folder: to write them to.
    """
    tally = Tally()
    kinds = readers(folder)
    number = 0
    while not stop(number):
        rng = random.Random(f"{seed}.{number}")
        kind = sorted(kinds)[number % len(kinds)]
        try:
            kinds[kind](rng)
            tally.accepted[kind] += 1
        except PalmError as error:
            tally.refused[kind] += 1
            if len(str(error)) > 20_000:
                tally.failed.append(
                    f"{kind} {seed}.{number}: a message of {len(str(error))} letters"
                )
        except Exception:
            last = traceback.format_exc().strip().splitlines()[-1]
            tally.failed.append(f"{kind} {seed}.{number}: {last[:300]}")
        number += 1
        yield tally


def main() -> None:
    """`python -m tests.bad_input.fuzz`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--most", type=int, default=10**9, help="inputs")
    options = parser.parse_args()
    end = time.monotonic() + options.seconds
    tally = Tally()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        known = 0
        for tally in fuzz(
            options.seed, lambda n: n >= options.most or time.monotonic() > end, place
        ):
            for failure in tally.failed[known:]:
                print(failure, flush=True)
                KEPT.mkdir(parents=True, exist_ok=True)
                target = KEPT / failure.partition(":")[0].replace(" ", "-").replace(",", "")
                shutil.copytree(place, target, dirs_exist_ok=True)
            known = len(tally.failed)
            if tally.count % 5000 == 0:
                print(f"{tally.count:,} inputs, {known} failures", flush=True)
    for kind in sorted({*tally.accepted, *tally.refused}):
        print(f"{kind}: {tally.accepted[kind]:,} read, {tally.refused[kind]:,} refused")
    print(f"{tally.count:,} inputs, seed {options.seed}: {len(tally.failed)} failures")
    sys.exit(bool(tally.failed))


if __name__ == "__main__":
    main()
