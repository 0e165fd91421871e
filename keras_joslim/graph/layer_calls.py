"""The calls of a slimmable network's layers, with what each costs."""

import dataclasses
import math

import keras

from keras_joslim.graph.stock_macs import stock_macs
from keras_joslim.graph.walk import functional_graph, run
from keras_joslim.layers import SlimBatchNormalization, SlimLayer


@dataclasses.dataclass(frozen=True)
class LayerCall:
    """One call of a layer in the network.

    Attributes:
        layer: the Keras layer.
        input_shapes: shapes of its inputs at full width, batch first.
        output_shape: the same of its output.
        folds_into: for a BatchNormalization, the layer whose kernel takes it in at
            conversion (the only reader of its output, with no activation between).
    """

    layer: keras.Layer
    input_shapes: tuple
    output_shape: tuple
    folds_into: keras.Layer | None = None

    def macs(self):
        """Cost terms of its multiply-accumulates per image, see `SlimLayer.macs`."""
        shapes = (*self.input_shapes, self.output_shape)
        if isinstance(self.layer, SlimLayer):
            unknown = any(None in shape[1:-1] for shape in (shapes[0], shapes[-1]))
            terms = [] if unknown else self.layer.macs(shapes[0], shapes[-1])
            unknown = unknown and bool(self.layer.macs((1, 1, 1), (1, 1, 1)))
        else:
            count = stock_macs(self.layer, self.input_shapes, self.output_shape)
            unknown = math.isnan(count)
            terms = [(float(count), None, None)] if count else []
        if unknown:
            raise ValueError(
                f"Layer {self.layer.name!r} has no static shape, so its MACs are unknown. "
                f"Received: input_shapes={self.input_shapes}, output_shape={self.output_shape}. "
                "Build the model with inputs of fixed sizes."
            )
        return terms

    def parameters(self, folded):
        """Cost terms of its parameters."""
        if not isinstance(self.layer, SlimLayer):
            count = sum(math.prod(w.shape) for w in self.layer.weights)
            return [(float(count), None, None)] if count else []
        if folded and isinstance(self.layer, SlimBatchNormalization):
            host = self.folds_into
            vectors = 2 if host is None else 0 if host.use_bias else 1
            return [(float(vectors), self.layer.in_layout, None)] if vectors else []
        return self.layer.parameters()


def layer_calls(network):
    """All `LayerCall`s of a slimmable network, in topological order."""
    graph = functional_graph(network)
    readers = {}
    for tensor in graph.outputs:
        readers[id(tensor)] = readers.get(id(tensor), 0) + 1
    calls = []

    def visit(node, producers, args, kwargs):
        for tensor in node.input_tensors:
            readers[id(tensor)] = readers.get(id(tensor), 0) + 1
        if isinstance(node.operation, keras.Layer):
            calls.append((node, producers))
        return [node] * len(node.outputs)

    run(graph, [None] * len(graph.inputs), visit)
    result = []
    for node, producers in calls:
        host = _host(node, producers, readers)
        # The last input of a slimmable layer is the width vector.
        tensors = node.input_tensors[: -1 if isinstance(node.operation, SlimLayer) else None]
        inputs = tuple(tuple(tensor.shape) for tensor in tensors)
        output = tuple(node.outputs[0].shape)
        result.append(LayerCall(node.operation, inputs, output, host))
    return result


def _host(node, producers, readers):
    """The layer with a kernel into which a BatchNormalization call folds."""
    if not isinstance(node.operation, SlimBatchNormalization) or producers[0] is None:
        return None
    layer = producers[0].operation
    linear = getattr(layer, "activation", None) in (None, keras.activations.linear)
    has_kernel = isinstance(layer, SlimLayer) and hasattr(layer, "use_bias")
    alone = readers[id(node.input_tensors[0])] == 1
    return layer if has_kernel and linear and alone else None
