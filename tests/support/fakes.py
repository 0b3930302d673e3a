"""A tiny language model with a byte tokenizer, adapters for it, and an OpenAI-compatible server.

No weights needed.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from palm_engine.bundle.folder import Bundle
from palm_engine.bundle.manifest import Manifest
from palm_engine.bundle.writing import write_bundle

if TYPE_CHECKING:
    from palm_engine.lm.adapters.stack import AdapterStack

TRAITS = ("safety", "humor", "brevity")
SYSTEM = "be brief"


class ByteTokenizer:
    """One token a byte; 0 pads, 1 ends."""

    pad_token_id = 0
    eos_token_id = 1

    def apply_chat_template(self, messages: list[dict[str, str]], **_: Any) -> str:
        return "".join(f"{m['role'][0]}:{m['content']}\n" for m in messages)

    def __call__(self, text: str, **_: Any) -> dict[str, list[int]]:
        return {"input_ids": list(text.encode())}

    def decode(self, ids: Any, **_: Any) -> str:
        return bytes(i for i in ids if i > 1).decode("latin-1")


class TurnTokenizer(ByteTokenizer):
    """Its template ends an answer with a token of its own, 5, which isn't the tokenizer's 1."""

    all_special_ids = (0, 1, 5)

    def apply_chat_template(self, messages: list[dict[str, str]], **_: Any) -> str:
        return "".join(f"{m['role'][0]}:{m['content']}\x05" for m in messages)


def tiny_llama(seed: int = 0, vocabulary: int = 256) -> Any:
    """A two-layer Llama over bytes with random weights, fp32."""
    import torch
    import transformers

    torch.manual_seed(seed)
    config = transformers.LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        eos_token_id=1,
        pad_token_id=0,
        max_position_embeddings=512,
    )
    made = transformers.LlamaForCausalLM(config).eval()
    made.generation_config = transformers.GenerationConfig(eos_token_id=[1], pad_token_id=0)
    return made


def tiny_gemma() -> Any:
    """Layers with a sliding window and without, in turns; four heads share two."""
    import torch
    import transformers

    torch.manual_seed(1)
    return transformers.Gemma3ForCausalLM(
        transformers.Gemma3TextConfig(
            vocab_size=256,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=8,
            sliding_window=24,
            pad_token_id=0,
            eos_token_id=1,
            bos_token_id=2,
            initializer_range=0.3,
            tie_word_embeddings=False,
            query_pre_attn_scalar=8,
            layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        )
    ).eval()


GROUPED = {"intermediate_size": 48, "num_key_value_heads": 2}
# What a model does after its head, or how it is shaped, differs: scaled logits (Granite, Cohere),
# soft caps (Gemma 2), no `.model` inside (GPT-2, GPT-NeoX).
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "Llama": GROUPED,
    "Mistral": GROUPED,
    "Qwen2": GROUPED,
    "Qwen3": GROUPED | {"head_dim": 8},
    "Gemma2": GROUPED
    | {
        "head_dim": 8,
        "query_pre_attn_scalar": 8,
        "final_logit_softcapping": 1.0,
        "sliding_window": 24,
    },
    "Granite": GROUPED | {"logits_scaling": 4.0},
    "Cohere": GROUPED | {"logit_scale": 0.25},
    "Phi": {"intermediate_size": 48},
    "GPT2": {"attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0},
    "GPTNeoX": {"intermediate_size": 48},
}


def tiny_model(architecture: str) -> Any:
    """A two-layer model over bytes with random weights, of a key of ARCHITECTURES or Gemma3."""
    import torch
    import transformers

    if architecture == "Gemma3":
        return tiny_gemma()
    torch.manual_seed(0)
    config = getattr(transformers, f"{architecture}Config")(
        vocab_size=256,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=512,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=2,
        initializer_range=0.3,
        **ARCHITECTURES[architecture],
    )
    head = "LMHeadModel" if architecture == "GPT2" else "ForCausalLM"
    return getattr(transformers, architecture + head)(config).eval()


def stacked(model: Any, stack: AdapterStack, names: list[str | None], ids: Any) -> Any:
    """Logits of the model with a stacked adapter, or None, for each row."""
    import torch

    with torch.inference_mode(), stack.on_rows(names)(torch.arange(len(names))):
        return model(ids).logits


def tiny_base(folder: Path) -> Path:
    """A base model as a folder: a tiny Llama with a real tokenizer of bytes and a chat template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"<pad>": 0, "<end>": 1} | {letter: i + 2 for i, letter in enumerate(alphabet)}
    made = Tokenizer(models.BPE(vocabulary, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", eos_token="<end>")
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m['role'][0] }}:{{ m['content'] }}\n{% endfor %}"
    )
    tiny_llama(vocabulary=len(vocabulary)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def tiny_classifier(folder: Path, labels: list[str], seed: int = 0) -> Path:
    """A sequence classifier as a folder: a tiny BERT with random weights, letters for tokens."""
    import torch
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = {"[PAD]": 0, "[CLS]": 1, "[SEP]": 2}
    vocabulary = special | {letter: i + 3 for i, letter in enumerate(letters)}
    made = Tokenizer(models.BPE(vocabulary, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]"
    )
    torch.manual_seed(seed)
    config = transformers.BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        initializer_range=0.3,
        num_labels=len(labels),
        id2label=dict(enumerate(labels)),
    )
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def live_bundle(folder: Path, base: Path) -> Bundle:
    """The tiny bundle on `base`, with its real fingerprint: it can be loaded and asked."""
    made = on_base(tiny_bundle(folder), base)
    (folder / "portfolio.json").write_text(made.manifest.model_dump_json(exclude_none=True))
    return made


def served_bundle(folder: Path, made: Bundle, served: dict[str, str]) -> Path:
    """A bundle without a base: policies of `made` that servers hold, with their recorded answers.

    `served` maps them to what the bundle says of their model and server. The folder.
    """
    folder.mkdir()
    made.prompts.to_parquet(folder / "prompts.parquet", index=False)
    own = made.samples[made.samples["policy"].isin(list(served))]
    own.to_parquet(folder / "samples.parquet", index=False)
    raw = json.loads((made.folder / "portfolio.json").read_text())
    raw |= {"name": folder.name, "base": None}
    raw["members"] = [m for m in raw["members"] if m["policy"] in served]
    raw["candidates"] = [
        {k: c[k] for k in ("policy", "rewards")} | {"kind": "remote", "served": served[name]}
        for c in raw["candidates"]
        if (name := c["policy"]) in served
    ]
    (folder / "portfolio.json").write_text(json.dumps(raw))
    return folder


def on_base(made: Bundle, base: Path) -> Bundle:
    """A bundle on another base, with its real fingerprint; nothing is written."""
    from palm_engine.lm.base_model.places import fingerprint

    assert made.manifest.base is not None
    named = made.manifest.base.model_copy(
        update={"source": str(base), "fingerprint": fingerprint(base)}
    )
    return Bundle(made.folder, made.manifest.model_copy(update={"base": named}))


def write_adapter(
    folder: Path,
    seed: int,
    rank: int = 4,
    targets: Any = "all-linear",
    architecture: str = "",
    **options: Any,
) -> Path:
    """A LoRA adapter of peft's own making, with random weights large enough to matter.

    For the tiny Llama, or for the tiny model of an `architecture`.
    """
    import torch
    from peft import LoraConfig, get_peft_model

    lora = LoraConfig(
        r=rank, lora_alpha=2 * rank, target_modules=targets, task_type="CAUSAL_LM", **options
    )
    adapted = get_peft_model(tiny_model(architecture) if architecture else tiny_llama(), lora)
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                parameter.normal_(0, 0.4)
    adapted.save_pretrained(str(folder))
    return folder


def tiny_bundle(folder: Path) -> Bundle:
    """A bundle over the tiny model.

    Base, a prompted policy, and adapters of unequal rank and targets.
    """
    from palm_engine.lm.adapters.files import adapter_sha256

    made = {
        "a": write_adapter(folder.parent / ".a", 1),
        "b": write_adapter(folder.parent / ".b", 2, rank=2, use_rslora=True),
        "c": write_adapter(folder.parent / ".c", 3, rank=8, targets=["q_proj", "down_proj"]),
    }
    points = {
        "base": (0.3, 0.3, 0.3),
        "short": (0.3, 0.3, 0.5),
        "a": (0.9, 0.1, 0.2),
        "b": (0.1, 0.9, 0.2),
    }
    points["c"] = (0.2, 0.1, 0.9)
    entries = []
    for policy, values in points.items():
        entry: dict[str, Any] = {
            "policy": policy,
            "kind": {"base": "base", "short": "prompted"}.get(policy, "adapter"),
            "rewards": dict(zip(TRAITS, values, strict=True)),
            "system": SYSTEM if policy in ("short", "c") else "",
        }
        if policy in made:
            entry |= {
                "adapter": f"adapters/{policy}",
                "adapter_sha256": adapter_sha256(made[policy]),
            }
        entries.append(entry)
    import pandas as pd

    ids = ["p0", "p1"]
    texts = ["Hello there?", "What now?"]
    samples = [
        {
            "policy": e["policy"],
            "prompt_id": p,
            "sample_id": s,
            "tokens": 9,
            "text": f"{e['policy']} says {s} on {p}",
        }
        | e["rewards"]
        for e in entries
        for p in ids
        for s in range(2)
    ]
    manifest = Manifest.model_validate(
        {
            "name": folder.name,
            "candidates": entries,
            "base": {"source": "tiny", "fingerprint": "f" * 64},
            # Length alone is registered and needs no model.
            "traits": [{"name": t, "reward": "length", "normalisation": "none"} for t in TRAITS],
            "members": [
                {"policy": p, "weights": dict(zip(TRAITS, w, strict=True))}
                for p, w in (("a", (1, 0, 0)), ("b", (0, 1, 0)), ("c", (0, 0, 1)))
            ],
            "sampling": {
                "max_new_tokens": 12,
                "temperature": 0.7,
                "top_p": 0.95,
            },  # tests of limits rely on 12
        }
    )
    tables = {
        "prompts": pd.DataFrame({"prompt_id": ids, "split": "certify", "text": texts}),
        "samples": pd.DataFrame(samples),
    }
    return write_bundle(folder, manifest, tables, made)


def tiny_local(bundle: Bundle) -> Any:
    """A LocalBackend of the bundle on a fresh tiny model."""
    from palm_engine.lm.base_model.load import BaseModel
    from palm_engine.serving.backends.local import LocalBackend, LocalModel

    base = BaseModel("tiny", Path("/nowhere"), "f" * 64, tiny_llama(), ByteTokenizer())
    return LocalBackend(LocalModel.of(base), bundle)


@contextmanager
def fake_server(
    models: list[str],
    pause: float = 0.0,
    reply: Callable[[dict[str, Any]], str] = lambda body: "",
    refuse: Callable[[dict[str, Any]], str | None] = lambda body: None,
    finish: str | None = None,
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server with OpenAI's interface: says its model and the prompt, a word a piece.

    A request that doesn't stream gets what `reply` makes of it; one that `refuse` has an answer to
    gets that and status 400. A stream says at its end that it is over for the reason `finish`.
    Address, requests.
    """
    asked: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None: ...

        def do_GET(self) -> None:
            self._json(
                {
                    "object": "list",
                    "data": [
                        {"id": m, "object": "model", "created": 0, "owned_by": "x"} for m in models
                    ],
                }
            )

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append(body | {"key": (self.headers["Authorization"] or "").partition(" ")[2]})
            if body["model"] not in models or "REFUSE" in body["messages"][-1]["content"]:
                self._json({"error": {"message": "no such thing", "type": "x", "code": 404}}, 404)
                return
            if (why := refuse(body)) is not None:
                self._json({"error": {"message": why, "type": "x", "code": 400}}, 400)
                return
            if not body.get("stream"):
                message = {"role": "assistant", "content": reply(body)}
                choice = {"index": 0, "message": message, "finish_reason": "stop"}
                usage = {"prompt_tokens": 100, "completion_tokens": 2, "total_tokens": 102}
                whole = {"id": "1", "object": "chat.completion", "created": 0, "model": "m"}
                self._json(whole | {"choices": [choice], "usage": usage})
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            words = f"{body['model']} answers {body['messages'][-1]['content']} indeed".split()
            words = words[: body["max_tokens"]]
            for i, word in enumerate(words):
                self._event(
                    {
                        "choices": [
                            {"index": 0, "delta": {"content": word if i == 0 else f" {word}"}}
                        ]
                    }
                )
                time.sleep(pause)
            if finish is not None:
                self._event({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
            ended = len(words) < body["max_tokens"]
            self._event(
                {
                    "choices": [],
                    "usage": {
                        "prompt_tokens": 1,
                        "completion_tokens": len(words) + int(ended),
                        "total_tokens": 1,
                    },
                }
            )
            self.wfile.write(b"data: [DONE]\n\n")

        def _event(self, body: dict[str, Any]) -> None:
            whole = {
                "id": "1",
                "object": "chat.completion.chunk",
                "created": 0,
                "model": "m",
            } | body
            self.wfile.write(f"data: {json.dumps(whole)}\n\n".encode())
            self.wfile.flush()

        def _json(self, body: dict[str, Any], status: int = 200) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None: ...  # a client that hangs up is part of the test

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", asked
    finally:
        server.shutdown()
        server.server_close()
