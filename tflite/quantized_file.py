"""An fp32 file becomes an int8 one by LiteRT Quantizer, which needs no TensorFlow.

The package `litert-quantizer` (ai-edge-quantizer, until it was renamed) rewrites a finished file:
weights as int8 with a scale a channel, activations as int8 with the ranges that it is given. Those
are measured here, as the converter measures its own: the smallest and the largest value of each
tensor over all images. The package's own calibration has a moving average of each image's extremes
instead, which clips: docs/quantisation.md says what that costs.
"""

import contextlib
import importlib.metadata
import importlib.util
import io
import warnings

import numpy as np

from keras_joslim.tflite.aligned_buffers import AlignedBuffer
from keras_joslim.tflite.formats import FormatError
from keras_joslim.tflite.liveness import read_graph
from keras_joslim.tflite.quiet import native_logs

# Characters of a message that is quoted.
_SAID = 300


def quantized_file(data, inputs, settings, name):
    """An fp32 file with int8 weights, activations, inputs and outputs.

    Operators that LiteRT Quantizer does not know stay in float32 between a DEQUANTIZE and a
    QUANTIZE; whether there are any is for the caller to see (`check_integer_only`).

    Args:
        data: the fp32 file as bytes, with one graph and one signature.
        inputs: list of dicts input name -> array of batch 1, as `representative_inputs` makes them.
        settings: the `Format` that it becomes.
        name: of the model, for messages.

    Returns:
        The file as bytes; the same file and images give the same ones.

    Raises:
        ValueError: the extra `quantizer` is not installed.
        FormatError: LiteRT Quantizer refuses the file.

    Example:

    >>> images = representative_inputs(model, train_images[:200], {"image": (1, 32, 32, 3)})
    >>> data = quantized_file(to_tflite(model), images, FORMATS["litert_int8"], model.name)
    """
    require_quantizer()
    from litert_quantizer import Quantizer, recipe

    ranges = tensor_ranges(data, inputs)
    with _quiet() as log:
        try:
            quantizer = Quantizer(data, recipe.static_wi8_ai8())
            result = quantizer.quantize(
                ranges, enable_progress_bar=False, enable_progress_report=False
            )
        except Exception as error:
            log.told = True
            said = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise FormatError(
                f"Model {name!r} cannot be {settings.name}: LiteRT Quantizer says: "
                f"{said[:_SAID].rstrip('.')}. Export another format (int8, dynamic, fp16).",
                settings.name,
            ) from error
    return _packed(bytes(result.quantized_model))


def tensor_ranges(data, inputs):
    """The ranges of what a file computes, over images.

    Args:
        data: the fp32 file as bytes, with one graph and one signature.
        inputs: as for `quantized_file`.

    Returns:
        A dict tensor name -> dict "min", "max" of float32 arrays of shape `(1,)`, its inputs among
        them; tensors of integers are left out.
    """
    from ai_edge_litert import interpreter as litert

    graph = read_graph(data)
    wanted = [index for index in graph.lifetimes() if graph.tensors[index].dtype == "float32"]
    with _quiet():
        interpreter = litert.Interpreter(
            model_content=data, num_threads=1, experimental_preserve_all_tensors=True
        )
        interpreter.allocate_tensors()
    given = interpreter.get_signature_runner().get_input_details()
    lowest = np.full(len(wanted), np.inf, np.float32)
    highest = -lowest
    for image in inputs:
        for name, array in image.items():
            interpreter.set_tensor(given[name]["index"], array)
        interpreter.invoke()
        tensors = [interpreter.get_tensor(index) for index in wanted]
        lowest = np.minimum(lowest, [tensor.min() for tensor in tensors])
        highest = np.maximum(highest, [tensor.max() for tensor in tensors])
    return {
        graph.tensors[index].name: {"min": low[None], "max": high[None]}
        for index, low, high in zip(wanted, lowest, highest, strict=True)
    }


def require_quantizer():
    """Looks for the package of the extra `quantizer` without importing it.

    Raises:
        ValueError: it is missing; says how to install it.
    """
    if importlib.util.find_spec("litert_quantizer") is None:
        raise ValueError(
            "Format litert_int8 needs litert_quantizer, which is not installed. Install it by: "
            "pip install 'keras_joslim[quantizer]'"
        )


def quantizer_versions():
    """The version of what quantises, beyond those of any conversion."""
    return {"litert_quantizer": importlib.metadata.version("litert-quantizer")}


@contextlib.contextmanager
def _quiet():
    """Keeps away what is said of interpreters that keep all tensors, and a progress bar.

    Yields:
        As `native_logs`.
    """
    with native_logs() as log, contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
        # Of their memory: the tensors of a phone's network at batch 1 have room.
        warnings.filterwarnings("ignore", "(?s).*Enabling `experimental_preserve_all_tensors`")
        # (The bar is there whatever `enable_progress_bar` says.)
        yield log


def _packed(data):
    """The file written anew: all buffers inside the flatbuffer, and aligned.

    LiteRT Quantizer leaves small buffers where they happen to stand, and puts those of large files
    behind the flatbuffer, where older interpreters and writers of metadata do not look.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data))
    for index, buffer in enumerate(model.buffers):
        content = buffer.data
        if buffer.offset:
            content = data[buffer.offset : buffer.offset + buffer.size]
        # A list where there is one byte only, or none.
        if content is not None and len(content):
            model.buffers[index] = AlignedBuffer(bytes(content))
    builder = flatbuffers.Builder(len(data))
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())
