"""Every model of `keras.applications`, small enough to check, with weights that show everything."""

import dataclasses
import functools
import inspect
import math

import keras
import numpy as np

import keras_joslim as kj

layers = keras.layers

# Smallest sides of their images, in pixels, where they are not 32.
PIXELS = {"InceptionV3": 75, "InceptionResNetV2": 75, "Xception": 71}

# Checked in every run: small ones of most families.
ALWAYS = (
    "ConvNeXtTiny",
    "DenseNet121",
    "EfficientNetB0",
    "EfficientNetV2B0",
    "MobileNet",
    "MobileNetV2",
    "MobileNetV3Small",
    "ResNet50",
    "VGG16",
    "Xception",
)

# The others, and all large ones: four of them in a run, in rotation.
ROTATING = (
    "ConvNeXtBase",
    "ConvNeXtLarge",
    "ConvNeXtSmall",
    "ConvNeXtXLarge",
    "DenseNet169",
    "DenseNet201",
    "EfficientNetB1",
    "EfficientNetB2",
    "EfficientNetB3",
    "EfficientNetB4",
    "EfficientNetB5",
    "EfficientNetB6",
    "EfficientNetB7",
    "EfficientNetV2B1",
    "EfficientNetV2B2",
    "EfficientNetV2B3",
    "EfficientNetV2L",
    "EfficientNetV2M",
    "EfficientNetV2S",
    "InceptionResNetV2",
    "InceptionV3",
    "MobileNetV3Large",
    "NASNetLarge",
    "NASNetMobile",
    "ResNet101",
    "ResNet101V2",
    "ResNet152",
    "ResNet152V2",
    "ResNet50V2",
    "VGG19",
)

CLASSES = 5


def exported():
    """Names of what `keras.applications` exports at top level to build models with."""
    return {
        name
        for name, value in vars(keras.applications).items()
        if inspect.isfunction(value) and "weights" in inspect.signature(value).parameters
    }


def in_rotation(number, count=2):
    """The models that the run of this number checks, from all over the list.

    As many runs with consecutive numbers as `turns(count)` check them all.
    """
    step = turns(count)
    return [ROTATING[(number % step + i * step) % len(ROTATING)] for i in range(count)]


def turns(count=2):
    """How many runs it takes to check all of them."""
    return -(-len(ROTATING) // count)


@dataclasses.dataclass
class Case:
    """A model's slimmable form, what the model itself says of some images, and their labels."""

    name: str
    slim: kj.SlimmableModel
    images: np.ndarray
    labels: np.ndarray
    expected: np.ndarray

    @property
    def tolerance(self):
        """Stock Keras sends grouped convolutions through XLA, which rounds in its own way."""
        return 1e-5 if self.name.startswith("ConvNeXt") else 0.0

    @functools.cached_property
    def smallest(self):
        """The smallest network, extracted."""
        return kj.extract(self.slim, self.slim.width_space.smallest)

    @property
    def rng(self):
        """A generator that only depends on the name."""
        return np.random.default_rng([*self.name.encode()])


def case_of(name):
    """Builds and converts the model of that name."""
    side = PIXELS.get(name, 32)
    rng = np.random.default_rng([*name.encode()])
    model = getattr(keras.applications, name)(
        weights=None, input_shape=(side, side, 3), classes=CLASSES, classifier_activation=None
    )
    # Models that rescale images themselves take bytes.
    takes_bytes = any(isinstance(x, (layers.Rescaling, layers.Normalization)) for x in model.layers)
    low, high = (0, 255) if takes_bytes else (-1, 1)
    images = rng.uniform(low, high, (4, side, side, 3)).astype("float32")
    _enliven(model, rng)
    kj.calibrate_batch_norm(model, [images])
    labels = rng.integers(0, CLASSES, len(images))
    return Case(name, kj.make_slimmable(model), images, labels, np.asarray(model(images)))


def _enliven(model, rng):
    """Random weights at which every layer matters to the output (stock LayerScale is 1e-6)."""
    norms = (layers.BatchNormalization, layers.LayerNormalization)
    # Without norms (VGG), a narrow network would forget its images layer by layer.
    variance = 2 if any(isinstance(layer, norms) for layer in model.layers) else 4
    for layer in model.layers:
        if isinstance(layer, layers.Normalization):
            continue
        for weight in layer.weights:
            if "kernel" in weight.name:
                value = rng.standard_normal(weight.shape, "float32")
                value *= math.sqrt(variance / _fan_in(layer, weight))
            elif weight.name == "gamma":
                # Above 1: the norms of a narrow network see less than they are calibrated for.
                value = rng.uniform(1.0, 2.0, weight.shape)
            elif weight.name in ("beta", "bias"):
                value = 0.2 * rng.standard_normal(weight.shape)
            else:
                continue
            weight.assign(value)


def _fan_in(layer, weight):
    depthwise = isinstance(layer, layers.DepthwiseConv2D) or weight.name == "depthwise_kernel"
    return math.prod(weight.shape[: 2 if depthwise else -1])
