"""TFRecord files of both layouts: found whole, indexed once, read anywhere, torn ones named."""

import gzip
import re

import numpy as np
import pytest
import tensorflow as tf

from keras_joslim import datasets
from keras_joslim.datasets.image_files.record_index import record_index
from keras_joslim.datasets.image_files.records import find_shards, read_records
from tests.datasets.image_files.photos import (
    example,
    jpeg,
    write_folders,
    write_official,
    write_shards,
    write_tfds,
)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_folders(tmp_path_factory.mktemp("photos"), {"train": 6, "val": 2})


@pytest.fixture
def official(root, tmp_path):
    return write_official(tmp_path / "official", root)


def load(folder, **options):
    return datasets.load("tfrecord", **{"directory": str(folder), "size": 8, **options})


def contents(split):
    """The bytes and label of every image of a part, by its name."""
    return {
        split.source.names[place]: (split.source.read(place), int(label))
        for place, label in zip(split.members, split.labels)
    }


def test_every_layout_holds_out_the_same_images(root, official, tmp_path):
    folders = datasets.load("image_folder", directory=str(root), size=8, validation=0.3)
    expected = [
        {name.removesuffix(".JPEG"): value for name, value in contents(split).items()}
        for split in folders.splits.values()
    ]
    for folder in (official, write_tfds(tmp_path / "tfds", root)):
        data = load(folder, validation=0.3)
        assert [contents(split) for split in data.splits.values()] == expected
        assert data.num_classes == 3
    # TFDS writes the names beside its records, the official script does not.
    assert data.class_names == ("cat", "dog", "owl")
    assert load(official, validation=0.3).class_names is None


def test_parts_may_be_in_folders_of_their_own(root, official):
    before = contents(load(official, validation=3).train)
    for part in ("train", "validation"):
        (official / part).mkdir()
        for path in official.glob(f"{part}-*"):
            path.rename(official / part / path.name)
    assert contents(load(official, validation=3).train) == before


def test_records_are_read_as_tensorflow_reads_them(official):
    for path in official.iterdir():
        found = list(read_records(path))
        expected = list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
        assert [record for _, record in found] == expected
        everything = path.read_bytes()
        for begins, record in found:
            assert everything[begins : begins + len(record)] == record


def test_the_index_is_kept_until_a_file_changes(official, tmp_path, monkeypatch):
    index = tmp_path / "index"
    first = contents(load(official, validation=3, index_directory=str(index)).train)
    assert len(list(index.iterdir())) == 2

    def forbidden(*_):
        raise AssertionError("the files were read again")

    module = "keras_joslim.datasets.image_files.record_index.read_records"
    with monkeypatch.context() as patch:
        patch.setattr(module, forbidden)
        again = contents(load(official, validation=3, index_directory=str(index)).train)
        assert again == first
        # Another content of the same size: the time of the change tells.
        path = official / "train-00001-of-00003"
        path.write_bytes(path.read_bytes())
        with pytest.raises(AssertionError, match="read again"):
            load(official, validation=3, index_directory=str(index))
    load(official, validation=3, index_directory=str(index))
    # A damaged index is made anew.
    for file in index.iterdir():
        file.write_bytes(file.read_bytes()[:100])
    assert contents(load(official, validation=3, index_directory=str(index)).train) == first


def test_without_a_place_the_index_is_beside_the_files_or_in_the_cache(
    official, tmp_path, monkeypatch
):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    shards = find_shards(official, ("train",))
    from keras_joslim.datasets.image_files import record_index as module

    monkeypatch.setattr(module, "_is_writable", lambda folder: False)
    load(official, validation=3)
    assert not list(official.glob(".*"))
    kept = list((tmp_path / "home/.cache/keras_joslim").iterdir())
    assert len(kept) == 2
    monkeypatch.undo()
    load(official, validation=3)
    assert (official / f".{shards[0].name}.index.npz").exists()


def damage(path, change):
    everything = bytearray(path.read_bytes())
    change(everything)
    path.write_bytes(bytes(everything))


def cut(number):
    def change(everything):
        del everything[-number:]

    return change


def flip_length(everything):
    everything[3] ^= 1


def replace_all(everything):
    everything[:] = b"This is a text and no file of records at all."


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (cut(2), "record 5, from byte .*: of its .* bytes some are cut off"),
        (cut(1000), "record [345], from byte .* cut off"),
        (flip_length, "record 0, from byte 0 on: the checksum of its length is wrong"),
        (replace_all, "record 0, from byte 0 on: the checksum of its length is wrong"),
        (lambda everything: everything.extend(b"rest"), "record 6.* its header is cut off"),
    ],
)
def test_torn_files_are_named(official, change, message):
    path = official / "train-00001-of-00003"
    damage(path, change)
    with pytest.raises(ValueError, match=f"{re.escape(repr(str(path)))}.*{message}"):
        load(official, validation=3)


def test_compressed_files_are_refused(official):
    path = official / "train-00000-of-00003"
    path.write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(ValueError, match="train-00000-of-00003' is compressed.*gunzip"):
        load(official, validation=3)


def test_a_damaged_image_is_skipped_and_a_record_that_is_no_example_too(root, official):
    test = load(official, validation=3).test
    place = test.members[2]
    path = official / "validation-00000-of-00001"

    def change(everything):
        begins = test.source.offset[place]
        everything[begins + 20 : begins + 40] = bytes(20)

    damage(path, change)
    records = [record for _, record in read_records(path)]
    write_shards(official, [path.name], [*records, b"\xff\xff no Example"])
    data = load(official, validation=3)
    assert data.corrupt.names == ("record 6 of validation-00000-of-00001",)
    images, labels = data.test.arrays(6)
    assert len(images) == len(labels) == 5
    name = test.source.names[place]
    told = f"{name} at byte {test.source.offset[place]} of validation-00000-of-00001"
    assert data.corrupt.names[1] == told
    with pytest.raises(ValueError, match="max_corrupt=0 .* no Example"):
        load(official, validation=3, max_corrupt=0)


def test_files_that_are_missing_or_mixed_are_refused(root, official, tmp_path):
    with pytest.raises(ValueError, match="train-00000-of-01024.*There is no such directory"):
        load(tmp_path / "nowhere")
    (official / "train-00001-of-00003").rename(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="1 of 3 train files.*such as number 1 .2 are there"):
        load(official)
    (tmp_path / "elsewhere").rename(official / "train-00001-of-00003")
    write_tfds(official, root)
    with pytest.raises(ValueError, match="train files of several data sets: photos-train.*, train"):
        load(official)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/x.txt").touch()
    with pytest.raises(ValueError, match=r"validation-00000-of-01024.*It holds \['x.txt'\]"):
        find_shards(tmp_path / "other", ("validation",))
    (tmp_path / "other/a-train.array_record-00000-of-00001").touch()
    with pytest.raises(ValueError, match="format 'array_record'.*--file_format=tfrecord"):
        find_shards(tmp_path / "other", ("train",))


def test_odd_feature_names_are_told_and_can_be_given(tmp_path):
    records = [example(img=jpeg(i), cls=5 + i % 2, id=b"x%d" % i) for i in range(8)]
    write_shards(tmp_path, ["train-00000-of-00001"], records)
    write_shards(tmp_path, ["test-00000-of-00001"], records[:2])
    message = "first record of train-00000-of-00001 with 'cls', 'id', 'img'.*image_feature"
    with pytest.raises(ValueError, match=message):
        load(tmp_path)
    given = {"image_feature": "img", "label_feature": "cls", "first_label": 5, "validation": 2}
    assert len(load(tmp_path, **given).train) == 6
    data = load(tmp_path, **given, name_feature="id")
    assert sorted(data.train.source.names) == sorted(f"{i % 2}/x{i}" for i in range(8))
    with pytest.raises(ValueError, match="feature 'klass' is missing.*'cls', 'id', 'img'"):
        load(tmp_path, **{**given, "label_feature": "klass"})
    with pytest.raises(ValueError, match="Labels must be in 0..1.*first_label=0.*cls=5"):
        load(tmp_path, **{**given, "first_label": 0}, class_map=classes(tmp_path, "a", "b"))


def classes(folder, *names):
    path = folder / "classes.txt"
    path.write_text("".join(f"{name}\n" for name in names))
    return str(path)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({"image": jpeg(0)}, "'label' is missing. Received: record 2 of train.* with 'image'"),
        ({"image": jpeg(0), "label": 1.5}, "one value of feature 'label'.*record 2 of train"),
        ({"image": 7, "label": 1}, "one value of feature 'image'.*record 2 of train"),
    ],
)
def test_a_record_unlike_the_others_is_named(tmp_path, features, message):
    records = [example(image=jpeg(i), label=i) for i in range(2)]
    write_shards(tmp_path, ["train-00000-of-00001"], [*records, example(**features)])
    write_shards(tmp_path, ["validation-00000-of-00001"], records)
    with pytest.raises(ValueError, match=message):
        load(tmp_path, validation=1)


def test_labels_and_class_maps_must_agree(root, official, tmp_path):
    data = load(official, validation=3, class_map=classes(tmp_path, "cat", "dog", "owl"))
    assert data.class_names == ("cat", "dog", "owl")
    with pytest.raises(ValueError, match="class 0 is 'dog' in class_map=.* and 'cat' in the rec"):
        load(official, validation=3, class_map=classes(tmp_path, "dog", "cat", "owl"))
    with pytest.raises(ValueError, match="Labels must be in 1..2: 2 classes of class_map=.*=3 of"):
        load(official, validation=3, class_map=classes(tmp_path, "cat", "dog"))
    with pytest.raises(ValueError, match="none of class 3 .yak., 1 of 4 classes"):
        load(official, validation=3, class_map=classes(tmp_path, "cat", "dog", "owl", "yak"))
    # The background, which no image is of.
    with pytest.raises(ValueError, match="none of class 0, 1 of 4 classes without"):
        load(official, validation=3, first_label=0)


def test_files_without_records_are_refused(tmp_path):
    for part in ("train", "validation"):
        write_shards(tmp_path, [f"{part}-00000-of-00001"], [])
    with pytest.raises(ValueError, match="hold no record"):
        load(tmp_path)
    write_shards(tmp_path, ["train-00000-of-00001"], [b"\xff\xff\xff"])
    with pytest.raises(ValueError, match="tf.train.Example each"):
        load(tmp_path)


def test_the_index_knows_where_each_image_is(official):
    shards = find_shards(official, ("train",))
    from keras_joslim.datasets.image_files.record_features import OFFICIAL

    index = record_index(shards, OFFICIAL)
    assert index.label.min() == 1
    for shard, offset, length in zip(index.shard, index.offset, index.length):
        image = shards[shard].read_bytes()[offset : offset + length]
        assert image[:2] == b"\xff\xd8"
        assert np.frombuffer(image[-2:], np.uint8).tolist() == [0xFF, 0xD9]
