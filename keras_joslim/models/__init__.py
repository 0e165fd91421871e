"""Networks that keras.applications lacks, and a registry of all that the recipes can name."""

from keras_joslim.models.cifar_resnet import ResNet20, ResNet32, ResNet44, ResNet56, cifar_resnet
from keras_joslim.models.digits_cnn import digits_cnn
from keras_joslim.models.imagenet_resnet import (
    ResNet18,
    ResNet34,
    ResNet50,
    ResNet101,
    ResNet152,
    imagenet_resnet,
)
from keras_joslim.models.registry import build

__all__ = [
    "ResNet18",
    "ResNet20",
    "ResNet32",
    "ResNet34",
    "ResNet44",
    "ResNet50",
    "ResNet56",
    "ResNet101",
    "ResNet152",
    "build",
    "cifar_resnet",
    "digits_cnn",
    "imagenet_resnet",
]
