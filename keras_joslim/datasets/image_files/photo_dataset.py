"""A `Dataset` of image files: the training part, what is held out of it, and the test part."""

import dataclasses

import numpy as np

from keras_joslim.datasets.dataset import Dataset
from keras_joslim.datasets.image_files.file_split import FileSplit
from keras_joslim.datasets.image_files.held_out import held_out, mixed
from keras_joslim.datasets.stream_arguments import is_whole
from keras_joslim.preprocessing import Preprocessing

# Per channel (red, green, blue), pixels in [0, 1]: the constants that published ImageNet networks
# are trained with, whatever the data, so that all runs scale alike.
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)


@dataclasses.dataclass(frozen=True)
class Photos:
    """Images of which nothing is read yet.

    Attributes:
        source: `FolderSource` or `RecordSource`.
        labels: class numbers, int `(n,)`.
        keys: names that do not depend on how the images are stored: "class/file".
    """

    source: object
    labels: np.ndarray
    keys: tuple


def photo_dataset(name, train, test, class_names, num_classes, size, validation, corrupt):
    """A `Dataset` whose images are read when they are needed.

    Args:
        name: of the data set.
        train: `Photos`, of which some are held out for validation.
        test: `Photos` that are only reported on.
        class_names, num_classes: of the `Dataset`.
        size: side of the square images, pixels.
        validation: see `held_out`.
        corrupt: `CorruptImages`.

    Raises:
        ValueError: values that do not fit, a class without a training image.
    """
    preprocessing = photo_preprocessing(size)
    if not len(train.labels):
        raise ValueError(f"Data set {name!r} has no training images.")
    absent = np.flatnonzero(np.bincount(train.labels, minlength=num_classes) == 0)
    if len(absent):
        told = "" if class_names is None else f" ({class_names[absent[0]]})"
        raise ValueError(
            f"Every class needs training images. Received: none of class {absent[0]}{told}, "
            f"{len(absent)} of {num_classes} classes without"
        )
    held, rest = held_out(train.keys, validation)
    parts = ((train, rest), (train, held), (test, mixed(test.keys)))
    splits = (
        FileSplit(photos.source, places, photos.labels, size, preprocessing, corrupt)
        for photos, places in parts
    )
    return Dataset(
        *(name, *splits, num_classes, class_names, preprocessing),
        corrupt=corrupt,
    )


def photo_preprocessing(size):
    """What evaluation does to a photograph, as an app has to do it again.

    Raises:
        ValueError: a size that is no whole number from 1.
    """
    if not is_whole(size) or size < 1:
        raise ValueError(f"size is the side of the images, pixels from 1. Received: size={size!r}")
    short = round(size * 256 / 224)
    return Preprocessing(
        f"Red, green, blue, bytes from 0 to 255. Resize the photograph (bilinear) so that its "
        f"shorter side is {short} pixels, cut {size}x{size} out of the middle; divide by 255, take "
        f"off the channel's mean {MEAN}, divide by its deviation {DEVIATION}.",
        raw_range=(0, 255),
        scale=tuple(1 / (255 * deviation) for deviation in DEVIATION),
        offset=tuple(-mean / deviation for mean, deviation in zip(MEAN, DEVIATION)),
    )
