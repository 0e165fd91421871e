"""CIFAR from folders that the tests write in the official format, and what is refused."""

import pickle

import numpy as np
import pytest

from keras_joslim import datasets
from keras_joslim.datasets.array_pickle import read_array_pickle

MEAN10, DEVIATION10 = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
MEAN100, DEVIATION100 = (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)


def write(path, content):
    """Protocol 2 and byte keys, as the official files have them."""
    content = {key.encode(): value for key, value in content.items()}
    path.write_bytes(pickle.dumps(content, protocol=2))


def pixels(rng, count):
    return rng.integers(0, 256, (count, 3072)).astype(np.uint8)


@pytest.fixture
def cifar10(tmp_path):
    """5 files of 20 training images and one of 20 test images, sorted by class."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        labels = np.repeat(np.arange(10), 2).tolist()
        names = [f"{i}.png".encode() for i in range(20)]
        content = {"batch_label": name.encode(), "labels": labels, "filenames": names}
        write(folder / name, {**content, "data": pixels(rng, 20)})
    names = [b"airplane", *(str(i).encode() for i in range(9))]
    write(
        folder / "batches.meta",
        {"num_cases_per_batch": 20, "label_names": names, "num_vis": 3072},
    )
    return folder


@pytest.fixture
def cifar100(tmp_path):
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    rng = np.random.default_rng(1)
    for name, count in (("train", 400), ("test", 100)):
        fine = rng.permutation(np.arange(count) % 100).tolist()
        content = {"fine_labels": fine, "coarse_labels": [f // 5 for f in fine]}
        write(folder / name, {**content, "data": pixels(rng, count)})
    names = {"fine_label_names": [b"x"] * 100, "coarse_label_names": [b"y"] * 20}
    write(folder / "meta", names)
    return folder


def reading(folder, names, mean, deviation, key):
    """{scaled image as bytes: label} of the files, read pixel by pixel: independent."""
    images = {}
    for name in names:
        content = pickle.loads((folder / name).read_bytes(), encoding="bytes")
        for row, label in zip(content[b"data"], content[key.encode()], strict=True):
            image = np.empty((32, 32, 3), np.float32)
            for channel in range(3):
                plane = row[1024 * channel : 1024 * (channel + 1)].reshape(32, 32)
                image[..., channel] = (plane / 255 - mean[channel]) / deviation[channel]
            images[np.round(image, 3).tobytes()] = label
    return images


def entries(split):
    return {
        np.round(image, 3).tobytes(): label
        for image, label in zip(split.images, split.labels.tolist(), strict=True)
    }


def close(split, expected):
    """Whether the images of a split are among those expected, with their labels."""
    known = np.stack([np.frombuffer(key, np.float32) for key in expected])
    labels = np.array(list(expected.values()))
    for image, label in zip(split.images, split.labels, strict=True):
        distance = np.abs(known - image.reshape(-1)).max(1)
        if distance.min() > 0.002 or labels[distance.argmin()] != label:
            return False
    return True


def test_cifar10_train_and_validation_share_the_training_files(cifar10):
    data = datasets.load("cifar10", directory=cifar10, validation_size=20)
    names = [f"data_batch_{i}" for i in range(1, 6)]
    training = reading(cifar10, names, MEAN10, DEVIATION10, "labels")
    assert [len(part) for part in data.splits.values()] == [80, 20, 20]
    assert data.image_shape == (32, 32, 3)
    assert data.num_classes == 10
    assert close(data.train, training)
    assert close(data.validation, training)
    assert len(training) == 100
    assert not entries(data.train).keys() & entries(data.validation).keys()
    assert np.abs(np.bincount(data.validation.labels, minlength=10) - 2).max() <= 1


def test_cifar10_test_set_stays_the_test_set(cifar10):
    data = datasets.load("cifar10", directory=cifar10, validation_size=20)
    test = reading(cifar10, ["test_batch"], MEAN10, DEVIATION10, "labels")
    assert close(data.test, test)
    assert not close(data.train, test)


def test_cifar100_takes_fine_labels(cifar100):
    data = datasets.load("cifar100", directory=cifar100, validation_size=100)
    assert [len(part) for part in data.splits.values()] == [300, 100, 100]
    assert data.num_classes == 100
    training = reading(cifar100, ["train"], MEAN100, DEVIATION100, "fine_labels")
    assert close(data.validation, training)
    assert data.train.labels.max() == 99


def test_the_folder_above_is_taken_too(cifar10):
    inside = datasets.load("cifar10", directory=cifar10, validation_size=20)
    above = datasets.load("cifar10", directory=str(cifar10.parent), validation_size=20)
    for name, part in inside.splits.items():
        np.testing.assert_array_equal(part.images, above.splits[name].images)
        np.testing.assert_array_equal(part.labels, above.splits[name].labels)


def test_text_keys_and_newer_pickles_are_read(cifar10):
    before = datasets.load("cifar10", directory=cifar10, validation_size=20)
    for path in cifar10.iterdir():
        content = pickle.loads(path.read_bytes(), encoding="bytes")
        path.write_bytes(pickle.dumps({key.decode(): value for key, value in content.items()}, 4))
    after = datasets.load("cifar10", directory=cifar10, validation_size=20)
    for name, part in before.splits.items():
        np.testing.assert_array_equal(part.images, after.splits[name].images)


def refused(directory, message, name="cifar10", validation_size=20):
    with pytest.raises(ValueError, match=message) as caught:
        datasets.load(name, directory=directory, validation_size=validation_size)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_missing_folder_says_what_to_download_and_where_to_put_it(tmp_path):
    text = refused(tmp_path / "nowhere", "CIFAR-10 not found.*cifar-10-batches-py.*nowhere")
    assert "no such directory" in text
    assert "cs.toronto.edu/~kriz/cifar-10-python.tar.gz" in text
    assert "or name the folder by --config.data.directory=..." in text
    text = refused(tmp_path, "CIFAR-100 not found.*cifar-100-python", name="cifar100")
    assert "cs.toronto.edu/~kriz/cifar-100-python.tar.gz" in text


def test_an_archive_that_is_not_unpacked_is_named(tmp_path):
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(b"")
    refused(tmp_path, "cifar-10-python.tar.gz is there but not unpacked")


def test_the_binary_version_is_named(tmp_path):
    (tmp_path / "data_batch_1.bin").write_bytes(b"")
    refused(tmp_path, "binary or Matlab version; the python version is needed")


def test_the_other_data_set_is_named(cifar10, cifar100):
    refused(cifar10, "are those of CIFAR-10", name="cifar100")
    refused(cifar100, "are those of CIFAR-100")


def test_an_incomplete_folder_names_the_files(cifar10):
    (cifar10 / "data_batch_3").unlink()
    (cifar10 / "test_batch").unlink()
    for directory in (cifar10, cifar10.parent):
        refused(directory, "incomplete, missing: data_batch_3, test_batch")


@pytest.mark.parametrize("size", [0, 10, 30000])
def test_a_file_cut_short_is_named(cifar10, size):
    path = cifar10 / "data_batch_2"
    path.write_bytes(path.read_bytes()[:size])
    refused(cifar10, "Cannot read '.*data_batch_2' as a file of CIFAR-10")


def test_a_file_that_is_no_pickle_is_named(cifar10):
    (cifar10 / "test_batch").write_bytes(b"\x89PNG\r\n\x1a\n not a pickle")
    refused(cifar10, "Cannot read '.*test_batch'")


def test_a_pickle_that_calls_a_function_is_refused_before_it_runs(cifar10, tmp_path):
    victim = tmp_path / "victim"

    class Attack:
        def __reduce__(self):
            return (open, (str(victim), "w"))

    (cifar10 / "data_batch_1").write_bytes(pickle.dumps({b"data": Attack(), b"labels": [1]}, 2))
    refused(cifar10, r"Cannot read '.*data_batch_1'.*it calls \w+\.open")
    assert not victim.exists()


@pytest.mark.parametrize("name", ["eval", "getattr", "exec", "__import__"])
def test_builtins_that_run_code_are_refused(name):
    with pytest.raises(pickle.UnpicklingError, match=name):
        read_array_pickle(b"c__builtin__\n" + name.encode() + b"\n.")


def test_the_stand_in_for_text_encoding_takes_latin1_only():
    assert read_array_pickle(pickle.dumps(b"\x00\xe9", protocol=2)) == b"\x00\xe9"
    attack = b"c_codecs\nencode\n(Vtext\nVzip\ntR."
    with pytest.raises(pickle.UnpicklingError, match="'zip'"):
        read_array_pickle(attack)


def change(path, **fields):
    content = pickle.loads(path.read_bytes(), encoding="bytes")
    content.update({key.encode(): value for key, value in fields.items()})
    path.write_bytes(pickle.dumps(content, protocol=2))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"labels": [10] * 20}, r"must be in 0\.\.9, found labels\[0\]=10"),
        ({"labels": [0] * 19 + [-1]}, r"found labels\[19\]=-1"),
        ({"labels": [0] * 19}, "'labels' must be a list of 20 class numbers"),
        ({"labels": [0.5] * 20}, "'labels' must be a list of 20 class numbers"),
        ({"labels": "0" * 20}, "'labels' must be a list of 20 class numbers"),
        ({"data": np.zeros((20, 784), np.uint8)}, r"found uint8 of shape \(20, 784\)"),
        ({"data": np.zeros((20, 3072))}, r"found float64 of shape \(20, 3072\)"),
        ({"data": [[0] * 3072] * 20}, "found list"),
        (
            {"data": np.zeros((7, 3072), np.uint8), "labels": [0] * 7},
            "holds 7 images, but 'batches.meta' beside it says 20",
        ),
    ],
)
def test_contents_that_do_not_fit_are_named(cifar10, fields, message):
    change(cifar10 / "data_batch_4", **fields)
    text = refused(cifar10, message)
    assert "data_batch_4" in text
    assert "Download" in text


def test_a_foreign_dict_and_a_foreign_object_are_named(cifar10):
    write(cifar10 / "test_batch", {"images": [], "labels": []})
    refused(cifar10, r"expected a dict with \['data', 'labels'\], found a dict with \['images'")
    (cifar10 / "test_batch").write_bytes(pickle.dumps([1, 2]))
    refused(cifar10, "found an object of type list")


def test_a_meta_file_of_other_classes_is_refused(cifar10):
    change(cifar10 / "batches.meta", label_names=[b"x"] * 12)
    refused(cifar10, "names 12 classes, not 10")


@pytest.mark.parametrize("size", [0, 100, -5])
def test_a_validation_size_that_leaves_nothing_is_refused(cifar10, size):
    refused(cifar10, f"validation_size={size}.*images=100", validation_size=size)


def test_names_and_the_preprocessing_of_raw_pixels_are_declared(cifar10, cifar100):
    data = datasets.load("cifar10", directory=cifar10, validation_size=20)
    assert data.class_names[:3] == ("airplane", "0", "1")
    assert data.preprocessing.raw_range == (0, 255)
    for pixel in ([0, 0, 0], [255, 255, 255], [1, 100, 200]):
        expected = (np.array(pixel) / 255 - MEAN10) / DEVIATION10
        np.testing.assert_allclose(data.preprocessing(pixel), expected, atol=1e-12)
    data = datasets.load("cifar100", directory=cifar100, validation_size=100)
    assert data.class_names == ("x",) * 100
    expected = -np.array(MEAN100) / DEVIATION100
    np.testing.assert_allclose(data.preprocessing([0, 0, 0]), expected, atol=1e-12)
