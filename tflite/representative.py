"""Representative images: training images on which the ranges of a file's activations are measured.

A format whose activations are integers maps the range of each tensor to them. The converter finds
the ranges by running the float network on these images, one by one; what later images exceed them
by is clipped. They come from the training data: validation and test data only judge.
"""

import hashlib

import numpy as np

from keras_joslim.tflite.signature import by_name, input_names


def representative_inputs(model, images, shapes):
    """The images as the converter wants them.

    Args:
        model: the stock `keras.Model`.
        images: array of shape `(n, height, width, channels)`; a dict input name -> array, or a
            list in the order of the model's inputs, for several inputs.
        shapes: dict input name -> shape with batch 1.

    Returns:
        A list of dicts input name -> array of batch 1, of the input's own dtype.

    Raises:
        ValueError: no images, not as many for each input, shapes that do not fit, NaN.
    """
    names = input_names(model)
    batches = by_name(images, names, "representative images")
    counts = {name: len(batch) if batch.ndim else 0 for name, batch in batches.items()}
    if len(set(counts.values())) != 1 or 0 in counts.values():
        raise ValueError(
            "Expected representative images, at least one and as many for each input. "
            f"Received: {counts}"
        )
    for name, tensor in zip(names, model.inputs, strict=True):
        batch = batches[name]
        if batch.shape[1:] != tuple(shapes[name][1:]):
            raise ValueError(
                f"Expected representative images of shape {tuple(shapes[name][1:])} for input "
                f"{name!r}. Received: images of shape {batch.shape}"
            )
        if not np.isfinite(batch).all():
            raise ValueError(
                f"Expected finite representative images. Received: NaN or infinity for {name!r}"
            )
        batches[name] = np.ascontiguousarray(batch, tensor.dtype)
    count = next(iter(counts.values()))
    return [{name: batch[i : i + 1] for name, batch in batches.items()} for i in range(count)]


def representative_sha256(images):
    """A hash over representative images: names, dtypes, shapes and values.

    Args:
        images: as for `representative_inputs`.

    Returns:
        64 hexadecimal digits.
    """
    if isinstance(images, dict):
        parts = sorted(images.items())
    elif isinstance(images, list | tuple):
        parts = [(str(i), part) for i, part in enumerate(images)]
    else:
        parts = [("", images)]
    digest = hashlib.sha256()
    for name, part in parts:
        array = np.ascontiguousarray(part)
        digest.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def refuse_missing(representative, formats):
    """Refuses formats that need representative images when there are none.

    Args:
        representative: what the caller gave, or None.
        formats: the `Format`s asked for.

    Raises:
        ValueError: names the formats and says what to pass.
    """
    wanting = [settings.name for settings in formats if settings.needs_images]
    if wanting and representative is None:
        raise ValueError(
            f"Format {', '.join(wanting)} needs representative images, on which the ranges of the "
            "activations are measured. Pass representative=images: some 100 to 500 images of the "
            "training data, preprocessed as in training but not augmented. "
            "Received: representative=None"
        )
