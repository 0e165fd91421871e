"""Number formats of a TFLite file: how the converter is set, how near to Keras a file must be."""

import dataclasses
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Tolerance:
    """How far a file's output may be from Keras's.

    An output tensor is accepted when every element's absolute difference is at most
    `absolute + relative * max|Keras output|`, the maximum taken over the tensor and all
    images. Relative to the largest element and not to each one: logits cross zero.

    Attributes:
        absolute: in the units of the output, at least 0.
        relative: share of the largest output, at least 0.

    Raises:
        ValueError: a negative number or NaN.

    Example:

    >>> Tolerance(absolute=1e-6, relative=1e-5).allowed(scale=10.0)
    0.000101
    """

    absolute: float
    relative: float

    def __post_init__(self):
        if not (self.absolute >= 0 and self.relative >= 0):
            raise ValueError(
                "A tolerance is made of two numbers of at least 0. "
                f"Received: absolute={self.absolute}, relative={self.relative}"
            )

    def allowed(self, scale):
        """The largest accepted difference for an output whose largest element is `scale`."""
        return self.absolute + self.relative * scale


@dataclasses.dataclass(frozen=True)
class Format:
    """One number format.

    Attributes:
        name: as it stands in file names and in the manifest.
        tolerance: what `verify` accepts when nothing else is asked for.
        configure: sets a fresh `TFLiteConverter`, in place.
    """

    name: str
    tolerance: Tolerance
    configure: Callable


def _fp32(converter):
    """Nothing to set: float32 is what the converter writes by itself."""


def _fp16(converter):
    """Weights stored as float16; inputs, outputs and arithmetic stay float32."""
    import tensorflow as tf

    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]


# Some seven times what ResNet-20 and -56, MobileNet and MobileNetV2 with random weights and random
# BatchNorm statistics showed, relative to the largest output: 1.3e-6 in fp32, 1.5e-3 in fp16 (each
# weight moves by up to 2**-11 = 5e-4 of itself). A file with wrong weights is off by about 1.
FORMATS = {
    "fp32": Format("fp32", Tolerance(absolute=1e-6, relative=1e-5), _fp32),
    "fp16": Format("fp16", Tolerance(absolute=1e-5, relative=1e-2), _fp16),
}


def find_formats(names):
    """The names of number formats, each once, as a tuple.

    Args:
        names: one name, or an iterable of names.

    Raises:
        ValueError: none, or an unknown one.
    """
    names = (names,) if isinstance(names, str) else tuple(dict.fromkeys(names))
    if not names:
        raise ValueError("Expected at least one format. Received: formats=()")
    for name in names:
        find_format(name)
    return names


def find_format(name):
    """The `Format` called `name`.

    Raises:
        ValueError: no such format.
    """
    if name not in FORMATS:
        raise ValueError(f"Expected a format out of {sorted(FORMATS)}. Received: format={name!r}")
    return FORMATS[name]
