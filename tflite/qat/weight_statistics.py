"""What the kernels of a TFLite file hold: distinct values and zeros, as clustering and pruning left
them after the converter has folded, rounded and laid them out.
"""

import dataclasses

import numpy as np

from keras_joslim.tflite.liveness import read_graph

# Operators with a kernel; it is their second input.
_OPERATORS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")


@dataclasses.dataclass(frozen=True)
class Kernel:
    """One kernel of a TFLite file.

    Attributes:
        operator: "CONV_2D"...
        shape: tuple of ints, as the file has it, output channels first (depthwise: last).
        dtype: "float32", "float16", "int8".
        distinct: number of different values, codes if they are integers.
        zeros: how many weights are zero.
    """

    operator: str
    shape: tuple
    dtype: str
    distinct: int
    zeros: int

    @property
    def size(self):
        """Number of weights."""
        return int(np.prod(self.shape))

    @property
    def sparsity(self):
        """Share of zeros, in [0, 1]."""
        return self.zeros / self.size


def kernel_statistics(data, name="this TFLite file"):
    """Reads the kernels of a TFLite file.

    Args:
        data: the file as bytes.
        name: what to call it in messages.

    Returns:
        A tuple of `Kernel`, in execution order; those that are computed in the graph are left out.

    Raises:
        ValueError: not a TFLite file.

    Example:

    >>> [kernel.distinct for kernel in kernel_statistics(clustered.data)]
    [16, 9, 16]
    """
    graph = read_graph(data, name)
    # Half precision kernels reach their operator through a DEQUANTIZE.
    origin = {op.outputs[0]: op.inputs[0] for op in graph.operators if op.name == "DEQUANTIZE"}
    found = []
    for operator in graph.operators:
        if operator.name not in _OPERATORS:
            continue
        index = operator.inputs[1]
        tensor = graph.tensors[origin.get(index, index)]
        if tensor.data is None:
            continue
        values = np.asarray(tensor.data)
        found.append(
            Kernel(
                operator=operator.name,
                shape=tuple(tensor.shape),
                dtype=tensor.dtype,
                distinct=len(np.unique(values)),
                zeros=int((values == 0).sum()),
            )
        )
    return tuple(found)
