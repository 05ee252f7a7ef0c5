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
    └── theory.NoLimit          a limit that does not exist; it names the law of growth

A message states what was received and what to give instead. The command line prints it as one paragraph and
exits with code 2, except `Diverged`, which ends one cell and is kept as a record.
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
    """A loss that is no longer a finite number."""
