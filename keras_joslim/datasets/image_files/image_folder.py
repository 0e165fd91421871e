"""Images in class folders: `train/<class>/<image>` and `val/<class>/<image>`."""

import os
import pathlib

import numpy as np
from absl import logging

from keras_joslim.datasets.image_files.class_map import read_class_map
from keras_joslim.datasets.image_files.corrupt_images import CorruptImages
from keras_joslim.datasets.image_files.photo_dataset import Photos, photo_dataset
from keras_joslim.datasets.image_files.source import FolderSource

ENDINGS = (".jpeg", ".jpg", ".png", ".gif", ".bmp", ".webp")
_TRAIN, _TEST = ("train",), ("val", "validation", "test")


def load_image_folder(directory="data", size=224, validation=0.01, class_map=None, max_corrupt=100):
    """Photographs in class folders, such as ImageNet's.

    Args:
        directory: holds `train/<class>/*`, and `val/<class>/*` (or `validation`, or `test`), which
            becomes the test split.
        size: side of the square images, pixels.
        validation: held out of `train` by a hash of the names: a share, or how many
            (`held_out`).
        class_map: text file with a class folder a line, whose order numbers the classes
            (`read_class_map`); None: the folders in alphabetical order.
        max_corrupt: so many images that cannot be read are skipped; one more is an error.

    Returns:
        A `Dataset` whose splits are `FileSplit`s.

    Raises:
        ValueError: folders that are missing, empty, or of other classes; arguments out of
            range.

    Example: `load_image_folder("/data/imagenet").image_shape` is (224, 224, 3).
    """
    corrupt = CorruptImages(max_corrupt)
    directory = pathlib.Path(directory)
    folders = [_part(directory, names) for names in (_TRAIN, _TEST)]
    classes = _classes(folders[0])
    names = tuple(classes)
    if class_map is not None:
        classes_wanted = read_class_map(class_map)
        classes_wanted.refuse_other(classes, str(folders[0]))
        classes, names = list(classes_wanted.keys), classes_wanted.names
    others = _classes(folders[1])
    for lacking, having, wrong in (
        (folders[1], folders[0], sorted({*classes} - {*others})),
        (folders[0], folders[1], sorted({*others} - {*classes})),
    ):
        if wrong:
            raise ValueError(
                f"Both parts need the same class folders. Received: {wrong[0]!r} in "
                f"{str(having)!r} but not in {str(lacking)!r} ({len(wrong)} such)"
            )
    train, test = (_photos(folder, classes) for folder in folders)
    return photo_dataset(
        *("image_folder", train, test, names, len(names), size, validation, corrupt)
    )


def _part(directory, names):
    for name in names:
        if (directory / name).is_dir():
            return directory / name
    there = sorted(p.name for p in directory.iterdir()) if directory.is_dir() else None
    found = "There is no such directory" if there is None else f"It holds {there[:5] or 'nothing'}"
    raise ValueError(
        f"Expected the folder {' or '.join(map(repr, names))} with one folder a class in "
        f"directory={str(directory)!r}. {found}. Name the directory by --config.data.directory=..."
    )


def _classes(folder):
    with os.scandir(folder) as entries:
        entries = sorted((e.name, e.is_dir()) for e in entries if not e.name.startswith("."))
    classes = [name for name, is_folder in entries if is_folder]
    if not classes:
        found = ", ".join(name for name, _ in entries[:3]) or "nothing"
        raise ValueError(
            f"Expected one folder a class in {str(folder)!r}, with its images. Received: {found}. "
            "Files that are not sorted by class have to be moved into folders first."
        )
    return classes


def _photos(folder, classes):
    names, labels, strangers = [], [], []
    for label, name in enumerate(classes):
        with os.scandir(folder / name) as entries:
            files = sorted(entry.name for entry in entries if not entry.name.startswith("."))
        images = [file for file in files if file.lower().endswith(ENDINGS)]
        if not images:
            raise ValueError(
                f"The class folder {str(folder / name)!r} has no image ({', '.join(ENDINGS)}). "
                f"Received: {', '.join(files[:3]) or 'an empty folder'}"
            )
        strangers += [f"{name}/{file}" for file in files if not file.lower().endswith(ENDINGS)]
        names += [f"{name}/{file}" for file in images]
        labels += [label] * len(images)
    if strangers:
        logging.warning(
            "Left out %d files in %s that are no %s, such as %s",
            *(len(strangers), folder, ", ".join(ENDINGS), strangers[0]),
        )
    keys = tuple(os.path.splitext(name)[0] for name in names)
    return Photos(FolderSource(folder, tuple(names)), np.array(labels, np.int32), keys)
