"""Two logical devices under MirroredStrategy train what one does."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

SCRIPT = pathlib.Path(__file__).parent / "replica_training.py"


def _train(case, replicas, folder):
    output = folder / f"{case}{replicas}.npz"
    root = SCRIPT.parent.parent
    environment = {**os.environ, "PYTHONPATH": str(root), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, str(SCRIPT), case, str(replicas), str(output)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=root)
    assert done.returncode == 0, done.stderr[-3000:]
    with np.load(output) as arrays:
        return dict(arrays)


@pytest.mark.parametrize("case", ["plain", pytest.param("norm", marks=pytest.mark.slow)])
def test_two_replicas_train_what_one_does(tmp_path, case):
    one, two = _train(case, 1, tmp_path), _train(case, 2, tmp_path)
    assert (int(one["replicas"]), int(two["replicas"])) == (1, 2)
    assert int(one["step"]) == int(two["step"]) == 5
    # The same widths on both replicas, and on one device.
    assert two["rows"].shape[1] == 2
    np.testing.assert_array_equal(two["rows"][:, 0], two["rows"][:, 1])
    np.testing.assert_array_equal(two["rows"][:, 0], one["rows"][:, 0])
    assert len(np.unique(one["rows"], axis=0)) == 5
    assert one.keys() == two.keys()
    for key in one:
        if key.startswith(("weight_", "log_")):
            np.testing.assert_allclose(one[key], two[key], atol=1e-5, err_msg=key)


@pytest.mark.slow
def test_two_replicas_that_run_their_batch_in_parts_train_what_one_does(tmp_path):
    one, two = _train("plain", 1, tmp_path), _train("parts", 2, tmp_path)
    assert one.keys() == two.keys()
    for key in one:
        if key.startswith(("weight_", "log_")):
            np.testing.assert_allclose(one[key], two[key], atol=1e-5, err_msg=key)


def test_dropout_and_batch_norm_run_on_two_replicas(tmp_path):
    """Each replica drops its own channels, so nothing is there to compare but that it trains."""
    two = _train("dropout", 2, tmp_path)
    assert int(two["step"]) == 5
    for key, value in two.items():
        assert np.isfinite(value).all(), key
    assert np.abs(two["weight_norm/moving_mean"]).max() > 1e-3
