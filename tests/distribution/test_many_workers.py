"""Real worker processes on loopback train what one process trains, and fail together."""

import numpy as np
import pytest

from tests.distribution.worker_processes import SLEEPS, codes, ended_well, running, until
from tests.distribution.worker_training import TAU, trained

MODULE = ("-m", "tests.distribution.worker_training")


def launched(folder, count, cases, killed=None):
    """Trains cases on workers; their arrays, exit codes, and what each wrote last as an error."""
    output = folder / "workers.npz"
    command = [*MODULE, output, ",".join(cases), *([killed] if killed else [])]
    with running([command] * count) as workers:
        if killed is None:
            ended_well(workers)
        result = codes(workers), [worker.stderr() for worker in workers]
        printed = [worker.stdout() for worker in workers]
    with np.load(output) as arrays:
        return dict(arrays), *result, printed


def assert_same(arrays, case):
    """One process, this one, trains the same weights, widths, losses and history."""
    alone = trained(case)
    assert len(alone) >= 11
    for name, array in alone.items():
        if name.endswith("widths"):
            np.testing.assert_array_equal(arrays[name], array, err_msg=name)
        else:
            np.testing.assert_allclose(arrays[name], array, atol=1e-5, rtol=1e-5, err_msg=name)
    assert len(np.unique(alone[f"{case}: widths"], axis=0)) > 3
    return alone


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    return launched(tmp_path_factory.mktemp("two"), 2, ["joslim-sync", "aows"], killed="uniform")


def test_two_workers_find_the_same_history_with_synchronized_batch_norm(two):
    arrays = assert_same(two[0], "joslim-sync")
    # The search began: its widths are no uniform multipliers, which come first.
    assert len(arrays["joslim-sync: history widths"]) == 10
    assert np.isfinite(arrays["joslim-sync: history losses"][:-TAU]).all()
    # Statistics of a worker's own half would be others.
    assert np.abs(arrays["joslim-sync: weight norm/moving_mean"]).max() > 1e-3


def test_two_workers_score_the_same_task_losses(two):
    arrays = assert_same(two[0], "aows")
    assert np.isfinite(arrays["aows: losses"]).all()


def test_a_killed_worker_ends_the_other_with_its_name(two):
    _, codes, errors, _ = two
    assert codes == [1, -9]
    assert "LostWorkerError: worker 1 (127.0.0.1:" in errors[0]
    assert errors[0].endswith("was lost. Started again, all workers go on from the last checkpoint")


@pytest.mark.slow
def test_three_workers(tmp_path):
    cases = ["joslim", "joslim_part-sync", "poisoned"]
    arrays, codes, _, printed = launched(tmp_path, 3, cases)
    for case in cases[:2]:
        assert_same(arrays, case)
    with pytest.raises(ArithmeticError) as alone:
        trained("uniform", poisoned=True)
    # The NaN was in one worker's part of the batch, and all name the same network.
    assert {str(arrays[f"poisoned {i}"]) for i in range(3)} == {str(alone.value)}


def test_a_test_that_fails_leaves_no_worker_behind():
    with pytest.raises(AssertionError, match="worker 0, exit 3"):
        with running([("-c", "raise SystemExit(3)"), SLEEPS]) as workers:
            until(lambda: False, workers)
    assert [worker.process.returncode for worker in workers] == [3, -9]
