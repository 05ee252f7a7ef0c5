"""The errors that crossfeed raises on purpose.

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
    ├── WorkerFailure           an error in a worker process, or the loss of the process
    └── theory.NoLimit          a limit that does not exist; it names the law of growth

    IllConditioned (a warning)  numbers that rounding leaves few digits of

A message states the value received and a value that can be used. The command line prints it as one paragraph and
exits with code 2, except `Diverged` and `WorkerFailure`, which end one cell and are kept in the run.
"""


class CrossfeedError(Exception):
    """Base of all errors raised on purpose."""


class InvalidInput(CrossfeedError, ValueError):
    """A value that cannot be used; the message names it and the values allowed."""


class InvalidDescription(InvalidInput):
    """A description of an ecosystem or experiment that cannot be understood."""


class IllConditioned(UserWarning):
    """A warning: rounding leaves few digits of numbers of exact theory; the message tells how many."""


class DataUnavailable(CrossfeedError):
    """A data set, model or embedder that cannot be reached or read; the message tells how to give a local copy."""


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
        message: The cause.
        entity: The entity: its index in a learner, its name in the loop.
    """

    def __init__(self, message: str, entity: int | str | None = None) -> None:
        super().__init__(message if entity is None else f"entity {entity}: {message}")
        self.message = message
        self.entity = entity


class WorkerFailure(CrossfeedError):
    """An error in a worker, or the loss of the worker, raised in the process that waits for it.

    Args:
        message: The cause.
        kind: The name of the error's type in the worker.
        traceback: The traceback in the worker, if any.
        lost: True if the worker itself ended, so that another one may succeed.
    """

    def __init__(self, message: str, kind: str, traceback: str = "", *, lost: bool = False) -> None:
        super().__init__(message)
        self.kind = kind
        self.traceback = traceback
        self.lost = lost
