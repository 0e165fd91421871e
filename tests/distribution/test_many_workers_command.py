"""`joslim train --strategy=...` in real processes: killed, frozen, refused and gone on with."""

import json
import signal

import numpy as np
import pytest

from tests.distribution.worker_processes import (
    JOSLIM,
    SLEEPS,
    codes,
    ended_well,
    running,
    until,
)

pytestmark = pytest.mark.slow
TINY = (
    "--config=configs/digits.py",
    "--config.train.epochs=2",
    "--config.train.warmup_epochs=1",
    "--config.method.tau=8",
    "--config.method.prior_points=4",
    "--config.checkpoint.every_steps=5",
    "--config.calibration.batches=2",
    "--config.front.networks=3",
)
LOST = "joslim: worker {} (127.0.0.1:"
ADVICE = ") was lost. Started again, all workers go on from the last checkpoint"
# All that a worker waits for is over by then, whatever else the machine does.
GIVES_UP = 400


def train(workdir, *flags, strategy="multi_worker"):
    return [*JOSLIM, "train", f"--workdir={workdir}", f"--strategy={strategy}", *TINY, *flags]


def run(workdir, *flags):
    """Two workers to the end; their output and errors."""
    with running([train(workdir, *flags)] * 2) as workers:
        ended_well(workers)
        return [(worker.stdout(), worker.stderr()) for worker in workers]


def last_checkpoint(workdir):
    folder = max(workdir.glob("checkpoint/step-*"))
    with np.load(folder / "variables.npz") as arrays:
        return folder.name, dict(arrays)


def has_trained(workdir, steps=5):
    return lambda: any(int(p.name[5:]) >= steps for p in workdir.glob("checkpoint/step-*"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("many") / "run"
    return workdir, run(workdir)


def test_worker_0_alone_prints_and_writes(finished):
    workdir, told = finished
    assert told[1] == ("", "")
    assert "Judging 3 networks" in told[0][0]
    assert "Epoch 2/2" in told[0][0]
    names = {path.name for path in workdir.iterdir()}
    assert names == {"config.json", "checkpoint", "history.jsonl", "front.json", "logs", "models"}
    assert len((workdir / "history.jsonl").read_text().splitlines()) == 8
    assert len((workdir / "logs" / "epochs.jsonl").read_text().splitlines()) == 2


def test_what_is_trained_is_said_on_worker_0_alone(finished):
    told = run(finished[0])
    assert "is trained already" in told[0][0]
    assert told[1] == ("", "")


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_worker_ends_all_and_the_run_goes_on_to_the_same_bits(finished, tmp_path, victim):
    workdir = tmp_path / "run"
    with running([train(workdir)] * 2) as workers:
        until(has_trained(workdir), workers)
        workers[victim].process.kill()
        ends = codes(workers, GIVES_UP)
        said = workers[1 - victim].stderr()
    assert ends[victim] == -signal.SIGKILL
    assert ends[1 - victim] == 2
    (line,) = said.splitlines()
    assert line.startswith(LOST.format(victim))
    assert line.endswith(ADVICE)
    assert not (workdir / "front.json").exists()
    told = run(workdir)
    assert "Going on at step" in told[0][0]
    for name in ("history.jsonl", "front.json"):
        assert (workdir / name).read_text() == (finished[0] / name).read_text()
    (step, expected), (other, arrays) = last_checkpoint(finished[0]), last_checkpoint(workdir)
    assert (step, expected.keys()) == (other, arrays.keys())
    for name, array in expected.items():
        np.testing.assert_array_equal(array, arrays[name], err_msg=name)


def test_sigterm_on_one_stops_all_after_the_same_step_and_one_process_goes_on(tmp_path):
    workdir = tmp_path / "run"
    with running([train(workdir)] * 2) as workers:
        until(has_trained(workdir), workers)
        workers[1].process.send_signal(signal.SIGTERM)
        ended_well(workers)
        said = [worker.stderr() for worker in workers]
    step = last_checkpoint(workdir)[0]
    number = int(step[5:])
    assert 5 <= number < 32
    for errors in said:
        assert f"joslim: SIGTERM: stopped at step {number}, which is saved" in errors
    with running([train(workdir, strategy="none")]) as workers:
        ended_well(workers)
        assert f"Going on at step {number} of 32." in workers[0].stdout()
    assert json.loads((workdir / "front.json").read_text())["points"]


def test_a_frozen_worker_0_ends_the_other(tmp_path):
    workdir = tmp_path / "run"
    with running([train(workdir)] * 2) as workers:
        until(has_trained(workdir), workers)
        workers[0].process.send_signal(signal.SIGSTOP)
        workers[1].process.wait(GIVES_UP)
        assert workers[1].process.returncode == 2
        (line,) = workers[1].stderr().splitlines()
        assert line.startswith(LOST.format(0))
        assert line.endswith(ADVICE)


def test_another_config_or_version_is_refused_by_name_on_all(tmp_path):
    commands = [train(tmp_path / "run"), train(tmp_path / "run", "--config.train.epochs=3")]
    with running(commands) as workers:
        assert codes(workers) == [2, 2]
        for worker in workers:
            assert worker.stdout() == ""
            assert worker.stderr() == (
                "joslim: The workers do not agree: worker 1 has train.epochs=3, worker 0 has 2. "
                "Start all with the same config."
            )
    assert not (tmp_path / "run").exists()
    program = (
        "import keras_joslim; keras_joslim.__version__ = '9.9'\n"
        "from keras_joslim.app.main import run; run()"
    )
    other = ["-c", program, *train(tmp_path / "run")[2:]]
    with running([train(tmp_path / "run"), other]) as workers:
        assert codes(workers) == [2, 2]
        for worker in workers:
            said = worker.stderr()
            assert said.startswith("joslim: The workers do not agree: worker 1 runs keras_joslim ")
            assert "worker 1 runs keras_joslim 9.9 (sources " in said
            assert "with TensorFlow 2." in said


def test_an_error_of_one_is_told_by_the_other(tmp_path):
    (tmp_path / "mine").write_text("")
    with running([train(tmp_path)] * 2) as workers:
        assert codes(workers) == [2, 2]
        own, other = (worker.stderr() for worker in workers)
    assert own.startswith(f"joslim: {tmp_path} is not empty and not a run's")
    assert other.startswith("joslim: worker 0 (127.0.0.1:")
    assert f"stopped: ValueError: {tmp_path} is not empty" in other


@pytest.mark.parametrize("index", [0, 1])
def test_a_worker_that_never_comes_is_named(index):
    program = (
        "from keras_joslim.app.start import started\n"
        "try:\n"
        "    with started('multi_worker', {}, patience=5): pass\n"
        "except RuntimeError as error: print(error)"
    )
    commands = [["-c", program], SLEEPS]
    with running(commands if index == 0 else commands[::-1]) as workers:
        assert workers[index].process.wait(GIVES_UP) == 0
        said = workers[index].stdout()
    assert said.startswith("The 2 workers did not come together within 5 s: worker ")
    assert f"worker {1 - index} (127.0.0.1:" in said


def test_all_devices_of_a_machine(tmp_path):
    """Two logical CPUs, as a machine with two GPUs has them."""
    program = (
        "import sys, tensorflow as tf\n"
        "cpu = tf.config.list_physical_devices('CPU')[0]\n"
        "two = [tf.config.LogicalDeviceConfiguration()] * 2\n"
        "tf.config.set_logical_device_configuration(cpu, two)\n"
        "from keras_joslim.app import start\n"
        "mirrored = start._mirrored\n"
        "def seen():\n"
        "    strategy = mirrored()\n"
        "    print('replicas', strategy.num_replicas_in_sync)\n"
        "    return strategy\n"
        "start._mirrored = seen\n"
        "from keras_joslim.app.main import run\n"
        "run()\n"
    )
    workdir = tmp_path / "run"
    command = ["-c", program, *train(workdir, strategy="mirrored")[2:]]
    with running([command]) as workers:
        until(has_trained(workdir), workers)
        workers[0].process.send_signal(signal.SIGTERM)
        ended_well(workers)
    with running([command]) as workers:
        ended_well(workers)
        said = workers[0].stdout()
    assert "replicas 2" in said
    assert "Going on at step" in said
    assert json.loads((workdir / "front.json").read_text())["points"]
    refused = [*command, "--config.train.sync_batch_norm=True"]
    refused[3] = f"--workdir={tmp_path / 'other'}"
    with running([refused]) as workers:
        assert codes(workers) == [2]
        assert workers[0].stderr().endswith("Received: 2 devices in one process")
