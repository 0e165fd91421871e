"""Small slimmable networks and some points of them, each with its own BatchNormalization."""

import keras
import numpy as np

import keras_joslim as kj

SHAPE = (16, 16, 3)


def _normalised(x, activation=None):
    x = keras.layers.BatchNormalization()(x)
    return x if activation is None else keras.layers.ReLU(activation)(x)


def mobile():
    """Inverted residual, Flatten and two Dense layers."""
    layers = keras.layers
    image = keras.Input(SHAPE, name="image")
    x = layers.Conv2D(16, 3, strides=2, padding="same", use_bias=False)(image)
    x = shortcut = _normalised(x, 6.0)
    x = _normalised(layers.Conv2D(96, 1, use_bias=False)(x), 6.0)
    x = _normalised(layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x), 6.0)
    x = layers.Add()([shortcut, _normalised(layers.Conv2D(16, 1, use_bias=False)(x))])
    x = _normalised(layers.Conv2D(64, 3, strides=4)(x), 6.0)
    x = layers.Dense(64, activation="relu")(layers.Flatten()(x))
    return keras.Model(image, layers.Dense(10, name="logits")(x), name="mobile")


def mixed():
    """Concatenation with BatchNorm on it, groups, multipliers, transposed; two outputs."""
    layers = keras.layers
    image = keras.Input(SHAPE, name="image")
    x = layers.Concatenate()([layers.Conv2D(16, 3)(image), layers.Conv2D(32, 3)(image)])
    x = _normalised(layers.Conv2D(64, 3, strides=2)(_normalised(x, 6.0)), 6.0)
    x = _normalised(layers.Conv2D(64, 3, groups=4, padding="same", use_bias=False)(x), 6.0)
    x = layers.SeparableConv2D(32, 3, depth_multiplier=2)(x)
    x = _normalised(layers.Conv2DTranspose(32, 3, strides=2)(x))
    x = layers.GlobalAveragePooling2D()(layers.PReLU(shared_axes=[1, 2])(x))
    outputs = [layers.Dense(10, name="a")(x), layers.Dense(4, name="b")(x)]
    return keras.Model(image, outputs, name="mixed")


def slimmable(build, divisor=8):
    """The network made slimmable; statistics, offsets and slopes are random, no zeros or ones."""
    keras.utils.set_random_seed(0)
    model, rng = build(), np.random.default_rng(0)
    for weight in model.weights:
        if weight.path.endswith(("gamma", "moving_variance")):
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
        # Kernels stay as they were initialised: deep networks amplify rounding with others.
        elif not weight.path.endswith("kernel"):
            weight.assign(rng.normal(0, 0.2, weight.shape))
    return kj.make_slimmable(model, 0.25, divisor=divisor)


def points(slim, widths):
    """Dict name -> stock model, each with moving statistics of its own.

    Args:
        slim: a `SlimmableModel`.
        widths: dict name -> width vector.
    """
    rng, models = np.random.default_rng(1), {}
    for name, vector in widths.items():
        models[name] = model = kj.extract(slim, vector)
        for weight in model.weights:
            values = np.asarray(weight.value)
            if weight.path.endswith("moving_variance"):
                weight.assign(values * rng.uniform(0.7, 1.4, values.shape))
            elif weight.path.endswith("moving_mean"):
                weight.assign(values + rng.normal(0, 0.1, values.shape))
    return models
