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
        configure: sets a fresh `TFLiteConverter`, in place; None of a format that is made by
            training or by a quantizer.
        needs_images: are the ranges of its activations measured on representative images? All
            arithmetic inside such a file is on integers, or the file is refused.
        io_dtype: of the inputs and outputs that are real numbers in Keras.
        fine_tuned: is the network trained further for it? Such files are made by `export`, which
            is given a `FineTuning`; the tolerance is that between the fine-tuned network and its
            file, which is int8.
        by_quantizer: is it made of the fp32 file, by LiteRT Quantizer, rather than by the
            converter?
    """

    name: str
    tolerance: Tolerance
    configure: Callable | None
    needs_images: bool = False
    io_dtype: str = "float32"
    fine_tuned: bool = False
    by_quantizer: bool = False


class FormatError(ValueError):
    """A model cannot have a number format; the message names the operators and layers.

    Attributes:
        format: name of the format.
        operators: tuple of the TFLite operators that stand in the way; empty if that is not known.
    """

    def __init__(self, message, format, operators=()):  # noqa: A002 - the word of the field
        super().__init__(message)
        self.format = format
        self.operators = tuple(operators)

    def __reduce__(self):
        # It comes out of the processes that convert.
        return type(self), (str(self), self.format, self.operators)


def _fp32(converter):
    """Nothing to set: float32 is what the converter writes by itself."""


def _fp16(converter):
    """Weights stored as float16; inputs, outputs and arithmetic stay float32."""
    import tensorflow as tf

    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]


def _dynamic(converter):
    """Weights stored as int8; activations float32, quantised while the file runs."""
    import tensorflow as tf

    converter.optimizations = [tf.lite.Optimize.DEFAULT]


def _int8(converter):
    """Weights, activations, inputs and outputs int8."""
    import tensorflow as tf

    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8


def _int16x8(converter):
    """Weights int8, activations int16; inputs and outputs float32: a drop-in for the fp32 file."""
    import tensorflow as tf

    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [
        tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
    ]


# Five to eight times the largest difference, relative to the largest output, that was seen: 1.4e-6
# in fp32, 1.8e-3 in fp16 (each weight moves by up to 2**-11 = 5e-4 of itself), 2.0e-2 in dynamic,
# 3.6e-2 in int8, 3.8e-2 in int16x8. Networks: ResNet-20 (three seeds) and -56 on 32 px, MobileNetV2
# (0.35) on 32 px (two seeds) and 96 px, MobileNetV2 and MobileNetV3-Small on 96 px, with random
# weights and random BatchNorm statistics, ranges from 64 random images, compared on 16 others; and
# digits_cnn after 20 epochs on the digits, ranges from 128 training images, compared on 64
# validation images. An image outside the range of the representative ones is clipped in int8 and
# int16x8: 1.6e-1 at worst, among the eight points of a digits run (8 epochs, 200 training images).
# litert_int8 differs by as much as int8: by up to 1.2e-2 in MobileNetV2 on 96 px, random weights.
# A file with another network's weights is off by 0.4 to 1 behind a softmax, by 1 to 3 in logits.
FORMATS = {
    "fp32": Format("fp32", Tolerance(absolute=1e-6, relative=1e-5), _fp32),
    "fp16": Format("fp16", Tolerance(absolute=1e-5, relative=1e-2), _fp16),
    "dynamic": Format("dynamic", Tolerance(absolute=1e-5, relative=0.15), _dynamic),
    "int8": Format(
        "int8",
        Tolerance(absolute=1e-5, relative=0.3),
        _int8,
        needs_images=True,
        io_dtype="int8",
    ),
    "litert_int8": Format(
        "litert_int8",
        Tolerance(absolute=1e-5, relative=0.3),
        None,
        needs_images=True,
        io_dtype="int8",
        by_quantizer=True,
    ),
    "int16x8": Format(
        "int16x8", Tolerance(absolute=1e-5, relative=0.3), _int16x8, needs_images=True
    ),
    # Between the network as it was trained and its file. Seen: 1.3e-2 to 6e-2, the latter for one
    # scale a kernel ("cluster") in the smallest network of a digits run; in float32 1e-6, for
    # which "fp32" has the tolerance.
    **{
        name: Format(
            name, Tolerance(absolute=1e-5, relative=0.2), None, io_dtype="int8", fine_tuned=True
        )
        for name in ("qat", "cluster", "prune")
    },
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
        raise ValueError(f"Expected a format out of {list(FORMATS)}. Received: format={name!r}")
    return FORMATS[name]
