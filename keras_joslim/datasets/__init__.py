"""Data sets: images split into train, validation and test; training batches as a stream."""

from keras_joslim.datasets.augmentation import CropAndFlip, crop_and_flip
from keras_joslim.datasets.dataset import Dataset, Split
from keras_joslim.datasets.image_files import FileSplit, PhotoAugmentation, PhotoStream
from keras_joslim.datasets.registry import load
from keras_joslim.datasets.stream import Stream, batches
from keras_joslim.preprocessing import Preprocessing

__all__ = [
    "CropAndFlip",
    "Dataset",
    "FileSplit",
    "PhotoAugmentation",
    "PhotoStream",
    "Preprocessing",
    "Split",
    "Stream",
    "batches",
    "crop_and_flip",
    "load",
]
