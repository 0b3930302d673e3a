"""The one loaded model of a process, shared by all sessions.

Load, unload, what it takes, and who may ask it.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from palm_engine._types import Progress
from palm_engine.bundle.folder import Bundle
from palm_engine.errors import GenerationError, ModelSourceError
from palm_engine.serving.backends.interface import Backend
from palm_engine.serving.backends.joined import JoinedBackend
from palm_engine.serving.queue import FairQueue
from palm_engine.serving.servers import Servers
from palm_engine.serving.ticket import Limits

if TYPE_CHECKING:
    from palm_engine.serving.backends.local import LocalBackend, LocalModel
    from palm_engine.serving.selfcheck import SelfCheck

MOST_ADAPTERS = 16


@dataclass(frozen=True)
class LoadOptions:
    """How to load a model.

    Attributes:
        device: "auto", a device's name, or "spread" over several GPUs.
        dtype: "auto" or a name.
        threads: of the CPU, or None.
        download: whether the base may be fetched.
    """

    device: str = "auto"
    dtype: str = "auto"
    threads: int | None = None
    download: bool = False


@dataclass(frozen=True)
class ModelInfo:
    """What is loaded.

    Attributes:
        source: of the base.
        device: it runs on.
        dtype: of its weights.
        base_bytes: memory of its weights.
        adapters: how many are loaded.
        adapter_bytes: memory of these.
        process_bytes: memory of the process, or None.
    """

    source: str
    device: str
    dtype: str
    base_bytes: int
    adapters: int
    adapter_bytes: int
    process_bytes: int | None


class ModelHost:
    """Holds at most one base model. All methods may be called from any thread."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._model: LocalModel | None = None
        self._queue: FairQueue | None = None
        self._served_queue: FairQueue | None = None  # for servers, while no model is loaded
        self._lock = threading.RLock()
        self._options = LoadOptions()
        self._servers = Servers()
        self.generation = (
            0  # counts loads and unloads: what was learnt of one model isn't true of the next
        )

    def serves(self, bundle: Bundle) -> bool:
        """Whether the loaded base is the one that the bundle names."""
        model = self._model
        base = bundle.manifest.base
        return (
            model is not None
            and base is not None
            and model.base.source == base.source
            and model.base.template == bundle.manifest.template
        )

    def backend(self, bundle: Bundle) -> LocalBackend:
        """The bundle's policies on the loaded model.

        Raises:
            GenerationError: it isn't loaded.
        """
        from palm_engine.serving.backends.local import LocalBackend

        model = self._model
        if model is None or not self.serves(bundle):
            raise GenerationError("the model isn't loaded; load it first")
        return LocalBackend(model, bundle)

    def answering(self, bundle: Bundle) -> tuple[Backend, list[str]]:
        """All policies of the bundle that can answer here: on the loaded model and on servers.

        Args:
            bundle: whose base is loaded, or that has policies on servers.

        Returns:
            What to ask, and why some remote policies can't be.

        Raises:
            GenerationError: the base isn't loaded, and no server answers.
        """
        remote, notices = self._servers.backends(bundle)
        if not remote or self.serves(bundle):
            local = self.backend(bundle)
            return (JoinedBackend([local, *remote]) if remote else local), notices
        return (remote[0] if len(remote) == 1 else JoinedBackend(remote)), notices

    def on_servers(self, bundle: Bundle) -> tuple[tuple[str, ...], list[str]]:
        """Policies of the bundle that servers answer for, and why some can't be asked.

        Args:
            bundle: loaded or not.
        """
        remote, notices = self._servers.backends(bundle)
        return tuple(p for backend in remote for p in backend.policies), notices

    @property
    def queue(self) -> FairQueue:
        """Where sessions ask: the loaded model's queue, or one for servers alone."""
        with self._lock:
            if self._queue is not None:
                return self._queue
            if self._served_queue is None:
                self._served_queue = FairQueue(self.limits)
            return self._served_queue

    def load(
        self,
        bundle: Bundle,
        policies: Sequence[str],
        options: LoadOptions | None = None,
        report: Progress = lambda share, note: None,
        session: str = "",
    ) -> SelfCheck:
        """Load the bundle's base, stack the adapters of `policies` and check them.

        A failed load changes nothing else. A base that is loaded already is loaded again only if
        `options` name another device, number format or count of threads than it was loaded with.

        Raises:
            ModelSourceError: the base or an adapter can't be had, or doesn't fit the device.
            DependencyError: the extra 'lm' is not installed.
            GenerationError: another session uses the loaded model.
        """
        from palm_engine.lm import require_language_models

        report(0.02, "Starting torch")
        require_language_models("live generation")
        from palm_engine.lm.base_model.load import load_base
        from palm_engine.lm.base_model.source import resolve_base
        from palm_engine.lm.devices import check_device, pick_device
        from palm_engine.serving.backends.local import LocalBackend, LocalModel
        from palm_engine.serving.selfcheck import self_check

        if bundle.manifest.base is None:
            raise ModelSourceError(
                f"{bundle.folder.name}: names no base model, so it holds nothing to load"
            )
        source = bundle.manifest.base.source
        options = options or LoadOptions()
        with self._lock:
            if not self.serves(bundle) or self._otherwise(options):
                report(0.05, "Looking for the base model")
                # Before what is loaded is given up: a download may fail, or be cancelled.
                resolve_base(source, lambda text: report(0.1, text), options.download)
                device = pick_device() if options.device == "auto" else check_device(options.device)
                self.unload(session)
                rows = self._rows_that_fit(bundle, policies, device, options.dtype)
                report(0.3, "Reading the base model")
                base = load_base(
                    source,
                    lambda text: report(0.3, text),
                    options.dtype,
                    device=device,
                    threads=options.threads,
                    download=False,
                    template=bundle.manifest.template,
                )
                self._model = LocalModel.of(base)
                self._queue = FairQueue(replace(self.limits, rows=rows))
                self._options = options
                self.generation += 1
            assert self._model is not None
            report(0.7, "Stacking the policies' adapters and checking them")
            backend = LocalBackend(self._model, bundle)
            check = self_check(backend, policies)
            # Every answer pays a little for each adapter that is stacked: those long unused make
            # room.
            self._model.stack.trim(MOST_ADAPTERS, backend.keys(policies))
            report(1.0, "Ready")
            return check

    def _otherwise(self, options: LoadOptions) -> bool:
        """Whether options ask for something else than what is loaded."""
        info = self.info()
        if info is None:
            return True
        own = self._options
        device = options.device in ("auto", own.device) or info.device.startswith(options.device)
        dtype = options.dtype in ("auto", own.dtype, info.dtype)
        return not (device and dtype and options.threads in (None, own.threads))

    def unload(self, session: str = "") -> None:
        """Free the model.

        Raises:
            GenerationError: while a session other than `session` has a question.
        """
        with self._lock:
            if self._queue is not None:
                others = len(self._queue.sessions - {session})
                if others:
                    who = f"{others} other session{'s' if others > 1 else ''}"
                    raise GenerationError(
                        f"{who} still ask this model; try again when they are done"
                    )
                self._queue.close()
            self._model = self._queue = None
            self.generation += 1
            _free()

    def info(self) -> ModelInfo | None:
        """What is loaded; None where nothing is."""
        model = self._model
        if model is None:
            return None
        from palm_engine.lm.memory import resident_bytes

        weight = model.base.model.get_input_embeddings().weight
        names = model.stack.names
        return ModelInfo(
            model.base.source,
            str(weight.device),
            str(weight.dtype).removeprefix("torch."),
            model.stack.base_bytes,
            len(names),
            sum(model.stack.bytes_of(n) for n in names),
            resident_bytes(),
        )

    def _rows_that_fit(
        self, bundle: Bundle, policies: Sequence[str], device: str, asked: str
    ) -> int:
        """How many answers at once the device has memory for, as many as the limits allow at most.

        Raises:
            ModelSourceError: not even one of each policy fits; names what would.
        """
        from palm_engine.lm.adapters.files import WEIGHTS_FILE, check_adapter_folder
        from palm_engine.lm.base_model.places import shape_of
        from palm_engine.lm.base_model.source import parameter_count, resolve_base
        from palm_engine.lm.devices import pick_dtype
        from palm_engine.lm.memory import LETTERS_PER_TOKEN, estimate, free_bytes, require_fits

        assert bundle.manifest.base is not None
        source = bundle.manifest.base.source
        dtype = str(pick_dtype("cuda" if device == "spread" else device, asked)).removeprefix(
            "torch."
        )
        candidates = [bundle.candidate(m) for m in policies]
        parts = {p for c in candidates for p in (c.mixture or (c.policy,))}
        folders = [bundle.adapter_folder(p) for p in parts if bundle.candidate(p).adapter]
        # At least two bytes a number on disk: a bound is enough here.
        for adapter in folders:
            check_adapter_folder(adapter)
        adapters = sum((f / WEIGHTS_FILE).stat().st_size // 2 for f in folders)
        needed = estimate(
            parameter_count(source),
            dtype,
            adapters,
            shape_of(resolve_base(source, lambda _: None, False)),
            max(sum(c.passes for c in candidates), 1),
            self.limits.prompt_characters // LETTERS_PER_TOKEN,
            self.limits.new_tokens,
            free_bytes(device),
        )
        require_fits(needed, dtype, device, len(policies))
        return needed.most_rows(self.limits.rows)


def _free() -> None:
    """Give memory back to the device, and where the C library can, to the system."""
    import gc
    import sys

    gc.unfreeze()  # whoever froze the heap: a model inside it would never be freed
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
    if sys.platform == "linux":
        import ctypes
        import ctypes.util

        trim = getattr(ctypes.CDLL(ctypes.util.find_library("c")), "malloc_trim", None)
        if trim is not None:
            trim(0)
