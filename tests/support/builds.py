"""A small build on a tiny model: its configuration, its project and what it reports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.fakes import tiny_base, write_adapter

REWARDS = """
def low(prompts, answers):
    return [sum(c < "P" for c in a) / max(len(a), 1) for a in answers]


def vowels(prompts, answers):
    return [sum(c in "aeiou" for c in a.lower()) / max(len(a), 1) for a in answers]
"""
CONFIG = """
name = "tiny"
title = "tiny"
seed = 0
base = "BASE"

[data]
prompts = "prompts.csv"
demonstrations = "written.csv"

[[styles]]
name = "loud"
system = "SHOUT"

[[policies]]
name = "mine"
display_name = "My own"
adapter = "mine"

[[traits]]
name = "low"
reward = {kind = "function", entry = "own:low"}

[[traits]]
name = "vowels"
reward = {kind = "function", entry = "own:vowels"}

[sampling]
max_new_tokens = 6

[pool]
samples_per_source = 2

[plan]
resolution = 10
betas = [0.05]
adapters = 3
baseline_size = 2
outside = 1

[training]
method = "rwr"
learning_rate = 1e-3
batch_size = 4
epochs = 1
draws_per_prompt = 2
held_out = 0.34
grpo = {steps = 2, generations = 2}
dpo = {margin = 0.01}

[rounds]
count = 1
answers = 1

[soups]
count = 2

[display_names]
lora-100-00 = "Low"

[evaluation]
answers_per_prompt = 1
kl_prompts = 2

[selection]
k = 2
resamples = 100

[run]
workers = 1
batch_size = 8
"""


class Recorder:
    """Keeps the titles of stages and the notes."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.notes: list[str] = []

    def stage(self, title: str, total: float) -> Any:
        """Begin a stage."""
        self.stages.append(title)
        return lambda amount: None

    def note(self, text: str) -> None:
        """Keep a note."""
        self.notes.append(text)


def write_project(folder: Path, base: Path | None = None) -> Path:
    """Data, rewards, an adapter and `tiny.toml` in a folder; the configuration's path.

    The base is the tiny one, made in the folder where none is given.
    """
    base = base or tiny_base(folder / "base")
    write_adapter(folder / "mine", 5)
    (folder / "own.py").write_text(REWARDS)
    rows = ["prompt_id,kind,split,text"]
    rows += [f"{s}-{i},any,{s},{s} {i}?" for s in ("train", "choose", "certify") for i in range(3)]
    (folder / "prompts.csv").write_text("\n".join(rows))
    written = [f"train-{i},any,{text}" for i in range(3) for text in ("AAAA", "aeio")]
    (folder / "written.csv").write_text("\n".join(["prompt_id,style,text", *written]))
    (folder / "tiny.toml").write_text(CONFIG.replace("BASE", str(base)))
    return folder / "tiny.toml"


def edited(path: Path, *changes: tuple[str, str]) -> Path:
    """The configuration with words replaced, each once."""
    content = path.read_text()
    for old, new in changes:
        assert old in content, old
        content = content.replace(old, new, 1)
    path.write_text(content)
    return path
