"""What TFDS says of a prepared data set is enough to read its records; a stand-in says it here.

(With tensorflow_datasets 4.9.10 itself the same was tried by hand; it is an optional extra.)
"""

import enum
import sys
import types

import numpy as np
import pytest

from keras_joslim import datasets
from tests.datasets.image_files.photos import write_folders, write_tfds


class Image:
    """Stands for tfds.features.Image."""


class Label:
    """Stands for tfds.features.ClassLabel."""

    names = ["cat", "dog", "owl"]


class FileFormat(enum.Enum):
    TFRECORD = "tfrecord"
    ARRAY_RECORD = "array_record"


@pytest.fixture
def root(tmp_path):
    return write_folders(tmp_path / "photos", {"train": 6, "val": 2})


@pytest.fixture
def info(tmp_path, root, monkeypatch):
    """What the builder says, which tests may change."""
    folder = write_tfds(tmp_path / "data", root)

    def split(part):
        paths = sorted(map(str, folder.glob(f"photos-{part}.*")))
        return types.SimpleNamespace(filepaths=paths)

    said = types.SimpleNamespace(
        features={"image": Image(), "label": Label(), "file_name": object()},
        splits={"train": split("train"), "validation": split("validation")},
        file_format=FileFormat.TFRECORD,
    )

    def builder(name, data_dir=None):
        if name != "photos":
            raise LookupError(f"Dataset {name} not found.\nDid you mean: photos?")
        assert data_dir == str(tmp_path)
        return types.SimpleNamespace(info=said, data_dir=folder)

    module = types.ModuleType("tensorflow_datasets")
    module.builder = builder
    module.features = types.SimpleNamespace(Image=Image, ClassLabel=Label)
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", module)
    return said


def load(tmp_path, dataset="photos", **options):
    return datasets.load(
        "tfds", dataset=dataset, directory=str(tmp_path), size=8, **{"validation": 0.3, **options}
    )


def test_its_records_are_the_images_of_the_folders(info, root, tmp_path):
    found = load(tmp_path)
    expected = datasets.load("image_folder", directory=str(root), size=8, validation=0.3)
    assert found.class_names == ("cat", "dog", "owl")
    for split, other in zip(found.splits.values(), expected.splits.values()):
        np.testing.assert_array_equal(split.labels, other.labels)
        read = [split.source.read(place) for place in split.members]
        assert read == [other.source.read(place) for place in other.members]


def test_without_validation_data_the_test_data_are_taken(info, tmp_path):
    info.splits = {"train": info.splits["train"], "test": info.splits["validation"]}
    info.features = {"picture": Image(), "label": Label()}
    with pytest.raises(ValueError, match="'picture' is missing.*'file_name', 'image', 'label'"):
        load(tmp_path)
    info.features = {"image": Image(), "label": Label()}
    data = load(tmp_path)
    assert len(data.test) == 6
    # Without names of files, records have their places as names.
    assert data.test.source.names[0] == "cat/record 0 of photos-validation"


def test_data_sets_that_cannot_be_read_are_refused(info, tmp_path):
    message = "does not find the data set: Dataset nosuch not found. Received: dataset='nosuch'"
    with pytest.raises(ValueError, match=message):
        load(tmp_path, "nosuch")
    info.file_format = FileFormat.ARRAY_RECORD
    with pytest.raises(ValueError, match="'array_record'. `tfds build photos --file_format=tfrec"):
        load(tmp_path)
    info.file_format = FileFormat.TFRECORD
    info.features = {"left": Image(), "right": Image(), "label": Label()}
    with pytest.raises(ValueError, match="one image and one class each. Received: dataset='photo"):
        load(tmp_path)
    info.splits = {}
    with pytest.raises(ValueError, match="with no part in .*`tfds build photos` prepares it"):
        load(tmp_path)


def test_without_the_package_the_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(ValueError, match="the extra 'tfds'.*pip install tensorflow-datasets"):
        load(tmp_path)
