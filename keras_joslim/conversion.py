"""The way in and the way out: a stock Keras model becomes slimmable, a sub-network stock Keras."""

import json

import keras

from keras_joslim.graph import (
    extract_network,
    find_groups,
    functional_graph,
    layers_in_order,
    slimmable_network,
)
from keras_joslim.slimmable_model import SlimmableModel


def make_slimmable(model, min_width=0.25, divisor=1, choices=None, skip=()):
    """Converts a functional or Sequential Keras 3 model into a slimmable one.

    Weights are copied, nothing of `model` is changed. At full width inference
    equals the model's to the last bit.

    Args:
        model: the model, its channels last. Its outputs are never slimmed.
        min_width: smallest width multiplier of a layer, above 0 and below 1.
        divisor: widths are multiples of it (8 suits phones).
        choices: at most so many legal widths for each channel group; `None` keeps all.
        skip: names of layers that stay at full width, `*` for any characters.

    Returns:
        A `SlimmableModel`, not compiled. `slim.width_space.summary()` reports what
        was found and what stays at full width, and why.

    Raises:
        ValueError: a subclassed model, one that is slimmable already, `min_width`
            outside (0, 1), a `skip` pattern that matches nothing, a model of which
            nothing can be narrowed.

    Example:

    >>> slim = make_slimmable(keras.applications.MobileNetV2(weights=None), 0.42, divisor=8)
    >>> slim.width_space.summary()
    """
    if isinstance(model, SlimmableModel):
        raise ValueError(
            f"Model {model.name!r} is slimmable already: use it as it is, or make the original "
            "model slimmable with other arguments."
        )
    groups = find_groups(model, min_width, divisor, choices, skip)
    network = slimmable_network(model, groups)
    config = keras.saving.serialize_keras_object(model)
    config.pop("compile_config", None)
    names = list(functional_graph(model).output_names)
    layers = [groups.names[id(layer)] for layer in layers_in_order(model)]
    original = {"config": json.dumps(config), "output_names": names, "layers": layers}
    return SlimmableModel(network, groups.space, original, name=f"slimmable_{model.name}")


def extract(model, widths, name=None):
    """The sub-network at `widths` as an ordinary Keras model with copied slices.

    Its outputs are the slimmable model's at those widths. Nothing of this library
    is left in it; of a model of mixed precision it is the float32 network, as TFLite
    needs it. BatchNormalization statistics are slices of the full network's:
    calibrate them (`calibrate_batch_norm`) before the model is used or judged.

    Args:
        model: a `SlimmableModel`.
        widths: int `(groups,)`, legal.
        name: name of the new model.

    Returns:
        A functional `keras.Model`, not compiled.

    Raises:
        ValueError: widths of the wrong length or not legal, naming the group.
    """
    if not isinstance(model, SlimmableModel):
        raise ValueError(
            f"Expected a SlimmableModel from `make_slimmable`. Received: model={model!r}"
        )
    widths = model.width_space.validate(widths)
    if widths.ndim != 1:
        raise ValueError(f"Expected one width vector. Received: shape={widths.shape}")
    return extract_network(model.network, widths, name or f"{model.name}_sub")
