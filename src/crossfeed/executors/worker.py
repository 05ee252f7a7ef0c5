"""A worker process: ``python -m crossfeed.executors.worker FD`` talks over an inherited socket until it closes."""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any

from crossfeed.executors.messages import decode, encode


def _listen(connection: Connection, calls: queue.SimpleQueue[dict[str, Any]]) -> None:
    """Pass calls on; when the process that started this one is gone, however it went, go too, in mid-work."""
    try:
        while True:
            calls.put(decode(connection.recv_bytes()))
    except (EOFError, OSError):
        os._exit(0)


def main() -> None:
    """Answer calls, the first of which is the setup."""
    from crossfeed.executors.calls import open_desk, refusal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that a person talks to; it ends this one
    connection = Connection(int(sys.argv[1]))
    calls: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def emit(message: Mapping[str, Any]) -> None:
        try:
            connection.send_bytes(encode(message))
        except OSError:  # nobody is there, which `_listen` is about to hear: no failure of the cell that is in hand
            os._exit(0)

    emit({"reply": "ready"})
    threading.Thread(target=_listen, args=(connection, calls), daemon=True).start()
    desk = None
    setup = calls.get()
    while True:
        call = calls.get()
        try:
            desk = desk or open_desk(setup, emit)
        except Exception as error:  # told where it is waited for
            emit(refusal(error))
        else:
            desk.answer(call)


if __name__ == "__main__":
    main()
