"""Members on a GPU: `python -m benchmarks.gpu` on any machine with CUDA, without a network.

Models of the shape of 135M, 1.7B and 8B parameters with random weights, adapters of rank 16:
members stacked on one base beside the base alone and beside peft's two ways; first token, memory, a
step against the number of members, greedy tokens beside peft's in fp32, and the training step. It
needs torch, transformers, peft, safetensors, numpy and pydantic beside this package. Rows are
printed and written to `benchmarks/gpu-CARD.md` (`--out`). `--device cpu --shape 135m --quick` tries
it without a GPU.
"""

from __future__ import annotations

import argparse
import gc
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

Row = tuple[str, str, str]

# Shapes of SmolLM2-135M, SmolLM2-1.7B and Llama-3.1-8B, as their configurations publish them.
SHAPES: dict[str, dict[str, Any]] = {
    "135m": {
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "vocab_size": 49152,
        "tie_word_embeddings": True,
    },
    "1.7b": {
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 24,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
        "vocab_size": 49152,
        "tie_word_embeddings": True,
    },
    "8b": {
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "vocab_size": 128256,
        "tie_word_embeddings": False,
    },
}
RANK = 16
STEPS = (1, 2, 4, 6, 8, 12, 16)
SYSTEM = "Answer the question in a few words, as somebody who knows the subject well would."
# Goals on an H100-class card at the shape of 8B parameters.
GOALS = {"base": 0.90, "mixed": 2.5, "memory": 0.03, "step": 1.3}


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    new_tokens: int
    repeats: int
    members: tuple[int, ...]
    prompts: tuple[int, ...]
    train_pairs: int


WHOLE = Scale(128, 3, (6, 16), (1, 8), 64)
QUICK = Scale(6, 1, (3,), (1,), 4)


class Bytes:
    """A tokenizer of bytes: what is measured doesn't depend on words. 0 pads, 1 would end."""

    pad_token_id = 0
    eos_token_id = 1
    chat_template = "bytes"

    def apply_chat_template(self, messages: list[dict[str, str]], **_: Any) -> str:
        """Messages one below the other."""
        return "".join(f"{m['role']}: {m['content']}\n" for m in messages)

    def __call__(self, text: str, **_: Any) -> dict[str, list[int]]:
        return {"input_ids": [2 + b for b in text.encode()]}


def random_model(shape: str, device: str, dtype: str) -> Any:
    """A Llama of a shape, made on the device with random weights."""
    import torch
    import transformers

    config = transformers.LlamaConfig(
        **SHAPES[shape], max_position_embeddings=4096, pad_token_id=0, eos_token_id=1
    )
    usual = torch.get_default_dtype()
    torch.manual_seed(0)
    torch.set_default_dtype(getattr(torch, dtype))
    try:
        with torch.device(device):
            made = transformers.LlamaForCausalLM(config).eval()
    finally:
        torch.set_default_dtype(usual)
    made.generation_config = transformers.GenerationConfig(eos_token_id=[1], pad_token_id=0)
    return made


def random_adapters(model: Any, names: Sequence[str]) -> dict[str, Any]:
    """Adapters of rank RANK on all linear layers but the last, with random weights."""
    import torch

    from palm_engine.lm.adapters.files import LoraWeights

    linear = [
        (path, module)
        for path, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and ".layers." in path
    ]
    made = {}
    for number, name in enumerate(names):
        source = torch.Generator("cpu").manual_seed(number)
        made[name] = LoraWeights(
            {
                path: (
                    0.02 * torch.randn(RANK, m.in_features, generator=source),
                    0.02 * torch.randn(m.out_features, RANK, generator=source),
                    2.0,
                )
                for path, m in linear
            }
        )
    return made


@contextmanager
def in_peft(model: Any, adapters: dict[str, Any]) -> Iterator[Any]:
    """The same adapters in peft, on the same model; taken off again at the end."""
    import torch
    from peft import LoraConfig, get_peft_model

    lora = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear")
    first, *others = adapters
    adapted = get_peft_model(model, lora, adapter_name=first, autocast_adapter_dtype=False)
    for name in others:
        adapted.add_adapter(name, lora)
    layers = dict(adapted.base_model.model.named_modules())
    with torch.no_grad():
        for name, weights in adapters.items():
            for path, (a, b, _) in weights.layers.items():
                layers[path].lora_A[name].weight.copy_(a)
                layers[path].lora_B[name].weight.copy_(b)
    adapted.to(model.dtype).eval()
    try:
        yield adapted
    finally:
        adapted.unload()


@contextmanager
def nobody_ends() -> Iterator[None]:
    """No answer ends before its last token: every batch stays as it is."""
    import palm_engine.lm.generation.sampling as sampling

    usual = sampling.end_token_ids
    sampling.end_token_ids = lambda model, tokenizer: frozenset()
    try:
        yield
    finally:
        sampling.end_token_ids = usual


class Bench:
    """A model on a device, and its adapters."""

    def __init__(self, shape: str, device: str, dtype: str, members: int, scale: Scale) -> None:
        self.device = device
        self.scale = scale
        self.model = random_model(shape, device, dtype)
        self.tokenizer = Bytes()
        self.names = [f"m{i}" for i in range(members)]
        self.adapters = random_adapters(self.model, self.names)

    def settings(self, greedy: bool = False) -> Any:
        """How tokens are drawn, ours and peft's alike."""
        from palm_engine.lm.settings import SamplingSettings

        return SamplingSettings(
            max_new_tokens=self.scale.new_tokens,
            temperature=0.0 if greedy else 0.7,
            top_p=0.95,
            top_k=100,
            repetition_penalty=1.0,
        )

    def requests(self, names: Sequence[str], prompts: int) -> list[Any]:
        """Every member's question, each of its own length."""
        from palm_engine.lm.generation.conversation import Request

        texts = [
            f"Question {i}: what should I cook on day {10**i} of a camp?" for i in range(prompts)
        ]
        return [Request(SYSTEM, text, (i,), name) for name in names for i, text in enumerate(texts)]

    def draw(self, requests: list[Any], running: Any, greedy: bool = False) -> tuple[int, float]:
        """Tokens drawn by our loop, and seconds to the first."""
        from palm_engine.lm.generation.sampling import stream_tokens

        self.wait()
        started = time.perf_counter()
        first = 0.0
        count = 0
        with nobody_ends():
            for tokens in stream_tokens(
                self.model, self.tokenizer, requests, self.settings(greedy), running
            ):
                first = first or time.perf_counter() - started
                count += len(tokens)
        return count, first

    def generate(self, adapted: Any, requests: list[Any], names: Sequence[str] | None) -> int:
        """Tokens drawn by transformers' generate through peft."""
        import torch

        from palm_engine.lm.generation.conversation import left_padded

        batch = left_padded(self.model, self.tokenizer, requests)
        more = {} if names is None else {"adapter_names": list(names)}
        with torch.inference_mode():
            out = adapted.generate(
                input_ids=batch.input_ids,
                attention_mask=batch.mask,
                max_new_tokens=self.scale.new_tokens,
                min_new_tokens=self.scale.new_tokens,
                do_sample=True,
                temperature=0.7,
                top_p=0.95,
                top_k=100,
                **more,
            )
        return int(out.shape[0] * (out.shape[1] - batch.input_ids.shape[1]))

    def wait(self) -> None:
        """Until the device has done what it was given."""
        import torch

        if self.device.startswith("cuda"):
            torch.cuda.synchronize()

    def rate(self, work: Callable[[], int]) -> float:
        """Median tokens per second, after one run that isn't counted."""
        found = []
        for repeat in range(self.scale.repeats + 1):
            self.wait()
            started = time.perf_counter()
            count = work()
            self.wait()
            if repeat:
                found.append(count / (time.perf_counter() - started))
        return statistics.median(found)

    def memory(self) -> int:
        """Bytes in use on the device; 0 where that isn't known."""
        import torch

        self.wait()
        gc.collect()
        return int(torch.cuda.memory_allocated()) if self.device.startswith("cuda") else 0


def speed_rows(shape: str, device: str, members: int, scale: Scale) -> list[Row]:
    """Members stacked beside the base alone and peft, for each number of prompts."""
    from palm_engine.lm.adapters.stack import AdapterStack

    bench = Bench(shape, device, "bfloat16", members, scale)
    weights = sum(p.numel() * p.element_size() for p in bench.model.parameters())
    before = bench.memory()
    ours: dict[int, float] = {}
    first: dict[int, float] = {}
    alone: dict[int, float] = {}
    stack = AdapterStack(bench.model)
    for prompts in scale.prompts:
        requests = bench.requests(bench.names, prompts)
        plain = stack.on_rows([None] * len(requests))
        alone[prompts] = bench.rate(lambda r=requests, p=plain: bench.draw(r, p)[0])  # type: ignore[misc]
    stack.add(bench.adapters)
    taken = sum(stack.bytes_of(name) for name in bench.names)
    after = bench.memory()
    for prompts in scale.prompts:
        requests = bench.requests(bench.names, prompts)
        under = stack.on_rows([r.policy for r in requests])
        ours[prompts] = bench.rate(lambda r=requests, u=under: bench.draw(r, u)[0])  # type: ignore[misc]
        first[prompts] = statistics.median(bench.draw(requests, under)[1] for _ in range(3))
    stack.close()
    rows = []
    with in_peft(bench.model, bench.adapters) as adapted:
        for prompts in scale.prompts:
            requests = bench.requests(bench.names, prompts)
            mixed = bench.rate(
                lambda r=requests: bench.generate(adapted, r, [x.policy for x in r])  # type: ignore[misc]
            )

            def one_by_one(prompts: int = prompts) -> int:
                count = 0
                for name in bench.names:
                    adapted.set_adapter(name)
                    count += bench.generate(adapted, bench.requests([name], prompts), None)
                return count

            in_turns = bench.rate(one_by_one)
            what = f"{shape}, {members} members x {prompts}, bf16"
            mine = ours[prompts]
            rows += [
                (
                    f"{what}, tokens per second{_goal('base', 'x')}",
                    f"{mine / alone[prompts]:.2f}x ({mine:.0f})",
                    f"base alone, own loop, same batch ({alone[prompts]:.0f})",
                ),
                (
                    f"{what}, tokens per second{_goal('mixed', 'x')}",
                    f"{mine / mixed:.2f}x",
                    f"peft generate(adapter_names=...), mixed batch ({mixed:.0f})",
                ),
                (
                    f"{what}, tokens per second",
                    f"{mine / in_turns:.2f}x",
                    f"peft, one adapter after another ({in_turns:.0f})",
                ),
                (f"{what}, first token", f"{1000 * first[prompts]:.0f} ms", ""),
            ]
    used = after - before if before else taken
    rows.append(
        (
            f"{shape}, memory of {members} members over the base{_goal('memory')}",
            f"{used / weights:.1%}",
            f"the base's weights, {weights / 1e9:.2f} GB",
        )
    )
    return rows


def step_rows(shape: str, device: str, scale: Scale) -> list[Row]:
    """A step of so many members, one row each, beside a step of one."""
    from palm_engine.lm.adapters.stack import AdapterStack

    most = max(scale.members)
    bench = Bench(shape, device, "bfloat16", most, scale)
    stack = AdapterStack(bench.model)
    seconds = {}
    for count in sorted({s for s in STEPS if s < most} | {most}):
        names = bench.names[:count]
        stack.add({n: bench.adapters[n] for n in names})
        requests = bench.requests(names, 1)
        under = stack.on_rows(names)
        rate = bench.rate(lambda r=requests, u=under: bench.draw(r, u)[0])  # type: ignore[misc]
        seconds[count] = 1000 * count / rate
    stack.close()
    shown = ", ".join(f"{count}: {s:.1f} ms" for count, s in seconds.items())
    return [
        (
            f"{shape}, a step of {most} members{_goal('step', 'x')}",
            f"{seconds[most] / seconds[1]:.2f}x",
            f"a step of one; {shown}",
        )
    ]


def greedy_row(device: str, scale: Scale) -> Row:
    """Greedy tokens in fp32 beside peft's set_adapter, one member after another."""
    import torch

    from palm_engine.lm.adapters.stack import AdapterStack
    from palm_engine.lm.generation.conversation import left_padded
    from palm_engine.lm.generation.sampling import stream_tokens

    bench = Bench("135m", device, "float32", min(scale.members), scale)
    requests = bench.requests(bench.names, 1)
    own: list[list[int]] = [[] for _ in requests]
    stack = AdapterStack(bench.model)
    stack.add(bench.adapters)
    under = stack.on_rows(bench.names)
    for tokens in stream_tokens(
        bench.model, bench.tokenizer, requests, bench.settings(greedy=True), under
    ):
        for row, token in zip(own, tokens, strict=True):
            if token is not None:
                row.append(token)
    stack.close()
    same = 0
    with in_peft(bench.model, bench.adapters) as adapted, torch.inference_mode():
        for request, row in zip(requests, own, strict=True):
            adapted.set_adapter(request.policy)
            batch = left_padded(bench.model, bench.tokenizer, [request])
            out = adapted.generate(
                input_ids=batch.input_ids,
                attention_mask=batch.mask,
                max_new_tokens=scale.new_tokens,
                do_sample=False,
            )
            same += out[0, batch.input_ids.shape[1] :].tolist()[: len(row)] == row
    return (
        "135m, greedy tokens in fp32 (goal: identical)",
        f"{same} of {len(requests)} answers identical",
        "peft set_adapter and generate, one adapter after another",
    )


def training_rows(shape: str, device: str, scale: Scale) -> list[Row]:
    """Tokens per second of the training of one adapter."""
    from palm_engine.lm.settings import TrainingSettings
    from palm_engine.lm.training import Pair, train_adapter

    model = random_model(shape, device, "bfloat16")
    answer = "Rice, beans and whatever grows beside the tent, with a little salt. " * 4
    pairs = [
        Pair(None, f"Question {i}: what should I cook?", answer, True, 1.0)
        for i in range(scale.train_pairs)
    ]
    tokens = sum(len(p.prompt) + len(p.answer) for p in pairs)
    settings = TrainingSettings(rank=RANK, epochs=1, batch_size=min(16, len(pairs)), held_out=0)
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        for repeat in range(2):
            started = time.perf_counter()
            train_adapter(model, Bytes(), pairs, settings, 0, Path(folder) / f"a{repeat}")
            seconds.append(time.perf_counter() - started)
    return [
        (
            f"{shape}, training of one adapter, bf16, batches of {settings.batch_size}",
            f"{tokens / seconds[-1]:.0f} tokens per second",
            f"{len(pairs)} pairs of {tokens // len(pairs)} tokens",
        )
    ]


def _goal(name: str, unit: str = "") -> str:
    goal = GOALS[name]
    return f" (goal at 8b: {goal:.0%})" if not unit else f" (goal at 8b: {goal}{unit})"


def card_of(device: str) -> str:
    """The device's name."""
    import torch

    if device.startswith("cuda"):
        return str(torch.cuda.get_device_name())
    return f"CPU {platform.machine()}"


def page(card: str, rows: Sequence[Row]) -> str:
    """Rows as Markdown."""
    import peft
    import torch
    import transformers

    versions = f"torch {torch.__version__}, transformers {transformers.__version__}"
    lines = [
        f"# Members on {card}",
        "",
        f"`python -m benchmarks.gpu`; {versions}, peft {peft.__version__}. Random weights.",
        "",
        "| what | result | reference in the same run |",
        "| --- | --- | --- |",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
    return "\n".join(lines) + "\n"


def measured(device: str, shapes: Sequence[str], scale: Scale) -> Iterator[Row]:
    """Every row as it is measured; a shape that the device has no memory for says so."""
    import torch

    yield greedy_row(device, scale)
    for shape in shapes:
        works: list[Callable[[], list[Row]]] = [
            *(partial(speed_rows, shape, device, m, scale) for m in scale.members),
            partial(step_rows, shape, device, scale),
            partial(training_rows, shape, device, scale),
        ]
        for work in works:
            try:
                yield from work()
            except torch.OutOfMemoryError:
                yield shape, "not run: out of memory", ""
            gc.collect()
            if device.startswith("cuda"):
                torch.cuda.empty_cache()


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--shape", action="append", choices=list(SHAPES))
    parser.add_argument("--quick", action="store_true", help="few tokens, to see that it runs")
    parser.add_argument("--out", type=Path, help="file to write (benchmarks/gpu-CARD.md)")
    given = parser.parse_args()
    import torch

    if given.device.startswith("cuda") and not torch.cuda.is_available():
        raise SystemExit("torch sees no CUDA device here; --device cpu --quick tries it without")
    card = card_of(given.device)
    rows = []
    for row in measured(given.device, given.shape or list(SHAPES), QUICK if given.quick else WHOLE):
        print("  " + " | ".join(row), flush=True)
        rows.append(row)
    name = "".join(c if c.isalnum() else "-" for c in card)
    out = given.out or Path(__file__).with_name(f"gpu-{name}.md")
    out.write_text(page(card, rows), encoding="utf-8")
    print(f"Wrote {out}")


if __name__ == "__main__":
    main()
