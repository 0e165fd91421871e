"""BatchNorm calibration: the moving statistics of an extracted sub-network."""

import keras
import numpy as np

from keras_joslim.graph.walk import functional_graph, layers_in_order, run


def as_batches(batches):
    """A list of batches; refuses one array, which would be taken for a list of images.

    Raises:
        ValueError: `batches` is an array.
    """
    if isinstance(batches, dict) or hasattr(batches, "shape"):
        what = "a dict" if isinstance(batches, dict) else f"one array of shape {batches.shape}"
        raise ValueError(
            "Expected a list of batches of images, such as [images[:256], images[256:512]], "
            f"without labels. Received: {what}"
        )
    return list(batches)


def calibrate_batch_norm(model, batches):
    """Sets BatchNormalization's moving statistics to the exact mean over some batches.

    A narrow sub-network has other statistics than the full one (Yu and Huang,
    ICCV 2019, section 3.5). Every batch runs with BatchNormalization on its own
    statistics, everything else (dropout) in inference; the moving mean and
    variance become the averages over the batches, weighted by their sizes.

    Args:
        model: an extracted sub-network, or any functional model. It is changed.
        batches: iterable of input batches (`x` alone, as the model takes it), of
            training images with evaluation preprocessing.

    Returns:
        `model`.

    Raises:
        ValueError: no batch, or statistics that are not finite.

    Example:

    >>> sub = extract(slim, widths)
    >>> calibrate_batch_norm(sub, [images[:256], images[256:512]])
    """
    if hasattr(model, "width_space"):
        raise ValueError(
            "BatchNormalization is calibrated on an extracted sub-network: "
            "`calibrate_batch_norm(extract(slim, widths), batches)`. "
            f"Received: the slimmable model {model.name!r}"
        )
    norms = [
        layer
        for layer in layers_in_order(model)
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    if not norms:
        return model
    graph = functional_graph(model)
    saved = [(norm.momentum, norm.trainable) for norm in norms]
    # Images that went into each layer's mean: a shared layer takes in every batch twice.
    seen = dict.fromkeys(map(id, norms), 0)
    count = 0

    def visit(node, inputs, args, kwargs):
        operation = node.operation
        if isinstance(operation, keras.layers.BatchNormalization):
            kwargs = {**kwargs, "training": True}
            # A moving average with this momentum is the running mean of all images.
            before, seen[id(operation)] = seen[id(operation)], seen[id(operation)] + count
            operation.momentum = before / seen[id(operation)]
        elif getattr(operation, "_call_has_training_arg", False):
            kwargs = {**kwargs, "training": False}
        return operation(*args, **kwargs)

    try:
        for norm in norms:
            norm.trainable = True
        for batch in as_batches(batches):
            flat = [keras.ops.convert_to_tensor(x) for x in keras.tree.flatten(batch)]
            _check_batch(flat, graph.inputs)
            count = int(flat[0].shape[0])
            if not count:
                continue
            run(graph, _cast(flat, graph.inputs), visit)
    finally:
        for norm, (momentum, trainable) in zip(norms, saved, strict=True):
            norm.momentum, norm.trainable = momentum, trainable
    if not any(seen.values()):
        raise ValueError("BatchNorm calibration needs at least one batch of images. Received none.")
    for norm in norms:
        if not all(np.isfinite(keras.ops.convert_to_numpy(w)).all() for w in norm.weights):
            raise ValueError(
                f"The statistics of BatchNormalization layer {norm.name!r} are not finite after "
                "calibration: look for NaN in the images or the weights."
            )
    return model


def _check_batch(flat, tensors):
    """Refuses batches with labels, or of another shape."""
    fits = len(flat) == len(tensors) and all(
        len(v.shape) == len(t.shape) for v, t in zip(flat, tensors, strict=True)
    )
    if not fits:
        raise ValueError(
            "Expected batches of images without labels, as the model takes them: arrays of shape "
            f"{[tuple(t.shape) for t in tensors]}. Received: a batch of arrays of shape "
            f"{[tuple(v.shape) for v in flat]}. Of a tf.data.Dataset of (images, labels) take "
            "`dataset.map(lambda images, labels: images)`."
        )


def _cast(values, tensors):
    return [keras.ops.cast(v, t.dtype) for v, t in zip(values, tensors, strict=True)]
