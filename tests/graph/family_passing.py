"""Hand-built networks: activations, noise, pooling, padding and images pass channels on."""

import keras
from keras import ops

from tests.graph.networks import Network, model_of, renamed

layers = keras.layers


def activations():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(6, 3, name="a")(inputs)
    for name in ("relu6", "silu", "mish", "hard_swish", "softplus", "exponential"):
        x = layers.Activation(name)(x)
    for layer in (
        layers.ReLU(6.0, negative_slope=0.1),
        layers.LeakyReLU(0.2),
        layers.ELU(0.5),
    ):
        x = layer(x)
    # Wide enough that a fifth of it is not one channel, of which Keras warns.
    x = layers.Softmax()(layers.Conv2D(12, 1, name="b")(x))
    return Network(model_of(inputs, x), (("a",), ("b",)))


def activation_functions():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(6, 3, name="a")(inputs)
    for function in (ops.relu, ops.relu6, ops.sigmoid, ops.tanh, ops.silu, ops.hard_silu, ops.gelu):
        x = function(x)
    for function in (ops.softplus, ops.elu, ops.selu, ops.leaky_relu, ops.log_softmax, ops.celu):
        x = function(x)
    for function in (ops.abs, ops.sqrt, ops.exp, ops.square, ops.negative, ops.sin):
        x = function(x)
    x = ops.clip(x, -1.0, 1.0)
    x = ops.normalize(x, axis=-1)
    return Network(model_of(inputs, x), (("a",),), tolerance=1e-6)


def noise():
    """In inference they do nothing; in training every network draws its own noise."""
    inputs = keras.Input((6, 3))
    x = layers.Conv1D(6, 3, padding="same", name="a")(inputs)
    for layer in (
        layers.Dropout(0.0),
        layers.SpatialDropout1D(0.0),
        layers.GaussianDropout(0.0),
        layers.AlphaDropout(0.0),
        layers.GaussianNoise(0.0),
        layers.ActivityRegularization(l2=0.1),
        layers.Identity(),
    ):
        x = layer(x)
    return Network(model_of(inputs, x), (("a",),))


def pooling():
    inputs = keras.Input((12, 12, 3))
    x = layers.Conv2D(6, 3, padding="same", name="a")(inputs)
    x = layers.MaxPooling2D(2)(x)
    x = layers.AveragePooling2D(2, strides=1, padding="same")(x)
    x = layers.Conv2D(5, 1, name="b")(x)
    pooled = [
        layers.GlobalAveragePooling2D()(x),
        layers.GlobalMaxPooling2D()(x),
        layers.Flatten()(layers.GlobalMaxPooling2D(keepdims=True)(x)),
        layers.Flatten()(layers.AdaptiveAveragePooling2D(1)(x)),
    ]
    x = layers.Add(name="sum")(pooled)
    return Network(model_of(inputs, x), (("a",), ("b", "sum")))


def pooling_of_sequences_and_volumes():
    series, volume = keras.Input((12, 3)), keras.Input((6, 6, 6, 2))
    x = layers.Conv1D(6, 3, name="a")(series)
    x = layers.AveragePooling1D(2)(layers.MaxPooling1D(2)(x))
    x = layers.GlobalAveragePooling1D()(x)
    y = layers.Conv3D(4, 3, name="b")(volume)
    y = layers.AveragePooling3D(2)(layers.MaxPooling3D(2, strides=1)(y))
    y = layers.GlobalMaxPooling3D()(y)
    z = layers.Concatenate()([x, y])
    return Network(model_of([series, volume], z), (("a",), ("b",)))


def windows():
    """Padding, cropping, up-sampling and resizing of the other axes."""
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(6, 1, name="a")(inputs)
    x = layers.ZeroPadding2D(((1, 2), (0, 1)))(x)
    x = layers.Cropping2D(1)(x)
    x = layers.UpSampling2D(2)(x)
    x = layers.UpSampling2D(2, interpolation="bilinear")(x)
    x = layers.Resizing(9, 7, name="resizing")(x)
    x = layers.CenterCrop(6, 6, name="crop")(x)
    return Network(model_of(inputs, x), (("a",),))


def windows_of_sequences_and_volumes():
    series, volume = keras.Input((8, 3)), keras.Input((4, 4, 4, 2))
    x = layers.Conv1D(6, 1, name="a")(series)
    x = layers.UpSampling1D(2)(layers.Cropping1D(1)(layers.ZeroPadding1D(2)(x)))
    y = layers.Conv3D(6, 1, name="b")(volume)
    y = layers.UpSampling3D(2)(layers.Cropping3D(1)(layers.ZeroPadding3D(1)(y)))
    x, y = layers.GlobalMaxPooling1D()(x), layers.GlobalMaxPooling3D()(y)
    return Network(
        model_of([series, volume], layers.Multiply(name="product")([x, y])),
        (("a", "b", "product"),),
    )


def augmented_images():
    """Image layers before the first convolution, with random ones that are off in inference."""
    inputs = keras.Input((8, 8, 3))
    x = layers.RandomBrightness(0.0, seed=1, name="brightness")(inputs)
    x = layers.RandomFlip(seed=1, name="flip")(x)
    x = layers.Rescaling(1 / 127.5, offset=-1.0, name="scale")(x)
    x = layers.Conv2D(6, 3, name="a")(x)
    return Network(model_of(inputs, x), (("a",),))


def reductions():
    """`ops.mean` over pixels passes on, over channels it leaves none."""
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(6, 3, name="a")(inputs)
    attention = ops.mean(x, axis=-1, keepdims=True)
    x = layers.Multiply(name="product")([x, attention])
    x = layers.Conv2D(5, 3, name="b")(x)
    x = ops.sum(x, axis=[1, 2]) + ops.max(x, axis=(1, 2))
    model = renamed(model_of(inputs, x), Add=("total",))
    return Network(model, (("a", "product"), ("b", "total")))


NETWORKS = {
    build.__name__: build
    for build in (
        activations,
        activation_functions,
        noise,
        pooling,
        pooling_of_sequences_and_volumes,
        windows,
        windows_of_sequences_and_volumes,
        augmented_images,
        reductions,
    )
}
