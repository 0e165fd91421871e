"""A TFLite file at other widths, written from the full network's without converting again.

Converting takes seconds a network, measuring one takes less. What a latency depends on, operators
and sizes, is known at all widths from few files (`costs.symbolic_file`); this writes it down. The
numbers in kernels are cut from the full network's and mean nothing.
"""

import copy
import math

import numpy as np

from keras_joslim.tflite.single_file.point_graph import PointGraph
from keras_joslim.tflite.single_file.shared_tables import SharedTables

# Vectors of a tensor's quantisation, one entry a channel.
_PER_CHANNEL = ("scale", "zeroPoint", "min", "max")


class ResizableFile:
    """The full network's file, to be cut to other sizes.

    Args:
        data: the file as bytes: one graph, as `to_tflite` makes it.

    Example:

    >>> file = ResizableFile(to_tflite(network))
    >>> narrow = file.resized(shapes, constants)
    """

    def __init__(self, data):
        self._graph = PointGraph(bytes(data))

    def options(self, position):
        """The schema's table of an operator's options; None if it has none."""
        return self._graph.operators[position].table.builtinOptions

    def resized(self, shapes, constants, without=()):
        """The file of other sizes.

        Args:
            shapes: dict index of a computed tensor -> its shape.
            constants: dict (position of an operator, place among its inputs) -> a shape, at most
                the full one along every axis, or an integer array, the contents.
            without: positions of operators that are left out: who read their output reads their
                first input.

        Returns:
            The file as bytes, always the same ones for the same arguments.
        """
        tables = SharedTables("keras_joslim")
        graph, tensors, operators, same, places = self._graph, [], [], {}, {}

        def placed(index):
            """The new index of a computed tensor."""
            index = same.get(index, index)
            if index not in places:
                places[index] = len(tensors)
                shape = shapes.get(index, graph.shape(index))
                tensors.append(_reshaped(graph.tensors[index], shape))
            return places[index]

        for position, operator in enumerate(graph.operators):
            if position in without:
                same[operator.outputs[0]] = same.get(operator.inputs[0], operator.inputs[0])
                continue
            inputs = []
            for place, index in enumerate(operator.inputs):
                if (position, place) in constants:
                    inputs.append(len(tensors))
                    tensors.append(self._constant(index, constants[position, place], tables))
                else:
                    inputs.append(-1 if index < 0 else placed(index))
            new = copy.copy(operator.table)
            new.opcodeIndex = tables.operator_code(operator.code, operator.version)
            new.inputs = np.array(inputs, np.int32)
            new.outputs = np.array([placed(index) for index in operator.outputs], np.int32)
            if getattr(new.builtinOptions, "newShape", None) is not None:
                new.builtinOptions = copy.copy(new.builtinOptions)
                new.builtinOptions.newShape = np.array(tensors[new.outputs[0]].shape, np.int32)
            operators.append(new)
        inputs, outputs = (
            [(name, placed(index)) for name, index in end] for end in (graph.inputs, graph.outputs)
        )
        tables.add_graph("serving_default", tensors, operators, inputs, outputs)
        return tables.to_bytes()

    def _constant(self, index, wanted, tables):
        full = self._graph.data(index)
        if isinstance(wanted, np.ndarray):
            content, shape = wanted, wanted.shape
        else:
            shape, own = tuple(wanted), self._graph.shape(index)
            itemsize = full.size // max(1, math.prod(own))
            content = full.reshape(*own, itemsize)[tuple(slice(n) for n in shape)]
        new = _reshaped(self._graph.tensors[index], shape)
        new.buffer = tables.buffer(content)
        return new


def _reshaped(tensor, shape):
    new = copy.copy(tensor)
    new.shape = np.array(shape, np.int32)
    new.shapeSignature = None
    new.buffer = 0
    quantisation = tensor.quantization
    if quantisation is not None and _length(quantisation.scale) > 1:
        new.quantization = copy.copy(quantisation)
        channels = shape[quantisation.quantizedDimension]
        for name in _PER_CHANNEL:
            values = getattr(quantisation, name)
            if _length(values) > 1:
                setattr(new.quantization, name, values[:channels])
    return new


def _length(values):
    return 0 if values is None else len(values)
