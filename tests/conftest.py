"""Every test starts from the same seed, and TensorFlow keeps quiet."""

import os
import random
import sys

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@pytest.fixture(autouse=True)
def _seeded():
    random.seed(0)
    np.random.seed(0)
    # The search engine's tests run without Keras: it is seeded only where it is in use.
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(0)
