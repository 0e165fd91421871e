"""Makes a network that `description` wrote down in tf_keras, the Keras of tfmot.

It runs in the process that fine-tunes, so it imports nothing of this package: neither Keras 3 nor
its weights are needed there.
"""

import functools


def _hard_silu(x):
    import tensorflow as tf

    # The form that the converter knows as HARD_SWISH.
    return x * tf.nn.relu6(x + 3.0) * (1.0 / 6.0)


def _function(name):
    def call(x, **options):
        import tensorflow as tf

        return getattr(tf.nn, name)(x, **options)

    return call


def _pad(x, paddings):
    import tensorflow as tf

    return tf.pad(x, paddings)


# What tf_keras has no layer for: `Call.kind` -> function of a tensor and of the call's config.
OPERATIONS = {
    "identity": lambda x: x,
    "scale": lambda x, value: x * value,
    "offset": lambda x, value: x + value,
    "pad": _pad,
    "gelu": _function("gelu"),
    "hard_silu": _hard_silu,
    "sigmoid": _function("sigmoid"),
    "softmax": _function("softmax"),
    "tanh": _function("tanh"),
}


@functools.cache
def operation_class():
    """The tf_keras layer that computes one of `OPERATIONS`.

    Returns:
        A class with the constructor `Operation(operation, options, name=None)`.
    """
    import tf_keras

    class Operation(tf_keras.layers.Layer):
        """A function of one tensor, with constants."""

        def __init__(self, operation, options, **kwargs):
            super().__init__(**kwargs)
            self.operation, self.options = operation, dict(options)

        def call(self, inputs):
            return OPERATIONS[self.operation](inputs, **self.options)

        def get_config(self):
            config = {"operation": self.operation, "options": self.options}
            return {**super().get_config(), **config}

    return Operation


def rebuild(description, weights, wrap=None):
    """Makes the network.

    Args:
        description: what `Description.to_dict` returns.
        weights: what `Description.weights` returns.
        wrap: `wrap(layer, call) -> layer`, what stands in the place of each layer; by default the
            layer itself.

    Returns:
        A functional `tf_keras.Model`, to be called by `outputs_of`.

    Example:

    >>> outputs_of(rebuild(description.to_dict(), description.weights()), [images])
    """
    import tf_keras

    tensors, inputs, layers = {}, [], {}
    for number, name, shape in description["inputs"]:
        tensors[number] = tf_keras.Input(shape, name=name, dtype="float32")
        inputs.append(tensors[number])
    for call in description["calls"]:
        name = call["name"]
        if name not in layers:
            layer = _layer(call)
            layers[name] = layer, layer if wrap is None else wrap(layer, call)
        values = [tensors[number] for number in call["inputs"]]
        tensors[call["output"]] = layers[name][1](values if len(values) > 1 else values[0])
    outputs = [tensors[number] for number, _ in description["outputs"]]
    model = tf_keras.Model(inputs, outputs)
    for name, (layer, _) in layers.items():
        count = sum(key.rpartition("/")[0] == name for key in weights)
        if count:
            layer.set_weights([weights[f"{name}/{index}"] for index in range(count)])
    return model


def outputs_of(model, inputs, training=False):
    """Calls a rebuilt network.

    Args:
        model: what `rebuild` returned, or was made from it.
        inputs: list of arrays or tensors, in the order of the description.
        training: Keras's argument.

    Returns:
        A list of tensors, in the order of the description.
    """
    import tensorflow as tf

    # tf_keras unpacks lists of one.
    return tf.nest.flatten(model(inputs, training=training))


def _layer(call):
    import tf_keras

    name = call["name"]
    if call["kind"] in OPERATIONS:
        return operation_class()(call["kind"], call["config"], name=name)
    return getattr(tf_keras.layers, call["kind"])(**call["config"], name=name)
