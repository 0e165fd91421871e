"""Data sets that TensorFlow Datasets has prepared: its records, read as all others are."""

import pathlib

from keras_joslim.datasets.image_files.class_map import ClassMap
from keras_joslim.datasets.image_files.record_features import Features
from keras_joslim.datasets.image_files.tfrecord import records_dataset


def load_tfds(
    dataset="imagenet2012",
    directory=None,
    size=224,
    validation=0.01,
    max_corrupt=100,
    index_directory=None,
):
    """Photographs of a data set that TFDS has prepared (the extra `tfds`).

    Nothing is downloaded or prepared here. TFDS tells where its records are and what the classes
    are called; they are then read as `load_tfrecord` does.

    Args:
        dataset: as `tfds.builder` takes it: "imagenet2012", "oxford_flowers102:2.1.1".
        directory: where TFDS keeps its data (`data_dir`); None: its default.
        size, validation, max_corrupt, index_directory: as of `load_tfrecord`.

    Returns:
        A `Dataset` whose splits are `FileSplit`s; the part "validation" of TFDS, or else "test", is
        the test split.

    Raises:
        ValueError: TFDS is not installed or does not know the data set; data that are not
            prepared, no images with one label each, or in another format than TFRecord.
    """
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise ValueError(
            "Data of TFDS are found by the package tensorflow_datasets (the extra 'tfds'). It "
            f"cannot be imported: {error}. Install it: pip install tensorflow-datasets"
        ) from None
    try:
        builder = tfds.builder(dataset, data_dir=directory)
    except Exception as error:  # Of many kinds, some of them TFDS's own.
        reason = " ".join(str(error).split()).split(". ")[0]
        raise ValueError(
            f"TFDS does not find the data set: {reason}. "
            f"Received: dataset={dataset!r}, directory={directory!r}"
        ) from None
    info = builder.info
    splits = {name: info.splits[name] for name in info.splits}
    test = next((name for name in ("validation", "test") if name in splits), None)
    if "train" not in splits or test is None:
        raise ValueError(
            f"Expected a prepared data set with the parts train, and validation or test. Received: "
            f"dataset={dataset!r} with {sorted(splits) or 'no part'} in {str(builder.data_dir)!r}. "
            f"`tfds build {dataset}` prepares it (of ImageNet, the archives have to be fetched by "
            "hand first)."
        )
    if info.file_format is not None and info.file_format.value != "tfrecord":
        raise ValueError(
            f"Expected TFRecord files. Received: dataset={dataset!r} in the format "
            f"{info.file_format.value!r}. `tfds build {dataset} --file_format=tfrecord` makes them."
        )
    image, label = _features(tfds, info, dataset)
    names = tuple(info.features[label].names)
    classes = ClassMap(names, names, f"{builder.data_dir}/{label}.labels.txt")
    file = "file_name" if "file_name" in info.features else None
    shards = [tuple(map(pathlib.Path, splits[part].filepaths)) for part in ("train", test)]
    features = Features(image, label, file)
    return records_dataset(
        *("tfds", shards, features, classes, size, validation, max_corrupt, index_directory)
    )


def _features(tfds, info, dataset):
    """Names of the image and of its class."""
    kinds = (tfds.features.Image, tfds.features.ClassLabel)
    found = [
        [name for name, feature in info.features.items() if isinstance(feature, kind)]
        for kind in kinds
    ]
    if any(len(names) != 1 for names in found):
        raise ValueError(
            "Expected a data set with one image and one class each. "
            f"Received: dataset={dataset!r} with {dict(info.features)}"
        )
    return found[0][0], found[1][0]
