"""The main job on a tiny budget: its files, its numbers, and killed runs that end the same."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import jsonschema
import numpy as np
import pytest

from keras_joslim.tflite import manifest_schema

ROOT = pathlib.Path(__file__).resolve().parents[2]
TINY = (
    "--config=configs/digits.py",
    "--config.train.epochs=4",
    "--config.train.warmup_epochs=1",
    "--config.method.tau=8",
    "--config.method.prior_points=4",
    "--config.checkpoint.every_steps=5",
    "--config.calibration.batches=2",
    "--config.export.formats=('fp32',)",
    "--config.profile.processes=1",
    "--config.profile.runs=2",
)


def joslim(step, workdir, *flags, wait=True):
    arguments = [sys.executable, "-m", "keras_joslim.app.main", step, f"--workdir={workdir}"]
    process = subprocess.Popen(
        [*arguments, *flags],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # A line is there when it is said.
        env={**os.environ, "TF_NUM_INTRAOP_THREADS": "2", "PYTHONUNBUFFERED": "1"},
    )
    if not wait:
        return process
    output, _ = process.communicate()
    assert process.returncode == 0, output
    return output


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Workdir and output of one uninterrupted run."""
    workdir = tmp_path_factory.mktemp("app") / "run"
    return workdir, joslim("run", workdir, *TINY)


def test_a_run_leaves_what_it_says_and_prints_the_table(finished):
    workdir, output = finished
    for name in ("config.json", "front.json", "history.jsonl", "manifest.json", "report.html"):
        assert (workdir / name).stat().st_size > 0, name
    front = json.loads((workdir / "front.json").read_text())
    history = [json.loads(line) for line in (workdir / "history.jsonl").read_text().splitlines()]
    # 64 steps in periods of 8 ask for two networks each.
    assert len(history) == 16
    assert len({tuple(entry["widths"]) for entry in history}) == 16
    manifest = json.loads((workdir / "manifest.json").read_text())
    jsonschema.validate(manifest, manifest_schema())
    assert manifest["labels"] == list("0123456789")
    manifest = {entry["point"]: entry for entry in manifest["files"]}
    for point in front["points"]:
        assert (workdir / point["files"]["fp32"]).stat().st_size == point["bytes"]["fp32"]
        assert point["name"] in output
        assert abs(point["deployed"]["fp32"]["loss"] - point["validation"]["loss"]) < 1e-4
        latency = point["latency"]["host"]["fp32"]
        assert 0 < latency["min"] <= latency["median"]
        entry = manifest[point["name"]]
        assert 0 < entry["arena"] == point["deployed"]["fp32"]["arena"]
        assert entry["peak_memory"] == latency["peak_memory"]
        assert entry["latency"]["host"]["milliseconds"] == latency["median"]
        for measured in (entry["arena"], entry["peak_memory"]):
            assert measured is None or f"{measured:,}" in output
        assert 0 < point["validation"]["loss_se"]
        assert 0 <= point["test"]["accuracy"] <= 1
    for path in ("front.json", "models", "report.html"):
        assert str(workdir / path) in output
    assert f"{len(front['history'])} networks" in output


def test_losses_measured_anew_from_the_files_equal_the_front(finished):
    from keras_joslim import datasets, tflite

    workdir, _ = finished
    validation = datasets.load("digits").validation
    front = json.loads((workdir / "front.json").read_text())
    assert front["points"]
    for point in front["points"]:
        logits = tflite.run(workdir / point["files"]["fp32"], validation.images)
        logits = logits.astype(np.float64)
        top = logits.max(-1, keepdims=True)
        logs = logits - top - np.log(np.exp(logits - top).sum(-1, keepdims=True))
        loss = -logs[np.arange(len(logs)), validation.labels].mean()
        assert abs(loss - point["validation"]["loss"]) < 1e-4


def test_raw_pixels_through_a_bundle_are_judged_as_in_the_run(finished, tmp_path):
    """What an app does with the bundle alone: pick, preprocess, run, read the label."""
    from keras_joslim import datasets, tflite

    workdir, _ = finished
    joslim("bundle", workdir, f"--output={tmp_path / 'bundle'}", "--points=budget:3")
    manifest = tflite.Manifest.load(tmp_path / "bundle")
    entry = tflite.pick(manifest, max_ms=1000, device="host")
    losses = [one.validation["metrics"]["loss"] for one in manifest]
    assert entry.validation["metrics"]["loss"] == min(losses)
    validation = datasets.load("digits").validation
    raw = np.rint(validation.images * 16).astype(np.uint8)
    pixels = np.array([manifest.preprocessing([v]) for v in range(17)], np.float32)[:, 0]
    logits = tflite.run(tmp_path / "bundle" / entry.path, pixels[raw])
    labels = (tmp_path / "bundle" / "labels.txt").read_text().splitlines()
    right = [labels[i] == str(label) for i, label in zip(logits.argmax(-1), validation.labels)]
    assert np.mean(right) == pytest.approx(entry.validation["metrics"]["accuracy"])


def test_no_point_of_the_front_dominates_another(finished):
    workdir, _ = finished
    points = json.loads((workdir / "front.json").read_text())["points"]
    losses = [p["validation"]["loss"] for p in points]
    macs = [p["costs"]["macs"] for p in points]
    assert macs == sorted(macs)
    assert all(a > b for a, b in zip(losses, losses[1:]))


def _last_step(workdir):
    """Of the checkpoints; -1 without one."""
    steps = [int(p.name.split("-")[1]) for p in workdir.glob("checkpoint/step-*")]
    return max(steps, default=-1)


def _signalled(number, workdir, wanted, said=None):
    """Trains until a checkpoint or a line is there, then sends the signal: the output.

    Args:
        number: of the signal.
        workdir: of the run.
        wanted: the signal is sent when there is a checkpoint of this step,
        said: and a line with these words.
    """
    process = joslim("train", workdir, *TINY, wait=False)
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline and process.poll() is None and _last_step(workdir) < wanted:
        time.sleep(0.02)
    before = ""
    while said and said not in before and process.poll() is None:
        before += process.stdout.readline()
    process.send_signal(number)
    output = before + process.communicate()[0]
    assert process.returncode == (0 if number == signal.SIGTERM else -number), output
    assert not (workdir / "front.json").exists()
    return output


def test_a_killed_and_terminated_run_ends_with_the_same_history_and_front(finished, tmp_path):
    """Early, midway and while the networks are judged."""
    reference, _ = finished
    workdir = tmp_path / "run"
    _signalled(signal.SIGKILL, workdir, 1)
    output = _signalled(signal.SIGTERM, workdir, 20)
    assert "Going on at step" in output
    step = _last_step(workdir)
    assert f"SIGTERM: stopped at step {step}, which is saved; the same command goes on" in output
    _signalled(signal.SIGKILL, workdir, max(40, step + 1))
    _signalled(signal.SIGKILL, workdir, 64)
    output = _signalled(signal.SIGTERM, workdir, 64, said="Judging")
    assert "the same command goes on" in output
    output = joslim("train", workdir, *TINY)
    assert "Going on at step 64 of 64" in output
    assert not list(workdir.rglob(".*"))
    assert (workdir / "history.jsonl").read_text() == (reference / "history.jsonl").read_text()
    mine, theirs = (json.loads((d / "front.json").read_text()) for d in (workdir, reference))
    assert mine["history"] == theirs["history"]
    keys = ("name", "widths", "costs", "validation", "test")
    for a, b in zip(mine["points"], theirs["points"], strict=True):
        assert [a[key] for key in keys] == [b[key] for key in keys]
    epochs = [(d / "logs" / "epochs.jsonl").read_text().splitlines() for d in (workdir, reference)]
    assert len(epochs[0]) == 4
    assert epochs[0][-1] == epochs[1][-1]


@pytest.mark.slow
def test_other_formats_and_settings_are_taken_on_a_finished_run(finished):
    workdir, _ = finished
    output = joslim("export", workdir, "--formats=fp16")
    assert "as fp16" in output
    output = joslim("profile", workdir, "--formats=fp16", "--processes=2")
    front = json.loads((workdir / "front.json").read_text())
    for point in front["points"]:
        # (Of networks this small the fp16 file is the larger one.)
        assert abs(point["deployed"]["fp16"]["loss"] - point["validation"]["loss"]) < 1e-2
        assert point["bytes"]["fp16"] == (workdir / point["files"]["fp16"]).stat().st_size
        assert point["latency"]["host"]["fp16"]["processes"] == 2
        assert point["latency"]["host"]["fp32"]["processes"] == 1


def test_a_finished_run_is_not_trained_again(finished):
    workdir, _ = finished
    before = (workdir / "front.json").read_bytes()
    assert "is trained already" in joslim("train", workdir)
    assert (workdir / "front.json").read_bytes() == before


def test_the_points_are_told_in_the_order_of_a_devices_milliseconds(finished):
    workdir, _ = finished
    lines = joslim("front", workdir, "--by=latency:host").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("By latency:host, fp32"))
    front = json.loads((workdir / "front.json").read_text())
    times = {p["name"]: p["latency"]["host"]["fp32"]["median"] for p in front["points"]}
    rows = [line.split() for line in lines[start + 3 : start + 3 + len(times)]]
    assert [row[0] for row in rows] == sorted(times, key=times.get)
    assert [row[1] for row in rows] == [f"{times[row[0]]:.3f}" for row in rows]


def test_an_epoch_log_that_a_kill_left_out_is_written_when_the_run_goes_on(finished, tmp_path):
    reference, _ = finished
    workdir = tmp_path / "run"
    shutil.copytree(reference, workdir)
    whole = (workdir / "logs" / "epochs.jsonl").read_text()
    # As if killed after the last checkpoint, before anything else was written.
    (workdir / "front.json").unlink()
    (workdir / "logs" / "epochs.jsonl").write_text("".join(whole.splitlines(True)[:-1]))
    joslim("train", workdir, *TINY)
    assert (workdir / "logs" / "epochs.jsonl").read_text() == whole
