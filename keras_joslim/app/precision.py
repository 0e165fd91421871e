"""`train.precision` of a config: the dtype policy that the trained network is built under."""

import keras


def in_precision(build, precision):
    """A network whose layers compute in a precision, its outputs in float32.

    Losses are taken of outputs, and half precision would round them. Weights are float32 anyway.

    Args:
        build: function without arguments that makes a functional model.
        precision: a Keras dtype policy, such as "mixed_float16".

    Returns:
        What `build()` gives. (The policy of its output layers is that of the layers that
        `make_slimmable` makes of them; the tensors of this model itself are made already.)
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        network = build()
    finally:
        keras.config.set_dtype_policy(before)
    if precision.startswith("mixed_"):
        for tensor in network.outputs:
            tensor._keras_history.operation.dtype_policy = "float32"
    return network
