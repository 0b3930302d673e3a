"""What a training that was stopped goes on from: kept beside the adapter until that is written.

One safetensors file per training, written whole after an epoch. It is for one training only: under
another key (other data, settings or seed) it is as if it weren't there.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from palm_engine._files import write_whole


def training_key(*parts: object) -> str:
    """A key of everything that a training depends on besides the base model.

    Args:
        parts: data, settings, seed; things whose `repr` says all of them.
    """
    digest = hashlib.sha256()
    for part in parts:
        digest.update(repr(part).encode())
    return digest.hexdigest()


# Of a trainer's checkpoint: its files and their sha256.
SEAL = "palm-sums.json"


class Checkpoint:
    """The state of a training after its last whole epoch.

    Args:
        folder: of the adapter that is trained; the checkpoint lies beside it.
        key: of the training.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self.file = folder.with_name(f"{folder.name}.checkpoint.safetensors")
        self.key = key

    def peek(self) -> dict[str, Any] | None:
        """What `keep` was given beside tensors; None where there is nothing to go on from."""
        found = self._read()
        return None if found is None else found[1]

    def restore(self, parameters: Sequence[Any], optimiser: Any) -> dict[str, Any] | None:
        """Put a kept state back.

        Args:
            parameters: those that are trained, in a fixed order; they are changed in place.
            optimiser: of these parameters, AdamW.

        Returns:
            What `keep` was given besides, or None where there is nothing to go on from.
        """
        import torch

        found = self._read()
        if found is None:
            return None
        tensors, content = found
        try:
            # All of it is looked at before anything is changed.
            states = [_state_of(i, parameter, tensors) for i, parameter in enumerate(parameters)]
            rng = tensors["torch_rng"]
        except (KeyError, ValueError):
            return None
        with torch.no_grad():
            for i, (parameter, state) in enumerate(zip(parameters, states, strict=True)):
                parameter.copy_(tensors[f"{i}.value"])
                if state:
                    optimiser.state[parameter] = state
        torch.set_rng_state(rng)
        content["best_state"] = {
            name.removeprefix("best."): tensor
            for name, tensor in tensors.items()
            if name.startswith("best.")
        }
        return content

    def keep(
        self,
        parameters: Sequence[Any],
        optimiser: Any,
        best_state: dict[str, Any],
        content: dict[str, Any],
    ) -> None:
        """Keep the state.

        Args:
            parameters: as for `restore`.
            optimiser: as for `restore`.
            best_state: tensors of the best adapter so far, by name.
            content: what else is needed, as JSON.
        """
        import torch
        from safetensors.torch import save

        tensors = {f"best.{name}": tensor for name, tensor in best_state.items()}
        tensors["torch_rng"] = torch.get_rng_state()
        for i, parameter in enumerate(parameters):
            tensors[f"{i}.value"] = parameter.detach().cpu().contiguous()
            # A parameter that never had a gradient has no state.
            for name, tensor in optimiser.state.get(parameter, {}).items():
                tensors[f"{i}.{name}"] = tensor.detach().cpu().contiguous()
        text = json.dumps(content)
        about = {"key": self.key, "content": text, "sha256": _digest(tensors, text)}
        write_whole(self.file, save(tensors, about))

    def _read(self) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Tensors and content of a kept state of this training; None without, or damaged.

        Training from the start is right too.
        """
        from safetensors import SafetensorError, safe_open

        if not self.file.is_file():
            return None
        try:
            with safe_open(self.file, framework="pt") as kept:
                about = kept.metadata() or {}
                if about.get("key") != self.key:
                    return None
                tensors = {name: kept.get_tensor(name) for name in kept.keys()}  # noqa: SIM118
            if about["sha256"] != _digest(tensors, about["content"]):
                return None
            return tensors, json.loads(about["content"])
        except (OSError, SafetensorError, KeyError, ValueError):
            return None

    def clear(self) -> None:
        """Forget it: the adapter is written."""
        self.file.unlink(missing_ok=True)


def _digest(tensors: dict[str, Any], content: str) -> str:
    """Sha256 over all that is kept."""
    import torch

    digest = hashlib.sha256(content.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


@dataclass
class Stages:
    """Trainings of one model, one after another, that are kept in one checkpoint.

    Attributes:
        checkpoint: of all of them.
        number: of the stage in hand, from 0.
        beside: what the stage in hand was given besides, as JSON.
    """

    checkpoint: Checkpoint
    number: int = 0
    beside: list[Any] = field(default_factory=list)
    _held: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self._held = self.checkpoint.peek() or {}

    @property
    def is_over(self) -> bool:
        """Whether the stage in hand was over before: the kept state is of a later one."""
        return bool(self._held) and self.number < int(self._held["stage"])

    @property
    def goes_on(self) -> bool:
        """Whether the kept state is of the stage in hand."""
        return bool(self._held) and self.number == int(self._held["stage"])

    @property
    def held(self) -> list[Any]:
        """What the kept stage was given besides."""
        return list(self._held["beside"])

    def restore(self, parameters: Sequence[Any], optimiser: Any) -> dict[str, Any] | None:
        """See `Checkpoint.restore`; None but for the stage that is kept."""
        return self.checkpoint.restore(parameters, optimiser) if self.goes_on else None

    def keep(self, parameters: Sequence[Any], optimiser: Any, content: dict[str, Any]) -> None:
        """See `Checkpoint.keep`."""
        about = content | {"stage": self.number, "beside": self.beside}
        self.checkpoint.keep(parameters, optimiser, {}, about)


def _state_of(i: int, parameter: Any, tensors: dict[str, Any]) -> dict[str, Any]:
    """The optimiser's state of a parameter; empty where it has none.

    Raises:
        KeyError: its value is missing.
        ValueError: a tensor has another shape.
    """
    if tensors[f"{i}.value"].shape != parameter.shape:
        raise ValueError(f"parameter {i} has another shape")
    found = {
        name: tensors[f"{i}.{name}"]
        for name in ("step", "exp_avg", "exp_avg_sq")
        if f"{i}.{name}" in tensors
    }
    return {k: v if k == "step" else v.to(parameter.device) for k, v in found.items()}


def seal(checkpoint: Path) -> None:
    """Write what a trainer's checkpoint holds, file by file, so that damage is found."""
    write_whole(checkpoint / SEAL, json.dumps(_sums(checkpoint)))


def is_sealed(checkpoint: Path) -> bool:
    """Whether a trainer's checkpoint is whole and as it was written."""
    try:
        return bool(json.loads((checkpoint / SEAL).read_text()) == _sums(checkpoint))
    except (OSError, ValueError):
        return False


def _sums(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != SEAL
    }


def trainer_checkpoints(folder: Path, key: str) -> Path:
    """Where a trainer of transformers keeps its checkpoints; those of another key are deleted.

    Args:
        folder: of the adapter that is trained; checkpoints lie beside it.
        key: of the training.
    """
    place = folder.with_name(f"{folder.name}.checkpoints")
    mark = place / "key"
    if place.exists() and not (mark.is_file() and mark.read_text().strip() == key):
        shutil.rmtree(place)
    write_whole(mark, key + "\n")
    return place
