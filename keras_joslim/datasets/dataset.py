"""What a data set is: three parts that never mix, checked when they are made."""

import contextlib
import dataclasses

import numpy as np

from keras_joslim.datasets.augmentation import CropAndFlip
from keras_joslim.datasets.stream import Stream, batches
from keras_joslim.preprocessing import Preprocessing


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """One part of a data set: images and their labels, in memory.

    Args:
        images: real numbers, scaled the way the network takes them, shape
            `(n, height, width, channels)`. Kept as float32, read-only.
        labels: class numbers from 0, whole numbers, shape `(n,)`. Kept as int32.

    Raises:
        ValueError: shapes or lengths that do not fit, images that are not scaled or
            hold NaN, labels that are not class numbers.

    Example:

    >>> len(Split(np.zeros((2, 8, 8, 1)), np.array([0, 3])))
    2
    """

    images: np.ndarray
    labels: np.ndarray

    # What `augment` of a stream is.
    augmentation = CropAndFlip

    def __post_init__(self):
        images, labels = np.asarray(self.images), np.asarray(self.labels)
        if images.ndim != 4 or 0 in images.shape:
            raise ValueError(
                "Expected images of shape (n, height, width, channels), none of them 0. "
                f"Received: images.shape={images.shape}. Grey images need a last axis of 1: "
                "`images[..., None]`."
            )
        if not np.issubdtype(images.dtype, np.floating):
            raise ValueError(
                "Expected images of real numbers, already scaled. "
                f"Received: images.dtype={images.dtype}. Bytes become so by `images / 255.0`."
            )
        if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
            raise ValueError(
                "Expected labels of shape (n,), each the number of a class. Received: "
                f"labels.shape={labels.shape}, labels.dtype={labels.dtype}. One-hot labels become "
                "so by `labels.argmax(-1)`."
            )
        if len(images) != len(labels):
            raise ValueError(
                "Every image needs one label. "
                f"Received: len(images)={len(images)}, len(labels)={len(labels)}"
            )
        # Minimum and maximum carry a NaN along, and need no copy of the images.
        if not (np.isfinite(images.min()) and np.isfinite(images.max())):
            wrong = int(np.argmin(np.isfinite(images).all((1, 2, 3))))
            raise ValueError(f"Images must be finite. Received NaN or infinity in images[{wrong}]")
        if labels.min() < 0:
            wrong = int(np.argmin(labels))
            raise ValueError(
                f"Class numbers start at 0. Received: labels[{wrong}]={int(labels[wrong])}"
            )
        object.__setattr__(self, "images", _read_only(images, np.float32))
        object.__setattr__(self, "labels", _read_only(labels, np.int32))

    def __len__(self):
        return len(self.labels)

    @property
    def image_shape(self):
        """Shape of one image: (height, width, channels)."""
        return self.images.shape[1:]

    def arrays(self, chosen):
        """Some images and their labels.

        Args:
            chosen: how many from the first on, or their numbers, `(k,)`.
        """
        chosen = slice(chosen) if np.ndim(chosen) == 0 else np.asarray(chosen)
        return self.images[chosen], self.labels[chosen]

    def batches(self, batch_size):
        """All of the split once, in its order, not augmented: see `batches`."""
        return batches(self, batch_size)

    def stream(self, batch_size, seed, augment=None):
        """Endless training batches: a `Stream`."""
        return Stream(self.images, self.labels, batch_size, seed, augment)


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """A data set: weights see `train`, widths are chosen on `validation`, `test` is measured once.

    A split is a `Split`, in memory, or has the same `labels`, `image_shape`, `arrays`, `batches`,
    `stream` and `augmentation`, as `FileSplit` has, whose images are files.

    Args:
        name: the name it is loaded by.
        train: the `Split` that weights are trained on and BatchNorm is calibrated on. Its
            order is mixed, so any first part of it holds all classes.
        validation: the `Split` of the history and of the front.
        test: the `Split` that is only reported.
        num_classes: number of classes, at least 2.
        class_names: what the classes are called, in order of their numbers; None if they have no
            names.
        preprocessing: the `Preprocessing` that made the images from raw pixels, which an app has
            to do again; None if that is not known.
        corrupt: `CorruptImages`, the images of files that could not be read; None in memory.

    Raises:
        ValueError: splits of different image shapes, a label that is no class, not one name a
            class, not one scale a channel.
    """

    name: str
    train: Split
    validation: Split
    test: Split
    num_classes: int
    class_names: tuple | None = None
    preprocessing: Preprocessing | None = None
    corrupt: object = None

    def __post_init__(self):
        if self.num_classes < 2:
            raise ValueError(
                f"A data set needs two classes or more. Received: num_classes={self.num_classes}"
            )
        for part, split in self.splits.items():
            if split.image_shape != self.image_shape:
                raise ValueError(
                    f"All splits of data set {self.name!r} must have images of one shape. "
                    f"Received: train {self.image_shape}, {part} {split.image_shape}"
                )
            if split.labels.max() >= self.num_classes:
                wrong = int(np.argmax(split.labels))
                raise ValueError(
                    f"Labels of data set {self.name!r} must be in 0..{self.num_classes - 1} "
                    f"(num_classes={self.num_classes}). "
                    f"Received: {part} labels[{wrong}]={int(split.labels[wrong])}"
                )
        if self.class_names is not None:
            if isinstance(self.class_names, str):
                raise ValueError(f"Expected a list. Received: class_names={self.class_names!r}")
            object.__setattr__(self, "class_names", tuple(self.class_names))
            if len(self.class_names) != self.num_classes:
                raise ValueError(
                    f"Data set {self.name!r} needs one name a class. Received: num_classes="
                    f"{self.num_classes}, {len(self.class_names)} class_names"
                )
        channels = self.image_shape[-1]
        if self.preprocessing is not None and len(self.preprocessing.scale) != channels:
            raise ValueError(
                f"The preprocessing of data set {self.name!r} needs one scale a channel. "
                f"Received: {channels} channels, scale={self.preprocessing.scale}"
            )

    @property
    def splits(self):
        """The three splits by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    @property
    def image_shape(self):
        """Shape of one image: (height, width, channels)."""
        return self.train.image_shape

    def reading(self):
        """A context in which too many unreadable images are a `ValueError` that names one.

        What `tf.data` reads in `fit` or an evaluation fails with an error of TensorFlow.
        """
        return contextlib.nullcontext() if self.corrupt is None else self.corrupt.as_value_error()

    def training_stream(self, batch_size, seed, augment):
        """Endless training batches, augmented as the fields of a recipe say.

        Args:
            batch_size, seed: of the stream.
            augment: dict of all arguments of the training split's `augmentation`.

        Returns:
            A `Stream` or `PhotoStream`.

        Raises:
            ValueError: a field that the augmentation of such images does not have, one that is
                missing or out of range.
        """
        kind = self.train.augmentation
        fields = [field.name for field in dataclasses.fields(kind)]
        if set(augment) != set(fields):
            unknown = sorted(set(augment) - set(fields))
            lacking = [field for field in fields if field not in augment]
            what = f"also {unknown[0]!r}" if unknown else f"no {lacking[0]!r}"
            raise ValueError(
                f"The images of data set {self.name!r} are augmented by the fields "
                f"{', '.join(fields)} of train.augment. Received: {what}"
            )
        return self.train.stream(batch_size, seed, kind(**augment))


def _read_only(array, dtype):
    """A view (a copy where the type differs) that cannot be written through."""
    view = array.astype(dtype, copy=False).view()
    view.flags.writeable = False
    return view
