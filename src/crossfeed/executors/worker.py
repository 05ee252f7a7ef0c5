"""A worker process: ``python -m crossfeed.executors.worker FD`` handles requests from an inherited socket."""

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


def _listen(connection: Connection, requests: queue.SimpleQueue[dict[str, Any]]) -> None:
    """Pass requests on; when the process that started this one is gone, however it ended, end too, in mid-work."""
    try:
        while True:
            requests.put(decode(connection.recv_bytes()))
    except (EOFError, OSError):
        os._exit(0)


def main() -> None:
    """Handle requests, after a first message with the setup."""
    from crossfeed.executors.request_handler import error_reply, open_request_handler

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that a person started; it ends this one
    connection = Connection(int(sys.argv[1]))
    requests: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def emit(message: Mapping[str, Any]) -> None:
        try:
            connection.send_bytes(encode(message))
        except OSError:  # the other end is gone, which `_listen` is about to see: no failure of the cell at work
            os._exit(0)

    emit({"reply": "ready"})
    threading.Thread(target=_listen, args=(connection, requests), daemon=True).start()
    handler = None
    setup = requests.get()
    while True:
        request = requests.get()
        try:
            handler = handler or open_request_handler(setup, emit)
        except Exception as error:  # raised where the reply is waited for
            emit(error_reply(error))
        else:
            handler.handle(request)


if __name__ == "__main__":
    main()
