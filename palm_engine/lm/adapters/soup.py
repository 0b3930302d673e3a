"""Soups: adapters combined with weights, exactly.

A rewarded soup (Rame et al. 2023, arXiv 2306.04488) is the base plus the weighted sum of the
adapters' own changes, `sum_i w_i s_i B_i A_i`. Ranks are concatenated, so that the sum is exact:
averaging A and B apart would mix them (`B_1 A_2`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from palm_engine._files import whole_folder, write_whole
from palm_engine.errors import InvalidInputError
from palm_engine.lm.adapters.files import CONFIG_FILE, WEIGHTS_FILE, read_adapter

PREFIX = "base_model.model."


def write_soup(folder: Path, parts: Mapping[Path, float]) -> Path:
    """Write a soup of LoRA adapters as one plain LoRA adapter.

    Args:
        folder: to write.
        parts: adapters' folders and their weights; weights may be any finite numbers, those of 0
            are left out.

    Raises:
        InvalidInputError: no weight is other than 0.
        ModelSourceError: a part is no plain LoRA adapter.
    """
    import torch
    from safetensors.torch import save

    used = {part: float(w) for part, w in parts.items() if w != 0}
    if not used or not all(abs(w) < float("inf") for w in used.values()):
        raise InvalidInputError("a soup needs at least one adapter with a weight other than 0")
    rows: dict[str, list[Any]] = {}
    columns: dict[str, list[Any]] = {}
    for part, weight in used.items():
        for path, (a, b, scale) in read_adapter(part).layers.items():
            rows.setdefault(path, []).append(a.float())
            columns.setdefault(path, []).append(b.float() * (weight * scale))
    state = {}
    ranks = {}
    for path, a_parts in rows.items():
        a = torch.cat(a_parts, 0)
        ranks[path] = int(a.shape[0])
        state[f"{PREFIX}{path}.lora_A.weight"] = a.contiguous()
        state[f"{PREFIX}{path}.lora_B.weight"] = torch.cat(columns[path], 1).contiguous()
    most = max(ranks.values())
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": "",
        "inference_mode": True,
        "bias": "none",
        "r": most,
        "lora_alpha": most,
        "target_modules": sorted(ranks),
        "rank_pattern": {p: r for p, r in sorted(ranks.items()) if r != most},
        "alpha_pattern": {p: r for p, r in sorted(ranks.items()) if r != most},
    }
    with whole_folder(folder) as written:
        write_whole(written / WEIGHTS_FILE, save(state, {"format": "pt"}))
        (written / CONFIG_FILE).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    return folder
