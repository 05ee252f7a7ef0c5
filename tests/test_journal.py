"""A run's journal: each thing is looked at once in a process, and a model that differs is never taken for the run's."""

from __future__ import annotations

import pytest

from crossfeed import MemoryStore
from crossfeed.display.progress import Silent
from crossfeed.errors import StoreMismatch
from crossfeed.protocols import OutsideModel
from crossfeed.running.journal import StoredJournal, read_notes


class Logged(Silent):
    """Progress that keeps its log."""

    def __init__(self):
        self.lines = []

    def log(self, text):
        self.lines.append(text)


class CountedStore(MemoryStore):
    """A store that counts how often a document is read."""

    def __init__(self):
        super().__init__()
        self.reads = 0

    def read_document(self, name):
        self.reads += 1
        return super().read_document(name)


def model(stamp, content, hashed=None):
    def hash_it():
        if hashed is not None:
            hashed.append(stamp)
        return content

    return OutsideModel("the base model 'm'", stamp, hash_it)


def test_items_are_looked_at_once_in_a_process_and_their_notes_logged_once_in_a_run():
    store, looked, logged = CountedStore(), [], Logged()

    def notes():
        looked.append(1)
        yield "math: 3 of 4 training items are cut"

    first, second = StoredJournal(store, logged), StoredJournal(store, logged)
    for _ in range(3):
        first.note("math", notes())
    assert (len(looked), store.reads) == (1, 1)
    second.note("math", notes())
    assert len(looked) == 2
    assert logged.lines == read_notes(store) == ["math: 3 of 4 training items are cut"]


def test_machines_that_see_other_times_of_the_same_files_hash_them_once_each():
    store, hashed = CountedStore(), []
    here, there = StoredJournal(store, Silent()), StoredJournal(store, Silent())
    for _ in range(5):
        here.identify([model("here", "same", hashed)])
        there.identify([model("there", "same", hashed)])
    assert hashed.count("there") == 1
    assert hashed.count("here") <= 2
    reads = store.reads
    here.identify([model("here", "same", hashed)])
    assert store.reads == reads, "a comparison that was made is not made again"
    with pytest.raises(StoreMismatch, match="the base model 'm' is no longer"):
        here.identify([model("later", "other")])


def test_two_processes_that_begin_at_once_with_other_models_are_told_apart():
    class Late(MemoryStore):
        """A store of which a reader sees nothing until everybody has written."""

        late = True

        def read_document(self, name):
            return None if self.late else super().read_document(name)

    store = Late()
    first, second = StoredJournal(store, Silent()), StoredJournal(store, Silent())
    first.identify([model("one", "content of one")])
    second.identify([model("two", "content of two")])
    store.late = False
    second.identify([model("two", "content of two")])
    with pytest.raises(StoreMismatch):
        first.identify([model("one", "content of one")])
