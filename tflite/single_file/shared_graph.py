"""A point's graph as it stands in the common file: its shared kernels read from common buffers."""

import copy

import numpy as np

from keras_joslim.tflite.single_file.kernel_blocks import index_array
from keras_joslim.tflite.single_file.kernel_constants import kernel_operators


def add_point(tables, name, graph, shared):
    """Adds a point to the common file.

    A shared kernel is made by DENSIFY from the values that the point reads. If its
    BatchNormalization scales the output by other factors `f` than the stored kernel has,
    `act(f * (kernel * x + offset / f))` is computed: the offset goes into the operator, the factor
    and the activation into one more.

    Args:
        tables: `SharedTables`.
        name: of the point.
        graph: its `PointGraph`.
        shared: dict tensor index -> `SharedKernel`.
    """
    _Writer(tables, name, graph, shared).write()


class _Writer:
    def __init__(self, tables, name, graph, shared):
        from ai_edge_litert import schema_py_generated as schema

        self._schema = schema
        self._tables, self._name, self._graph, self._shared = tables, name, graph, shared
        self._tensors, self._operators, self._new = [], [], {}

    def write(self):
        graph = self._graph
        ends = {index: name for name, index in (*graph.inputs, *graph.outputs)}
        inputs = [(name, self._tensor(index, ends)) for name, index in graph.inputs]
        for operator in graph.operators:
            self._operator(operator, ends)
        outputs = [(name, self._tensor(index, ends)) for name, index in graph.outputs]
        self._tables.add_graph(self._name, self._tensors, self._operators, inputs, outputs)

    def _operator(self, operator, ends):
        entry = kernel_operators().get(operator.code)
        kernel = operator.inputs[entry.kernel] if entry else None
        factor = self._shared[kernel].factor if kernel in self._shared else None
        inputs = [
            self._bias(index, kernel, factor)
            if kernel in self._shared and position == entry.bias and index >= 0
            else self._tensor(index, ends)
            for position, index in enumerate(operator.inputs)
        ]
        outputs = [self._tensor(index, ends) for index in operator.outputs]
        table = copy.copy(operator.table)
        if factor is None:
            return self._append(table, operator.code, operator.version, inputs, outputs)
        table.builtinOptions = copy.copy(table.builtinOptions)
        activation = table.builtinOptions.fusedActivationFunction
        table.builtinOptions.fusedActivationFunction = 0
        unscaled = self._computed(operator.outputs[0])
        self._append(table, operator.code, operator.version, inputs, [unscaled])
        self._scale(unscaled, outputs[0], factor, activation)

    def _scale(self, unscaled, scaled, factor, activation):
        schema = self._schema
        options = schema.MulOptionsT(fusedActivationFunction=activation)
        table = schema.OperatorT(
            builtinOptionsType=schema.BuiltinOptions.MulOptions, builtinOptions=options
        )
        inputs = [unscaled, self._constant(factor)]
        self._append(table, schema.BuiltinOperator.MUL, 1, inputs, [scaled])

    def _append(self, table, code, version, inputs, outputs):
        table.opcodeIndex = self._tables.operator_code(code, version)
        table.inputs, table.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
        self._operators.append(table)

    # -- tensors -------------------------------------------------------------

    def _tensor(self, index, ends):
        """The new index of a tensor of the point's own file, written when first asked for."""
        if index < 0:
            return -1
        if index not in self._new:
            if index in self._shared:
                self._new[index] = self._kernel(self._shared[index])
            else:
                self._new[index] = self._copied(index, ends.get(index))
        return self._new[index]

    def _copied(self, index, name):
        old, data = self._graph.tensors[index], self._graph.data(index)
        new = copy.copy(old)
        new.buffer = 0 if data is None else self._tables.buffer(data)
        # Names are a tenth of a graph; the ends' are looked for by tools.
        new.name = name
        if new.quantization is not None and new.quantization.scale is None:
            new.quantization = None
        return self._added(new)

    def _kernel(self, shared):
        reading = shared.reading
        if reading is None:
            return self._constant(shared.buffer.reshape(shared.kernel.constant.raw.shape))
        schema = self._schema
        sparse = self._float32(reading.shape)
        sparse.buffer = self._tables.buffer(shared.buffer)
        sparse.sparsity = sparsity_table(schema, reading)
        made = self._added(self._float32(reading.shape))
        table = schema.OperatorT(
            builtinOptionsType=schema.BuiltinOptions.DensifyOptions,
            builtinOptions=schema.DensifyOptionsT(),
        )
        self._append(table, schema.BuiltinOperator.DENSIFY, 1, [self._added(sparse)], [made])
        return made

    def _bias(self, index, kernel, factor):
        values = self._graph.constant(index)
        if factor is not None:
            values = (values.astype(np.float64) / factor).astype(np.float32)
        # XNNPACK's weight cache knows a packed kernel by its kernel and bias buffers: two slices
        # of one kernel must not have one bias, though its values be the same.
        shape = () if self._shared[kernel].reading is None else self._shared[kernel].reading.shape
        return self._constant(values, key=("bias", shape))

    def _computed(self, like):
        new = copy.copy(self._graph.tensors[like])
        new.buffer, new.name, new.quantization = 0, None, None
        return self._added(new)

    def _constant(self, values, key=()):
        new = self._float32(values.shape)
        new.buffer = self._tables.buffer(values, key)
        return self._added(new)

    def _float32(self, shape):
        kind = self._schema.TensorType.FLOAT32
        return self._schema.TensorT(shape=np.array(shape, np.int32), type=kind)

    def _added(self, table):
        self._tensors.append(table)
        return len(self._tensors) - 1


def sparsity_table(schema, reading):
    """A `Reading` as the schema's `SparsityParametersT`."""
    levels = []
    for level in reading.levels:
        if isinstance(level, int):
            entry = schema.DimensionMetadataT(format=schema.DimensionType.DENSE, denseSize=level)
        else:
            (segments_type, segments), (indices_type, indices) = (
                _index_vector(schema, values) for values in level
            )
            entry = schema.DimensionMetadataT(
                format=schema.DimensionType.SPARSE_CSR,
                arraySegmentsType=segments_type,
                arraySegments=segments,
                arrayIndicesType=indices_type,
                arrayIndices=indices,
            )
        levels.append(entry)
    return schema.SparsityParametersT(
        traversalOrder=np.array(reading.traversal, np.int32),
        blockMap=np.array(reading.block_map, np.int32),
        dimMetadata=levels,
    )


def _index_vector(schema, values):
    values = index_array(values)
    name = {1: "Uint8Vector", 2: "Uint16Vector", 4: "Int32Vector"}[values.itemsize]
    return getattr(schema.SparseIndexVector, name), getattr(schema, name + "T")(values=values)
