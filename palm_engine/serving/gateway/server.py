"""The gateway as a process: it listens, watches its bundle, and ends without losing a request."""

from __future__ import annotations

import asyncio
import gc
import ipaddress
import logging
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from palm_engine._types import Floats
from palm_engine.bundle.folder import MANIFEST_FILE, Bundle, read_bundle
from palm_engine.errors import DependencyError, InvalidInputError, PalmError
from palm_engine.serving.gateway.app import Gateway
from palm_engine.serving.gateway.portfolio import ServedPortfolio

# Seconds between two looks at the bundle.
WATCH = 2.0
# Seconds after which one that was refused is tried again.
AGAIN = 10.0
# Seconds that running answers get to end when the gateway does.
GRACE = 120
logger = logging.getLogger("palm.gateway")


def require_gateway() -> None:
    """Check that what the gateway needs is installed.

    Raises:
        DependencyError: names the extra to install.
    """
    try:
        import httpx  # noqa: F401
        import limits  # noqa: F401
        import prometheus_client  # noqa: F401
        import sqlalchemy  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise DependencyError(
            f"a gateway needs the extra 'serve': pip install -e '.[serve]' ({error.name} is"
            " missing)"
        ) from error


def is_local(host: str) -> bool:
    """Whether only programs of this machine reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Watch:
    """Takes a bundle up anew when it is replaced.

    What runs ends with the old one. A bundle that can't be served is refused: the old one stays.
    """

    def __init__(
        self,
        gateway: Gateway,
        base_model: str = "base",
        seen: Sequence[int] | None = None,
        default_of: Callable[[Bundle], Floats] | None = None,
    ) -> None:
        """Watch the bundle that a gateway serves.

        Args:
            gateway: whose bundle is watched.
            base_model: what the engine calls the base.
            seen: identity of the bundle, taken before it was read; of what is there now if None.
            default_of: weights of requests that carry none, by bundle; they stay if None.
        """
        self._default_of = default_of
        self.gateway = gateway
        self.base_model = base_model
        self._seen = seen or identity_of(gateway.served.bundle.folder)
        self._refused: tuple[Sequence[int], str] | None = None
        self._next_try = 0.0

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            await asyncio.sleep(WATCH)
            await self.look()

    async def look(self) -> bool:
        """Look once; True where a new bundle was taken up.

        One that can't be served yet, as an engine has still to load it, is tried again.
        """
        folder = self.gateway.served.bundle.folder
        now = identity_of(folder)
        if now is None or now == self._seen:
            return False
        known = self._refused is not None and self._refused[0] == now
        if known and time.monotonic() < self._next_try:
            return False
        try:
            bundle = await asyncio.to_thread(read_bundle, folder)
            await self._take_up(bundle)
        except Exception as error:  # whatever it is: the old one is served on
            why = str(error) if isinstance(error, PalmError) else f"{type(error).__name__}: {error}"
            if self._refused != (now, why):
                logger.warning("%s was replaced and isn't taken up: %s", folder, why)
                self.gateway.metrics.reloads.labels("refused").inc()
            self._refused = (now, why)
            self._next_try = time.monotonic() + AGAIN
            return False
        self._seen = now
        logger.info("%s was replaced; the new one is served", folder)
        self.gateway.metrics.reloads.labels("taken up").inc()
        return True

    async def _take_up(self, bundle: Bundle) -> None:
        old = self.gateway.served.bundle
        if bundle.traits != old.traits:
            raise InvalidInputError(
                f"its traits are {', '.join(bundle.traits)}, not {', '.join(old.traits)}: weights"
                " that applications send would mean something else; start the gateway anew"
            )
        served = ServedPortfolio.of(bundle, self.base_model)
        default = None if self._default_of is None else self._default_of(bundle)
        await self.gateway.upstream.require(served)
        self.gateway.served = served
        if default is not None:
            self.gateway.default = default


def listen(gateway: Gateway, port: int, watch: Watch) -> None:
    """Serve until the process is told to end; running answers end first.

    Args:
        gateway: to serve, at its host.
        port: to listen on.
        watch: over its bundle.

    Raises:
        InvalidInputError: the address can't be listened on.
    """
    import uvicorn

    server = uvicorn.Server(
        uvicorn.Config(
            gateway.app(watch.run),
            host=gateway.host,
            port=port,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=GRACE,
        )
    )
    # uvicorn ends gracefully and then raises the signal anew: it has done its work by then.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    # What is loaded by now stays: looking through it again and again would hold answers up.
    gc.collect()
    gc.freeze()
    try:
        server.run()
    except SystemExit as error:  # uvicorn's, after its own message
        raise InvalidInputError(
            f"--host {gateway.host} --port {port}: can't be listened on; choose another port"
        ) from error


def identity_of(folder: Path) -> Sequence[int] | None:
    """What changes where a bundle is replaced; None while there is none."""
    try:
        about = (folder / MANIFEST_FILE).stat()
    except OSError:
        return None
    return about.st_ino, about.st_mtime_ns, about.st_size
