"""The handwritten digits that come with scikit-learn: 1,797 grey images of 8x8 pixels.

They are test images of the UCI "Optical Recognition of Handwritten Digits" data set.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from keras_joslim.datasets.dataset import Dataset, Split
from keras_joslim.datasets.stratified import stratified_parts
from keras_joslim.preprocessing import Preprocessing

# Train, validation, test: three fifths, one fifth, one fifth. Neither the sizes nor the
# seed are options, so that no two runs can disagree on what the test set is.
SIZES = (1077, 360, 360)
SPLIT_SEED = 0
SIZE = 8
PREPROCESSING = Preprocessing(
    "Grey images of 8x8 pixels, ink bright on black, from 0 to 16: divide by 16.",
    raw_range=(0, 16),
    scale=(1 / 16,),
    offset=(0.0,),
)


def load_digits(image_size=SIZE):
    """The digits, pixels scaled to [0, 1].

    Args:
        image_size: height and width that the 8x8 images are enlarged to by bilinear
            interpolation, from 8; a MobileNet needs 32 or more.

    Returns:
        A `Dataset` of images of shape (image_size, image_size, 1) and 10 classes: 1,077 to
        train on, 360 to validate, 360 to test, split by class with a fixed seed.

    Raises:
        ValueError: an `image_size` that is no whole number from 8.

    Example:

    >>> load_digits().image_shape
    (8, 8, 1)
    """
    whole = isinstance(image_size, (int, np.integer)) and not isinstance(image_size, bool)
    if not whole or image_size < SIZE:
        raise ValueError(
            "image_size must be a whole number of pixels from 8, the digits' own. "
            f"Received: image_size={image_size!r}"
        )
    # Imported here: scikit-learn takes a second to import, and only this data set needs it.
    from sklearn import datasets

    bunch = datasets.load_digits()
    images = (bunch.images / 16.0).astype(np.float32)[..., None]
    preprocessing = PREPROCESSING
    if image_size != SIZE:
        images = tf.image.resize(images, (image_size, image_size)).numpy()
        text = (
            "Grey images of 8x8 pixels, ink bright on black, from 0 to 16: enlarge to "
            f"{image_size}x{image_size} by bilinear interpolation, divide by 16."
        )
        preprocessing = dataclasses.replace(PREPROCESSING, text=text)
    labels = bunch.target.astype(np.int32)
    parts = stratified_parts(labels, SIZES, SPLIT_SEED)
    train, validation, test = (Split(images[part], labels[part]) for part in parts)
    return Dataset(
        *("digits", train, validation, test),
        num_classes=10,
        class_names=tuple("0123456789"),
        preprocessing=preprocessing,
    )
