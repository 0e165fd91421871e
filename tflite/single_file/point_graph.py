"""The graph of one converted file, read so that it can be written into another file."""

import dataclasses
import math
import struct

import numpy as np


@dataclasses.dataclass(frozen=True)
class PointOperator:
    """One operator.

    Attributes:
        code: its `BuiltinOperator`.
        version: of the operator.
        inputs, outputs: tuples of tensor indices, -1 for an operand that is left out.
        table: the schema's `OperatorT`, for its options.
    """

    code: int
    version: int
    inputs: tuple
    outputs: tuple
    table: object = dataclasses.field(repr=False)


class PointGraph:
    """The one graph of a TFLite file that `to_tflite` made.

    Args:
        data: the file as bytes.
        name: what to call it in messages.

    Attributes:
        operators: tuple of `PointOperator` in execution order.
        tensors: the schema's `TensorT`s.
        inputs, outputs: tuples of `(name in the signature, tensor index)`.

    Raises:
        ValueError: a damaged file, one with several graphs or signatures.
    """

    def __init__(self, data, name="this TFLite file"):
        from ai_edge_litert import schema_py_generated as schema

        try:
            model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data))
        except (struct.error, IndexError, TypeError, ValueError) as error:
            raise ValueError(
                f"Expected a whole TFLite file. Received: {name}, {len(data)} bytes ({error})"
            ) from error
        graphs, signatures = model.subgraphs or [], model.signatureDefs or []
        if len(graphs) != 1 or len(signatures) != 1:
            raise ValueError(
                "Only a model without loops and branches can share a file: one graph, one "
                f"signature. Received: {name} with {len(graphs)} graphs and {len(signatures)} "
                "signatures. Export the points to files of their own."
            )
        (graph,), (signature,) = graphs, signatures
        self._buffers = model.buffers
        self.tensors = graph.tensors
        self.inputs = tuple((t.name.decode(), int(t.tensorIndex)) for t in signature.inputs)
        self.outputs = tuple((t.name.decode(), int(t.tensorIndex)) for t in signature.outputs)
        codes = model.operatorCodes
        self.operators = tuple(
            PointOperator(
                code=max(
                    codes[table.opcodeIndex].builtinCode,
                    codes[table.opcodeIndex].deprecatedBuiltinCode,
                ),
                version=codes[table.opcodeIndex].version,
                inputs=tuple(int(i) for i in table.inputs),
                outputs=tuple(int(i) for i in table.outputs),
                table=table,
            )
            for table in graph.operators
        )
        self._float32 = schema.TensorType.FLOAT32

    def shape(self, tensor):
        """A tensor's shape as a tuple of ints; () of a scalar."""
        shape = self.tensors[tensor].shape
        return () if shape is None else tuple(int(n) for n in shape)

    def elements(self, tensor):
        """How many values a tensor has."""
        return math.prod(self.shape(tensor))

    def data(self, tensor):
        """The bytes of a constant as a uint8 array, None of a computed tensor."""
        data = self._buffers[self.tensors[tensor].buffer].data if tensor >= 0 else None
        return None if data is None or not len(data) else np.asarray(data, np.uint8)

    def is_float_constant(self, tensor):
        """Whether a tensor is a dense constant in float32."""
        if self.data(tensor) is None:
            return False
        table = self.tensors[tensor]
        return table.type == self._float32 and table.sparsity is None

    def constant(self, tensor):
        """The values of a float32 constant in its shape."""
        return self.data(tensor).view("<f4").reshape(self.shape(tensor))
