"""A small mobile network, random images for it, and its TFLite files."""

import keras
import numpy as np
import pytest

from keras_joslim import tflite
from tests.tflite.adb_fixtures import (  # noqa: F401
    adb,
    adb_binary,
    adb_environment,
    adb_home,
    make_phone,
    phone,
)
from tests.tflite.android_profiles import bench  # noqa: F401
from tests.tflite.random_weights import randomised

SHAPE = (16, 16, 3)


def build(seed=0, shape=SHAPE):
    """Conv, BatchNorm, ReLU6, depthwise, residual Add, Dense; BatchNorm statistics not trivial."""
    rng = np.random.default_rng(seed)
    layers = keras.layers
    image = keras.Input(shape, name="image")
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False, name="stem")(image)
    x = layers.BatchNormalization(name="stem_norm")(x)
    x = shortcut = layers.ReLU(6.0, name="stem_relu")(x)
    x = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    x = layers.BatchNormalization(name="depthwise_norm")(x)
    x = layers.ReLU(6.0, name="depthwise_relu")(x)
    x = layers.Conv2D(8, 1, name="project")(x)
    x = layers.Add(name="residual")([shortcut, x])
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    model = keras.Model(image, layers.Dense(5, name="logits")(x), name="small")
    return randomised(model, rng)


@pytest.fixture(scope="session")
def build_model():
    return build


@pytest.fixture(scope="session")
def model():
    return build()


@pytest.fixture(scope="session")
def images():
    return np.random.default_rng(1).random((6, *SHAPE)).astype(np.float32)


@pytest.fixture(scope="session")
def files(model):
    """dict format -> bytes."""
    with tflite.saved_model(model) as saved:
        return {name: saved.to_tflite(name) for name in ("fp32", "fp16")}


@pytest.fixture
def path(tmp_path, files):
    """A TFLite file on disk."""
    path = tmp_path / "small.fp32.tflite"
    path.write_bytes(files["fp32"])
    return path
