"""What a data set is: three parts that never mix, checked when they are made."""

import dataclasses

import numpy as np

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


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """A data set: weights see `train`, widths are chosen on `validation`, `test` is measured once.

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

    def __post_init__(self):
        if self.num_classes < 2:
            raise ValueError(
                f"A data set needs two classes or more. Received: num_classes={self.num_classes}"
            )
        for part, split in self.splits.items():
            if split.images.shape[1:] != self.image_shape:
                raise ValueError(
                    f"All splits of data set {self.name!r} must have images of one shape. "
                    f"Received: train {self.image_shape}, {part} {split.images.shape[1:]}"
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
        return self.train.images.shape[1:]


def _read_only(array, dtype):
    """A view (a copy where the type differs) that cannot be written through."""
    view = array.astype(dtype, copy=False).view()
    view.flags.writeable = False
    return view
