"""Interrupts come at safe moments: not between two steps that another thread depends on, and never for nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time

import pytest

from crossfeed.interrupts import Terminated, deferred, raise_again, terminable


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


@pytest.fixture
def _sigterm_is_as_it_was():
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("_sigterm_is_as_it_was")
def test_sigterm_interrupts_and_is_as_it_was_afterwards():
    before = signal.getsignal(signal.SIGTERM)
    with terminable():
        pass
    assert signal.getsignal(signal.SIGTERM) is before
    with pytest.raises(Terminated), terminable():
        signal.raise_signal(signal.SIGTERM)


@pytest.mark.usefixtures("_sigterm_is_as_it_was")
def test_sigterm_waits_for_the_end_of_the_block_and_is_one_if_it_comes_twice_at_once():
    done = []
    with pytest.raises(Terminated), terminable(), deferred():  # noqa: PT012 - what comes after it is the point
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        done.append("all of it")
    signal.raise_signal(signal.SIGTERM)
    assert done


@pytest.mark.usefixtures("_sigterm_is_as_it_was")
def test_ctrl_c_after_sigterm_comes_through():
    done = []
    with pytest.raises(KeyboardInterrupt) as raised, terminable(), deferred():  # noqa: PT012 - see above
        signal.raise_signal(signal.SIGTERM)
        done.append(1)
        signal.raise_signal(signal.SIGINT)
        done.append(2)
    assert done == [1]
    assert isinstance(raised.value.__context__, KeyboardInterrupt)


def test_a_second_sigterm_ends_the_process():
    code = """
import signal, sys, time
from crossfeed.interrupts import Terminated, terminable
with terminable():
    try:
        signal.raise_signal(signal.SIGTERM)
    except Terminated:
        print("stopping", flush=True)
        time.sleep(60)
print("not reached")
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "stopping\n"
    process.terminate()  # the same one, said by somebody else
    time.sleep(1.2)
    assert process.poll() is None
    process.terminate()
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (-signal.SIGTERM, "")


class TornBySigterm:
    def __del__(self):
        signal.raise_signal(signal.SIGTERM)


@pytest.mark.usefixtures("_sigterm_is_as_it_was")
def test_sigterm_within_a_destructor_comes_once_more():
    with pytest.raises(Terminated), raise_again(), terminable():  # noqa: PT012 - see above
        TornBySigterm()
        time.sleep(60)


def test_other_threads_are_not_terminable():
    found = []
    before = signal.getsignal(signal.SIGTERM)

    def work():
        with terminable():
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [before]
