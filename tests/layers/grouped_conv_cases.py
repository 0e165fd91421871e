"""Cases of grouped convolutions."""

from keras_joslim import layers
from tests.layer_test import Channels, LayerCase

A, B = Channels.group(0, 3), Channels.group(1, 4)
ONE, TWO = Channels.fixed(1), Channels.fixed(2)
SERIES, IMAGES, VOLUMES = (2, 9), (2, 6, 5), (2, 4, 5, 3)


def case(source, target, groups, shape=IMAGES, kernel_size=3, **arguments):
    """A grouped convolution; depthwise if it has as many groups as input channels."""
    size, channels, rank = len(target.each), len(source.each), len(shape) - 1

    def narrowed(count):
        fewer = {"groups": count // (size // channels)} if groups == channels else {}
        return {"filters": count, **fewer}

    return LayerCase(
        getattr(layers, f"SlimGroupedConv{rank}D"),
        {"filters": size, "kernel_size": kernel_size, "groups": groups, **arguments},
        source,
        target,
        (3, 4),
        shape,
        narrowed,
        sides={"kernel": (*[None] * rank, "part", "out"), "bias": ("out",)},
        tolerance=1e-5,
    )


CASES = {
    "parts": case(A.repeated(4), B.repeated(4), 4, padding="same", activation="relu"),
    "parts too wide to share a kernel": case(
        (A + Channels.fixed(14)).repeated(2), B.repeated(2), 2, strides=2
    ),
    "parts of several segments": case((A + TWO).repeated(2), (ONE + B + A + ONE).repeated(2), 2),
    "parts spelled flat": case(
        ONE + A + ONE + ONE + A + ONE, B + B, 2, padding="same", use_bias=False
    ),
    "fixed input": case(Channels.fixed(12), A.repeated(6), 6, kernel_size=(3, 2), strides=(2, 1)),
    "fixed output": case(B.repeated(3), Channels.fixed(3), 3, kernel_size=1),
    "fixed on both sides": case(Channels.fixed(6), Channels.fixed(4), 2),
    "dilation": case(A.scaled(2).repeated(2), A.repeated(2), 2, kernel_size=2, dilation_rate=2),
    "1d, causal": case(A.repeated(4), B.repeated(4), 4, SERIES, padding="causal"),
    "3d": case(A.repeated(2), B.repeated(2), 2, VOLUMES, 2, padding="same", strides=2),
    "depthwise": case(A + TWO + B, A + TWO + B, 9, padding="same", activation="relu"),
    "depthwise, two outputs a channel": case(A.repeated(2), A.scaled(2).repeated(2), 6, strides=2),
    "depthwise, fixed": case(TWO, TWO, 2, use_bias=False),
    "depthwise, 1d, causal": case(
        A + B, (A + B).scaled(2), 7, SERIES, padding="causal", dilation_rate=2
    ),
    "depthwise, 3d": case(A, A.scaled(2), 3, VOLUMES, (2, 3, 2), padding="same", strides=(1, 2, 1)),
    "depthwise, 3d, dilation": case(B, B, 4, VOLUMES, 2, dilation_rate=2, use_bias=False),
}
