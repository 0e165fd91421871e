"""Every test starts from the same seed, and TensorFlow keeps quiet."""

import ctypes
import gc
import os
import random
import signal
import sys

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def pytest_configure():
    # A shell starts what it starts in the background with Ctrl-C ignored, and Python leaves it so.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _seeded():
    random.seed(0)
    np.random.seed(0)
    # The search engine's tests run without Keras: it is seeded only where it is in use.
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(0)


@pytest.fixture(autouse=True, scope="module")
def _memory_is_given_back():
    """A worker runs hundreds of modules: what their graphs took would add up to gigabytes."""
    yield
    if "keras" in sys.modules:
        sys.modules["keras"].backend.clear_session()
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)
