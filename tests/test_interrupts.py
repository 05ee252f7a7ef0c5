"""Interrupts come at safe moments: not between two steps that another thread depends on, and never for nothing."""

from __future__ import annotations

import signal
import sys
import threading
import time

import pytest

from crossfeed.interrupts import deferred, raise_again


@pytest.fixture(autouse=True)
def _ctrl_c_is_python_s_own():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_waits_for_the_end_of_the_block():
    done = []
    with pytest.raises(KeyboardInterrupt), deferred():  # noqa: PT012 - what comes after the interrupt is the point
        signal.raise_signal(signal.SIGINT)
        done.append("all of it")
    assert done
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_error_of_the_block_is_not_lost_in_an_interrupt():
    with pytest.raises(KeyboardInterrupt) as raised, deferred():  # noqa: PT012 - see above
        signal.raise_signal(signal.SIGINT)
        raise ValueError("first")
    assert isinstance(raised.value.__context__, ValueError)


def test_a_second_interrupt_comes_through():
    done = []
    with pytest.raises(KeyboardInterrupt), deferred():  # noqa: PT012 - what comes after the interrupt is the point
        signal.raise_signal(signal.SIGINT)
        done.append(1)
        signal.raise_signal(signal.SIGINT)
        done.append(2)
    assert done == [1]


def test_blocks_within_blocks_wait_for_the_outermost():
    done = []
    with pytest.raises(KeyboardInterrupt), deferred():  # noqa: PT012 - what comes after the interrupt is the point
        with deferred():
            signal.raise_signal(signal.SIGINT)
        done.append("after the inner one")
    assert done


def test_where_interrupts_are_ignored_they_stay_ignored():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with deferred():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_other_threads_do_as_before():
    done = []

    def work():
        with deferred():
            done.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [signal.default_int_handler]


class Torn:
    def __del__(self):
        raise KeyboardInterrupt


def test_an_interrupt_within_a_destructor_comes_once_more():
    with pytest.raises(KeyboardInterrupt), raise_again():  # noqa: PT012 - see above
        Torn()
        time.sleep(60)


def test_other_errors_of_destructors_are_told_as_before(monkeypatch):
    told = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)

    class Broken:
        def __del__(self):
            raise ValueError("broken")

    with raise_again():
        Broken()
    assert [type(each.exc_value) for each in told] == [ValueError]
