"""A TFLite file is accepted only if it computes what the Keras model computes, on real images.

A conversion that lost its weights still loads, runs and benchmarks well. Outputs are what tells.
"""

import dataclasses

import numpy as np

from keras_joslim.tflite.formats import FORMATS, Tolerance
from keras_joslim.tflite.interpreter import run
from keras_joslim.tflite.signature import as_inputs, by_name, input_names, output_names

# Images of one Keras call: keeps the activations of large networks within memory.
_BATCH = 32


class DisagreementError(ValueError):
    """A TFLite file computes something else than its Keras model.

    Attributes:
        difference: the `Difference`, or None if an output was not finite.
    """

    def __init__(self, message, difference=None):
        super().__init__(message)
        self.difference = difference


@dataclasses.dataclass(frozen=True)
class Difference:
    """How far the outputs of a TFLite file are from Keras's, where that is worst.

    Attributes:
        max_abs: largest absolute difference, in the units of the output.
        max_relative: `max_abs` divided by `scale` (0 if both are).
        scale: largest absolute value of that output in Keras.
        allowed: the largest `max_abs` that is accepted; None where none is refused.
        output: name of the output.
        image: index of the image.
        images: how many images were compared.
    """

    max_abs: float
    max_relative: float
    scale: float
    allowed: float | None
    output: str
    image: int
    images: int

    def to_dict(self):
        """A JSON object."""
        return dataclasses.asdict(self)


def verify(data, model, images, tolerance=None, name="this TFLite file"):
    """Compares a TFLite file with the Keras model it was made from.

    Args:
        data: the file as bytes.
        model: the stock `keras.Model`.
        images: array of shape `(n, height, width, channels)`, real and preprocessed as in
            training; a dict name -> array for several inputs.
        tolerance: a `Tolerance`; by default that of "fp32".
        name: the file's name, for messages.

    Returns:
        The `Difference`, within tolerance.

    Raises:
        DisagreementError: the file's outputs differ by more, or are not finite.
        ValueError: images that do not fit or are not finite, a Keras model whose own outputs are
            not finite.

    Example:

    >>> verify(to_tflite(model), model, images).max_abs
    2.4e-07
    """
    images = named_images(model, images)
    return compare(data, images, keras_outputs(model, images), tolerance, name)


def named_images(model, images):
    """A dict input name -> array; a list is taken in the order of the model's inputs."""
    return by_name(images, input_names(model), "images")


def keras_outputs(model, images):
    """What the Keras model computes in inference, to be compared with several files.

    Args:
        model: the stock `keras.Model`.
        images: as for `verify`.

    Returns:
        A dict output name -> float array of shape `(n, ...)`.

    Raises:
        ValueError: as for `verify`.
    """
    import keras

    names = input_names(model)
    batches = named_images(model, images)
    count = min(len(batch) if batch.ndim else 0 for batch in batches.values())
    if count == 0:
        raise ValueError("Expected at least one image to compare TFLite with Keras. Received: none")
    for name, batch in batches.items():
        if not np.isfinite(batch).all():
            raise ValueError(f"Expected finite images. Received: NaN or infinity for {name!r}")
    parts = []
    for start in range(0, count, _BATCH):
        flat = [batches[name][start : start + _BATCH] for name in names]
        inputs = as_inputs(model, flat)
        outputs = keras.tree.flatten(model(inputs, training=False))
        parts.append([keras.ops.convert_to_numpy(output) for output in outputs])
    outputs = {
        name: np.concatenate(values)
        for name, values in zip(output_names(model), zip(*parts, strict=True), strict=True)
    }
    for name, values in outputs.items():
        if not np.isfinite(values).all():
            raise ValueError(
                f"The Keras model {model.name!r} itself computes NaN or infinity in output "
                f"{name!r}, so no file of it can be checked. Look at its weights and at the "
                "preprocessing of the images."
            )
    return outputs


def compare(data, images, expected, tolerance=None, name="this TFLite file"):
    """Compares a TFLite file with outputs known already; see `verify`.

    Args:
        data: the file as bytes.
        images: as for `verify`.
        expected: what `keras_outputs` returned for them.
        tolerance: a `Tolerance`; by default that of "fp32".
        name: the file's name, for messages.

    Returns:
        The `Difference`, within tolerance.

    Raises:
        DisagreementError: as for `verify`.
    """
    return compare_outputs(run(data, images), expected, tolerance, name)


def compare_outputs(actual, expected, tolerance=None, name="this TFLite file"):
    """Compares what a file computed with what Keras computes; see `verify`.

    Args:
        actual: array, or dict output name -> array: of the file.
        expected, tolerance, name: as for `compare`.

    Returns:
        The `Difference`, within tolerance.

    Raises:
        DisagreementError: as for `verify`.
    """
    tolerance = tolerance or FORMATS["fp32"].tolerance
    actual = by_name(actual, list(expected), "outputs")
    worst = max(
        (_difference(actual[key], expected[key], key, tolerance, name) for key in expected),
        key=_excess,
    )
    if _excess(worst) > 1:
        raise DisagreementError(
            f"{name} disagrees with Keras and was not accepted: output {worst.output!r} differs by "
            f"{worst.max_abs:.3g} on image {worst.image} of {worst.images}, where Keras's largest "
            f"output is {worst.scale:.3g}. Accepted is {worst.allowed:.3g} (absolute "
            f"{tolerance.absolute:g} + relative {tolerance.relative:g}). Check that the images are "
            "preprocessed as in training; export the model again; if the number format is at its "
            "limit for this model, choose a finer one or pass a wider tolerance.",
            worst,
        )
    return worst


def measure(data, images, expected, name="this TFLite file"):
    """How far a TFLite file is from outputs known already, however far that is.

    Args:
        data, images, expected, name: as for `compare`.

    Returns:
        The `Difference` where it is the largest relative to the output; `allowed` is None.

    Raises:
        DisagreementError: an output that is not finite, or of another shape.
    """
    actual = by_name(run(data, images), list(expected), "outputs")
    nothing = Tolerance(0.0, 0.0)
    found = [_difference(actual[key], expected[key], key, nothing, name) for key in expected]
    return dataclasses.replace(max(found, key=lambda one: one.max_relative), allowed=None)


def _difference(actual, expected, output, tolerance, name):
    if actual.shape != expected.shape:
        raise DisagreementError(
            f"{name} disagrees with Keras and was not accepted: output {output!r} has shape "
            f"{actual.shape}, Keras's has {expected.shape}. Export the model again."
        )
    finite = np.isfinite(actual)
    if not finite.all():
        bad = int(np.argwhere(~finite)[0][0])
        raise DisagreementError(
            f"{name} was not accepted: output {output!r} is not finite on image {bad} of "
            f"{len(actual)}, where Keras's is. The conversion lost weights: export the model "
            "again."
        )
    expected = expected.astype(np.float64)
    errors = np.abs(actual.astype(np.float64) - expected)
    scale = float(np.abs(expected).max())
    worst = float(errors.max())
    return Difference(
        max_abs=worst,
        max_relative=worst / scale if scale else 0.0,
        scale=scale,
        allowed=tolerance.allowed(scale),
        output=output,
        image=int(np.unravel_index(errors.argmax(), errors.shape)[0]),
        images=len(expected),
    )


def _excess(difference):
    """The difference in units of what is allowed; above 1 is refused."""
    if difference.allowed == 0:
        return 0.0 if difference.max_abs == 0 else np.inf
    return difference.max_abs / difference.allowed
