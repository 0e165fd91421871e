"""Images in sharded TFRecord files, as the official script and TFDS write them."""

import pathlib

import numpy as np

from keras_joslim.datasets.image_files.class_map import ClassMap, read_class_map
from keras_joslim.datasets.image_files.corrupt_images import CorruptImages
from keras_joslim.datasets.image_files.photo_dataset import Photos, photo_dataset
from keras_joslim.datasets.image_files.record_features import find_features
from keras_joslim.datasets.image_files.record_index import record_index
from keras_joslim.datasets.image_files.records import find_shards, read_records
from keras_joslim.datasets.image_files.source import RecordSource

_TRAIN, _TEST = ("train",), ("validation", "val", "test")
# TFDS writes the names of classes beside its records.
_NAMES = "label.labels.txt"


def load_tfrecord(
    directory="data",
    size=224,
    validation=0.01,
    class_map=None,
    max_corrupt=100,
    index_directory=None,
    image_feature=None,
    label_feature=None,
    name_feature=None,
    first_label=None,
):
    """Photographs in TFRecord files, such as ImageNet's.

    All files are read through once, for an index of where the images are; then any image can be
    read by itself, in any order, by any number of workers (whatever the number of files).

    Args:
        directory: holds `train-00000-of-01024`, ... and `validation-00000-of-00128`, ... (the
            official script), or `<name>-train.tfrecord-00000-of-01024`, ... (TFDS), or a folder a
            part with them. The validation files (or else the test files) become the test split.
        size: side of the square images, pixels.
        validation: held out of the training files by a hash of the images' names: a share, or
            how many (`held_out`).
        class_map: text file with a class a line, in the order of their numbers
            (`read_class_map`); None: the names beside the records, if any.
        max_corrupt: so many images that cannot be read are skipped; one more is an error.
        index_directory: where the index is kept; None: beside the records, or else in
            `~/.cache/keras_joslim`.
        image_feature, label_feature, name_feature: what the features are called; None:
            "image/encoded", "image/class/label" and "image/filename", or "image", "label" and
            "file_name", whichever there are.
        first_label: label of the first class; None: 1 with "image/class/label", else 0.

    Returns:
        A `Dataset` whose splits are `FileSplit`s.

    Raises:
        ValueError: files that are missing, torn, or of other features or classes; arguments
            out of range.

    Example: `load_tfrecord("/data/imagenet2012/5.1.0").num_classes` is 1000.
    """
    shards = [
        find_shards(directory, parts) for parts in (("train",), ("validation", "val", "test"))
    ]
    begins = next((pair for path in shards[0] for pair in read_records(path)), None)
    if begins is None:
        raise ValueError(f"The training files in {str(directory)!r} hold no record.")
    features = find_features(
        *(begins[1], f"the first record of {shards[0][0].name}"),
        *(image_feature, label_feature, name_feature, first_label),
    )
    classes = None if class_map is None else read_class_map(class_map)
    names = pathlib.Path(directory) / _NAMES
    if classes is None and names.is_file():
        lines = tuple(names.read_text(encoding="utf-8").splitlines())
        classes = ClassMap(lines, lines, str(names))
    return records_dataset(
        *("tfrecord", shards, features, classes, size, validation, max_corrupt, index_directory)
    )


def records_dataset(
    name, shards, features, classes, size, validation, max_corrupt, index_directory
):
    """A `Dataset` of the images in TFRecord files.

    Args:
        name: of the data set.
        shards: paths of the training files, and of the test files.
        features: `Features` of their records.
        classes: `ClassMap`; None: as many as the training images have, without names.
        size, validation, max_corrupt, index_directory: as of `load_tfrecord`.

    Raises:
        ValueError: labels that are no classes; as `load_tfrecord`.
    """
    corrupt = CorruptImages(max_corrupt)
    indices = [record_index(paths, features, index_directory) for paths in shards]
    for unreadable in (pair for index in indices for pair in index.unreadable):
        corrupt.add(*unreadable)
    if classes is None:
        count = int(max(indices[0].label, default=0)) - features.first_label + 1
    else:
        count = len(classes.keys)
    parts = [_photos(*part, features, classes, count) for part in zip(shards, indices, strict=True)]
    names = None if classes is None else classes.names
    return photo_dataset(*(name, *parts, names, count, size, validation, corrupt))


def _photos(shards, index, features, classes, count):
    labels = index.label - features.first_label
    wrong = np.flatnonzero((labels < 0) | (labels >= count))
    if len(wrong):
        known = "" if classes is None else f" of class_map={classes.path!r}"
        raise ValueError(
            f"Labels must be in {features.first_label}..{features.first_label + count - 1}: "
            f"{count} classes{known}, the first of which is first_label={features.first_label}. "
            f"Received: {features.label}={index.label[wrong[0]]} of {index.files[wrong[0]]!r} in "
            f"{shards[index.shard[wrong[0]]].name} ({len(wrong)} such)"
        )
    keys = None if classes is None else classes.keys
    if keys is not None and features.synset:
        for label, synset in sorted(set(zip(labels.tolist(), index.synsets))):
            if synset != keys[label]:
                raise ValueError(
                    f"The class map and the data disagree: class {label} is {keys[label]!r} in "
                    f"class_map={classes.path!r}, and {synset!r} in the records "
                    f"({features.synset})."
                )
    # The same names as of class folders, so that the same images are held out.
    classes_of = (
        synset or (str(label) if keys is None else keys[label])
        for label, synset in zip(labels.tolist(), index.synsets)
    )
    names = tuple(f"{one}/{file}" for one, file in zip(classes_of, index.files))
    source = RecordSource(tuple(map(str, shards)), index.shard, index.offset, index.length, names)
    return Photos(source, labels.astype(np.int32), names)
