"""A stock Keras model becomes TFLite bytes: one SavedModel, then each number format from it.

The SavedModel has named inputs, batch size 1 and static shapes: what the benchmark tools and the
phone's delegates need. The converter folds BatchNormalization into the kernels.
"""

import contextlib
import dataclasses
import functools
import pathlib
import re
import tempfile
import warnings

from keras_joslim.tflite.formats import FormatError, find_format
from keras_joslim.tflite.integer_only import check_integer_only
from keras_joslim.tflite.layer_names import named_operators
from keras_joslim.tflite.liveness import SeveralGraphsError, read_graph
from keras_joslim.tflite.operators import check_operators
from keras_joslim.tflite.quantized_file import quantized_file, require_quantizer
from keras_joslim.tflite.quiet import native_logs
from keras_joslim.tflite.representative import refuse_missing, representative_inputs
from keras_joslim.tflite.signature import as_inputs, input_names, output_names

_HALF_POLICIES = ("mixed_float16", "mixed_bfloat16", "float16", "bfloat16")
# "TF Select ops: Cholesky, Qr" or "Custom ops: Erfinv" in the converter's message.
_REFUSED_OPS = re.compile(r"(?:TF Select|Flex|Custom) ops: (.+)")
# "Quantization to 16x8-bit not yet supported for op: 'HARD_SWISH'." in that of its quantiser.
_NOT_QUANTISED = re.compile(r"not yet supported for op: '(\w+)'")
# Characters of a message that is quoted.
_SAID = 300


def to_tflite(model, format="fp32", input_shape=None, representative=None):  # noqa: A002
    """Converts a stock Keras model to TFLite.

    - "fp32": float32 throughout.
    - "fp16": weights stored as float16; arithmetic in float32.
    - "dynamic": kernels of 1,024 elements and more stored as int8, and their layers computed on
      integers whose range is found anew for each image; everything else is float32.
    - "int8": weights, activations, inputs and outputs are int8 and all arithmetic is on integers
      (Jacob et al., "Quantization and Training of Neural Networks for Efficient
      Integer-Arithmetic-Only Inference", CVPR 2018).
    - "litert_int8": the same by LiteRT Quantizer (extra `quantizer`), out of the fp32 file.
    - "int16x8": int8 weights and int16 activations, with float32 inputs and outputs, so that it
      takes the place of an fp32 file. XNNPACK has no kernels for it: it is smaller than fp32, and
      much slower where they would have run.

    Args:
        model: a functional or Sequential `keras.Model`.
        format: one of the above.
        input_shape: shape without batch, for a model whose own is not fully known; a dict name ->
            shape for several inputs.
        representative: for "int8", "litert_int8" and "int16x8": some 100 to 500 images of the
            training data, shape `(n, height, width, channels)`, preprocessed as in training but
            not augmented; a dict input name -> array for several inputs.

    Returns:
        The file as bytes; the same model and images give the same bytes.

    Raises:
        FormatError: the model cannot have the format; names the operators and layers.
        ValueError: an unknown format, a slimmable model, an input whose shape is not known,
            operations that TFLite has no kernel for, representative images that are missing or
            do not fit, a package that is not installed.

    Example:

    >>> model = keras.applications.MobileNetV2(weights=None)
    >>> data = to_tflite(model, "int8", representative=train_images[:200])
    """
    settings = find_format(format)
    refuse_missing(representative, [settings])
    if settings.by_quantizer:
        require_quantizer()
    with saved_model(model, input_shape) as saved:
        return saved.to_tflite(format, representative)


@dataclasses.dataclass(frozen=True)
class SavedModel:
    """A model exported for conversion; it lives as long as the `saved_model` block.

    Attributes:
        path: its directory.
        model: the Keras model that was exported: the one given, or its float32 copy.
        shapes: dict input name -> shape with batch 1.
    """

    path: pathlib.Path
    model: object
    shapes: dict

    def to_tflite(self, format="fp32", representative=None):  # noqa: A002 - the word of the field
        """Converts to one number format; see `to_tflite`.

        Returns:
            The file as bytes.
        """
        settings = find_format(format)
        if settings.name == "fp32":
            return self._fp32
        if settings.fine_tuned:
            raise ValueError(
                f"Format {settings.name} is made by training. Use `tflite.export(models, "
                f"directory, {settings.name!r}, fine_tuning=FineTuning(...), ...)`."
            )
        if not settings.needs_images:
            return self._converted(settings)
        refuse_missing(representative, [settings])
        inputs = representative_inputs(self.model, representative, self.shapes)
        self._refuse_loops(settings)
        if settings.by_quantizer:
            data = quantized_file(self._fp32, inputs, settings, self.model.name)
        else:
            data = self._converted(settings, inputs)
        check_integer_only(data, settings, self.model)
        return data

    @functools.cached_property
    def _fp32(self):
        """Kept, for the operators of a refused format are looked up in it."""
        return self._converted(find_format("fp32"))

    def _converted(self, settings, inputs=None):
        import tensorflow as tf

        with native_logs() as log, warnings.catch_warnings():
            # The quantiser measures ranges with TensorFlow's own interpreter, which is deprecated.
            warnings.filterwarnings("ignore", "(?s).*tf.lite.Interpreter is deprecated")
            converter = tf.lite.TFLiteConverter.from_saved_model(str(self.path))
            settings.configure(converter)
            if inputs is not None:
                converter.representative_dataset = lambda: iter(inputs)
            try:
                data = converter.convert()
            except Exception as error:
                refusal = self._refusal(settings, error)
                if refusal is None:
                    raise
                log.told = True
                # `from None`: the converter's own message is a page of compiler output.
                raise refusal from None
        check_operators(data, f"model {self.model.name!r} as {settings.name}")
        return data

    def _refusal(self, settings, error):
        """What the converter's error means, as an error of ours; None if that is not known."""
        refused = sorted(set(_REFUSED_OPS.findall(str(error))))
        if refused:
            return ValueError(
                f"TFLite has no kernels for these operations of the model {self.model.name!r}: "
                f"{', '.join(refused)}. Replace them by operations that TFLite has; Flex "
                "(TensorFlow's own kernels inside TFLite) and custom operators are not used, "
                "phones do not have them."
            )
        if settings.name == "fp32":
            return None
        operators = sorted(set(_NOT_QUANTISED.findall(str(error))))
        if operators:
            what = f"TFLite has no {settings.name} kernels for {self._with_layers(operators)}"
        else:
            said = (str(error).strip() or type(error).__name__).splitlines()[0]
            what = f"the converter says: {said[:_SAID]}"
        return FormatError(
            f"Model {self.model.name!r} cannot be {settings.name}: {what}. Replace these "
            "operations, or export another format (dynamic, fp16).",
            settings.name,
            operators,
        )

    def _refuse_loops(self, settings):
        """The quantiser does not raise on them: it kills the process."""
        try:
            read_graph(self._fp32, f"model {self.model.name!r} as fp32")
        except SeveralGraphsError:
            import keras

            layers = self.model._flatten_layers()
            loops = [layer.name for layer in layers if isinstance(layer, keras.layers.RNN)]
            where = f" (layers {loops}; with `unroll=True` there is none)" if loops else ""
            raise FormatError(
                f"Model {self.model.name!r} cannot be {settings.name}: it has a loop or a "
                f"branch{where}, which is not quantised. Export another format (dynamic, fp16).",
                settings.name,
            ) from None

    def _with_layers(self, operators):
        """Operators with the layers that they come from, by the fp32 file."""
        graph = read_graph(self._fp32)
        wanted = [i for i, operator in enumerate(graph.operators) if operator.name in operators]
        return named_operators(self.model, graph, wanted) or ", ".join(operators)


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
        inputs = as_inputs(model, flat)
        outputs = keras.tree.flatten(model(inputs, training=False))
        return dict(zip(names_out, outputs, strict=True))

    with tempfile.TemporaryDirectory(prefix="keras_joslim-") as directory:
        with native_logs():
            archive = keras.export.ExportArchive()
            archive.track(model)
            archive.add_endpoint("serving_default", serve, [specs])
            archive.write_out(directory, verbose=False)
        yield SavedModel(pathlib.Path(directory), model, shapes)


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
