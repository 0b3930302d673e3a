"""Wrong bundles, for `palm show`, `answers`, `route` and `generate` from recorded answers."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pandas as pd

from palm_engine.geometry.gap import worst_gap
from tests.bad_input.case import Case
from tests.bad_input.tables import bomb
from tests.support.bundles import make_bundle

Change = Callable[[dict[str, Any]], Any]
WEIGHTS = ("--weights", "safety=1")


@cache
def good() -> Path:
    """A bundle with a certificate, texts and a pool."""
    from palm_engine.bundle.writing import rewrite_manifest

    bundle = make_bundle(Path(mkdtemp(prefix="palm-good-")) / "good")
    worst = worst_gap(bundle.points[bundle.members], bundle.points)
    weights = dict(zip(bundle.traits, map(float, worst.at_weights_additive), strict=True))

    def bound_of(*members: str) -> dict[str, float]:
        rows = [bundle.row(m) for m in members] or bundle.members
        gap = worst_gap(bundle.points[rows], bundle.points).additive
        ends = {"estimate": gap, "lower": gap / 2, "upper": gap + 0.1}
        return ends | {"confidence": 0.95, "prompts": 3, "resamples": 100}

    bound = bound_of()
    certificate = {
        "scope": "certified",
        "method": "minimum",
        "selected_on": "choose",
        "certified_on": "certify",
        "additive": bound,
        "multiplicative": 0.2,
        "at_weights": weights,
        "tolerance": 0.05,
        "choose_gap": 0.1,
        "choose_lower_bound": 0.1,
        "single_best": "m1",
        "single_best_minus_members": bound,
        "curve": [
            {
                "k": 1,
                "members": ["m1"],
                "choose_gap": 0.3,
                "choose_lower_bound": 0.3,
                "gap": bound_of("m1"),
            },
            {
                "k": 2,
                "members": ["m1", "m2"],
                "choose_gap": 0.2,
                "choose_lower_bound": 0.2,
                "gap": bound_of("m1", "m2"),
            },
        ],
        "corner_tests": [
            {"trait": "safety", "adapter": "m1", "rival": "base", "judge": "x", "difference": bound}
        ],
        "diversity": [
            {"portfolio": "x", "members": ["m1"], "distance": 0.1, "vendi": 1.0, "worst_gap": 0.1}
        ],
        "outside_test": [],
    }
    raw = json.loads(bundle.manifest.model_dump_json(exclude_none=True))
    raw |= {
        "certificate": certificate,
        "sampling": {"max_new_tokens": 12, "temperature": 0.7, "top_p": 0.95},
        "base": {"source": "nobody/nothing", "fingerprint": "f" * 64},
    }
    rewrite_manifest(bundle, type(bundle.manifest).model_validate(raw))
    return bundle.folder


def copied(folder: Path) -> Path:
    """A copy of the good bundle."""
    return Path(shutil.copytree(good(), folder / "b"))


def text(
    change: Callable[[str], str | bytes], command: str = "show"
) -> Callable[[Path], list[object]]:
    """A command on the bundle whose portfolio.json is changed as text."""

    def make(folder: Path) -> list[object]:
        path = copied(folder) / "portfolio.json"
        new = change(path.read_text(encoding="utf-8"))
        path.write_bytes(new if isinstance(new, bytes) else new.encode())
        return called(command, path.parent)

    return make


def called(command: str, bundle: Path) -> list[object]:
    """The words of a command on a bundle."""
    more: dict[str, list[object]] = {
        "answers": ["m1"],
        "route": list(WEIGHTS),
        "generate": ["--prompt", "Question p1?", *WEIGHTS, "--backend", "recorded"],
    }
    return [command, bundle, *more.get(command, [])]


def entry(*path: object, value: Any) -> Callable[[Path], list[object]]:
    """`palm show` on the bundle with one entry of portfolio.json replaced."""

    def change(content: str) -> str:
        raw = json.loads(content)
        place: Any = raw
        for part in path[:-1]:
            place = place[part]
        place[path[-1]] = value
        return json.dumps(raw)

    return text(change)


def without(*path: object) -> Callable[[Path], list[object]]:
    """`palm show` on the bundle with one entry of portfolio.json left out."""

    def change(content: str) -> str:
        raw = json.loads(content)
        place: Any = raw
        for part in path[:-1]:
            place = place[part]
        del place[path[-1]]
        return json.dumps(raw)

    return text(change)


def table(
    name: str, change: Callable[[pd.DataFrame], pd.DataFrame], command: str = "answers"
) -> Callable[[Path], list[object]]:
    """A command on the bundle with a table changed."""

    def make(folder: Path) -> list[object]:
        bundle = copied(folder)
        path = bundle / f"{name}.parquet"
        change(pd.read_parquet(path)).to_parquet(path, index=False)
        return called(command, bundle)

    return make


def lacking(name: str, gone: str) -> Callable[[Path], list[object]]:
    """`palm answers` on the bundle with a table that lacks a column."""
    return table(name, lambda frame: frame.drop(columns=gone))


def column(
    name: str, of: str, value: Any, row: int | None = None
) -> Callable[[Path], list[object]]:
    """A column of a table replaced, wholly or in one row."""

    def change(frame: pd.DataFrame) -> pd.DataFrame:
        if row is None:
            return frame.assign(**{of: value})
        cells = frame[of].astype(object)
        cells.iloc[row] = value
        return frame.assign(**{of: cells.infer_objects()})

    return table(name, change)


def place(
    kind: str, name: str = "portfolio.json", command: str = "show"
) -> Callable[[Path], list[object]]:
    """Something at a file's place that is no file."""

    def make(folder: Path) -> list[object]:
        bundle = copied(folder)
        path = bundle / name
        path.unlink()
        if kind == "folder":
            path.mkdir()
        elif kind == "fifo":
            os.mkfifo(path)
        elif kind == "link":
            path.symlink_to(good() / name)
        elif kind == "empty":
            path.touch()
        elif kind == "noise":
            path.write_bytes(bytes(range(256)) * 10)
        return called(command, bundle)

    return make


def without_texts(folder: Path) -> list[object]:
    """`palm answers` on a bundle that has rewards only."""
    bundle = copied(folder)
    (bundle / "samples.parquet").unlink()
    return ["answers", bundle, "m1"]


def samples_bomb(folder: Path) -> list[object]:
    """Two megabytes of recorded answers that stand for 200 million."""
    bundle = copied(folder)
    bomb(200_000_000)(folder)
    (folder / "t.parquet").replace(bundle / "samples.parquet")
    return ["answers", bundle, "m1"]


NAN = float("nan")
INF = float("inf")
BOUND = ("certificate", "additive")
SAME = {"safety": 0.2, "humor": 0.3, "brevity": 0.5}
CASES = [
    Case("nothing there", lambda f: ["show", f / "none"], "no such file"),
    Case("an empty folder", lambda f: ["show", f], "no such file"),
    Case("a name of 5,000 letters", lambda f: ["show", f / ("x" * 5000)], "can't be read|no such"),
    Case("a null byte in the name", lambda f: ["show", f"{f}/a\0b"], "can't be read|no such|null"),
    Case("manifest: a folder", place("folder"), "no regular file"),
    Case("manifest: a pipe", place("fifo"), "no regular file"),
    Case("manifest: a link", place("link"), "is a link"),
    Case("manifest: empty", place("empty"), "not valid JSON"),
    Case("manifest: noise", place("noise"), "not valid JSON"),
    Case("manifest: not closed", text(lambda t: t[:-5]), "not valid JSON"),
    Case(
        "manifest: latin-1",
        text(lambda t: t.replace("test", "tést").encode("latin-1")),
        "not valid JSON",
    ),
    Case("manifest: a list", text(lambda t: "[]"), "portfolio.json"),
    Case("manifest: a number", text(lambda t: "3"), "portfolio.json"),
    Case("manifest: null", text(lambda t: "null"), "portfolio.json"),
    Case("manifest: nested 100,000 deep", text(lambda t: "[" * 100_000), "nested"),
    Case("manifest: nested a million deep", text(lambda t: "[" * 1_000_000), "nested"),
    Case(
        "manifest: nested 900 deep inside",
        entry("built", "config", value={"x": json.loads("[" * 900 + "]" * 900)}),
        "nested",
    ),
    Case(
        "manifest: a number of 5,000 digits",
        text(lambda t: t.replace('"tolerance": 0.05', '"tolerance": ' + "9" * 5000)),
        "5,000 digits",
    ),
    Case(
        "manifest: NaN", text(lambda t: t.replace('"tolerance": 0.05', '"tolerance": NaN')), "NaN"
    ),
    Case(
        "manifest: Infinity",
        text(lambda t: t.replace('"tolerance": 0.05', '"tolerance": Infinity')),
        "Infinity",
    ),
    Case(
        "manifest: 1e999",
        text(lambda t: t.replace('"tolerance": 0.05', '"tolerance": 1e999')),
        "too large",
    ),
    Case(
        "manifest: members twice",
        text(lambda t: t.rstrip()[:-1] + ', "members": []}'),
        "'members' stands twice",
    ),
    Case(
        "manifest: candidates twice",
        text(lambda t: t.rstrip()[:-1] + ', "candidates": []}'),
        "'candidates' stands twice",
    ),
    Case("manifest: half a character", entry("title", value="\ud800"), "surrogate"),
    Case("manifest: an unknown key", entry("evil", value=1), "evil.*unknown key"),
    Case("format 3", entry("format_version", value=3), "format_version 3"),
    Case("format true", entry("format_version", value=True), "format_version True"),
    Case("format a word", entry("format_version", value="2"), "format_version"),
    Case("name ..", entry("name", value=".."), "name"),
    Case("name with a slash", entry("name", value="a/b"), "name"),
    Case("name with a line break", entry("name", value="a\n"), "name"),
    Case("name empty", entry("name", value=""), "name"),
    Case(
        "one trait",
        entry("traits", value=[{"name": "safety", "reward": "x", "normalisation": "n"}]),
        "traits",
    ),
    Case("no traits", entry("traits", value=[]), "traits"),
    Case("a trait twice", entry("traits", 1, "name", value="safety"), "traits.*'safety'"),
    Case("trait called text", entry("traits", 0, "name", value="text"), "'text'"),
    Case("trait called policy", entry("traits", 0, "name", value="policy"), "'policy'"),
    Case("trait called -rf", entry("traits", 0, "name", value="-rf"), "traits.0.name"),
    Case("no candidates", entry("candidates", value=[]), "candidates"),
    Case(
        "a candidate twice",
        entry("candidates", 1, "policy", value="base"),
        "'base' is listed twice",
    ),
    Case(
        "policy called --trust-remote-code",
        entry("candidates", 1, "policy", value="--trust-remote-code"),
        "candidates.1.policy",
    ),
    Case("policy called -rf", entry("candidates", 1, "policy", value="-rf"), "candidates.1.policy"),
    Case(
        "policy with a line break",
        entry("candidates", 1, "policy", value="m1\nx"),
        "candidates.1.policy",
    ),
    Case("an unknown kind", entry("candidates", 1, "kind", value="magic"), "candidates.1.kind"),
    Case(
        "a reward above 1",
        entry("candidates", 1, "rewards", "safety", value=1.5),
        "candidates.1.rewards.safety",
    ),
    Case(
        "a reward below 0",
        entry("candidates", 1, "rewards", "safety", value=-0.5),
        "candidates.1.rewards.safety",
    ),
    Case(
        "a reward that is a word",
        entry("candidates", 1, "rewards", "safety", value="good"),
        "candidates.1.rewards.safety",
    ),
    Case(
        "a reward that is null",
        entry("candidates", 1, "rewards", "safety", value=None),
        "candidates.1.rewards.safety",
    ),
    Case("a reward missing", without("candidates", 1, "rewards", "safety"), "candidates.1.rewards"),
    Case(
        "a reward too many",
        entry("candidates", 1, "rewards", "speed", value=0.5),
        "candidates.1.rewards",
    ),
    Case(
        "evaluated without a trait",
        entry("candidates", 1, "evaluated", value={"choose": {"safety": 1}}),
        "evaluated.choose",
    ),
    Case(
        "planned without a trait",
        entry("candidates", 1, "planned", value={"rewards": {"safety": 1}, "kl": 0, "beta": 1}),
        "planned.rewards",
    ),
    Case(
        "planned with beta 0",
        entry("candidates", 1, "planned", value={"rewards": {}, "kl": 0, "beta": 0}),
        "planned.beta",
    ),
    Case("a KL cost below 0", entry("candidates", 1, "kl_cost", value=-1), "kl_cost"),
    Case("adapter outside", entry("candidates", 1, "adapter", value="../x"), "inside the bundle"),
    Case("adapter absolute", entry("candidates", 1, "adapter", value="/etc"), "inside the bundle"),
    Case("adapter .", entry("candidates", 1, "adapter", value="."), "inside the bundle"),
    Case(
        "adapter with a null byte",
        entry("candidates", 1, "adapter", value="a\0b"),
        "inside the bundle",
    ),
    Case(
        "adapter of 5,000 letters",
        entry("candidates", 1, "adapter", value="a" * 5000),
        "inside the bundle",
    ),
    Case(
        "adapter with a backslash",
        entry("candidates", 1, "adapter", value="a\\..\\b"),
        "inside the bundle",
    ),
    Case(
        "a mixture of nobody",
        entry(
            "candidates",
            1,
            value={
                "policy": "m1",
                "kind": "mixture",
                "mixture": {"ghost": 1},
                "rewards": {"safety": 1, "humor": 0, "brevity": 0},
            },
        ),
        "'ghost'",
    ),
    Case("a mixture without parts", entry("candidates", 1, "kind", value="mixture"), "mixture"),
    Case(
        "a label of 81 letters",
        entry("candidates", 1, "display_name", value="x" * 81),
        "display_name",
    ),
    Case(
        "member nobody", entry("members", 0, "policy", value="ghost"), "'ghost' is not a candidate"
    ),
    Case("member twice", entry("members", 0, "policy", value="m2"), "'m2' is listed twice"),
    Case(
        "member's weights below 0",
        entry("members", 0, "weights", "safety", value=-1),
        "weights.safety",
    ),
    Case(
        "member's weights of 0",
        entry("members", 0, "weights", value=dict.fromkeys(("safety", "humor", "brevity"), 0)),
        "sum to 1",
    ),
    Case(
        "member's weights of two traits",
        without("members", 0, "weights", "safety"),
        "members.0.weights",
    ),
    Case("where of no trait", entry("where", value={"speed": [0, 1]}), "'speed'"),
    Case("where the wrong way round", entry("where", value={"safety": [0.8, 0.2]}), "where.safety"),
    Case("where above 1", entry("where", value={"safety": [0, 2]}), "where.safety"),
    Case("beta 0", entry("beta", value=[0]), "beta"),
    Case("beta -1", entry("beta", value=[-1]), "beta"),
    Case(
        "sampling: no tokens",
        entry("sampling", "max_new_tokens", value=0),
        "sampling.max_new_tokens",
    ),
    Case(
        "sampling: a billion tokens",
        entry("sampling", "max_new_tokens", value=10**9),
        "sampling.max_new_tokens",
    ),
    Case(
        "sampling: half a token",
        entry("sampling", "max_new_tokens", value=1.5),
        "sampling.max_new_tokens",
    ),
    Case(
        "sampling: temperature -1",
        entry("sampling", "temperature", value=-1),
        "sampling.temperature",
    ),
    Case("sampling: top_p 0", entry("sampling", "top_p", value=0), "sampling.top_p"),
    Case("sampling: top_p 2", entry("sampling", "top_p", value=2), "sampling.top_p"),
    Case("sampling: a key too many", entry("sampling", "magic", value=2), "sampling.magic"),
    Case(
        "certificate: lower above upper", entry(*BOUND, "lower", value=0.5), "additive.*above upper"
    ),
    Case(
        "certificate: an estimate outside its bounds",
        entry(*BOUND, "lower", value=0.2),
        "additive: the estimate .* isn't between",
    ),
    Case(
        "certificate: a curve of other members",
        entry("certificate", "curve", 0, "members", value=["base"]),
        "curve.0.gap.estimate: .*made of other members",
    ),
    Case(
        "certificate: worse elsewhere",
        entry("candidates", 0, "rewards", value={"safety": 0.0, "humor": 0.0, "brevity": 1.0}),
        "at some weights; it was made of other members or rewards",
    ),
    Case(
        "certificate: beside a bound without one",
        entry("in_sample", value={"upper": 0.1, "confidence": 0.9, "prompts": 3}),
        "in_sample: stands where there is no certificate",
    ),
    Case(
        "a soup of nobody",
        entry("candidates", 0, "soup", value={"ghost": 1.0}),
        "candidates.0.soup: 'ghost'",
    ),
    Case(
        "certificate: a gap below 0",
        entry(
            *BOUND,
            value={
                "estimate": -0.5,
                "lower": -1,
                "upper": 0,
                "confidence": 0.95,
                "prompts": 3,
                "resamples": 9,
            },
        ),
        "below 0",
    ),
    Case("certificate: -3 prompts", entry(*BOUND, "prompts", value=-3), "counts"),
    Case("certificate: confidence 2", entry(*BOUND, "confidence", value=2), "confidence"),
    Case(
        "certificate: tolerance -1",
        entry("certificate", "tolerance", value=-1),
        "certificate.tolerance",
    ),
    Case(
        "certificate: scope", entry("certificate", "scope", value="promised"), "certificate.scope"
    ),
    Case(
        "certificate: weights of nothing",
        entry("certificate", "at_weights", value={"speed": 1}),
        "at_weights",
    ),
    Case(
        "certificate: of other members",
        entry("members", value=[{"policy": "base", "weights": dict(SAME)}]),
        "made of other members",
    ),
    Case(
        "certificate: of other rewards",
        entry("candidates", 5, "rewards", value={"safety": 1, "humor": 1, "brevity": 1}),
        "made of other members or rewards",
    ),
    Case(
        "certificate: a curve below 0",
        entry("certificate", "curve", 0, "choose_gap", value=-7),
        "curve.0: a worst gap isn't below 0",
    ),
    Case(
        "certificate: clusters of nothing",
        entry(*BOUND, "clusters", value=-4),
        "additive.clusters: -4 of 3 prompts",
    ),
    Case(
        "certificate: a share below 0",
        entry("certificate", "multiplicative", value=-3),
        "multiplicative: a worst gap isn't below 0",
    ),
    Case(
        "certificate: more answers than members",
        entry("certificate", "diversity", 0, "vendi", value=3),
        "vendi: above the number of members",
    ),
    Case("certificate: of no members", entry("members", value=[]), "no members"),
    Case(
        "certificate: single best nobody",
        entry("certificate", "single_best", value="ghost"),
        "'ghost'",
    ),
    Case("certificate: no curve", entry("certificate", "curve", value=[]), "curve"),
    Case(
        "certificate: a size twice",
        entry("certificate", "curve", 1, "k", value=1),
        "size 1.*twice|members for size",
    ),
    Case(
        "certificate: size that isn't",
        entry("certificate", "curve", 1, "k", value=3),
        "members for size 3",
    ),
    Case("certificate: size 0", entry("certificate", "curve", 0, "k", value=0), "curve.0.k"),
    Case(
        "certificate: curve of nobody",
        entry("certificate", "curve", 0, "members", value=["ghost"]),
        "'ghost'",
    ),
    Case(
        "certificate: corner of no trait",
        entry("certificate", "corner_tests", 0, "trait", value="speed"),
        "'speed'",
    ),
    Case(
        "certificate: corner of nobody",
        entry("certificate", "corner_tests", 0, "rival", value="ghost"),
        "'ghost'",
    ),
    Case(
        "certificate: diversity of nobody",
        entry("certificate", "diversity", 0, "members", value=["ghost"]),
        "'ghost'",
    ),
    Case(
        "certificate: diversity below 0",
        entry("certificate", "diversity", 0, "distance", value=-1),
        "distance",
    ),
    Case(
        "certificate: outside test of nobody",
        entry(
            "certificate",
            "outside_test",
            value=[
                {
                    "policy": "ghost",
                    "weights": {"safety": 1, "humor": 0, "brevity": 0},
                    "value": 1,
                    "portfolio_value": 1,
                    "gap": 0,
                }
            ],
        ),
        "'ghost'",
    ),
    Case(
        "reading of nobody",
        entry(
            "reading",
            value={
                "reader": "x",
                "split": "certify",
                "prompts": 1,
                "policies": [
                    {"policy": "ghost", "answers": 1, "fits": 1, "on_subject": 1, "grades": {}}
                ],
                "preferences": [],
                "agreement": [],
            },
        ),
        "'ghost'",
    ),
    Case(
        "interpolation of nobody",
        entry(
            "interpolation",
            value={
                "split": "certify",
                "prompts": 2,
                "seed": 0,
                "corners": ["ghost"],
                "rows": [],
                "soup_minus_portfolio": {},
                "mixture_minus_portfolio": {},
            },
        ),
        "interpolation",
    ),
    Case(
        "audit at no weights",
        entry(
            "reward_audit",
            value={
                "split": "certify",
                "prompts": 2,
                "seed": 0,
                "attacks": [
                    {
                        "kind": "x",
                        "tried": 1,
                        "lead": 0,
                        "at_weights": {"safety": 0.1},
                        "share": 0,
                        "example": "",
                    }
                ],
                "shuffled_share": None,
            },
        ),
        "reward_audit",
    ),
    Case(
        "20,001 candidates",
        text(
            lambda t: json.dumps(
                json.loads(t)
                | {
                    "candidates": [
                        {
                            "policy": f"p{i}",
                            "kind": "remote",
                            "rewards": {"safety": 0.1, "humor": 0.1, "brevity": 0.1},
                        }
                        for i in range(20_001)
                    ]
                }
            )
        ),
        "candidates",
    ),
    Case("answers of nobody", lambda f: ["answers", copied(f), "ghost"], "no candidate 'ghost'"),
    Case("answers of a bundle without any", without_texts, "no recorded answers|no answers"),
    Case("samples of 200 million rows", samples_bomb, "200,000,000 rows"),
    Case("answers: none at all", lambda f: ["answers", copied(f), "m1", "--count", 0], "or equal"),
    Case("route: no weights", lambda f: ["route", copied(f)], "Missing option"),
    Case("route: no trait", lambda f: ["route", copied(f), "--weights", "speed=1"], "speed"),
    Case("route: nothing", lambda f: ["route", copied(f), "--weights", ""], "weights"),
    Case("route: no number", lambda f: ["route", copied(f), "--weights", "safety=much"], "much"),
    Case(
        "route: nan", lambda f: ["route", copied(f), "--weights", "safety=nan"], "nan|finite|number"
    ),
    Case(
        "route: below 0",
        lambda f: ["route", copied(f), "--weights", "safety=-1"],
        "-1|negative|below",
    ),
    Case("route: all 0", lambda f: ["route", copied(f), "--weights", "safety=0"], "0"),
    Case(
        "route: a trait twice",
        lambda f: ["route", copied(f), "--weights", "safety=1,safety=2"],
        "twice|safety",
    ),
    Case(
        "generate: an unknown backend",
        lambda f: ["generate", copied(f), "--prompt", "x", *WEIGHTS, "--backend", "magic"],
        "magic",
    ),
    Case(
        "generate: no such prompt",
        lambda f: [
            "generate",
            copied(f),
            "--prompt",
            "Never asked?",
            *WEIGHTS,
            "--backend",
            "recorded",
        ],
        "recorded",
    ),
    Case(
        "generate: no server",
        lambda f: ["generate", copied(f), "--prompt", "x", *WEIGHTS, "--backend", "remote"],
        "--url",
    ),
    Case(
        "generate: no base",
        lambda f: ["generate", copied(f), "--prompt", "x", *WEIGHTS],
        "nobody/nothing",
    ),
    Case(
        "generate: temperature -1",
        lambda f: [
            "generate",
            copied(f),
            "--prompt",
            "x",
            *WEIGHTS,
            "--backend",
            "recorded",
            "--temperature",
            -1,
        ],
        "temperature",
    ),
    Case(
        "generate: 0 tokens",
        lambda f: ["generate", copied(f), "--prompt", "x", *WEIGHTS, "--max-new-tokens", 0],
        "or equal",
    ),
    Case(
        "generate: half a character",
        lambda f: ["generate", copied(f), "--prompt", "x\udc80", *WEIGHTS, "--backend", "recorded"],
        "recorded|character",
    ),
    *(
        Case(f"{name}: {kind}", place(kind, f"{name}.parquet", "answers"), message)
        for name in ("samples", "prompts")
        for kind, message in (
            ("folder", "no regular file"),
            ("fifo", "no regular file"),
            ("link", "is a link"),
            ("empty", "not a readable Parquet"),
            ("noise", "not a readable Parquet"),
        )
    ),
    *(
        Case(
            f"samples: no column {name}",
            lacking("samples", name),
            f"'{name}' is missing",
        )
        for name in ("policy", "prompt_id", "sample_id", "text", "tokens", "safety")
    ),
    *(
        Case(
            f"prompts: no column {name}",
            lacking("prompts", name),
            f"'{name}' is missing",
        )
        for name in ("prompt_id", "split", "text")
    ),
    Case("samples: words for tokens", column("samples", "tokens", "many"), "'tokens'"),
    Case("samples: tokens missing", column("samples", "tokens", None), "'tokens'"),
    Case("samples: -5 tokens", column("samples", "tokens", -5, 3), "'tokens', row 3"),
    Case("samples: 1e300 tokens", column("samples", "tokens", 1e300), "'tokens'"),
    Case("samples: half a token", column("samples", "tokens", 1.5), "'tokens'"),
    Case("samples: a score missing", column("samples", "safety", NAN, 2), "'safety', row 2"),
    Case("samples: an infinite score", column("samples", "safety", INF, 2), "'safety', row 2"),
    Case("samples: a score of 5", column("samples", "safety", 5.0, 4), "'safety', row 4"),
    Case("samples: words for scores", column("samples", "safety", "good"), "'safety'"),
    Case("samples: booleans for scores", column("samples", "safety", True), "'safety'"),
    Case(
        "samples: times for scores",
        column("samples", "safety", pd.Timestamp("2026-01-01")),
        "'safety'",
    ),
    Case("samples: an unknown policy", column("samples", "policy", "ghost", 0), "'ghost'"),
    Case("samples: no policy", column("samples", "policy", None, 0), "'policy', row 0"),
    Case("samples: numbers for policies", column("samples", "policy", 3), "'policy'"),
    Case("samples: an unknown prompt", column("samples", "prompt_id", "ghost", 0), "'ghost'"),
    Case(
        "samples: lists for prompts",
        table("samples", lambda f: f.assign(prompt_id=pd.Series([["p"]] * len(f), dtype=object))),
        "'prompt_id'",
    ),
    Case(
        "samples: structs for texts",
        table("samples", lambda f: f.assign(text=pd.Series([{"a": 1}] * len(f), dtype=object))),
        "'text'",
    ),
    Case("samples: no text", column("samples", "text", None, 1), "'text', row 1"),
    Case("samples: bytes for texts", column("samples", "text", b"x"), "'text'"),
    Case("prompts: an id twice", column("prompts", "prompt_id", "p1", 0), "'p1' is there twice"),
    Case("prompts: an unknown split", column("prompts", "split", "test", 0), "'test'"),
    Case("prompts: no text", column("prompts", "text", None, 0), "'text', row 0"),
    Case(
        "prompts: numbers for ids",
        table("prompts", lambda f: f.assign(prompt_id=np.arange(len(f)))),
        "'prompt_id'",
    ),
]
