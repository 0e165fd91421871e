"""Native chatter is dropped; whatever else comes on standard error is not."""

import os

import pytest

from keras_joslim.tflite.quiet import native_logs

CHATTER = b"I0000 00:00:1700000000.000001 1 reader.cc:83] Reading\nINFO: Created delegate\n"
PROBLEM = b"E0000 00:00:1700000000.000001 1 reader.cc:84] disk on fire\n"


def test_chatter_is_dropped_and_the_rest_is_kept(capfd):
    with native_logs():
        os.write(2, CHATTER + PROBLEM + b"a line of the program\n")
    assert capfd.readouterr().err == PROBLEM.decode() + "a line of the program\n"


def fail(told):
    """Writes to standard error inside the block, then raises."""
    with native_logs() as log:
        os.write(2, CHATTER + PROBLEM)
        log.told = told
        raise RuntimeError


def test_everything_is_shown_when_the_block_raises(capfd):
    with pytest.raises(RuntimeError):
        fail(told=False)
    assert capfd.readouterr().err == (CHATTER + PROBLEM).decode()


def test_nothing_is_shown_when_the_message_says_it_all(capfd):
    with pytest.raises(RuntimeError):
        fail(told=True)
    assert capfd.readouterr().err == ""


def test_standard_error_is_back_afterwards(capfd):
    with native_logs():
        pass
    os.write(2, CHATTER)
    assert capfd.readouterr().err == CHATTER.decode()
