"""The way in for layers of one's own: `register_handler`."""

import keras

from keras_joslim.graph.handlers.merging import elementwise
from keras_joslim.graph.handlers.table import freeze, handles
from keras_joslim.layers import SlimLayer


def unchanged(node, inputs, partition):
    """The first input's channels, of which the layer may hold a parameter each."""
    if inputs[0] is not None:
        partition.join(inputs[0], node.operation)
    return [inputs[0]] * len(node.outputs)


def full_width(node, inputs, partition):
    """All that enters stays at full width."""
    return freeze(node, inputs, partition, "runs at full width on request")


_NAMED = {"unchanged": unchanged, "elementwise": elementwise, "frozen": full_width}


def register_handler(kind, handler="unchanged", slim=None):
    """Says what a layer of one's own does to channels, so that models with it can be slimmed.

    A layer without a handler runs at full width, and so does all that shares its
    channels. Of a class that has a handler already the new one takes its place.

    Args:
        kind: the layer class, exactly: subclasses need handlers of their own.
        handler: `"unchanged"`: one input, whose channels are the output's.
            `"elementwise"`: several inputs, added or multiplied. `"frozen"`: full width.
            Or a function `(node, inputs, partition) -> layouts`: `inputs` has the
            `ChannelLayout` of the last axis of every input tensor (`None` where there is
            none), the result one for every output tensor; `partition.open(size,
            node.operation)` opens a channel group, `partition.merge(a, b,
            node.operation)` makes two layouts one, `partition.join(layout,
            node.operation)` lists the layer as a member.
        slim: a `SlimLayer` subclass of the layer, which slices its weights; `None` if it
            works at any number of channels as it is.

    Raises:
        ValueError: `kind` is no layer class, another name of a handler, `slim` is no
            `SlimLayer` with `stock_class=kind`.

    Example:

    >>> register_handler(DropBlock)  # no weights, channels pass through
    """
    if not (isinstance(kind, type) and issubclass(kind, keras.Layer)):
        raise ValueError(f"`register_handler` takes a layer class. Received: kind={kind!r}")
    function = _NAMED.get(handler, handler) if isinstance(handler, str) else handler
    if not callable(function):
        raise ValueError(
            f"`handler` is one of {list(_NAMED)} or a function (node, inputs, partition) -> "
            f"layouts. Received: handler={handler!r}"
        )
    if slim is not None and not (isinstance(slim, type) and issubclass(slim, SlimLayer)):
        raise ValueError(
            "`slim` is a class that derives from `keras_joslim.layers.SlimLayer` and the layer "
            f"itself. Received: slim={slim!r}"
        )
    if slim is not None and slim.stock_class is not kind:
        raise ValueError(
            f"{slim.__name__}.stock_class must be the layer class that it stands for. "
            f"Received: stock_class={slim.stock_class!r}, kind={kind!r}"
        )
    if slim is not None:
        order = slim.__mro__
        if kind not in order or order.index(SlimLayer) > order.index(kind):
            raise ValueError(
                f"{slim.__name__} must derive from `SlimLayer` first and then from "
                f"{kind.__name__}: `class {slim.__name__}(SlimLayer, {kind.__name__})`. "
                f"Received: bases={[base.__name__ for base in slim.__bases__]}"
            )
        if slim.call is kind.call:
            raise ValueError(
                f"{slim.__name__} must define `call(self, inputs, widths)`, which runs on the "
                "active part of its weights: `self.active(name, widths)`."
            )
    handles(kind, slim=slim)(function)
