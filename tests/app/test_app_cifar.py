"""The CIFAR recipe trains, end to end, on a tiny folder in the official format."""

import pickle

import numpy as np
import pytest

from keras_joslim.app.main import main
from keras_joslim.front import ParetoFront

pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")


@pytest.fixture
def folder(tmp_path):
    """cifar-10-batches-py with 20 images a file."""
    directory = tmp_path / "data" / "cifar-10-batches-py"
    directory.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]:
        content = {
            b"batch_label": name.encode(),
            b"labels": [i % 10 for i in range(20)],
            b"data": rng.integers(256, size=(20, 3072), dtype=np.uint8),
            b"filenames": [f"{i}.png".encode() for i in range(20)],
        }
        (directory / name).write_bytes(pickle.dumps(content, protocol=2))
    meta = {b"label_names": [f"class{i}".encode() for i in range(10)], b"num_vis": 3072}
    (directory / "batches.meta").write_bytes(pickle.dumps(meta, protocol=2))
    return directory.parent


def test_the_recipe_trains_on_a_local_folder(folder, tmp_path, monkeypatch):
    workdir = tmp_path / "run"
    arguments = [
        "joslim",
        "train",
        "--config=configs/cifar_resnet.py:resnet20,cifar10",
        f"--workdir={workdir}",
        f"--config.data.directory={folder}",
        "--config.data.validation_size=20",
        "--config.train.epochs=1",
        "--config.train.batch_size=20",
        "--config.method.tau=2",
        "--config.method.prior_points=2",
        "--config.calibration.batches=2",
        "--config.calibration.batch_size=20",
    ]
    monkeypatch.setattr("sys.argv", arguments)
    main(arguments)
    front = ParetoFront.load(workdir / "front.json")
    assert len(front) >= 1
    # Two periods of two steps ask for two networks each; the ends are always judged.
    assert len(front.history) >= 4
    full = next(end for end in front.ends if end.name == "full")
    assert round(full.costs["macs"] / 1e6, 1) == 40.6
    assert set(full.test) == {"loss", "loss_se", "accuracy"}


def test_a_missing_folder_is_one_line_and_leaves_the_workdir_free(tmp_path, monkeypatch):
    arguments = [
        "joslim",
        "train",
        "--config=configs/cifar_resnet.py:resnet20,cifar100",
        f"--workdir={tmp_path / 'run'}",
        f"--config.data.directory={tmp_path / 'nowhere'}",
    ]
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(ValueError, match="cifar-100-python"):
        main(arguments)
    assert not (tmp_path / "run").exists()
