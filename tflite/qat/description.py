"""A stock Keras model as plain data: the calls of its layers in order, with configs and weights.

tensorflow-model-optimization knows the layers of tf_keras only, and tf_keras cannot read a Keras 3
config. So the model is written down in few kinds of calls that both can express, and
`tf_keras_rebuild` makes it again from them, in another process. What is a compound in Keras is
written as its parts: activations apart from kernels, a separable convolution as two, inference
BatchNormalization as scale and offset.
"""

import dataclasses

import numpy as np

from keras_joslim.tflite.qat.description_layers import handle
from keras_joslim.tflite.signature import input_names, output_names


@dataclasses.dataclass(frozen=True)
class Call:
    """One call of a layer.

    Attributes:
        kind: name of a class of tf_keras.layers, or of an entry of `tf_keras_rebuild.OPERATIONS`.
        name: of the layer; calls of one name are calls of one layer.
        config: its arguments, JSON values.
        inputs: tuple of tensor numbers.
        output: tensor number.
        weights: tuple of float32 arrays, in the order of the tf_keras layer.
    """

    kind: str
    name: str
    config: dict
    inputs: tuple
    output: int
    weights: tuple = ()


@dataclasses.dataclass(frozen=True)
class Description:
    """A network written down.

    Attributes:
        inputs: tuple of `(tensor number, name, shape without batch)`.
        outputs: tuple of `(tensor number, name)`.
        calls: tuple of `Call`, each after those that make its inputs.
    """

    inputs: tuple
    outputs: tuple
    calls: tuple

    def to_dict(self):
        """A JSON object; the weights are left out."""
        fields = ("kind", "name", "config", "inputs", "output")
        return {
            "inputs": [list(entry) for entry in self.inputs],
            "outputs": [list(entry) for entry in self.outputs],
            "calls": [{field: getattr(call, field) for field in fields} for call in self.calls],
        }

    def weights(self):
        """A dict "<layer name>/<index>" -> float32 array."""
        return {
            f"{call.name}/{index}": value
            for call in self.calls
            for index, value in enumerate(call.weights)
        }

    def readers(self):
        """A dict tensor number -> how often it is read; an output of the network counts."""
        counts = {}
        for number in [i for call in self.calls for i in call.inputs] + [
            o[0] for o in self.outputs
        ]:
            counts[number] = counts.get(number, 0) + 1
        return counts


def describe(model):
    """Writes a stock Keras model down, nested models inlined, for inference.

    Args:
        model: a functional or Sequential `keras.Model` of stock layers, computing in float32.

    Returns:
        A `Description`. BatchNormalization is folded into the convolution or dense layer before
        it where nothing else reads that one's output, as the TFLite converter does.

    Raises:
        ValueError: a layer or an operation that is not known, or not with these options; a model
            without a graph.

    Example:

    >>> [call.kind for call in describe(model).calls][:2]
    ['Conv2D', 'ReLU']
    """
    from keras import tree

    from keras_joslim.graph.walk import functional_graph, run, unique_names

    graph = functional_graph(model)
    builder = Builder(unique_names(model))
    inputs = [builder.tensor(tuple(tensor.shape[1:])) for tensor in graph.inputs]
    for tensor in graph.inputs:
        if tensor.dtype != "float32":
            raise ValueError(
                f"Expected inputs of type float32. Received: input "
                f"{tensor._keras_history.operation.name!r} of type {tensor.dtype}. "
                'Use the format "int8" for it, which quantises after training.'
            )

    def visit(node, tensors, args, kwargs):
        return handle(builder, node, args, kwargs)

    outputs = tree.flatten(run(graph, inputs, visit))
    names = zip(inputs, input_names(model), strict=True)
    return _folded(
        Description(
            tuple((tensor.number, name, tensor.shape) for tensor, name in names),
            tuple(
                (tensor.number, name)
                for tensor, name in zip(outputs, output_names(model), strict=True)
            ),
            tuple(builder.calls),
        )
    )


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A value of the network while it is written down: its number, its shape without batch."""

    number: int
    shape: tuple


class Builder:
    """Collects calls.

    Args:
        names: dict id of an operation -> its unique name.
    """

    def __init__(self, names):
        self.calls = []
        self._names = names
        self._given = {}
        self._tensors = 0

    def tensor(self, shape):
        """A new tensor."""
        self._tensors += 1
        return Tensor(self._tensors - 1, shape)

    def add(self, kind, operation, inputs, shape, config=None, weights=(), part=""):
        """Adds a call.

        Args:
            kind: see `Call`.
            operation: the Keras layer or operation that it is (a part of).
            inputs: list of `Tensor`.
            shape: of the output, without batch.
            config: see `Call`.
            weights: arrays.
            part: added to the name, where an operation becomes several calls.

        Returns:
            The output `Tensor`.
        """
        output = self.tensor(tuple(shape))
        name = self._name(operation, part)
        numbers = tuple(tensor.number for tensor in inputs)
        arrays = tuple(np.asarray(value, np.float32) for value in weights)
        self.calls.append(Call(kind, name, config or {}, numbers, output.number, arrays))
        return output

    def _name(self, operation, part):
        """A name that no other layer has, of letters that TensorFlow takes for a scope."""
        key = id(operation), part
        if key not in self._given:
            name = self._names[id(operation)] + (f"_{part}" if part else "")
            name = "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "_" for c in name)
            name = name if name[0].isalnum() else f"layer{name}"
            unique, number = name, 0
            while unique in self._given.values():
                number += 1
                unique = f"{name}.{number}"
            self._given[key] = unique
        return self._given[key]


# Axis of the output channels in the kernel, and of the weights that the kernel is the first of.
_KERNELS = {"Conv2D": 3, "Conv2DTranspose": 2, "Dense": 1, "DepthwiseConv2D": None}


def _folded(description):
    """Multiplies `BatchNormalization` into the kernels before it; others become scale and offset.

    Folded are scale and offset vectors that BatchNormalization made; the sums are taken in double
    precision.
    """
    readers = description.readers()
    layers = {}
    for call in description.calls:
        layers.setdefault(call.name, []).append(call)
    done, makers, replaced = [], {}, {}

    def put(call):
        makers[call.output] = len(done)
        done.append(call)

    for call in description.calls:
        inputs = tuple(replaced.get(number, number) for number in call.inputs)
        call = dataclasses.replace(call, inputs=inputs)
        if call.kind != "BatchNormalization":
            put(call)
            continue
        scale, offset = call.weights
        index = makers.get(inputs[0])
        host = None if index is None else done[index]
        alone = host and readers[call.inputs[0]] == 1 and len(layers[host.name]) == 1
        if alone and host.kind in _KERNELS:
            done[index] = _multiplied(host, scale, offset)
            replaced[call.output] = host.output
            continue
        between = -1 - call.output
        put(Call("scale", f"{call.name}_scale", {"value": scale.tolist()}, inputs, between))
        put(
            Call(
                "offset", f"{call.name}_offset", {"value": offset.tolist()}, (between,), call.output
            )
        )
    outputs = tuple((replaced.get(number, number), name) for number, name in description.outputs)
    return Description(description.inputs, outputs, tuple(done))


def _multiplied(call, scale, offset):
    """The kernel layer that computes `scale * call + offset`."""
    scale, offset = np.asarray(scale, np.float64), np.asarray(offset, np.float64)
    kernel = np.asarray(call.weights[0], np.float64)
    bias = call.weights[1] if call.config["use_bias"] else 0.0
    axis = _KERNELS[call.kind]
    if axis is None:
        # (height, width, channels, multiplier): the output channels are the last two, flattened.
        kernel = kernel * scale.reshape(kernel.shape[2:])
    else:
        shape = [1] * kernel.ndim
        shape[axis] = -1
        kernel = kernel * scale.reshape(shape)
    weights = (kernel.astype(np.float32), (bias * scale + offset).astype(np.float32))
    return dataclasses.replace(call, config={**call.config, "use_bias": True}, weights=weights)
