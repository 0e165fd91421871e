"""Refuses a file that is said to compute on integers and does not.

The converter, and LiteRT Quantizer too, leaves an operator that it has no integers for in floating
point, between a DEQUANTIZE and a QUANTIZE, and says nothing: a processor without floating point
cannot run such a file, and one with it may run it slower than the fp32 file.
"""

import numpy as np

from keras_joslim.tflite.formats import FormatError
from keras_joslim.tflite.layer_names import named_operators
from keras_joslim.tflite.liveness import read_graph

_CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")


def check_integer_only(data, settings, model):
    """Refuses a file in which an operator reads or writes floating point.

    Args:
        data: the file as bytes.
        settings: its `Format`. With an `io_dtype` of "float32" the inputs may go into a QUANTIZE
            and the outputs come out of a DEQUANTIZE; else there may be no float tensor at all.
        model: the Keras model that it was made from, whose layers are named.

    Raises:
        FormatError: names the operators and their layers.
        SeveralGraphsError: a file with loops or branches.
    """
    name = settings.name
    graph = read_graph(data, f"model {model.name!r} as {name}")
    ends = {*graph.inputs, *graph.outputs} if settings.io_dtype == "float32" else set()
    wrong = []
    for position, operator in enumerate(graph.operators):
        tensors = {index for index in (*operator.inputs, *operator.outputs) if index is not None}
        if operator.name in _CONVERSIONS:
            tensors -= ends
        if any(np.issubdtype(graph.tensors[index].dtype, np.floating) for index in tensors):
            wrong.append(position)
    if not wrong:
        return
    computing = [i for i in wrong if graph.operators[i].name not in _CONVERSIONS]
    operators = sorted({graph.operators[i].name for i in computing or wrong})
    maker, others = "the converter", "dynamic, fp16"
    if settings.by_quantizer:
        maker, others = "LiteRT Quantizer", "int8, dynamic, fp16"
    raise FormatError(
        f"Model {model.name!r} cannot be {name} throughout: {maker} left in floating point "
        f"{named_operators(model, graph, computing or wrong)}. Replace what has no integer "
        f"kernel, or export another format ({others}).",
        name,
        operators,
    )
