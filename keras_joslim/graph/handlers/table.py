"""The table of handlers: what each operation does to channels.

A handler is a function `handler(node, inputs, partition) -> outputs`. `inputs`
holds the channel layout of every input tensor's last axis, `outputs` one layout
for every output tensor; `None` stands for a tensor without a channel axis (a
vector over the batch, an axis of unknown length). It opens, merges, orders or
freezes groups of the `Partition`. With it goes the slimmable layer that takes the
operation's place; an operation that follows its input's channels by itself (an
activation, a pooling) needs none and is cloned.

What every handler keeps: channels are the last axis. An operation that would move
them to another axis freezes them.
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
        slim: `slim(node, in_layout, out_layout) -> operation` or `None`.
    """

    layouts: Callable
    slim: Callable | None = None


_HANDLERS = {}


def handles(*kinds, slim=None):
    """Decorator: registers a handler for layer classes or names of `keras.ops` classes.

    Args:
        *kinds: layer classes; or strings, the class names of the operations that
            `keras.ops` functions leave in a graph (`"Pad"`).
        slim: a `SlimLayer` class; or a function `(node, in_layout, out_layout) ->
            operation`, which may return a clone of the operation where that does.
    """

    def register(function):
        for kind in kinds:
            _HANDLERS[kind] = Handler(function, _factory(slim))
        return function

    return register


def _factory(slim):
    if not isinstance(slim, type):
        return slim
    return lambda node, *layouts: slim.from_stock(node.operation, *layouts)


def handler_of(operation):
    """The handler of an operation; one that freezes its groups if there is none."""
    kind = type(operation)
    if kind.__module__.startswith("keras.src.ops."):
        kind = kind.__name__
    return _HANDLERS.get(kind, _UNKNOWN)


def output_layouts(node, inputs, partition):
    """What the handler of a node's operation says of its outputs.

    Raises:
        ValueError: the handler returned something else than one layout for each output,
            as long as the output's last axis; it is named.
    """
    function = handler_of(node.operation).layouts
    outputs = function(node, inputs, partition)
    shapes = [tensor.shape for tensor in node.outputs]
    if not isinstance(outputs, list | tuple) or len(outputs) != len(shapes):
        count = len(outputs) if isinstance(outputs, list | tuple) else outputs
        raise ValueError(
            f"{_named(function, node)} must return a list of one channel layout for each of its "
            f"{len(shapes)} outputs. Received: {count!r}"
        )
    for layout, shape in zip(outputs, shapes, strict=True):
        if layout is not None and not isinstance(layout, ChannelLayout):
            raise ValueError(
                f"{_named(function, node)} must return a list of `ChannelLayout`s (or None for a "
                f"tensor without channels). Received: {layout!r}"
            )
        if layout is not None and (len(shape) < 2 or layout.size != shape[-1]):
            raise ValueError(
                f"{_named(function, node)} returned a layout of {layout.size} channels for an "
                f"output of shape {tuple(shape)}. Received: layout={layout}"
            )
    return outputs


def _named(function, node):
    kind = type(node.operation).__name__
    return f"The handler {function.__name__!r} of layer {node.operation.name!r} ({kind})"


def fixed_outputs(node):
    """Layouts of a node's outputs that no width changes."""
    return [fixed_like(tensor) for tensor in node.outputs]


def fixed_like(tensor):
    """The layout of a tensor whose last axis no width changes; `None` if it has none."""
    shape = tensor.shape
    return ChannelLayout.fixed(shape[-1]) if len(shape) > 1 and shape[-1] else None


def spans_channels(constant):
    """Whether a constant has one value a channel, so that it fits full width only."""
    if constant is None or isinstance(constant, str):
        return False
    shape = np.shape(constant)
    return len(shape) > 0 and shape[-1] != 1


def constants(node):
    """The arguments of a call that are not tensors of the graph, in a flat list."""
    flat = keras.tree.flatten((node.arguments.args, node.arguments.kwargs))
    return [value for value in flat if not isinstance(value, keras.KerasTensor)]


def argument(node, name, position):
    """An argument of a call, by name or by position; `None` if it was not given."""
    args, kwargs = node.arguments.args, node.arguments.kwargs
    return args[position] if len(args) > position else kwargs.get(name)


def on_last_axis(axis, rank):
    """Whether an axis, or one of several, is the last one of a tensor of that rank."""
    if axis is None:
        return True
    axes = axis if isinstance(axis, list | tuple) else [axis]
    return any(a % rank == rank - 1 for a in axes)


def freeze(node, inputs, partition, reason):
    """Freezes all that enters a node, which stays the stock operation, with fixed outputs.

    A layer with weights of its own is reported though nothing else depends on it.
    """
    partition.stock.add(id(node.operation))
    for layout in inputs:
        if layout is not None:
            partition.freeze(layout, node.operation, reason)
    if isinstance(node.operation, keras.Layer) and node.operation.weights:
        partition.note(node.operation, reason)
    return fixed_outputs(node)


def _no_handler(node, inputs, partition):
    reason = f"no handler for {type(node.operation).__name__}: runs at full width"
    return freeze(node, inputs, partition, reason)


_UNKNOWN = Handler(_no_handler)
