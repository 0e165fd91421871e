"""Walks a Keras functional model in topological order, nested models inlined.

One walk serves everything that reads a network: finding channel groups,
rebuilding it from slimmable layers, counting costs, extracting a sub-network,
and running it with some layers in another mode.
"""

import os

import keras
from keras import tree


def functional_graph(model):
    """The functional model behind `model`.

    Raises:
        ValueError: `model` has no graph of layers: a subclassed model, or a
            Sequential one that is not built.
    """
    if not isinstance(model, keras.Model):
        path = isinstance(model, str | os.PathLike)
        remedy = ". Load it first: keras.saving.load_model(path)" if path else ""
        raise ValueError(
            f"Expected a Keras 3 model (keras.Model). Received: model={model!r} of type "
            f"{type(model).__module__}.{type(model).__name__}{remedy}"
        )
    graph = model
    if isinstance(model, keras.Sequential):
        graph = model._functional
        if graph is None:
            raise ValueError(
                f"Sequential model {model.name!r} is not built, so its shapes are unknown. "
                "Give it a `keras.Input(shape=...)` as its first layer, or call `model.build`."
            )
    if not hasattr(graph, "_nodes_by_depth"):
        raise ValueError(
            f"Model {model.name!r} ({type(model).__name__}) is subclassed: it has no graph of "
            "layers from which channel groups could be read. Build it with the functional API: "
            "`keras.Model(inputs, outputs)`."
        )
    return graph


def is_nested_model(operation):
    """Whether an operation of a graph is itself a graph of layers."""
    return isinstance(operation, keras.Model) and (
        hasattr(operation, "_nodes_by_depth") or isinstance(operation, keras.Sequential)
    )


def run(model, inputs, visit, training=None):
    """Runs the graph of `model` on any values, node by node.

    Args:
        model: functional or Sequential model.
        inputs: flat list of values, one for each of the model's input tensors.
        visit: `visit(node, inputs, args, kwargs) -> output values`, called for every
            operation in topological order. `inputs` are the values of the node's
            input tensors; `args` and `kwargs` are the call's, with values in the
            place of Keras tensors. Operations inside nested models are visited in
            place of the model.
        training: `training` argument of the model's own call, if it was given one.

    Returns:
        The values of the outputs, in the structure of the model's outputs.
    """
    graph = functional_graph(model)
    values = {id(tensor): value for tensor, value in zip(graph.inputs, inputs, strict=True)}
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        for node in graph._nodes_by_depth[depth]:
            if node.is_input or any(id(t) not in values for t in node.input_tensors):
                continue
            args, kwargs = node.arguments.fill_in(values)
            ins = [values[id(tensor)] for tensor in node.input_tensors]
            outputs = _visit(visit, node, ins, args, kwargs, training)
            flat = tree.flatten(outputs)
            values.update((id(t), value) for t, value in zip(node.outputs, flat, strict=True))
    return tree.map_structure(lambda tensor: values[id(tensor)], graph._outputs_struct)


def _visit(visit, node, inputs, args, kwargs, training):
    operation = node.operation
    if is_nested_model(operation):
        return run(operation, inputs, visit, kwargs.get("training", training))
    if training is not None and getattr(operation, "_call_has_training_arg", False):
        kwargs = {"training": training, **kwargs}
    return visit(node, inputs, args, kwargs)


def layers_in_order(model):
    """Every layer that the walk meets, each once, nested models inlined."""
    layers = {}

    def visit(node, inputs, args, kwargs):
        if isinstance(node.operation, keras.Layer):
            layers[id(node.operation)] = node.operation
        return [None] * len(node.outputs)

    graph = functional_graph(model)
    run(graph, [None] * len(graph.inputs), visit)
    return list(layers.values())


def clone_operation(operation):
    """A fresh operation (or unbuilt layer) of the same config."""
    if type(operation) is keras.layers.Lambda:
        # Its config is bytecode, which Keras refuses to run and which has lost its globals.
        return keras.layers.Lambda(
            operation.function,
            output_shape=operation._output_shape,
            mask=operation.mask,
            arguments=operation.arguments,
            name=operation.name,
            dtype=operation.dtype_policy,
        )
    try:
        return type(operation).from_config(operation.get_config())
    except NotImplementedError as error:
        raise ValueError(
            f"Layer {operation.name!r} ({type(operation).__name__}) cannot be rebuilt: it has no "
            "`get_config`. Add one that returns its constructor's arguments."
        ) from error


def unique_names(model):
    """A name for every operation of the inlined network: its own where that is free.

    Returns:
        dict of `id(operation)` to `name`, or `name_1`, `name_2`, ... if it is taken, in the
        order of the walk; inputs first. `widths` is the slimmable network's own input.
    """
    graph = functional_graph(model)
    names, taken = {}, {"widths"}

    def add(operation):
        if id(operation) not in names:
            unique, i = operation.name, 0
            while unique in taken:
                i += 1
                unique = f"{operation.name}_{i}"
            taken.add(unique)
            names[id(operation)] = unique

    def visit(node, inputs, args, kwargs):
        add(node.operation)
        return [None] * len(node.outputs)

    for tensor in graph.inputs:
        add(tensor._keras_history.operation)
    run(graph, [None] * len(graph.inputs), visit)
    return names
