"""Networks by name, for the recipes in configs/."""

import functools
import inspect

import keras

from keras_joslim.models.cifar_resnet import cifar_resnet
from keras_joslim.models.digits_cnn import digits_cnn
from keras_joslim.models.imagenet_resnet import imagenet_resnet

# By themselves these two take bytes, and images of any size, whose MACs nobody can count.
_V3 = {"input_shape": (224, 224, 3), "include_preprocessing": False}
_BUILDERS = {
    "cifar_resnet": cifar_resnet,
    "digits_cnn": digits_cnn,
    "imagenet_resnet": imagenet_resnet,
    "mobilenet": keras.applications.MobileNet,
    "mobilenet_v2": keras.applications.MobileNetV2,
    "mobilenet_v3_large": functools.partial(keras.applications.MobileNetV3Large, **_V3),
    "mobilenet_v3_small": functools.partial(keras.applications.MobileNetV3Small, **_V3),
}
# What keras.applications offers and a slimmable classifier has no use for: it is trained
# from scratch, and its head makes the logits.
_FIXED = {"weights": None, "include_top": True}
_LEFT_OUT = {*_FIXED, "input_tensor", "pooling"}


def build(name, **options):
    """A new network with random weights and logits as output.

    Args:
        name: "cifar_resnet", "digits_cnn", "imagenet_resnet", "mobilenet", "mobilenet_v2",
            "mobilenet_v3_large" or "mobilenet_v3_small".
        **options: the arguments of its builder. All take `input_shape` (height, width,
            channels) and `classes`; the ResNets need `depth`; the MobileNets take `alpha` and
            need images of 32x32 or more, (224, 224, 3) unless told. None scales its images
            itself, the third MobileNets with `include_preprocessing=True` aside.

    Returns:
        A functional `keras.Model`. Its outputs are logits unless
        `classifier_activation="softmax"`.

    Raises:
        ValueError: an unknown name or option, a missing one, or a value that the builder
            refuses.

    Example:

    >>> build("mobilenet_v2", input_shape=(96, 96, 3), classes=10).output_shape
    (None, 10)
    """
    if name not in _BUILDERS:
        raise ValueError(f"Expected a model of {sorted(_BUILDERS)}. Received: name={name!r}")
    parameters = inspect.signature(_BUILDERS[name]).parameters
    accepted = [key for key in parameters if key not in _LEFT_OUT]
    unknown = sorted(set(options) - set(accepted))
    if unknown:
        raise ValueError(
            f"Model {name!r} has no option {unknown[0]!r}; it takes {accepted}. "
            f"Received: {unknown[0]}={options[unknown[0]]!r}"
        )
    missing = [
        key
        for key in accepted
        if parameters[key].default is inspect.Parameter.empty and key not in options
    ]
    if missing:
        raise ValueError(f"Model {name!r} needs the option {missing[0]!r}; it takes {accepted}.")
    fixed = {key: value for key, value in _FIXED.items() if key in parameters}
    return _BUILDERS[name](**{"classifier_activation": None, **fixed, **options})
