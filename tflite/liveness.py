"""What a TFLite file holds in memory, and when: its constants, and the tensors that are live.

A tensor that an operator computes is live from that operator to the last one that reads it, an
input of the file from the start to its last reader, an output from its maker to the end.
"""

import dataclasses
import math
import struct

import numpy as np

from keras_joslim.tflite.operators import operators


class SeveralGraphsError(ValueError):
    """A TFLite file with loops or branches, whose memory is not known beforehand."""


@dataclasses.dataclass(frozen=True)
class FileTensor:
    """One tensor of a TFLite file.

    Attributes:
        name: as the converter called it.
        shape: tuple of ints.
        dtype: "float32", "int32"...
        buffer: index of the buffer that holds a constant; None of a computed tensor.
        data: contents of a constant as a numpy array, else None.
    """

    name: str
    shape: tuple
    dtype: str
    buffer: int | None = None
    data: np.ndarray | None = dataclasses.field(default=None, compare=False)

    @property
    def itemsize(self):
        """Bytes of one element."""
        return np.dtype(self.dtype).itemsize

    @property
    def bytes(self):
        """Bytes of all elements."""
        return math.prod(self.shape) * self.itemsize


@dataclasses.dataclass(frozen=True)
class FileOperator:
    """One operator: its name, and the indices of the tensors it reads and writes.

    An operand that is left out is None.
    """

    name: str
    inputs: tuple
    outputs: tuple


@dataclasses.dataclass(frozen=True)
class FileGraph:
    """The tensors and, in execution order, the operators of a TFLite file.

    Attributes:
        tensors: tuple of `FileTensor`.
        operators: tuple of `FileOperator`.
        inputs, outputs: tuples of tensor indices.
    """

    tensors: tuple
    operators: tuple
    inputs: tuple
    outputs: tuple

    def lifetimes(self):
        """The computed tensors, inputs among them: dict index -> (first, last operator)."""
        first, last = dict.fromkeys(self.inputs, 0), dict.fromkeys(self.inputs, 0)
        for step, operator in enumerate(self.operators):
            last.update({i: step for i in operator.inputs if i in first})
            for index in operator.outputs:
                first[index] = last[index] = step
        # (The output of a file may be a constant.)
        last.update({i: max(0, len(self.operators) - 1) for i in self.outputs if i in first})
        return {index: (start, last[index]) for index, start in first.items()}

    def without(self, positions):
        """The graph without some operators: who read their output reads their first input."""
        same, kept = {}, []
        for position, operator in enumerate(self.operators):
            inputs = tuple(same.get(index, index) for index in operator.inputs)
            if position in positions:
                same[operator.outputs[0]] = inputs[0]
            else:
                kept.append(dataclasses.replace(operator, inputs=inputs))
        outputs = tuple(same.get(index, index) for index in self.outputs)
        return dataclasses.replace(self, operators=tuple(kept), outputs=outputs)

    def live_bytes(self):
        """Bytes of the tensors that are live while each operator runs: int64 `(operators,)`."""
        live = np.zeros(max(1, len(self.operators)), np.int64)
        for index, (first, last) in self.lifetimes().items():
            live[first : last + 1] += self.tensors[index].bytes
        return live

    def constant_bytes(self):
        """Bytes of all constants; those that share a buffer count once."""
        shared = {t.buffer: t.data.nbytes for t in self.tensors if t.buffer is not None}
        return sum(shared.values())


def activation_bytes(data):
    """The peak of the live tensors' bytes over the operators of a TFLite file.

    While an operator runs its inputs, its outputs and all that is needed later are live. Kernel
    temporaries and alignment are not in it: `arena_bytes` measures what an interpreter takes.

    Args:
        data: the file as bytes.

    Returns:
        Bytes, an int.

    Raises:
        ValueError: not a TFLite file, one that is cut short, one with control flow, state or
            tensors of no fixed shape.

    Example:

    >>> activation_bytes(to_tflite(model))
    196608
    """
    return int(read_graph(data).live_bytes().max())


def weight_bytes(data):
    """Bytes of all constants of a TFLite file: kernels, biases, shapes, axes.

    Args:
        data: the file as bytes.

    Returns:
        Bytes, an int.

    Raises:
        ValueError: as for `activation_bytes`.

    Example:

    >>> weight_bytes(to_tflite(model))
    1076208
    """
    return int(read_graph(data).constant_bytes())


def read_graph(data, name="this TFLite file"):
    """Reads the tensors and operators of a TFLite file.

    Args:
        data: the file as bytes.
        name: what to call it in messages.

    Returns:
        A `FileGraph`.

    Raises:
        ValueError: as for `activation_bytes`.
    """
    from ai_edge_litert import schema_py_generated as schema

    data = bytes(data)
    names = operators(data, name)
    model = schema.Model.GetRootAs(data)
    if model.SubgraphsLength() != 1:
        raise SeveralGraphsError(
            f"Expected one graph of operators in {name}. Received: {model.SubgraphsLength()} "
            "graphs, as a loop or a branch has them (an LSTM or GRU, unless `unroll=True`). Which "
            "of their tensors are live together depends on the input."
        )
    try:
        graph = model.Subgraphs(0)
        nodes = []
        for index, operator in enumerate(names):
            node = graph.Operators(index)
            ins, outs = _indices(node, "Inputs"), _indices(node, "Outputs")
            nodes.append(FileOperator(operator, ins, outs))
        tensors = tuple(
            _tensor(schema, model, graph.Tensors(index), name)
            for index in range(graph.TensorsLength())
        )
        result = FileGraph(
            tensors, tuple(nodes), _indices(graph, "Inputs"), _indices(graph, "Outputs")
        )
        _refuse_state(result, name)
    except (struct.error, IndexError, TypeError, UnicodeDecodeError) as error:
        raise ValueError(
            f"Expected a whole TFLite file. Received: {name}, {len(data)} bytes, "
            f"cut short or damaged ({error}). Export it again."
        ) from error
    return result


def _indices(table, field):
    count = getattr(table, f"{field}Length")()
    values = (getattr(table, field)(i) for i in range(count))
    return tuple(None if value < 0 else value for value in values)


def _tensor(schema, model, tensor, where):
    name = tensor.Name().decode()
    kinds = {code: kind for kind, code in vars(schema.TensorType).items() if kind[0] != "_"}
    kind = kinds.get(tensor.Type(), "UNKNOWN")
    try:
        dtype = np.dtype(kind.lower()).name
    except TypeError:
        raise ValueError(
            f"Expected tensors of plain numbers in {where}. Received: tensor {name!r} of type "
            f"{kind}"
        ) from None
    shape = tuple(tensor.Shape(i) for i in range(tensor.ShapeLength()))
    if any(tensor.ShapeSignature(i) < 0 for i in range(tensor.ShapeSignatureLength())):
        raise ValueError(
            f"Expected tensors of fixed shapes in {where}. Received: tensor {name!r} of shape "
            f"{shape}, some of which is known at run time only. Export with static shapes."
        )
    buffer = model.Buffers(tensor.Buffer())
    if not buffer.DataLength():
        return FileTensor(name, shape, dtype)
    contents = np.frombuffer(buffer.DataAsNumpy(), dtype).reshape(shape)
    return FileTensor(name, shape, dtype, tensor.Buffer(), contents)


def _refuse_state(graph, where):
    """Every operand must be computed before, an input, or constant (or empty)."""
    known = graph.lifetimes()
    for operator in graph.operators:
        for index in operator.inputs:
            tensor = None if index is None else graph.tensors[index]
            if tensor and index not in known and tensor.buffer is None and tensor.bytes:
                raise ValueError(
                    f"Expected tensors that are computed or constant in {where}. Received: "
                    f"{tensor.name!r}, an operand of {operator.name}, which is a state variable."
                )
