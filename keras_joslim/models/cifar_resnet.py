"""The residual networks for CIFAR: three stages of basic blocks, zero-padded shortcuts.

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2, option A.
"""

import keras

layers = keras.layers


def cifar_resnet(
    depth,
    input_shape=(32, 32, 3),
    classes=10,
    width=1.0,
    classifier_activation=None,
    name=None,
    stem_strides=1,
):
    """A residual network of `depth` layers with weights.

    A 3x3 convolution with BatchNorm and ReLU, then three stages of `(depth - 2) / 6` basic
    blocks with 16, 32 and 64 channels, average pooling, and a dense layer. The second and
    third stage begin at stride 2; their shortcut takes every second pixel and appends zero
    channels, so it has no weights.

    Args:
        depth: 6n + 2, such as 20, 32, 44, 56.
        input_shape: (height, width, channels) of the images.
        classes: number of outputs.
        width: multiplies the channels of all stages.
        classifier_activation: None for logits, or "softmax".
        name: name of the model, `resnet<depth>` if None.
        stem_strides: strides of the first convolution. With 2 all of the network runs at half
            the resolution, for a quarter of the MACs.

    Returns:
        A functional `keras.Model` of plain Keras layers. For 32x32 images and 10 classes it
        takes 40.6 (depth 20), 68.9 (32), 97.2 (44) or 125.5 (56) million MACs an image.

    Raises:
        ValueError: a depth that is not 6n + 2, a width that is not positive, or strides that are
            no whole number from 1.

    Example:

    >>> cifar_resnet(20, classes=100).output_shape
    (None, 100)
    """
    if depth < 8 or depth % 6 != 2:
        raise ValueError(
            f"depth must be 6n + 2 with n of 1 or more: 8, 14, 20... Received: depth={depth}"
        )
    if width <= 0:
        raise ValueError(f"width must be positive. Received: width={width}")
    if isinstance(stem_strides, bool) or not isinstance(stem_strides, int) or stem_strides < 1:
        raise ValueError(
            "stem_strides must be a whole number of pixels from 1. "
            f"Received: stem_strides={stem_strides!r}"
        )
    inputs = keras.Input(input_shape, name="image")
    pads = []
    x = None
    for stage, channels in enumerate((16, 32, 64), start=1):
        channels = max(1, round(channels * width))
        if stage == 1:
            x = _convolution(inputs, channels, stem_strides, "stem_conv", "stem_norm")
            x = layers.ReLU(name="stem_relu")(x)
        for block in range(1, (depth - 2) // 6 + 1):
            strides = 2 if stage > 1 and block == 1 else 1
            x = _basic_block(x, channels, strides, f"stage{stage}_block{block}", pads)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    outputs = layers.Dense(
        classes,
        activation=classifier_activation,
        kernel_initializer="he_normal",
        name="classifier",
    )(x)
    model = keras.Model(inputs, outputs, name=name or f"resnet{depth}")
    _name_pads(model, pads)
    return model


def ResNet20(**options):  # noqa: N802
    """`cifar_resnet(20, **options)`: 40.6 million MACs, 0.27 million parameters."""
    return cifar_resnet(20, **options)


def ResNet32(**options):  # noqa: N802
    """`cifar_resnet(32, **options)`: 68.9 million MACs, 0.46 million parameters."""
    return cifar_resnet(32, **options)


def ResNet44(**options):  # noqa: N802
    """`cifar_resnet(44, **options)`: 97.2 million MACs, 0.66 million parameters."""
    return cifar_resnet(44, **options)


def ResNet56(**options):  # noqa: N802
    """`cifar_resnet(56, **options)`: 125.5 million MACs, 0.85 million parameters."""
    return cifar_resnet(56, **options)


def _convolution(x, channels, strides, name, norm_name):
    """A 3x3 convolution without bias, and its BatchNorm."""
    x = layers.Conv2D(
        channels,
        3,
        strides=strides,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
    )(x)
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=norm_name)(x)


def _basic_block(x, channels, strides, name, pads):
    """Two convolutions beside a shortcut; appends the name of a channel pad to `pads`."""
    shortcut = x
    if strides > 1:
        shortcut = layers.AveragePooling2D(1, strides=strides, name=f"{name}_subsample")(shortcut)
    extra = channels - x.shape[-1]
    if extra:
        shortcut = keras.ops.pad(shortcut, ((0, 0), (0, 0), (0, 0), (0, extra)))
        pads.append(f"{name}_pad")
    x = _convolution(x, channels, strides, f"{name}_conv1", f"{name}_norm1")
    x = layers.ReLU(name=f"{name}_relu1")(x)
    x = _convolution(x, channels, 1, f"{name}_conv2", f"{name}_norm2")
    x = layers.Add(name=f"{name}_add")([x, shortcut])
    return layers.ReLU(name=f"{name}_relu")(x)


def _name_pads(model, names):
    """Names the pads: keras.ops.pad takes no name, and numbers them through the process.

    A channel group carries the name of the operation that opens it, so a network must have the
    same names whenever it is built.
    """
    pads = [operation for operation in model.operations if type(operation).__name__ == "Pad"]
    for operation, name in zip(pads, names, strict=True):
        operation.name = name
