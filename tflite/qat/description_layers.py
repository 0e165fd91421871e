"""How Keras's layers and operations, activations aside, are written down."""

import numpy as np

from keras_joslim.tflite.qat.description_activations import activated
from keras_joslim.tflite.qat.description_table import (
    HANDLERS,
    config_of,
    constant,
    flat_values,
    handles,
    is_tensor,
    output_shape,
    unknown,
)


def handle(builder, node, args, kwargs):
    """Writes one operation of a Keras graph down.

    Args:
        builder: `description.Builder`.
        node: the node of the Keras graph.
        args, kwargs: those of its call, with `Tensor`s in the place of Keras tensors.

    Returns:
        The output `Tensor`.

    Raises:
        ValueError: names the operation that is not known.
    """
    operation = node.operation
    handler = HANDLERS.get(type(operation).__name__)
    # A class of the user's own may have the name of one of Keras's.
    if handler is None or not type(operation).__module__.startswith("keras."):
        raise unknown(operation)
    if getattr(operation, "data_format", "channels_last") == "channels_first":
        raise unknown(operation, "data_format='channels_first'")
    return handler(builder, node, args, kwargs)


# Kernels. The activation becomes a call of its own.


def _kernel(builder, node, kind, x, config, weights):
    layer = node.operation
    x = builder.add(kind, layer, [x], output_shape(node), config, weights)
    return activated(builder, layer, x, layer.activation, "activation")


@handles("Conv2D", "DepthwiseConv2D", "Conv2DTranspose", "Dense")
def _single_kernel(builder, node, args, kwargs):
    layer, kind = node.operation, type(node.operation).__name__
    common = ("kernel_size", "strides", "padding", "dilation_rate", "use_bias")
    fields = {
        "Conv2D": (*common, "filters", "groups"),
        "DepthwiseConv2D": (*common, "depth_multiplier"),
        "Conv2DTranspose": (*common, "filters", "output_padding"),
        "Dense": ("units", "use_bias"),
    }
    config = config_of(layer, *fields[kind])
    return _kernel(builder, node, kind, args[0], config, layer.get_weights())


@handles("SeparableConv2D")
def _separable(builder, node, args, kwargs):
    layer = node.operation
    fields = ("kernel_size", "strides", "padding", "dilation_rate", "depth_multiplier")
    config = {**config_of(layer, *fields), "use_bias": False}
    depthwise, pointwise, *bias = layer.get_weights()
    shape = (*output_shape(node)[:2], pointwise.shape[2])
    x = builder.add("DepthwiseConv2D", layer, args[:1], shape, config, [depthwise], "depthwise")
    config = {"filters": layer.filters, "kernel_size": [1, 1], "use_bias": layer.use_bias}
    return _kernel(builder, node, "Conv2D", x, config, [pointwise, *bias])


# Scales and offsets.


def _affine(builder, operation, x, scale=None, offset=None):
    """`scale * x + offset`; None leaves a part out."""
    for kind, value in (("scale", scale), ("offset", offset)):
        if value is None:
            continue
        value = np.asarray(value, np.float64)
        while value.ndim and value.shape[0] == 1:
            value = value[0]
        # An unknown size takes constants of one row only, as 0 does.
        sizes = tuple(size or 0 for size in x.shape)
        try:
            fits = np.broadcast_shapes(value.shape, sizes) == sizes
        except ValueError:
            fits = False
        if not fits:
            raise unknown(operation, f"with a constant of shape {value.shape}")
        config = {"value": value.astype(np.float32).tolist()}
        x = builder.add(kind, operation, [x], x.shape, config, part=kind)
    return x


@handles("BatchNormalization")
def _batch_norm(builder, node, args, kwargs):
    layer = node.operation
    if layer.axis not in (-1, len(args[0].shape)):
        raise unknown(layer, f"axis={layer.axis}")

    def value(variable, default):
        return default if variable is None else constant(variable)

    variance = value(layer.moving_variance, 1.0)
    scale = value(layer.gamma, 1.0) / np.sqrt(variance + layer.epsilon)
    offset = value(layer.beta, 0.0) - value(layer.moving_mean, 0.0) * scale
    shape, weights = output_shape(node), [scale, offset]
    return builder.add("BatchNormalization", layer, args[:1], shape, weights=weights)


@handles("Rescaling")
def _rescaling(builder, node, args, kwargs):
    layer = node.operation
    return _affine(builder, layer, args[0], constant(layer.scale), constant(layer.offset))


@handles("Normalization")
def _normalization(builder, node, args, kwargs):
    import keras

    layer = node.operation
    mean = constant(layer.mean)
    deviation = np.maximum(np.sqrt(constant(layer.variance)), keras.config.epsilon())
    mean, deviation = (v.reshape(v.shape[1:]) if v.ndim > 1 else v for v in (mean, deviation))
    if layer.invert:
        return _affine(builder, layer, args[0], deviation, mean)
    return _affine(builder, layer, args[0], 1 / deviation, -mean / deviation)


# Element by element, of several tensors or of a tensor and a constant.


def _merged(builder, node, kind, tensors, part=""):
    shapes = {len(tensor.shape) for tensor in tensors}
    if len(shapes) != 1 or len(tensors) < 2:
        raise unknown(node.operation, f"of tensors of shapes {[t.shape for t in tensors]}")
    return builder.add(kind, node.operation, tensors, output_shape(node), part=part)


@handles("Add", "Multiply", "Subtract", "Maximum", "Minimum", "Average", "TrueDivide", "Divide")
def _elementwise(builder, node, args, kwargs):
    operation, kind = node.operation, type(node.operation).__name__
    values = flat_values(args, kwargs)
    tensors = [value for value in values if is_tensor(value)]
    if len(tensors) == len(values):
        if kind == "Average":
            total = _merged(builder, node, "Add", tensors, part="sum")
            return _affine(builder, operation, total, scale=1.0 / len(tensors))
        if kind in ("TrueDivide", "Divide"):
            raise unknown(operation, "of two tensors")
        return _merged(builder, node, kind, tensors)
    if len(values) != 2 or len(tensors) != 1:
        raise unknown(operation)
    (x,), first = tensors, is_tensor(values[0])
    value = constant(values[1 if first else 0])
    if kind == "Add":
        return _affine(builder, operation, x, offset=value)
    if kind == "Multiply":
        return _affine(builder, operation, x, scale=value)
    if kind == "Subtract":
        if first:
            return _affine(builder, operation, x, offset=-value)
        return _affine(builder, operation, x, scale=-1.0, offset=value)
    if kind in ("TrueDivide", "Divide") and first:
        return _affine(builder, operation, x, scale=1.0 / value)
    if kind == "Maximum" and not value.any():
        return builder.add("ReLU", operation, [x], x.shape)
    raise unknown(operation, "with a constant")


@handles("Negative")
def _negative(builder, node, args, kwargs):
    return _affine(builder, node.operation, args[0], scale=-1.0)


@handles("Concatenate")
def _concatenate(builder, node, args, kwargs):
    operation = node.operation
    tensors = [value for value in flat_values(args, kwargs) if is_tensor(value)]
    config = {"axis": int(operation.axis)}
    return builder.add("Concatenate", operation, tensors, output_shape(node), config)


# Pooling, shape, and what inference leaves out.


@handles("MaxPooling2D", "AveragePooling2D")
def _pool(builder, node, args, kwargs):
    layer = node.operation
    config = config_of(layer, "pool_size", "strides", "padding")
    return builder.add(type(layer).__name__, layer, args[:1], output_shape(node), config)


@handles("GlobalAveragePooling2D", "GlobalMaxPooling2D")
def _global_pool(builder, node, args, kwargs):
    layer = node.operation
    config = {"keepdims": bool(layer.keepdims)}
    return builder.add(type(layer).__name__, layer, args[:1], output_shape(node), config)


@handles("Mean", "Max")
def _mean(builder, node, args, kwargs):
    operation = node.operation
    axes = operation.axis if isinstance(operation.axis, list | tuple) else (operation.axis,)
    rank = len(args[0].shape) + 1
    if None in axes or rank != 4 or sorted(axis % rank for axis in axes) != [1, 2]:
        raise unknown(operation, f"axis={operation.axis}")
    kinds = {"Mean": "GlobalAveragePooling2D", "Max": "GlobalMaxPooling2D"}
    kind, config = kinds[type(operation).__name__], {"keepdims": bool(operation.keepdims)}
    return builder.add(kind, operation, args[:1], output_shape(node), config)


@handles("ZeroPadding2D")
def _zero_padding(builder, node, args, kwargs):
    config = {"padding": [list(pair) for pair in node.operation.padding]}
    return builder.add("ZeroPadding2D", node.operation, args[:1], output_shape(node), config)


@handles("Cropping2D")
def _cropping(builder, node, args, kwargs):
    config = {"cropping": [list(pair) for pair in node.operation.cropping]}
    return builder.add("Cropping2D", node.operation, args[:1], output_shape(node), config)


@handles("Pad")
def _pad(builder, node, args, kwargs):
    operation = node.operation
    values = flat_values(args[1:], kwargs)
    if operation.mode != "constant" or any(value is not None and value != 0 for value in values):
        raise unknown(operation, "with other values than zero")
    pads = [[int(n) for n in pair] for pair in operation.pad_width]
    return builder.add("pad", operation, args[:1], output_shape(node), {"paddings": pads})


@handles("UpSampling2D")
def _upsampling(builder, node, args, kwargs):
    layer = node.operation
    config = config_of(layer, "size", "interpolation")
    if layer.interpolation not in ("nearest", "bilinear"):
        raise unknown(layer, f"interpolation={layer.interpolation!r}")
    return builder.add("UpSampling2D", layer, args[:1], output_shape(node), config)


@handles("Flatten", "Reshape", "Squeeze", "ExpandDims")
def _reshape(builder, node, args, kwargs):
    before, after = args[0].shape, output_shape(node)
    batch = node.outputs[0].shape[0]
    if None in (*before, *after) or np.prod(before) != np.prod(after) or batch is not None:
        raise unknown(node.operation, f"from {before} to {after}")
    return builder.add("Reshape", node.operation, args[:1], after, {"target_shape": list(after)})


@handles("Dropout", "SpatialDropout2D")
def _dropout(builder, node, args, kwargs):
    kind, config = type(node.operation).__name__, {"rate": float(node.operation.rate)}
    return builder.add(kind, node.operation, args[:1], output_shape(node), config)


@handles("Identity", "ActivityRegularization", "GaussianNoise", "GaussianDropout")
def _identity(builder, node, args, kwargs):
    return args[0]
