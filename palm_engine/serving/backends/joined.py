"""Several backends as one: policies on this machine beside policies on servers.

Each backend answers for the policies that it has, at the same time as the others.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence

from palm_engine.serving.backends.interface import Backend, LiveSettings, Piece, check_request

PATIENCE = 10.0


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
                streams.append((part.stream(prompts, own, settings), rows))
        return streams[0][0] if len(streams) == 1 else _merged(streams)


def _merged(streams: Sequence[tuple[Iterator[Piece], list[int]]]) -> Iterator[Piece]:
    pieces: queue.Queue[Piece | BaseException | None] = queue.Queue()
    stop = threading.Event()

    def read(stream: Iterator[Piece], rows: list[int]) -> None:
        try:
            for piece in stream:
                if stop.is_set():
                    return
                pieces.put(piece._replace(row=rows[piece.row]))
        except BaseException as error:
            pieces.put(error)
        finally:
            # A generator ends in the thread that runs it.
            close = getattr(stream, "close", None)
            if close is not None:
                close()
            pieces.put(None)

    threads = [
        threading.Thread(target=read, args=part, name="palm-joined", daemon=True)
        for part in streams
    ]
    for thread in threads:
        thread.start()
    try:
        going = len(threads)
        while going:
            piece = pieces.get()
            if piece is None:
                going -= 1
            elif isinstance(piece, BaseException):
                raise piece
            else:
                yield piece
    finally:
        stop.set()
        for thread in threads:
            thread.join(PATIENCE)
