"""A run's journal of its inputs: sentences on data and models, and fingerprints of the models that it began from.

Every process of a run has a journal. What it keeps are documents under names that follow from their content, so that
processes that write at once do not overwrite each other: ``notes/<hash>``, ``models/<hash>``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from crossfeed.errors import StoreMismatch
from crossfeed.protocols import OutsideModel, Progress, Store

__all__ = ["StoredJournal", "read_notes"]


class StoredJournal:
    """The journal of one process, kept in the store of its run (see `crossfeed.protocols.Journal`).

    Args:
        store: The store of the run.
        progress: Where notes are logged.
    """

    def __init__(self, store: Store, progress: Progress) -> None:
        self._store = store
        self._progress = progress
        self._noted: set[str] = set()
        self._compared: dict[str, str] = {}

    def note(self, about: str, sentences: Iterable[str]) -> None:
        """Keep sentences with the run, and log those that the run does not have already."""
        if about in self._noted:
            return
        for sentence in sentences:
            name = f"notes/{_digest(sentence)}"
            if self._store.read_document(name) is None:
                self._store.write_document(name, {"text": sentence})
                self._progress.log(sentence)
        self._noted.add(about)

    def identify(self, models: Iterable[OutsideModel]) -> None:
        """Keep the fingerprints of models that the run begins from, and compare them with those it began with.

        A model whose files have not been touched since the last time is not read again. Processes of several machines
        see other times of the same files, so each remembers those that it has compared.

        Raises:
            StoreMismatch: One of them is no longer what it was.
        """
        for model in models:
            if self._compared.get(model.name) == model.stamp:
                continue
            name = f"models/{_digest(model.name)}"
            known = self._store.read_document(name) or {}
            if known.get("stamp") == model.stamp:
                self._compared[model.name] = model.stamp
                continue
            content = model.content()
            if known.get("content", content) != content:
                raise StoreMismatch(
                    f"{model.name} is no longer what this run was begun with; results of two models are not mixed: put "
                    "the former one back, or choose another folder with --out"
                )
            self._store.write_document(name, {"name": model.name, "stamp": model.stamp, "content": content})
            if known:  # else another process may be writing its own now, which the next comparison sees
                self._compared[model.name] = model.stamp


def read_notes(store: Store) -> list[str]:
    """Return the sentences that a run keeps on its data and models, in alphabetical order.

    Args:
        store: The store of the run.
    """
    documents = (store.read_document(name) for name in store.documents("notes"))
    return sorted(document["text"] for document in documents if document is not None and "text" in document)


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
