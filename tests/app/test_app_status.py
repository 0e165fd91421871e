"""The status of a run, from its files alone."""

import json
import os

import pytest

from keras_joslim.app.status import status
from keras_joslim.app.workdir import Workdir
from keras_joslim.watching.steps_table import StepsTable

CONFIG = {
    "data": {"name": "glyphs"},
    "model": {"name": "cifar_resnet"},
    "method": {"name": "joslim"},
    "train": {"epochs": 4},
}


def row(step, **changes):
    content = {"step": step, "seconds": 0.5, "search": 0.01, "recalibration": 0.1, "input": 0.25}
    return content | {"loss_full": 1.5, "loss_1": 1.75, "loss_smallest": 2.5} | changes


@pytest.fixture
def running(tmp_path):
    """A run killed in its second epoch; all was written at second 1,000."""
    workdir = Workdir(tmp_path / "run")
    workdir.claim(CONFIG)
    table = StepsTable(workdir.logs / "steps.csv")
    table.begin(0)
    for step in (50, 100, 150):
        table.append(row(step))
    # Killed in its first epoch too, which had 100 steps: these are the mean of the last 40.
    lines = json.dumps({"epoch": 0, "steps": 40, "end": 100, "loss": 1.9}) + "\n"
    (workdir.logs / "epochs.jsonl").write_text(lines + '{"epoch": 1, "st')
    workdir.history_file.write_text('{"widths": [1], "loss": 1.0}\n{"widths": [2], "loss": null}\n')
    for step in (60, 120):
        (workdir.checkpoints / f"step-{step:09d}").mkdir(parents=True)
    for path in workdir.path.rglob("*"):
        os.utime(path, (1000, 1000))
    return workdir


def told(workdir, now):
    lines = []
    return status(workdir, lines.append, now), "\n".join(lines)


def test_of_a_run_that_goes_on(running):
    facts, text = told(running, now=1012)
    assert "step 150 of 400, 1 of 4 epochs; 0.5 s a step, some 2 min to go" in text
    assert "last written 12 s ago\n" in text
    assert "of the last 50 steps: search 1 %, recalibration 10 %, input 25 %" in text
    assert "full 1.5, 1 1.75, smallest 2.5" in text
    assert "epoch 1     loss 1.9" in text
    assert "2 networks, 1 of them measured" in text
    assert "of step 120, 12 s ago; 2 in all" in text
    assert facts["step"] == 150
    assert facts["losses"] == {"full": 1.5, "1": 1.75, "smallest": 2.5}
    assert not facts["finished"]


def test_a_run_that_is_silent_may_have_ended(running):
    assert "last written 2 min ago\n" in told(running, now=1120)[1]
    assert "last written 3:20 h ago: it may have been ended" in told(running, now=13000)[1]


def test_of_a_finished_run(running):
    point = {"files": {"keras": "k", "fp32": "a", "int8": "b"}, "latency": {"host": {}}}
    running.front_file.write_text(json.dumps({"points": [point, {"files": {}, "latency": {}}]}))
    facts, text = told(running, now=10**6)
    assert "finished: 400 steps, 4 epochs\n" in text
    assert "2 points; 2 TFLite files; latency measured of 1 points" in text
    assert facts["finished"]
    assert facts["front"] == 2
    assert "may have been ended" not in text


def test_of_a_run_that_has_not_begun(tmp_path):
    workdir = Workdir(tmp_path)
    workdir.claim(CONFIG)
    facts, text = told(workdir, now=0)
    assert "0 of 4 epochs" in text
    assert "checkpoint  none" in text
    assert facts["step"] is None


def test_no_run_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="There is no run in"):
        status(Workdir(tmp_path))
