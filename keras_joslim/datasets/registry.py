"""Data sets by name, for the recipes in configs/."""

import inspect

from keras_joslim.datasets.cifar import load_cifar10, load_cifar100
from keras_joslim.datasets.digits import load_digits
from keras_joslim.datasets.glyphs import load_glyphs
from keras_joslim.datasets.image_files import load_image_folder, load_tfds, load_tfrecord

_LOADERS = {
    "digits": load_digits,
    "glyphs": load_glyphs,
    "cifar10": load_cifar10,
    "cifar100": load_cifar100,
    "image_folder": load_image_folder,
    "tfrecord": load_tfrecord,
    "tfds": load_tfds,
}


def load(name, **options):
    """The data set of that name.

    Args:
        name: "digits", "glyphs", "cifar10" or "cifar100", in memory; "image_folder", "tfrecord" or
            "tfds", images in files.
        **options: the arguments of its loader: `image_size` for the digits; `train_size`,
            `validation_size` and `test_size` for the glyphs; `directory` and
            `validation_size` for CIFAR; `directory`, `size`, `validation`, `max_corrupt` and (but
            for "tfds") `class_map` for files, of records `index_directory` as well, of "tfrecord"
            names of features, of "tfds" `dataset`: docs/imagenet.md.

    Returns:
        A `Dataset`.

    Raises:
        ValueError: an unknown name or option, or data that cannot be read.

    Example:

    >>> load("digits").num_classes
    10
    """
    if name not in _LOADERS:
        raise ValueError(f"Expected a data set of {sorted(_LOADERS)}. Received: name={name!r}")
    accepted = list(inspect.signature(_LOADERS[name]).parameters)
    unknown = sorted(set(options) - set(accepted))
    if unknown:
        raise ValueError(
            f"Data set {name!r} has no option {unknown[0]!r}; it takes "
            f"{accepted}. Received: {unknown[0]}={options[unknown[0]]!r}"
        )
    return _LOADERS[name](**options)
