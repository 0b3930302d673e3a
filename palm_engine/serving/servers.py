"""Servers that live answers may be asked of: those that this process was started with, no other.

A bundle says where its remote policies answered, but a bundle comes from anywhere: a server named
there alone is never asked, and never gets a key.
"""

from __future__ import annotations

import os
import threading
import time

from palm_engine.bundle.folder import Bundle
from palm_engine.bundle.served import KEY_VARIABLE, served_policies, server_keys
from palm_engine.errors import PalmError
from palm_engine.serving.backends.interface import Backend

VARIABLE = "PALM_SERVERS"
TIMEOUT = 60.0
# A server that didn't answer is tried again after so many seconds.
PAUSE = 30.0


def allowed_servers() -> dict[str, str]:
    """Addresses in PALM_SERVERS, separated by commas, and the variables that hold their keys."""
    return server_keys(os.environ.get(VARIABLE, "").split(","))


class Servers:
    """Connections to allowed servers, each made once. May be used from any thread."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, str, str], Backend] = {}
        self._failed: dict[tuple[str, str, str], tuple[float, str]] = {}
        self._lock = threading.Lock()

    def backends(self, bundle: Bundle) -> tuple[list[Backend], list[str]]:
        """Backends of the bundle's remote policies, and why others can't be asked.

        Args:
            bundle: that names the policies.
        """
        backends: list[Backend] = []
        notices = []
        for url, models in served_policies(bundle).items():
            names = ", ".join(map(bundle.label, models))
            if url not in allowed_servers():
                notices.append(
                    f"{names}: answered at {url}. To ask it here, start the dashboard with"
                    f" {VARIABLE}={url}; it is then sent prompts, and {KEY_VARIABLE} if that is"
                    f" set ({url}#NAME sends another variable)."
                )
                continue
            backend, why = self._connected(bundle, url, models)
            if backend is None:
                notices.append(f"{names}: {why}")
                continue
            backends.append(backend)
            if lost := [bundle.label(p) for p in models if p not in backend.policies]:
                notices.append(f"{', '.join(lost)}: {url} doesn't serve the model now.")
        return backends, notices

    def _connected(
        self, bundle: Bundle, url: str, models: dict[str, str]
    ) -> tuple[Backend | None, str]:
        """The backend, or why there is none; a failure isn't tried again for a while."""
        from palm_engine.serving.backends.remote import RemoteBackend

        asked = sorted((p, m, bundle.candidate(p).system or "") for p, m in models.items())
        key = (str(bundle.folder), url, repr(asked))
        with self._lock:
            if key in self._made:
                return self._made[key], ""
            when, why = self._failed.get(key, (-PAUSE, ""))
            if time.monotonic() - when < PAUSE:
                return None, why
            # Others needn't wait for this one: until it is known they are told so.
            self._failed[key] = (time.monotonic(), f"{url} is being asked")
        try:
            variable = allowed_servers().get(url) or KEY_VARIABLE
            backend = RemoteBackend(bundle, url, models, variable, TIMEOUT)
        except PalmError as error:
            with self._lock:
                self._failed[key] = (time.monotonic(), str(error))
            return None, str(error)
        with self._lock:
            self._made[key] = backend
            self._failed.pop(key, None)
        return backend, ""
