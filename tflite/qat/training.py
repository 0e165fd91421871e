"""The fine-tuning of a rebuilt network: a few hundred steps of Adam against labels and teacher.

Part of the process that `fine_tuning` starts.
"""

import numpy as np

from keras_joslim.tflite.qat.tf_keras_rebuild import outputs_of

# Keeps the logarithm of a probability finite, as Keras does.
_EPSILON = 1e-7


def train(model, data, settings):
    """Fine-tunes the network in place.

    Adam; the learning rate falls linearly to zero over the steps. The loss is
    `(1 - w) * task + w * T**2 * distillation`, summed over the outputs (Hinton et al., "Distilling
    the knowledge in a neural network", 2015), with w = `distillation` and T = `temperature`.

    Args:
        model: `tf_keras.Model`.
        data: `Data`.
        settings: dict of `learning_rate`, `distillation`, `temperature`, `losses` (a list, one
            dict an output, see `task_loss`).

    Returns:
        A list of floats: the loss of each step, before it.

    Raises:
        FloatingPointError: a loss that is not finite.
    """
    import tensorflow as tf
    import tf_keras

    steps = len(data.order)
    schedule = tf_keras.optimizers.schedules.PolynomialDecay(
        settings["learning_rate"], steps, end_learning_rate=0.0
    )
    model.optimizer = tf_keras.optimizers.Adam(schedule)
    share, temperature = settings["distillation"], settings["temperature"]
    variables = model.trainable_weights

    @tf.function
    def step(inputs, labels, targets):
        with tf.GradientTape() as tape:
            outputs = outputs_of(model, inputs, training=True)
            loss = 0.0
            for index, (output, spec) in enumerate(zip(outputs, settings["losses"], strict=True)):
                if share < 1:
                    loss += (1 - share) * tf.reduce_mean(task_loss(spec, labels[index], output))
                if share > 0:
                    soft = soft_loss(spec, targets[index], output, temperature)
                    loss += share * temperature**2 * tf.reduce_mean(soft)
        gradients = tape.gradient(loss, variables)
        pairs = [(g, v) for g, v in zip(gradients, variables, strict=True) if g is not None]
        model.optimizer.apply_gradients(pairs)
        return loss

    model.optimizer.build(variables)
    losses = []
    for index in range(steps):
        losses.append(float(step(*data.batch(index))))
        if not np.isfinite(losses[-1]):
            raise FloatingPointError(f"step {index} of {steps} has a loss of {losses[-1]}")
    # Ranges of kernels and masks follow the weights one step late: one more look at them.
    outputs_of(model, data.batch(steps - 1)[0], training=True)
    return losses


class Data:
    """Training images, labels and the teacher's outputs, in the order of their use.

    Args:
        folder: where `fine_tuning.quantization_aware` has put them.
        inputs, outputs: how many the network has.
    """

    def __init__(self, folder, inputs, outputs):
        def arrays(name, count):
            # Not read into memory: only the rows of a batch are.
            paths = [folder / f"{name}{index}.npy" for index in range(count)]
            return [np.load(path, mmap_mode="r") for path in paths if path.exists()]

        self.order = np.load(folder / "order.npy")
        self._inputs = arrays("images", inputs)
        self._labels = arrays("labels", outputs)
        self._targets = arrays("targets", outputs)

    def batch(self, index):
        """Lists of inputs, labels and targets of a step."""
        import tensorflow as tf

        rows = self.order[index]
        parts = (self._inputs, self._labels, self._targets)
        return tuple([tf.constant(array[rows]) for array in part] for part in parts)

    def inputs(self, count):
        """The inputs of the first images, a list of arrays of shape (count, ...)."""
        return [np.array(array[:count]) for array in self._inputs]


def task_loss(spec, labels, output):
    """The task loss of one output, for each image and position.

    Args:
        spec: dict of `kind`, one of "categorical_crossentropy", "sparse_categorical_crossentropy",
            "binary_crossentropy", "mean_squared_error", "mean_absolute_error" and "huber", and of
            `from_logits`, `label_smoothing`, `delta` where the kind has them.
        labels: tensor.
        output: tensor of the network.

    Returns:
        A tensor.
    """
    import tensorflow as tf

    kind, smoothing = spec["kind"], spec.get("label_smoothing", 0.0)
    if kind == "sparse_categorical_crossentropy":
        labels = tf.reshape(tf.cast(labels, tf.int32), tf.shape(output)[:-1])
        labels = tf.one_hot(labels, output.shape[-1])
    labels = tf.cast(labels, output.dtype)
    if kind.endswith("categorical_crossentropy"):
        labels = labels * (1 - smoothing) + smoothing / output.shape[-1]
        return -tf.reduce_sum(labels * _log_probabilities(spec, output), axis=-1)
    if kind == "binary_crossentropy":
        labels = tf.reshape(labels, tf.shape(output)) * (1 - smoothing) + smoothing / 2
        return tf.nn.sigmoid_cross_entropy_with_logits(labels, _logits(spec, output))
    labels = tf.reshape(labels, tf.shape(output))
    return _distance(spec, labels, output)


def soft_loss(spec, target, output, temperature):
    """The distillation loss of one output, for each image and position.

    For cross-entropies the Kullback-Leibler divergence from the teacher's probabilities, both
    networks' logits divided by the temperature; else the task loss to the teacher's output.

    Args:
        spec: as for `task_loss`.
        target: the teacher's output.
        output: the network's.
        temperature: above 0.

    Returns:
        A tensor.
    """
    import tensorflow as tf

    kind = spec["kind"]
    target = tf.cast(target, output.dtype)
    if kind.endswith("categorical_crossentropy"):
        wanted = tf.nn.log_softmax(_log_probabilities(spec, target) / temperature)
        given = tf.nn.log_softmax(_log_probabilities(spec, output) / temperature)
        return tf.reduce_sum(tf.exp(wanted) * (wanted - given), axis=-1)
    if kind == "binary_crossentropy":
        wanted = _logits(spec, target) / temperature
        given = _logits(spec, output) / temperature
        soft = tf.sigmoid(wanted)
        entropy = tf.nn.sigmoid_cross_entropy_with_logits(soft, wanted)
        return tf.nn.sigmoid_cross_entropy_with_logits(soft, given) - entropy
    return _distance(spec, target, output)


def _log_probabilities(spec, output):
    import tensorflow as tf

    if spec["from_logits"]:
        return tf.nn.log_softmax(output)
    return tf.math.log(tf.clip_by_value(output, _EPSILON, 1.0))


def _logits(spec, output):
    import tensorflow as tf

    if spec["from_logits"]:
        return output
    output = tf.clip_by_value(output, _EPSILON, 1 - _EPSILON)
    return tf.math.log(output) - tf.math.log(1 - output)


def _distance(spec, wanted, given):
    import tensorflow as tf

    error = tf.abs(wanted - given)
    if spec["kind"] == "mean_squared_error":
        return error**2
    if spec["kind"] == "mean_absolute_error":
        return error
    delta = spec["delta"]
    return tf.where(error <= delta, 0.5 * error**2, delta * error - 0.5 * delta**2)
