"""Which Keras layers and operations can be written down: a table of handlers by class name."""

import numpy as np

# Class name of a layer or operation of Keras -> handler(builder, node, args, kwargs) -> Tensor.
HANDLERS = {}


def handles(*names):
    """A decorator that enters a handler into the table.

    Args:
        *names: class names of layers and operations of Keras.
    """

    def register(handler):
        HANDLERS.update(dict.fromkeys(names, handler))
        return handler

    return register


def unknown(operation, what=""):
    """The error for an operation, or for what of it, that is not known."""
    return ValueError(
        "Quantisation-aware training, clustering and pruning do not know "
        f"{operation.name!r} ({type(operation).__name__}{', ' + what if what else ''}). "
        'Use the format "int8" for this model, which quantises after training and takes whatever '
        "TFLite has, or replace the layer."
    )


def output_shape(node):
    """Shape of the node's output, without batch."""
    return tuple(node.outputs[0].shape[1:])


def is_tensor(value):
    """Is it a `description.Tensor`, and not a constant?"""
    return hasattr(value, "number") and hasattr(value, "shape")


def flat_values(args, kwargs):
    """All values of a call as one list."""
    flat = []
    for value in [*args, *kwargs.values()]:
        flat.extend(value if isinstance(value, list | tuple) else [value])
    return flat


def constant(value):
    """A constant of a call, or a variable, as a float64 array."""
    import keras

    return np.asarray(keras.ops.convert_to_numpy(value), np.float64)


def config_of(layer, *names):
    """The layer's attributes as JSON values."""
    values = {name: getattr(layer, name) for name in names}
    return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}
