"""Several backends as one: policies on this machine beside policies on servers.

Each backend answers for the policies that it has, at the same time as the others.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence

from palm_engine.serving.backends.interface import Backend, LiveSettings, Piece, check_request

# For servers that don't answer: their threads hold nothing but a connection.
PATIENCE = 1.0


class JoinedBackend:
    """Backends of one bundle; a policy that several have is asked of the first.

    Args:
        parts: at least one.
    """

    def __init__(self, parts: Sequence[Backend]) -> None:
        self.parts = tuple(parts)

    @property
    def policies(self) -> tuple[str, ...]:
        """Policies that some part can be asked."""
        return tuple(dict.fromkeys(p for part in self.parts for p in part.policies))

    def stream(
        self, prompts: Sequence[str], policies: Sequence[str], settings: LiveSettings
    ) -> Iterator[Piece]:
        """See Backend.stream."""
        check_request(self.policies, prompts, policies)
        left = list(policies)
        streams = []
        for part in self.parts:
            own = [p for p in left if p in part.policies]
            left = [p for p in left if p not in own]
            if own:
                # Where the part's rows are among all rows.
                rows = [
                    len(prompts) * list(policies).index(p) + i
                    for p in own
                    for i in range(len(prompts))
                ]
                here = bool(getattr(part, "works_here", False))
                streams.append((part.stream(prompts, own, settings), rows, here))
        return streams[0][0] if len(streams) == 1 else _merged(streams)


def _merged(streams: Sequence[tuple[Iterator[Piece], list[int], bool]]) -> Iterator[Piece]:
    """Pieces of all streams as they come.

    One that works here runs in the caller's thread, so that whoever cancels knows that the model is
    free afterwards; the others wait for servers, in threads of their own.
    """
    here = next((i for i, (_, _, own) in enumerate(streams) if own), None)
    readers = _Readers([s[:2] for i, s in enumerate(streams) if i != here])
    own, rows, _ = streams[here] if here is not None else (iter(()), [], True)
    try:
        for piece in own:
            yield piece._replace(row=rows[piece.row])
            yield from readers.pieces(wait=False)
        yield from readers.pieces(wait=True)
    finally:
        _close(own)
        readers.stop()


class _Readers:
    """Streams that are read in a thread each."""

    def __init__(self, streams: Sequence[tuple[Iterator[Piece], list[int]]]) -> None:
        self._pieces: queue.Queue[Piece | BaseException | None] = queue.Queue()
        self._stop = threading.Event()
        self._going = len(streams)
        self._threads = [
            threading.Thread(target=self._read, args=part, name="palm-joined", daemon=True)
            for part in streams
        ]
        for thread in self._threads:
            thread.start()

    def pieces(self, wait: bool) -> Iterator[Piece]:
        """Those that are there, or all that will come."""
        while self._going:
            try:
                piece = self._pieces.get(wait)
            except queue.Empty:
                return
            if isinstance(piece, BaseException):
                raise piece
            if piece is None:
                self._going -= 1
            else:
                yield piece

    def stop(self) -> None:
        """Read no further."""
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE)

    def _read(self, stream: Iterator[Piece], rows: list[int]) -> None:
        try:
            for piece in stream:
                if self._stop.is_set():
                    return
                self._pieces.put(piece._replace(row=rows[piece.row]))
        except BaseException as error:
            self._pieces.put(error)
        finally:
            _close(stream)  # a generator ends in the thread that runs it
            self._pieces.put(None)


def _close(stream: Iterator[Piece]) -> None:
    close = getattr(stream, "close", None)
    if close is not None:
        close()
