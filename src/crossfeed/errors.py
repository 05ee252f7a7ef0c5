"""Every error crossfeed raises on purpose.

::

    CrossfeedError
    ├── InvalidInput            a value that cannot be used (also a ValueError)
    │   └── InvalidDescription  an experiment or ecosystem that cannot be understood
    ├── DataUnavailable         a data set, model or embedder that cannot be reached or read
    ├── MissingDependency       an optional extra that is not installed
    ├── StoreError              a run folder that cannot be used
    │   ├── StoreMismatch       it holds another description, or the data changed
    │   └── NewerSchema         it was written by a newer crossfeed
    ├── Diverged                a model whose loss is no longer a finite number
    ├── WorkerFailure           what went wrong in a worker process, or with it
    └── theory.NoLimit          a limit that does not exist; it names the law of growth

A message states what was received and what to give instead. The command line prints it as one paragraph and
exits with code 2, except `Diverged` and `WorkerFailure`, which end one cell and are kept as a record.
"""


class CrossfeedError(Exception):
    """Base of all errors raised on purpose."""


class InvalidInput(CrossfeedError, ValueError):
    """A value that cannot be used; the message names it and what is allowed."""


class InvalidDescription(InvalidInput):
    """A description of an ecosystem or experiment that cannot be understood."""


class DataUnavailable(CrossfeedError):
    """A data set, model or embedder that cannot be reached or read; the message says how to point to a copy."""


class MissingDependency(CrossfeedError):
    """An optional extra that is needed and not installed."""


class StoreError(CrossfeedError):
    """A run folder that cannot be used."""


class StoreMismatch(StoreError):
    """A run folder that holds another description, or data that changed since it was written."""


class NewerSchema(StoreError):
    """A run folder written by a newer crossfeed."""


class Diverged(CrossfeedError):
    """A loss that is no longer a finite number.

    Args:
        message: What happened.
        entity: Whose; a learner knows its index, the loop its name.
    """

    def __init__(self, message: str, entity: int | str | None = None) -> None:
        super().__init__(message if entity is None else f"entity {entity}: {message}")
        self.message = message
        self.entity = entity


class WorkerFailure(CrossfeedError):
    """What went wrong in a worker, or with it, told in the process that waits for it.

    Args:
        message: What happened.
        kind: The error's type in the worker.
        traceback: The worker's, if it had one.
        lost: Whether the worker itself ended, so that another may do better.
    """

    def __init__(self, message: str, kind: str, traceback: str = "", *, lost: bool = False) -> None:
        super().__init__(message)
        self.kind = kind
        self.traceback = traceback
        self.lost = lost
