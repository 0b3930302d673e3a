"""The language model side: base model, adapters, sampling, training. Torch is imported only inside functions."""

from __future__ import annotations

from palm_engine.errors import DependencyError


def require_language_models(what: str) -> None:
    """Raise DependencyError naming the extra to install unless torch, transformers and peft can be imported."""
    try:
        import peft  # noqa: F401
        import torch  # noqa: F401
        import transformers  # noqa: F401
    except ImportError as error:
        raise DependencyError(
            f"{what} needs the extra 'lm': pip install -e '.[lm]' ({error.name} is missing)"
        ) from error
