"""Multiply-accumulates of layers that stay stock layers in a slimmable network."""

import math

import keras

layers = keras.layers


def stock_macs(layer, input_shapes, output_shape):
    """Multiply-accumulates of one call, per image.

    Counted are convolutions, dense layers of any equation, attention (projections, scores
    and what they weigh), recurrent layers, and what `SpectralNormalization` and
    `TimeDistributed` wrap. Any other stock layer counts as nothing.

    Args:
        layer: the Keras layer, built.
        input_shapes: shapes of its inputs, batch first.
        output_shape: shape of its output.

    Returns:
        An int; NaN if a shape that matters is not static.
    """
    shapes = [_known(shape) for shape in input_shapes]
    match layer:
        case layers.MultiHeadAttention() | layers.GroupQueryAttention():
            return _attention(layer, shapes)
        case layers.EinsumDense():
            return _einsum(layer, shapes[0])
        case layers.Conv1D() | layers.Conv2D() | layers.Conv3D() | layers.Dense():
            return math.prod(_known(output_shape)[1:-1]) * math.prod(layer.kernel.shape)
        case layers.RNN() | layers.Bidirectional():
            matrices = (math.prod(w.shape) for w in layer.weights if "kernel" in w.name)
            return shapes[0][1] * sum(matrices)
        case layers.SpectralNormalization():
            return stock_macs(layer.layer, input_shapes, output_shape)
        case layers.TimeDistributed():
            *inside, output = ((s[0], *s[2:]) for s in (*input_shapes, output_shape))
            return shapes[0][1] * stock_macs(layer.layer, inside, output)
        case _:
            return 0


def _known(shape):
    return [math.nan if n is None else n for n in shape]


def _attention(layer, shapes):
    """Projections of query, value and key, scores, their weighted sum, the output."""
    query, value = shapes[0], shapes[1]
    key = shapes[2] if len(shapes) > 2 else value
    from_positions = math.prod(query[1:-1])
    to_positions = math.prod(value[1:-1])
    projections = (
        (from_positions, layer._query_dense),
        (math.prod(key[1:-1]), layer._key_dense),
        (to_positions, layer._value_dense),
        (from_positions, layer._output_dense),
    )
    count = sum(n * math.prod(dense.kernel.shape) for n, dense in projections)
    *_, heads, key_dim = layer._query_dense.kernel.shape
    value_dim = layer._value_dense.kernel.shape[-1]
    return count + from_positions * to_positions * heads * (key_dim + value_dim)


def _einsum(layer, shape):
    """The product of the sizes of all axes that the equation names, batch aside."""
    inputs, kernel = layer.equation.replace(" ", "").split("->")[0].split(",")
    named = inputs.replace("...", "")
    # What an ellipsis stands for is only multiplied with; the batch is the first of all.
    more = shape[: len(shape) - len(named)]
    sizes = dict(zip(named, shape[len(more) :], strict=True))
    if not more:
        del sizes[named[0]]
    sizes.update(zip(kernel, layer.kernel.shape, strict=True))
    return math.prod(sizes.values()) * math.prod(more[1:])
