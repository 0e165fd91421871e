"""CIFAR-10 and CIFAR-100, from a local folder in the official python format.

Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009. Nothing is
downloaded: a missing folder is an error that says what to fetch and where to put it.
"""

import dataclasses
import pathlib
import pickle

import numpy as np

from keras_joslim.datasets.array_pickle import read_array_pickle
from keras_joslim.datasets.dataset import Dataset, Split
from keras_joslim.datasets.stratified import stratified_parts
from keras_joslim.preprocessing import Preprocessing

# Which training images are held out is fixed: not an option, and not the run's seed.
SPLIT_SEED = 0


@dataclasses.dataclass(frozen=True)
class _Format:
    """Files and keys of one of the two data sets."""

    title: str
    folder: str
    archive: str
    train_files: tuple
    test_file: str
    meta_file: str
    labels: str
    label_names: str
    num_classes: int
    # Per channel (red, green, blue) over the 50,000 training images, pixels in [0, 1]: the
    # published constants. They are not computed from a split, so all runs scale alike.
    mean: tuple
    deviation: tuple

    @property
    def files(self):
        return (*self.train_files, self.test_file, self.meta_file)

    @property
    def preprocessing(self):
        return Preprocessing(
            "Red, green, blue, 32x32 pixels, bytes from 0 to 255: divide by 255, take off the "
            f"channel's mean {self.mean}, divide by its deviation {self.deviation}.",
            raw_range=(0, 255),
            scale=tuple(1 / (255 * deviation) for deviation in self.deviation),
            offset=tuple(-mean / deviation for mean, deviation in zip(self.mean, self.deviation)),
        )

    @property
    def remedy(self):
        return (
            f"Download https://www.cs.toronto.edu/~kriz/{self.archive} and unpack it there "
            f"(tar xzf {self.archive}), or name the folder by --config.data.directory=..."
        )


CIFAR10 = _Format(
    title="CIFAR-10",
    folder="cifar-10-batches-py",
    archive="cifar-10-python.tar.gz",
    train_files=tuple(f"data_batch_{i}" for i in range(1, 6)),
    test_file="test_batch",
    meta_file="batches.meta",
    labels="labels",
    label_names="label_names",
    num_classes=10,
    mean=(0.4914, 0.4822, 0.4465),
    deviation=(0.2470, 0.2435, 0.2616),
)
CIFAR100 = _Format(
    title="CIFAR-100",
    folder="cifar-100-python",
    archive="cifar-100-python.tar.gz",
    train_files=("train",),
    test_file="test",
    meta_file="meta",
    labels="fine_labels",
    label_names="fine_label_names",
    num_classes=100,
    mean=(0.5071, 0.4865, 0.4409),
    deviation=(0.2673, 0.2564, 0.2762),
)


def load_cifar10(directory="data", validation_size=5000):
    """CIFAR-10: 32x32 colour images of 10 classes.

    Args:
        directory: the folder `cifar-10-batches-py`, or the one that holds it.
        validation_size: so many training images are held out, by class and with a
            fixed seed. The test images stay the test set.

    Returns:
        A `Dataset`; images are `(pixel / 255 - mean) / deviation` per channel with the
        published constants `CIFAR10.mean` and `CIFAR10.deviation`.

    Raises:
        ValueError: a folder that is missing, incomplete, damaged or something else.

    Example: `load_cifar10("data").train.images.shape` is (45000, 32, 32, 3).
    """
    return _load("cifar10", CIFAR10, directory, validation_size)


def load_cifar100(directory="data", validation_size=5000):
    """CIFAR-100 with its 100 fine labels; arguments and scaling as in `load_cifar10`."""
    return _load("cifar100", CIFAR100, directory, validation_size)


def _load(name, form, directory, validation_size):
    folder = _folder(form, directory)
    meta = _read_dict(form, folder / form.meta_file, (form.label_names,))
    count = len(meta[form.label_names])
    if count != form.num_classes:
        raise ValueError(
            f"{str(folder / form.meta_file)!r} is not of {form.title}: it names {count} classes, "
            f"not {form.num_classes}. {form.remedy}"
        )
    expected = meta.get("num_cases_per_batch")
    read = [_read_images(form, folder / file, expected) for file in form.train_files]
    pixels = np.concatenate([part[0] for part in read])
    labels = np.concatenate([part[1] for part in read])
    if not 1 <= validation_size < len(labels):
        raise ValueError(
            "validation_size must leave images to train on. Received: "
            f"validation_size={validation_size}, {form.title} training images={len(labels)}"
        )
    sizes = (len(labels) - validation_size, validation_size)
    train, validation = (
        Split(_scaled(form, pixels[part]), labels[part])
        for part in stratified_parts(labels, sizes, SPLIT_SEED)
    )
    pixels, labels = _read_images(form, folder / form.test_file, expected)
    test = Split(_scaled(form, pixels), labels)
    return Dataset(
        *(name, train, validation, test, form.num_classes),
        class_names=[_text(label) for label in meta[form.label_names]],
        preprocessing=form.preprocessing,
    )


def _folder(form, directory):
    """The folder with the files, or an error that says what was found instead."""
    directory = pathlib.Path(directory)
    for folder in (directory, directory / form.folder):
        there = [file for file in form.files if (folder / file).is_file()]
        if len(there) == len(form.files):
            return folder
        # A folder of the right name, or with some of the files, is meant to be it.
        if folder.is_dir() and (there or folder.name == form.folder):
            missing = ", ".join(file for file in form.files if file not in there)
            raise ValueError(
                f"{form.title} in {str(folder)!r} is incomplete, missing: {missing}."
                f"{_instead(form, folder)} {form.remedy}"
            )
    raise ValueError(
        f"{form.title} not found: expected the folder {form.folder!r} with its files in "
        f"directory={str(directory)!r}.{_instead(form, directory)} {form.remedy}"
    )


def _instead(form, directory):
    """A sentence on what is there in the place of the files."""
    if not directory.is_dir():
        return " There is no such directory."
    other = CIFAR100 if form is CIFAR10 else CIFAR10
    if (directory / form.archive).is_file():
        return f" {form.archive} is there but not unpacked."
    if any(directory.glob("*.bin")) or any(directory.glob("*.mat")):
        return " The files there are the binary or Matlab version; the python version is needed."
    if all((directory / file).is_file() for file in other.files):
        return f" The files there are those of {other.title}."
    return ""


def _read_dict(form, path, keys):
    """The dict in one file, its keys as text."""
    try:
        content = read_array_pickle(path.read_bytes())
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"Cannot read {str(path)!r} as a file of {form.title}: {error}. {form.remedy}"
        ) from error
    if isinstance(content, dict):
        content = {_text(key): value for key, value in content.items()}
        if all(key in content for key in keys):
            return content
        found = f"a dict with {sorted(map(str, content))}"
    else:
        found = f"an object of type {type(content).__name__}"
    raise ValueError(
        f"{str(path)!r} is not a file of {form.title}: expected a dict with {sorted(keys)}, "
        f"found {found}. {form.remedy}"
    )


def _read_images(form, path, expected):
    """Pixels `(n, 32, 32, 3)` uint8 and labels `(n,)` int32 of one file."""
    content = _read_dict(form, path, ("data", form.labels))
    data, labels = content["data"], content[form.labels]
    bytes_fit = isinstance(data, np.ndarray) and data.dtype == np.uint8
    if not bytes_fit or data.ndim != 2 or data.shape[1] != 3072 or not len(data):
        array = isinstance(data, np.ndarray)
        what = f"{data.dtype} of shape {data.shape}" if array else type(data).__name__
        raise ValueError(
            f"{str(path)!r} is not a file of {form.title}: 'data' must be bytes of shape "
            f"(n, 3072), found {what}. {form.remedy}"
        )
    if expected is not None and len(data) != expected:
        raise ValueError(
            f"{str(path)!r} holds {len(data)} images, but {form.meta_file!r} beside it says "
            f"{expected} a file. {form.remedy}"
        )
    whole = isinstance(labels, list) and all(type(label) is int for label in labels)
    if not whole or len(labels) != len(data):
        raise ValueError(
            f"{str(path)!r} is not a file of {form.title}: {form.labels!r} must be a list of "
            f"{len(data)} class numbers, one an image. {form.remedy}"
        )
    if min(labels) < 0 or max(labels) >= form.num_classes:
        wrong = next(i for i, label in enumerate(labels) if not 0 <= label < form.num_classes)
        raise ValueError(
            f"{str(path)!r}: labels of {form.title} must be in 0..{form.num_classes - 1}, "
            f"found {form.labels}[{wrong}]={labels[wrong]}. {form.remedy}"
        )
    # Stored as all of red, all of green, all of blue, each row by row.
    pixels = data.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return pixels, np.asarray(labels, np.int32)


def _scaled(form, pixels):
    """Pixels as the network takes them; in place, as the training images are 0.5 GB."""
    images = np.divide(pixels, 255, dtype=np.float32, order="C")
    images -= np.asarray(form.mean, np.float32)
    images /= np.asarray(form.deviation, np.float32)
    return images


def _text(key):
    return key.decode("latin1") if isinstance(key, bytes) else key
