"""A stock Keras model becomes TFLite bytes: one SavedModel, then each number format from it.

The SavedModel has named inputs, batch size 1 and static shapes: what the benchmark tools and the
phone's delegates need. The converter folds BatchNormalization into the kernels.
"""

import contextlib
import dataclasses
import pathlib
import re
import tempfile

from keras_joslim.tflite.formats import find_format
from keras_joslim.tflite.operators import check_operators
from keras_joslim.tflite.quiet import native_logs
from keras_joslim.tflite.signature import input_names, output_names

_HALF_POLICIES = ("mixed_float16", "mixed_bfloat16", "float16", "bfloat16")
# "TF Select ops: Cholesky, Qr" or "Custom ops: Erfinv" in the converter's message.
_REFUSED_OPS = re.compile(r"(?:TF Select|Flex|Custom) ops: (.+)")


def to_tflite(model, format="fp32", input_shape=None):  # noqa: A002 - the word of the field
    """Converts a stock Keras model to TFLite.

    Args:
        model: a functional or Sequential `keras.Model`.
        format: "fp32" or "fp16".
        input_shape: shape without batch, for a model whose own is not fully known; a dict name ->
            shape for several inputs.

    Returns:
        The file as bytes; the same model gives the same bytes.

    Raises:
        ValueError: an unknown format, a slimmable model, an input whose shape is not known,
            operations that TFLite has no kernel for.

    Example:

    >>> data = to_tflite(keras.applications.MobileNetV2(weights=None), "fp16")
    """
    find_format(format)
    with saved_model(model, input_shape) as saved:
        return saved.to_tflite(format)


@dataclasses.dataclass(frozen=True)
class SavedModel:
    """A model exported for conversion; it lives as long as the `saved_model` block.

    Attributes:
        path: its directory.
        model: the Keras model that was exported: the one given, or its float32 copy.
    """

    path: pathlib.Path
    model: object

    def to_tflite(self, format="fp32"):  # noqa: A002 - the word of the field
        """Converts to one number format; see `to_tflite`.

        Returns:
            The file as bytes.
        """
        import tensorflow as tf

        settings = find_format(format)
        with native_logs() as log:
            converter = tf.lite.TFLiteConverter.from_saved_model(str(self.path))
            settings.configure(converter)
            try:
                data = converter.convert()
            except Exception as error:
                refused = _REFUSED_OPS.findall(str(error))
                if not refused:
                    raise
                log.told = True
                # `from None`: the converter's own message is a page of compiler output.
                raise ValueError(
                    f"TFLite has no kernels for these operations of the model "
                    f"{self.model.name!r}: {', '.join(sorted(set(refused)))}. "
                    "Replace them by operations that TFLite has; Flex (TensorFlow's own kernels "
                    "inside TFLite) and custom operators are not used, phones do not have them."
                ) from None
        check_operators(data, f"model {self.model.name!r} as {format}")
        return data


@contextlib.contextmanager
def saved_model(model, input_shape=None):
    """Exports `model` once, to be converted to several formats inside the block.

    A model trained under a mixed precision policy is exported as its float32 copy: TFLite has no
    float16 or bfloat16 convolutions.

    Args:
        model: a functional or Sequential `keras.Model`, not a slimmable one.
        input_shape: as for `to_tflite`.

    Yields:
        A `SavedModel`.

    Raises:
        ValueError: as for `to_tflite`.

    Example:

    >>> with saved_model(model) as saved:
    ...     files = {name: saved.to_tflite(name) for name in ("fp32", "fp16")}
    """
    import keras
    import tensorflow as tf

    if hasattr(model, "width_space"):
        raise ValueError(
            f"Model {getattr(model, 'name', model)!r} is slimmable, a TFLite file has fixed "
            "widths: extract a sub-network first, `keras_joslim.extract(model, widths)`."
        )
    names_in, names_out = input_names(model), output_names(model)
    shapes = _static_shapes(model, names_in, input_shape)
    model = float32_copy(model)
    specs = {
        name: tf.TensorSpec(shapes[name], tensor.dtype, name=name)
        for name, tensor in zip(names_in, model.inputs, strict=True)
    }

    def serve(tensors):
        flat = [tensors[name] for name in names_in]
        inputs = keras.tree.pack_sequence_as(model.input, flat) if len(flat) > 1 else flat[0]
        outputs = keras.tree.flatten(model(inputs, training=False))
        return dict(zip(names_out, outputs, strict=True))

    with tempfile.TemporaryDirectory(prefix="keras_joslim-") as directory:
        with native_logs():
            archive = keras.export.ExportArchive()
            archive.track(model)
            archive.add_endpoint("serving_default", serve, [specs])
            archive.write_out(directory, verbose=False)
        yield SavedModel(pathlib.Path(directory), model)


def float32_copy(model):
    """The model itself, or its copy in float32 if a layer computes in half precision.

    Args:
        model: a functional or Sequential `keras.Model`.

    Returns:
        A `keras.Model` with the same weights that computes in float32.
    """
    policies = {layer.dtype_policy.name for layer in model._flatten_layers()}
    if policies.isdisjoint(_HALF_POLICIES):
        return model
    copy = type(model).from_config(_in_float32(model.get_config()))
    copy.set_weights(model.get_weights())
    return copy


def _in_float32(config):
    """A layer config, nested to any depth, with each half precision policy made float32."""
    if isinstance(config, dict):
        return {
            key: "float32"
            if key in ("dtype", "name") and value in _HALF_POLICIES
            else _in_float32(value)
            for key, value in config.items()
        }
    if isinstance(config, list | tuple):
        return type(config)(_in_float32(value) for value in config)
    return config


def _static_shapes(model, names, given):
    """name -> shape with batch size 1, every entry known."""
    if given is None:
        given = {}
    elif not isinstance(given, dict):
        if len(names) != 1:
            raise ValueError(
                f"Expected input_shape as a dict with the keys {names}. "
                f"Received: input_shape={given}"
            )
        given = {names[0]: given}
    unknown = sorted(set(given) - set(names))
    if unknown:
        raise ValueError(f"Expected input_shape for inputs out of {names}. Received: {unknown}")
    shapes = {}
    for name, tensor in zip(names, model.inputs, strict=True):
        batch, *own = tensor.shape
        if batch not in (None, 1):
            raise ValueError(
                f"A TFLite file is made for batch size 1. Received: input {name!r} with a fixed "
                f"batch size of {batch}. Build the model with keras.Input(shape=...)."
            )
        shape = tuple(given.get(name, own))
        fits = len(shape) == len(own) and all(
            mine in (None, theirs) for mine, theirs in zip(own, shape, strict=True)
        )
        if not fits:
            raise ValueError(
                f"Input {name!r} of the model has shape {tuple(own)} without batch. "
                f"Received: input_shape={shape}"
            )
        if None in shape:
            raise ValueError(
                f"A TFLite file needs every size of its input. Received: input {name!r} of shape "
                f"{shape} (height, width, channels). Pass input_shape=(height, width, channels), "
                "or build the model with these sizes."
            )
        shapes[name] = (1, *(int(size) for size in shape))
    return shapes
