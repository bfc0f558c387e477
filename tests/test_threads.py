"""A background thread runs for the length of a block of code, and no longer."""

from __future__ import annotations

import threading

import pytest

from penstock._threads import background_thread

pytestmark = pytest.mark.smoke


def test_the_thread_ends_with_the_block():
    begun, over, ended = threading.Event(), threading.Event(), []

    def wait():
        begun.set()
        over.wait(30)
        ended.append(threading.current_thread().name)

    with background_thread(wait, "penstock-test", over.set):
        assert begun.wait(30)

    assert ended == ["penstock-test"]


def test_the_thread_ends_if_its_start_is_interrupted(monkeypatch):
    over = threading.Event()
    start, threads = threading.Thread.start, []

    def interrupted(thread):
        start(thread)
        threads.append(thread)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)

    with pytest.raises(KeyboardInterrupt), background_thread(over.wait, "penstock-test", over.set):
        pytest.fail("not reached")

    assert not threads[0].is_alive()


def test_a_thread_that_was_never_started_is_not_joined(monkeypatch):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)

    with pytest.raises(KeyboardInterrupt), background_thread(print, "penstock-test", lambda: None):
        pytest.fail("not reached")
