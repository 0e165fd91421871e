"""Extraction: one sub-network as an ordinary Keras model with copied slices."""

import keras
import numpy as np

from keras_joslim.graph.convert import copy_weights, finalize, input_like, renamed
from keras_joslim.graph.walk import clone_operation, functional_graph, run
from keras_joslim.layers import SlimLayer


def extract_network(network, widths, name):
    """The stock model that a slimmable network is at `widths`.

    Args:
        network: the functional model that `slimmable_network` made.
        widths: int array `(groups,)`, legal.
        name: name of the new model.

    Returns:
        A functional `keras.Model` of stock layers, called with the original
        inputs; nothing of this library is left in it. It computes in float32, also where
        the network was trained in mixed precision.
    """
    widths = np.asarray(widths)
    graph = functional_graph(network)
    *input_tensors, widths_tensor = graph.inputs
    inputs = [input_like(tensor, tensor._keras_history.operation.name) for tensor in input_tensors]
    rebuilt = {}

    def visit(node, tensors, args, kwargs):
        operation = node.operation
        if id(operation) not in rebuilt:
            stock = isinstance(operation, SlimLayer)
            new = operation.stock(widths) if stock else clone_operation(operation)
            _in_single_precision(new)
            rebuilt[id(operation)] = (operation, new)
        new = rebuilt[id(operation)][1]
        if isinstance(operation, SlimLayer):
            # The last argument of a slimmable layer is the width vector.
            return new(*args[:-1], **renamed(kwargs, "inputs_mask", "mask"))
        return new(*args, **kwargs)

    outputs = run(graph, [*inputs, None], visit)
    structure = graph._inputs_struct[0]
    model = keras.Model(keras.tree.pack_sequence_as(structure, inputs), outputs, name=name)
    for old, new in rebuilt.values():
        if isinstance(old, SlimLayer) and old.weights:
            sliced = old.sliced_weights(widths).values()
            for variable, array in zip(new.weights, sliced, strict=True):
                variable.assign(array)
            finalize(new)
        elif isinstance(new, keras.Layer):
            copy_weights(old, new)
    return model


def _in_single_precision(operation):
    """A layer that is not built yet, and those inside of it, lose a policy of mixed precision."""
    if isinstance(operation, keras.Layer):
        for layer in operation._flatten_layers():
            if layer.dtype_policy.name.startswith("mixed_"):
                layer.dtype_policy = layer.dtype_policy.variable_dtype
