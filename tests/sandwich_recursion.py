"""The sandwich step written out by hand over extracted stock networks, to compare with."""

import keras
import numpy as np
import tensorflow as tf

import keras_joslim as kj


def network(activation="softmax", classes=3, batch_norm=True, regularizer=None, name="net"):
    """Two convolutions with a residual sum, a depthwise one and a head; three searchable groups."""
    layers = keras.layers
    options = {"padding": "same", "kernel_regularizer": regularizer}
    norm = layers.BatchNormalization if batch_norm else layers.Identity
    inputs = keras.Input((6, 6, 2), name="image")
    x = layers.Conv2D(6, 3, use_bias=False, name="stem", **options)(inputs)
    x = shortcut = layers.ReLU()(norm(momentum=0.9, name="stem_bn")(x) if batch_norm else x)
    x = layers.Conv2D(8, 1, name="expand", **options)(x)
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="depthwise")(x)
    x = layers.ReLU()(norm(momentum=0.9, name="depthwise_bn")(x) if batch_norm else x)
    x = layers.Conv2D(6, 1, name="project", **options)(x)
    x = layers.Add()([x, shortcut])
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dense(5, activation="tanh", kernel_regularizer=regularizer, name="hidden")(x)
    outputs = layers.Dense(classes, activation=activation, name="head")(x)
    model = keras.Model(inputs, outputs, name=name)
    rng = np.random.default_rng(7)
    for weight in model.trainable_weights:
        # Away from the initialisers' zeros and ones, where mistakes would not show.
        weight.assign(weight + rng.normal(0, 0.1, weight.shape))
    return model


def images(count=12, classes=3, seed=0):
    """Images whose labels can be learnt: `(x, y)`."""
    rng = np.random.default_rng(seed)
    y = np.arange(count) % classes
    x = rng.normal(size=(count, 6, 6, 2)).astype("float32")
    x[..., 0] += y[:, None, None]
    return x, y.astype("int32")


def rows_of(slim, steps, num_sampled, seed=0):
    """`(steps, num_sampled + 2, groups)` sandwiches of random widths."""
    rng = np.random.default_rng(seed)
    space = slim.width_space
    return np.stack(
        [
            np.stack([space.full, *space.sample(rng, num_sampled), space.smallest])
            for _ in range(steps)
        ]
    ).astype(np.int32)


class Given(kj.Schedule):
    """Trains the rows it was given, over and over."""

    def __init__(self, rows):
        super().__init__()
        self.rows = rows

    def widths(self, step):
        return self.rows[step % len(self.rows)]


def cross_entropy(y, probabilities, weight=1.0):
    """Task loss of probabilities, written out: mean over the batch."""
    picked = tf.gather(probabilities, y, axis=-1, batch_dims=1)
    return tf.reduce_mean(-tf.math.log(picked) * weight)


def soft_cross_entropy(full, probabilities, weight=1.0):
    """Distillation loss of probabilities, written out."""
    losses = -tf.reduce_sum(full * tf.math.log(probabilities), axis=-1)
    return tf.reduce_mean(losses * weight)


class Recursion:
    """Sandwich steps over extracted networks: no code of the library's train step in it.

    Args:
        slim: a `SlimmableModel`, whose weights are the state.
        task: `task(y, full output) -> scalar`.
        soft: `soft(full output as numpy, narrow output, y) -> scalar`.
        rate, momentum, nesterov: of stochastic gradient descent.
        decay: coupled weight decay of the weights whose path ends in `decayed`.
        penalty: `penalty(full network's weights by (layer, name)) -> scalar`, counted once.
    """

    decayed = (
        ("stem", "kernel"),
        ("expand", "kernel"),
        ("project", "kernel"),
        ("hidden", "kernel"),
        ("head", "kernel"),
    )

    def __init__(
        self,
        slim,
        task=cross_entropy,
        soft=None,
        rate=0.1,
        momentum=0.0,
        nesterov=False,
        decay=0.0,
        penalty=None,
    ):
        self.slim, self.task = slim, task
        self.soft = soft or (lambda full, output, y: soft_cross_entropy(full, output))
        self.rate, self.momentum, self.nesterov = rate, momentum, nesterov
        self.decay, self.penalty = decay, penalty
        self.velocity = {key: np.zeros(v.shape) for key, v in trainable(slim).items()}
        self.losses = []

    def gradients(self, x, y, networks):
        """Summed gradients by (layer, weight name); moving statistics move as the full one's."""
        total = {key: np.zeros(v.shape) for key, v in trainable(self.slim).items()}
        full_output, self.losses = None, []
        for widths in networks:
            sub = kj.extract(self.slim, widths)
            with tf.GradientTape() as tape:
                output = sub(x, training=True)
                self.losses.append(float(self.task(y, output)))
                if full_output is None:
                    loss = self.task(y, output)
                    if self.penalty is not None:
                        loss += self.penalty({key: v.value for key, v in trainable(sub).items()})
                else:
                    loss = self.soft(full_output, output, y)
            variables = trainable(sub)
            found = tape.gradient(loss, [v.value for v in variables.values()])
            for key, gradient in zip(variables, found, strict=True):
                total[key][place(self.slim, key, widths)] += np.asarray(gradient)
            if full_output is None:
                full_output = keras.tree.map_structure(np.asarray, output)
                self._move_statistics(sub)
        return total

    def step(self, x, y, networks):
        gradients = self.gradients(x, y, networks)
        for key, variable in trainable(self.slim).items():
            value, gradient = np.asarray(variable), gradients[key]
            if key in self.decayed:
                gradient = gradient + self.decay * value
            velocity = self.momentum * self.velocity[key] - self.rate * gradient
            self.velocity[key] = velocity
            ahead = self.momentum * velocity - self.rate * gradient if self.nesterov else velocity
            variable.assign(value + ahead)

    def _move_statistics(self, sub):
        for layer in sub.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                for name in ("moving_mean", "moving_variance"):
                    target = getattr(self.slim.network.get_layer(layer.name), name)
                    target.assign(getattr(layer, name))


def trainable(model):
    """Trainable variables by (layer name, weight name)."""
    network = getattr(model, "network", model)
    return {(la.name, v.name): v for la in network.layers for v in la.trainable_variables}


def place(slim, key, widths):
    """Where a sub-network's weight lies in the full one."""
    layer, name = key
    layer = slim.network.get_layer(layer)
    full = getattr(layer, name).shape
    sides = dict(layer._axes(name)) if hasattr(layer, "_axes") else {}
    sides = {axis % len(full): layout.indices(widths) for axis, layout in sides.items()}
    return np.ix_(*[sides.get(axis, np.arange(size)) for axis, size in enumerate(full)])


def twins(model, **arguments):
    """Two slimmable models of the same weights: one to train, one for the recursion."""
    return kj.make_slimmable(model, **arguments), kj.make_slimmable(model, **arguments)


def assert_same_weights(slim, other, atol=1e-5):
    """All variables, moving statistics too."""
    for a, b in zip(slim.network.variables, other.network.variables, strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), atol=atol, rtol=0, err_msg=a.path)


def applied_gradient(slim, x, y, networks, **arguments):
    """The gradient of one step by (layer, weight name), read off the weights' change."""
    before = {key: np.asarray(v).astype("float64") for key, v in trainable(slim).items()}
    slim.optimizer.learning_rate = 1.0
    slim.fit(
        x,
        y,
        batch_size=len(keras.tree.flatten(x)[0]),
        shuffle=False,
        verbose=0,
        callbacks=[Given(np.asarray(networks)[None])],
        **arguments,
    )
    return {key: before[key] - np.asarray(v) for key, v in trainable(slim).items()}


def assert_same_gradients(found, expected, atol=2e-6):
    """Per weight; and they are not all zero."""
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, atol=atol, rtol=1e-5, err_msg=str(key))
    assert max(np.abs(v).max() for v in expected.values()) > 1e-3
