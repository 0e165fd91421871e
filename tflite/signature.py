"""The inputs and outputs of a Keras model, by name.

A TFLite file addresses its tensors by name; Keras by position or structure. The names used here
are those of the layers that make the tensors, for they are saved with the model, while the
tensors' own names count up in each process.
"""

import re

import numpy as np


def input_names(model):
    """Names of the inputs of a functional or Sequential model, in the order of `model.inputs`.

    Raises:
        ValueError: a model without a graph.
    """
    return _names(model, "inputs")


def output_names(model):
    """Names of the outputs of a functional or Sequential model, in the order of `model.outputs`.

    A layer that makes several outputs gives its name to all, with `_1`, `_2` added from the
    second one on.
    """
    return _names(model, "outputs")


def as_inputs(model, arrays):
    """Arrays, in the order of `model.inputs`, in the structure that the model is called with."""
    return _in_structure(model, "input", arrays)


def as_outputs(model, arrays):
    """Arrays, in the order of `model.outputs`, in the structure that the model returns."""
    return _in_structure(model, "output", arrays)


def by_name(values, names, what):
    """`values` as a dict with the keys `names`.

    Args:
        values: an array (one name only), or a mapping name -> array, or a list in the order of
            `names`.
        names: list of str.
        what: what the values are, for the message ("images").

    Returns:
        A dict name -> numpy array, in the order of `names`.

    Raises:
        ValueError: names that do not fit.
    """
    if isinstance(values, dict):
        if set(values) != set(names):
            raise ValueError(f"Expected {what} for {names}. Received: {what} for {list(values)}")
        return {name: np.asarray(values[name]) for name in names}
    if isinstance(values, list | tuple) and len(names) > 1:
        if len(values) != len(names):
            raise ValueError(
                f"Expected one array of {what} for each of {names}. Received: {len(values)}"
            )
        return {name: np.asarray(value) for name, value in zip(names, values, strict=True)}
    if len(names) != 1:
        raise ValueError(
            f"Expected {what} as a dict with the keys {names}. "
            f"Received: one array of shape {np.shape(values)}"
        )
    return {names[0]: np.asarray(values)}


def _in_structure(model, which, arrays):
    import keras

    if isinstance(model, keras.Sequential):
        # It does not tell its structure before it has been called; there is only this one.
        return arrays[0]
    return keras.tree.pack_sequence_as(getattr(model, which), arrays)


def _names(model, which):
    tensors = getattr(model, which, None)
    if not tensors:
        raise ValueError(
            "Expected a functional or Sequential keras.Model whose shapes are known. "
            f"Received: model={type(model).__name__} without {which}. "
            "Build it from keras.Input, or call it on a batch first."
        )
    names, seen = [], {}
    for tensor in tensors:
        # Sequential has no public name for the layers at its ends; the tensor knows its maker.
        name = re.sub(r"[^A-Za-z0-9_.-]", "_", tensor._keras_history.operation.name)
        count = seen.get(name, 0)
        seen[name] = count + 1
        names.append(f"{name}_{count}" if count else name)
    return names
