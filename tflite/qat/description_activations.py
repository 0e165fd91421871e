"""How activations of Keras are written down: in the parts that int8 kernels compute."""

from keras_joslim.tflite.qat.description_table import handles, output_shape, unknown


def activated(builder, operation, x, activation, part=""):
    """Adds an activation function of Keras, in the parts that int8 kernels compute."""
    import keras

    name = next(
        (
            name
            for name in ("linear", *_ACTIVATIONS)
            if activation is getattr(keras.activations, name, None)
        ),
        None,
    )
    if name is None:
        raise unknown(operation, f"activation {getattr(activation, '__name__', activation)!r}")
    return x if name == "linear" else _ACTIVATIONS[name](builder, operation, x, part)


def _one(kind, **config):
    """An activation that is one call."""

    def add(builder, operation, x, part=""):
        return builder.add(kind, operation, [x], x.shape, config, part=part)

    return add


def _join(part, more):
    return f"{part}_{more}" if part else more


def _hard_sigmoid(builder, operation, x, part=""):
    """`relu6(x + 3) / 6` as the three operators that it becomes."""
    x = _one("offset", value=3.0)(builder, operation, x, _join(part, "offset"))
    x = _one("ReLU", max_value=6.0)(builder, operation, x, _join(part, "relu6"))
    return _one("scale", value=1 / 6)(builder, operation, x, _join(part, "scale"))


def _silu(builder, operation, x, part=""):
    gate = _one("sigmoid")(builder, operation, x, _join(part, "sigmoid"))
    return builder.add("Multiply", operation, [x, gate], x.shape, part=_join(part, "product"))


_ACTIVATIONS = {
    "relu": _one("ReLU"),
    "relu6": _one("ReLU", max_value=6.0),
    "leaky_relu": _one("LeakyReLU", alpha=0.2),
    "elu": _one("ELU", alpha=1.0),
    "gelu": _one("gelu", approximate=False),
    "hard_sigmoid": _hard_sigmoid,
    "hard_silu": _one("hard_silu"),
    "sigmoid": _one("sigmoid"),
    "silu": _silu,
    "softmax": _one("softmax"),
    "tanh": _one("tanh"),
}


@handles("Activation")
def _activation(builder, node, args, kwargs):
    return activated(builder, node.operation, args[0], node.operation.activation)


@handles("ReLU")
def _relu(builder, node, args, kwargs):
    layer = node.operation
    maximum = None if layer.max_value is None else float(layer.max_value)
    config = {
        "max_value": maximum,
        "negative_slope": float(layer.negative_slope),
        "threshold": float(layer.threshold),
    }
    return _one("ReLU", **config)(builder, layer, args[0])


@handles("Clip")
def _clip(builder, node, args, kwargs):
    operation = node.operation
    if operation.x_min != 0:
        raise unknown(operation, f"x_min={operation.x_min}")
    return _one("ReLU", max_value=float(operation.x_max))(builder, operation, args[0])


@handles("LeakyReLU", "LeakyRelu")
def _leaky_relu(builder, node, args, kwargs):
    slope = float(node.operation.negative_slope)
    return _one("LeakyReLU", alpha=slope)(builder, node.operation, args[0])


@handles("ELU", "Elu")
def _elu(builder, node, args, kwargs):
    return _one("ELU", alpha=float(node.operation.alpha))(builder, node.operation, args[0])


@handles("PReLU")
def _prelu(builder, node, args, kwargs):
    layer = node.operation
    axes = None if layer.shared_axes is None else list(layer.shared_axes)
    config = {"shared_axes": axes}
    return builder.add("PReLU", layer, args[:1], output_shape(node), config, layer.get_weights())


@handles("Softmax")
def _softmax(builder, node, args, kwargs):
    if node.operation.axis not in (-1, len(output_shape(node))):
        raise unknown(node.operation, f"axis={node.operation.axis}")
    return _one("softmax")(builder, node.operation, args[0])


@handles("Gelu")
def _gelu(builder, node, args, kwargs):
    approximate = bool(node.operation.approximate)
    return _one("gelu", approximate=approximate)(builder, node.operation, args[0])


@handles("Relu", "Relu6", "Sigmoid", "Silu", "Tanh", "HardSigmoid", "HardSilu")
def _function(builder, node, args, kwargs):
    names = {"HardSigmoid": "hard_sigmoid", "HardSilu": "hard_silu"}
    kind = type(node.operation).__name__
    return _ACTIVATIONS[names.get(kind, kind.lower())](builder, node.operation, args[0])
