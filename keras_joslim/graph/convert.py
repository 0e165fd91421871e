"""A user's Keras model becomes a slimmable one, with the same weights."""

import keras

from keras_joslim.graph.handlers import handler_of
from keras_joslim.graph.walk import clone_operation, functional_graph, run
from keras_joslim.layers import SlimLayer


def slimmable_network(model, groups):
    """Rebuilds a model from slimmable layers.

    Args:
        model: functional or Sequential Keras model.
        groups: the `NetworkGroups` that `find_groups` found in it.

    Returns:
        A functional model called with `[inputs, widths]`, `inputs` structured as
        the model's own and `widths` int32 `(groups,)`. Nested models are inlined,
        weights copied; layer names are kept where they are unique.
    """
    graph = functional_graph(model)
    inputs = [
        input_like(tensor, groups.names[id(tensor._keras_history.operation)])
        for tensor in graph.inputs
    ]
    widths = keras.Input(batch_shape=(len(groups.space),), dtype="int32", name="widths")
    rebuilt = {}

    def visit(node, tensors, args, kwargs):
        operation = node.operation
        if id(operation) not in rebuilt:
            rebuilt[id(operation)] = (operation, _rebuild(node, groups))
        new = rebuilt[id(operation)][1]
        if isinstance(new, SlimLayer):
            # Keras names the automatic mask after the argument once there are two.
            kwargs = renamed(kwargs, "mask", "inputs_mask")
            # What else an operation was called with (an index) its slimmable layer knows.
            return new(*filter(_has_tensors, args), widths, **kwargs)
        return new(*args, **kwargs)

    outputs = run(graph, inputs, visit)
    structure = keras.tree.pack_sequence_as(graph._inputs_struct, inputs)
    network = keras.Model([structure, widths], outputs, name=f"{model.name}_network")
    for old, new in rebuilt.values():
        if isinstance(old, keras.Layer):
            new.trainable = old.trainable
            copy_weights(old, new)
    return network


def _has_tensors(argument):
    return any(isinstance(value, keras.KerasTensor) for value in keras.tree.flatten(argument))


def renamed(kwargs, old, new):
    """Call arguments with `old` called `new`, or dropped if it is `None`."""
    rest = {name: value for name, value in kwargs.items() if name != old}
    return rest if kwargs.get(old) is None else {**rest, new: kwargs[old]}


def copy_weights(source, target):
    """Copies the variables of one layer to another of the same kind, random state too."""
    for old, new in zip(source.variables, target.variables, strict=True):
        new.assign(old)
    finalize(target)


def finalize(layer):
    """Has a layer take up weights that it keeps in another form (`Normalization`)."""
    if hasattr(layer, "finalize_state"):
        layer.finalize_state()


def _rebuild(node, groups):
    operation = node.operation
    if id(operation) in groups.layouts:
        new = handler_of(operation).slim(node, *groups.layouts[id(operation)])
    else:
        new = clone_operation(operation)
    new.name = groups.names[id(operation)]
    return new


def input_like(tensor, name):
    """A fresh `keras.Input` of the shape and dtype of a model's input tensor."""
    return keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=name)
