"""The table of handlers: what each operation does to channels.

A handler is a function `handler(node, inputs, partition) -> outputs`. `inputs`
holds the channel layout of every input tensor's last axis, `outputs` one layout
for every output tensor. It opens, merges, orders or freezes groups of the
`Partition`. With it goes the slimmable layer that takes the operation's place;
an operation that follows its input's channels by itself (an activation, a
pooling) needs none and is cloned.
"""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np

from keras_joslim.channel_layout import ChannelLayout


@dataclasses.dataclass(frozen=True)
class Handler:
    """A handler function and the slimmable class that goes with it.

    Attributes:
        layouts: `layouts(node, inputs, partition) -> list of output layouts`.
        slim: `slim(operation, in_layout, out_layout) -> operation` or `None`.
    """

    layouts: Callable
    slim: Callable | None = None


_HANDLERS = {}


def handles(*kinds, slim=None):
    """Decorator: registers a handler for layer classes or names of `keras.ops` classes.

    Args:
        *kinds: layer classes; or strings, the class names of the operations that
            `keras.ops` functions leave in a graph (`"Pad"`).
        slim: a `SlimLayer` class, or a function like `SlimLayer.from_stock`, which
            may return a clone of the operation where that does.
    """

    def register(function):
        make = getattr(slim, "from_stock", slim)
        for kind in kinds:
            _HANDLERS[kind] = Handler(function, make)
        return function

    return register


def handler_of(operation):
    """The handler of an operation; one that freezes its groups if there is none."""
    kind = type(operation)
    if kind.__module__.startswith("keras.src.ops."):
        kind = kind.__name__
    return _HANDLERS.get(kind, _UNKNOWN)


def fixed_outputs(node):
    """Layouts of a node's outputs that no width changes."""
    return [fixed_like(tensor) for tensor in node.outputs]


def fixed_like(tensor):
    """The layout of a tensor whose last axis no width changes; `None` if it has none."""
    shape = tensor.shape
    return ChannelLayout.fixed(shape[-1]) if len(shape) > 1 and shape[-1] else None


def spans_channels(constant):
    """Whether a constant has one value a channel, so that it fits full width only."""
    shape = () if constant is None else np.shape(constant)
    return len(shape) > 0 and shape[-1] != 1


def freeze(node, inputs, partition, reason):
    """Freezes all that enters a node and gives it fixed outputs."""
    for layout in inputs:
        if layout is not None:
            partition.freeze(layout, node.operation.name, reason)
    return fixed_outputs(node)


def _no_handler(node, inputs, partition):
    operation = node.operation
    reason = f"no handler for {type(operation).__name__}: runs at full width"
    # A bare operation that freezes nothing (the arithmetic of a mask) is no news.
    if isinstance(operation, keras.Layer):
        partition.note(operation.name, reason)
    return freeze(node, inputs, partition, reason)


_UNKNOWN = Handler(_no_handler)
