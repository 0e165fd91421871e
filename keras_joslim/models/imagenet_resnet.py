"""The residual networks for ImageNet: four stages, projections where the shape changes.

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016 (arXiv 1512.03385), table 1,
option B; with the changes of Goyal et al., "Accurate, Large Minibatch SGD" (arXiv 1706.02677),
section 5.1: a bottleneck block has its stride at the 3x3 convolution.
"""

import keras

layers = keras.layers

# Blocks in each of the four stages. From 50 on they are bottleneck blocks.
_BLOCKS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
_EXPANSION = 4


def imagenet_resnet(
    depth,
    input_shape=(224, 224, 3),
    classes=1000,
    width=1.0,
    classifier_activation=None,
    zero_last_gamma=False,
    name=None,
):
    """A residual network of `depth` layers with weights.

    A 7x7 convolution and a 3x3 max-pooling, both at stride 2; four stages of blocks with 64,
    128, 256 and 512 channels, four times as many after a bottleneck block; average pooling,
    and a dense layer. The second, third and fourth stage begin at stride 2. Convolutions have
    no bias and are followed by BatchNorm; those with a stride pad both sides alike. A shortcut
    that changes shape is a 1x1 convolution with BatchNorm.

    Args:
        depth: 18 or 34 (basic blocks of two 3x3 convolutions); 50, 101 or 152 (bottleneck
            blocks of a 1x1, a 3x3 and a 1x1 convolution).
        input_shape: (height, width, channels) of the images.
        classes: number of outputs.
        width: multiplies the channels of all stages.
        classifier_activation: None for logits, or "softmax".
        zero_last_gamma: whether the scale of the last BatchNorm of every block starts at 0
            (Goyal et al., 2017) rather than 1, so that a block starts as its shortcut.
        name: name of the model, `resnet<depth>` if None.

    Returns:
        A functional `keras.Model` of plain Keras layers. For 224x224 images and 1000 classes
        it takes 1.81 (depth 18), 3.66 (34), 4.09 (50), 7.80 (101) or 11.51 (152) billion MACs
        an image.

    Raises:
        ValueError: another depth, or a width that is not positive.

    Example:

    >>> imagenet_resnet(18, input_shape=(64, 64, 3), classes=200).output_shape
    (None, 200)
    """
    if depth not in _BLOCKS:
        raise ValueError(
            f"depth must be one of {list(_BLOCKS)}; other depths are of the networks for CIFAR, "
            f"`cifar_resnet`. Received: depth={depth}"
        )
    if width <= 0:
        raise ValueError(f"width must be positive. Received: width={width}")
    block = _basic_block if depth < 50 else _bottleneck_block
    last_gamma = "zeros" if zero_last_gamma else "ones"
    channels = [max(1, round(full * width)) for full in (64, 128, 256, 512)]
    inputs = keras.Input(input_shape, name="image")
    x = _convolution(inputs, channels[0], 7, 2, "stem")
    x = layers.ReLU(name="stem_relu")(x)
    # After a ReLU a zero never exceeds a pixel, so padding with zeros leaves the maximum alone.
    x = layers.ZeroPadding2D(1, name="stem_pool_pad")(x)
    x = layers.MaxPooling2D(3, strides=2, name="stem_pool")(x)
    for stage, count in enumerate(_BLOCKS[depth], start=1):
        for number in range(1, count + 1):
            strides = 2 if stage > 1 and number == 1 else 1
            x = block(x, channels[stage - 1], strides, f"stage{stage}_block{number}", last_gamma)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    outputs = layers.Dense(
        classes,
        activation=classifier_activation,
        # Goyal et al. (2017), section 5.1.
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
        name="classifier",
    )(x)
    return keras.Model(inputs, outputs, name=name or f"resnet{depth}")


def ResNet18(**options):  # noqa: N802
    """`imagenet_resnet(18, **options)`: 1.81 billion MACs, 11.7 million parameters."""
    return imagenet_resnet(18, **options)


def ResNet34(**options):  # noqa: N802
    """`imagenet_resnet(34, **options)`: 3.66 billion MACs, 21.8 million parameters."""
    return imagenet_resnet(34, **options)


def ResNet50(**options):  # noqa: N802
    """`imagenet_resnet(50, **options)`: 4.09 billion MACs, 25.6 million parameters."""
    return imagenet_resnet(50, **options)


def ResNet101(**options):  # noqa: N802
    """`imagenet_resnet(101, **options)`: 7.80 billion MACs, 44.5 million parameters."""
    return imagenet_resnet(101, **options)


def ResNet152(**options):  # noqa: N802
    """`imagenet_resnet(152, **options)`: 11.51 billion MACs, 60.2 million parameters."""
    return imagenet_resnet(152, **options)


def _convolution(x, channels, size, strides, name, number="", gamma="ones"):
    """A convolution without bias, and its BatchNorm; half the kernel is padded on each side."""
    padded = strides > 1 and size > 1
    if padded:
        # Keras's "same" would pad an even size more on the right than on the left.
        x = layers.ZeroPadding2D(size // 2, name=f"{name}_pad{number}")(x)
    x = layers.Conv2D(
        channels,
        size,
        strides=strides,
        padding="valid" if padded else "same",
        use_bias=False,
        kernel_initializer=keras.initializers.VarianceScaling(2.0, "fan_out", "truncated_normal"),
        name=f"{name}_conv{number}",
    )(x)
    return layers.BatchNormalization(
        momentum=0.9, epsilon=1e-5, gamma_initializer=gamma, name=f"{name}_norm{number}"
    )(x)


def _basic_block(x, channels, strides, name, last_gamma):
    """Two 3x3 convolutions beside a shortcut."""
    y = _convolution(x, channels, 3, strides, name, 1)
    y = layers.ReLU(name=f"{name}_relu1")(y)
    y = _convolution(y, channels, 3, 1, name, 2, last_gamma)
    return _sum(x, y, strides, name)


def _bottleneck_block(x, channels, strides, name, last_gamma):
    """A 3x3 convolution between two 1x1 ones, beside a shortcut."""
    y = _convolution(x, channels, 1, 1, name, 1)
    y = layers.ReLU(name=f"{name}_relu1")(y)
    y = _convolution(y, channels, 3, strides, name, 2)
    y = layers.ReLU(name=f"{name}_relu2")(y)
    y = _convolution(y, channels * _EXPANSION, 1, 1, name, 3, last_gamma)
    return _sum(x, y, strides, name)


def _sum(x, y, strides, name):
    """What a block computes and its shortcut, which is projected if the shapes differ."""
    if strides > 1 or x.shape[-1] != y.shape[-1]:
        x = _convolution(x, y.shape[-1], 1, strides, f"{name}_shortcut")
    return layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_add")([y, x]))
