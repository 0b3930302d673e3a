"""The language model side: base model, adapters, generation, training.

`settings.py` and this file need no torch; the others import it where a model is touched.
"""

from __future__ import annotations

import warnings
from importlib.util import find_spec

from palm_engine.errors import DependencyError

# peft asks transformers by a name that goes away; nobody who reads it here can change that.
warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)


def require_language_models(what: str) -> None:
    """Check that torch, transformers and peft can be imported.

    Raises:
        DependencyError: names the extra to install.
    """
    try:
        import peft  # noqa: F401
        import torch  # noqa: F401
        import transformers  # noqa: F401
    except ImportError as error:
        raise DependencyError(
            f"{what} needs the extra 'lm': pip install -e '.[lm]' ({error.name} is missing)"
        ) from error


def missing_packages() -> list[str]:
    """Packages of the extra 'lm' that aren't installed; nothing is imported to find out."""
    return [
        name
        for name in ("torch", "transformers", "peft", "platformdirs")
        if find_spec(name) is None
    ]
