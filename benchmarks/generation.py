"""Members live: all members in one batch on a stack of adapters, beside the base alone and beside
peft's two ways.

One thread, the demo bundle, NEW_TOKENS new tokens per row with no answer ending early; medians of
paired runs in one process, tokens per CPU second, so that what else the machine does counts little.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.chart import line_chart
from palm_engine.bundle.folder import Bundle, read_bundle

if TYPE_CHECKING:
    from palm_engine.serving.backends.local import LocalModel

ROOT = Path(__file__).resolve().parents[1]
NEW_TOKENS = 48
REPEATS = 3
GREEDY_PROMPTS = 24
ONE_MORE = "lora-100-00-00"  # the demo keeps five; the claims are about six
STEPS = (1, 2, 4, 8, 12, 16)


def members_of(bundle: Bundle, count: int) -> list[str]:
    """`count` adapters of the demo, its members first."""
    own = [bundle.policies[i] for i in bundle.members]
    more = [ONE_MORE, *(c.policy for c in bundle.manifest.candidates if c.adapter)]
    return list(dict.fromkeys([*own, *more]))[:count]


class Bench:
    """One base in one dtype, the adapters stacked on it, and the same adapters in a peft model of
    their own.
    """

    def __init__(self, bundle: Bundle, dtype: str) -> None:
        from palm_engine.lm.base_model.load import load_base
        from palm_engine.serving.backends.interface import live_settings
        from palm_engine.serving.backends.local import LocalBackend, LocalModel

        self.bundle = bundle
        self.members = members_of(bundle, 6)
        assert bundle.manifest.base is not None
        source = bundle.manifest.base.source
        self.backend = LocalBackend(
            LocalModel.of(load_base(source, lambda _: None, dtype, threads=1)), bundle
        )
        self.backend.load(self.members)
        self.alone = LocalModel.of(load_base(source, lambda _: None, dtype, threads=1))
        self.plain = load_base(source, lambda _: None, dtype, threads=1)
        self.settings = live_settings(bundle, max_new_tokens=NEW_TOKENS)
        texts = bundle.prompts[bundle.prompts["split"] != "train"]["text"]
        self.prompts = [str(t) for t in texts.head(GREEDY_PROMPTS)]

    def peft(self, same_dtype: bool = True) -> Any:
        """A fresh base with all adapters, in the base's dtype as ours are, or in fp32 as peft keeps
        them by default.
        """
        from peft import PeftModel

        from palm_engine.lm.base_model.load import load_base

        assert self.bundle.manifest.base is not None
        dtype = str(self.plain.model.dtype).removeprefix("torch.")
        base = load_base(self.bundle.manifest.base.source, lambda _: None, dtype, threads=1).model
        model: Any = None
        for member in self.members:
            folder = str(self.bundle.adapter_folder(member))
            if model is None:
                model = PeftModel.from_pretrained(
                    base, folder, adapter_name=member, autocast_adapter_dtype=not same_dtype
                )
            else:
                model.load_adapter(
                    folder, adapter_name=member, autocast_adapter_dtype=not same_dtype
                )
        return (model.to(base.dtype) if same_dtype else model).eval()

    def stream(
        self, model: LocalModel, prompts: int, members: list[str] | None, running: Any
    ) -> int:
        """Tokens that the own loop draws for members x prompts."""
        from palm_engine.lm.generation.sampling import stream_tokens

        requests = self.backend.requests(
            self.prompts[:prompts], members or self.members, self.settings
        )
        steps = stream_tokens(
            model.base.model, model.base.tokenizer, requests, self.settings, running
        )
        return sum(len(tokens) for tokens in steps)

    def stacked(self, prompts: int, members: list[str] | None = None) -> int:
        """The product's way: one batch, every row under its own adapter."""
        running = self.backend.running(members or self.members, prompts)
        return self.stream(self.backend.model, prompts, members, running)

    def base_alone(self, prompts: int, members: list[str] | None = None) -> int:
        """As many rows on the base as the product loads it, with no adapter on it."""
        rows = len(members or self.members) * prompts
        return self.stream(self.alone, prompts, members, self.alone.stack.on_rows([None] * rows))

    def peft_generate(self, model: Any, prompts: int, mixed: bool) -> int:
        """transformers' generate through peft: one mixed batch, or one adapter after another."""
        import torch

        from palm_engine.lm.generation.conversation import left_padded

        options = {
            "max_new_tokens": NEW_TOKENS,
            "min_new_tokens": NEW_TOKENS,
            "do_sample": True,
            "top_p": 0.95,
            "top_k": 100,
            "temperature": 0.7,
            "pad_token_id": self.plain.tokenizer.pad_token_id,
        }
        total = 0
        groups = [self.members] if mixed else [[m] for m in self.members]
        for group in groups:
            requests = self.backend.requests(self.prompts[:prompts], group, self.settings)
            batch = left_padded(self.plain.model, self.plain.tokenizer, requests)
            names = [m for m in group for _ in range(prompts)]
            if not mixed:
                model.set_adapter(group[0])
            with torch.inference_mode():
                out = model.generate(
                    input_ids=batch.input_ids,
                    attention_mask=batch.mask,
                    **options,
                    **({"adapter_names": names} if mixed else {}),
                )
            total += int(out.shape[0] * (out.shape[1] - batch.input_ids.shape[1]))
        return total


def rates(ways: dict[str, Callable[[], int]], repeats: int = REPEATS) -> dict[str, float]:
    """Median tokens per CPU second of every way; they take turns, after one uncounted round."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(repeats + 1):
        for name, way in ways.items():
            started = time.process_time()
            tokens = way()
            if repeat:
                found[name].append(tokens / (time.process_time() - started))
    return {name: statistics.median(values) for name, values in found.items()}


def identical_to_peft(bench: Bench, model: Any) -> tuple[int, int]:
    """Greedy tokens in fp32: prompts x members whose tokens all equal those of peft's
    `set_adapter`, and how many.
    """
    import torch

    from palm_engine.lm.generation.conversation import left_padded
    from palm_engine.lm.generation.sampling import stream_tokens
    from palm_engine.serving.backends.interface import live_settings

    settings = live_settings(
        bench.bundle, max_new_tokens=NEW_TOKENS, temperature=0, repetition_penalty=1.0
    )
    requests = bench.backend.requests(bench.prompts, bench.members, settings)
    own: list[list[int]] = [[] for _ in requests]
    running = bench.backend.running(bench.members, len(bench.prompts))
    model_ = bench.backend.model.base.model
    for tokens in stream_tokens(model_, bench.plain.tokenizer, requests, settings, running):
        for row, token in zip(own, tokens, strict=True):
            if token is not None:
                row.append(token)
    same = 0
    count = len(bench.prompts)
    for i, member in enumerate(bench.members):
        model.set_adapter(member)
        batch = left_padded(
            bench.plain.model, bench.plain.tokenizer, requests[i * count : (i + 1) * count]
        )
        with torch.inference_mode():
            out = model.generate(
                input_ids=batch.input_ids,
                attention_mask=batch.mask,
                max_new_tokens=NEW_TOKENS,
                do_sample=False,
                repetition_penalty=1.0,
                pad_token_id=bench.plain.tokenizer.pad_token_id,
            )
        for j, row in enumerate(out[:, batch.input_ids.shape[1] :].tolist()):
            reference = own[i * count + j]
            same += row[: len(reference)] == reference and not set(row[len(reference) :]) - {
                bench.plain.tokenizer.pad_token_id
            }
    return same, len(requests)


def switch_seconds(bench: Bench) -> float:
    """Median seconds to unload six members, load six others and check them."""
    from palm_engine.serving.selfcheck import self_check

    everyone = members_of(bench.bundle, 12)
    halves = [everyone[:6], everyone[6:]]
    times = []
    for i in range(7):  # those of the first half are loaded
        started = time.perf_counter()
        for member in halves[i % 2]:
            bench.backend.unload(member)
        self_check(bench.backend, halves[1 - i % 2])
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def rows() -> list[tuple[str, str, str]]:
    """The claims about live generation, where the language model packages are installed."""
    try:
        import peft  # noqa: F401
        import torch  # noqa: F401
    except ImportError:
        return [("members live", "not run: the extra 'lm' isn't installed", "")]
    import palm_engine.lm.generation.sampling as sampling

    bundle = read_bundle(ROOT / "portfolios" / "demo")
    found: list[tuple[str, str, str]] = []
    usual = sampling.end_token_ids
    for dtype, base_goal, mixed_goal in (("float32", 0.85, 1.7), ("bfloat16", 0.75, 2.2)):
        bench = Bench(bundle, dtype)
        model = bench.peft()
        if dtype == "float32":
            same, of = identical_to_peft(bench, model)
            found.append(
                (
                    (
                        f"greedy tokens in fp32, 6 members x {GREEDY_PROMPTS} prompts (goal:"
                        " identical)"
                    ),
                    f"{same} of {of} answers identical",
                    "peft set_adapter and generate, one adapter after another",
                )
            )
        sampling.end_token_ids = lambda model, tokenizer: frozenset()  # nobody ends early
        try:
            for prompts in (1, 8) if dtype == "bfloat16" else (1,):
                ways = _ways(bench, model, prompts)
                if dtype == "bfloat16":
                    default = bench.peft(same_dtype=False)
                    ways["default"] = partial(bench.peft_generate, default, prompts, True)
                got = rates(ways, REPEATS if prompts == 1 else 2)
                what = (
                    f"6 members x {prompts} prompt{'s' if prompts > 1 else ''}, {dtype}, tokens per"
                    " CPU second"
                )
                goals = (base_goal, mixed_goal, 3.5) if prompts == 1 else (0.80, 3.5, None)
                for name, goal, label in (
                    ("base", goals[0], "base alone, own loop, same batch"),
                    ("mixed", goals[1], "peft generate(adapter_names=...), mixed batch"),
                    ("one by one", goals[2], "peft, one adapter after another"),
                    ("default", None, "peft mixed batch with its default: adapters kept in fp32"),
                ):
                    if name not in got:
                        continue
                    aim = f" (goal {goal}x)" if goal else ""
                    found.append(
                        (
                            f"{what}{aim}",
                            f"{got['ours'] / got[name]:.2f}x ({got['ours']:.0f})",
                            f"{label} ({got[name]:.0f})",
                        )
                    )
            if dtype == "bfloat16":
                weights = bench.alone.stack.base_bytes
                plain = sum(p.numel() * p.element_size() for p in bench.plain.model.parameters())
                more = weights + sum(bench.backend.bytes_of(m) for m in bench.members) - plain
                found.append(
                    (
                        "memory of 6 members over the base alone, bf16 (goal 10 %)",
                        f"{more / plain:.1%}",
                        f"the base's weights as transformers loads them, {plain / 1e6:.0f} MB",
                    )
                )
                found += _growth(bench)
        finally:
            sampling.end_token_ids = usual
        if dtype == "bfloat16":
            found.append(
                (
                    (
                        "switch to another portfolio of 6 on the loaded base, checks included (goal"
                        " 1 s)"
                    ),
                    f"{switch_seconds(bench):.2f} s",
                    "",
                )
            )
    return found


def _ways(bench: Bench, model: Any, prompts: int) -> dict[str, Callable[[], int]]:
    return {
        "ours": lambda: bench.stacked(prompts),
        "base": lambda: bench.base_alone(prompts),
        "mixed": lambda: bench.peft_generate(model, prompts, True),
        "one by one": lambda: bench.peft_generate(model, prompts, False),
    }


def _growth(bench: Bench) -> list[tuple[str, str, str]]:
    """Cost of a step against the number of members, beside the base alone with as many rows.

    Plotted.
    """
    everyone = members_of(bench.bundle, max(STEPS))
    for member in everyone:
        bench.backend.unload(member)
    ours = []
    base = []
    for count in STEPS:
        members = everyone[:count]
        bench.backend.load(members)  # a step pays for what is stacked: exactly these
        ways: dict[str, Callable[[], int]] = {
            "ours": lambda m=members: bench.stacked(1, m),  # type: ignore[misc]
            "base": lambda m=members: bench.base_alone(1, m),  # type: ignore[misc]
        }
        got = rates(ways, 1)
        ours.append(1000 * count / got["ours"])
        base.append(1000 * count / got["base"])
    for member in everyone:
        bench.backend.unload(member)
    bench.backend.load(bench.members)
    line_chart(
        "generation-members",
        "Cost of a step against the number of members (bf16, one prompt each)",
        "members",
        "CPU milliseconds a step",
        list(map(float, STEPS)),
        {"members on a stack": ours, "base alone, same rows": base},
    )
    return [
        (
            (
                f"a step with {STEPS[-1]} members against one with {STEPS[0]} (goal: sub-linear,"
                f" below {STEPS[-1]}x)"
            ),
            f"{ours[-1] / ours[0]:.1f}x ({ours[-1]:.0f} ms)",
            f"base alone, as many rows: {base[-1] / base[0]:.1f}x",
        )
    ]
