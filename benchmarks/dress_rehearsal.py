"""A dress rehearsal of an ImageNet run: the recipe, two workers, kills, from plan to TFLite files.

Glyphs are written out as JPEG class folders, laid out as ImageNet is. Then everything is done by
the command, as for the real run, with `configs/imagenet_mobilenet_v2.py` at 64 pixels and fewer
steps: `joslim plan`, then `joslim run --strategy=multi_worker` in two processes on loopback. These
get SIGKILL three times: worker 1, worker 0, and both at once, each at a random instant between two
checkpoints; all that is left must end by itself with a line that says so, and the same
commands go on. At the end `joslim status` and `joslim front`. The same run is made a second time
without kills: weights, history, front and files must be the same bits.

    python benchmarks/dress_rehearsal.py --folder=runs/rehearsal > rehearsal.log
"""

import argparse
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from same_bits import content, differences

ROOT = pathlib.Path(__file__).resolve().parents[1]
# As published but for the size of everything; glyphs must not be mirrored.
FLAGS = (
    "--config=configs/imagenet_mobilenet_v2.py",
    "--config.data.size=64",
    "--config.data.validation=0.1",
    "--config.slim.divisor=8",
    "--config.train.batch_size=64",
    "--config.train.epochs=3",
    "--config.train.warmup_epochs=1",
    "--config.train.augment.flip=False",
    "--config.train.augment.scale=(0.6,1.0)",
    "--config.method.tau=20",
    "--config.method.prior_points=6",
    "--config.method.calibration_size=256",
    "--config.checkpoint.every_steps=20",
    "--config.watch.every_steps=10",
    "--config.calibration.batches=4",
    "--config.calibration.batch_size=128",
    "--config.front.networks=12",
    "--config.export.points=budget:3",
    "--config.export.formats=('fp32','int8')",
    "--config.profile.processes=3",
    "--config.profile.runs=20",
)
WORKERS = 2
# Checkpoints after which there is a kill, and which workers it hits.
KILLS = ((40, (1,)), (80, (0,)), (140, (0, 1)))
# Lines of TensorFlow while it is loaded.
_NOISE = ("WARNING: All log messages before", "I0000 ", "E0000 ", "W0000 ")


def say(text=""):
    print(text, flush=True)


def write_images(folder, train=4300, test=500):
    """Class folders `train` and `val` of JPEGs of 72 to 96 pixels a side."""
    import tensorflow as tf

    from keras_joslim.datasets import glyphs

    if (folder / "val").exists():
        return
    data = glyphs.load_glyphs(train, 100, test)
    rng = np.random.default_rng(0)
    for part, split in (("train", data.train), ("val", data.test)):
        images, labels = split.arrays(len(split))
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            size = rng.integers(72, 97, 2)
            pixels = 255 * (image * glyphs.DEVIATION + glyphs.MEAN)
            pixels = tf.image.resize(pixels, size, "bicubic")
            pixels = tf.cast(tf.clip_by_value(tf.round(pixels), 0, 255), tf.uint8)
            path = folder / ("." + part) / f"u{ord(glyphs.CHARACTERS[label]):04x}"
            path.mkdir(parents=True, exist_ok=True)
            contents = tf.io.encode_jpeg(pixels, quality=90).numpy()
            (path / f"{part}_{number:05d}.JPEG").write_bytes(contents)
        # Complete, or not there.
        (folder / ("." + part)).rename(folder / part)


class Run:
    """A run of several processes; `started` starts them all."""

    def __init__(self, workdir, data):
        self.workdir = workdir
        self.command = [
            *(sys.executable, "-u", "-m", "keras_joslim.app.main", "run"),
            *(f"--workdir={workdir}", "--strategy=multi_worker", *FLAGS),
            f"--config.data.directory={data}",
        ]
        self.starts = 0

    def started(self):
        """Starts all workers; the processes."""
        addresses = [f"127.0.0.1:{port}" for port in _free_ports(WORKERS)]
        self.logs = [
            self.workdir.with_name(f"{self.workdir.name}.{self.starts}.worker{index}.log")
            for index in range(WORKERS)
        ]
        self.starts += 1
        processes = []
        for index, path in enumerate(self.logs):
            task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
            environment = {**os.environ, "TF_CONFIG": json.dumps(task), "TERM": "dumb"}
            with path.open("w") as log:
                process = subprocess.Popen(
                    self.command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, env=environment
                )
            processes.append(process)
        return processes

    def last_step(self):
        steps = [int(path.name[5:]) for path in self.workdir.glob("checkpoint/step-*")]
        return max(steps, default=0)

    def told(self, index):
        """What a worker has said, without progress bars."""
        text = self.logs[index].read_text(errors="replace").replace("\r", "\n")
        lines = [line for line in text.splitlines() if line.strip() and "%|" not in line]
        return [line for line in lines if not line.startswith(_NOISE)]


def _free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def with_kills(run, rng):
    """Kills the run by `KILLS`, then lets it end."""
    for after, victims in KILLS:
        processes = run.started()
        while run.last_step() < after and all(p.poll() is None for p in processes):
            time.sleep(0.1)
        time.sleep(rng.uniform(0, 20))
        step, began = run.last_step(), time.monotonic()
        for index in victims:
            processes[index].send_signal(signal.SIGKILL)
        codes = [process.wait() for process in processes]
        seconds = time.monotonic() - began
        names = " and ".join(f"worker {index}" for index in victims)
        say(
            f"killed {names} at step {step} or some after it; all had ended {seconds:.0f} s later, "
            f"exit codes {codes}"
        )
        for index in set(range(WORKERS)) - set(victims):
            say(f"    worker {index}: {run.told(index)[-1]}")
    ended(run)


def ended(run):
    """Starts a run and waits for its end."""
    processes = run.started()
    codes = [process.wait() for process in processes]
    if any(codes):
        raise RuntimeError("\n".join(run.told(codes.index(max(codes)))[-40:]))
    say(f"through; exit codes {codes}")


def joslim(*arguments):
    """Runs the command, and repeats what it says."""
    say(f"\n$ joslim {' '.join(map(str, arguments))}")
    process = subprocess.run(
        [sys.executable, "-m", "keras_joslim.app.main", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if process.returncode:
        raise RuntimeError(process.stdout + process.stderr)
    say(process.stdout.rstrip())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=pathlib.Path, default=ROOT / "runs" / "rehearsal")
    parser.add_argument("--seed", type=int, default=0, help="of the instants of the kills")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    data = folder / "images"
    write_images(data)
    joslim("plan", *FLAGS, f"--config.data.directory={data}")
    run, alone = Run(folder / "killed", data), Run(folder / "alone", data)
    say(f"\n$ {_shown(run.command)}    # in two processes")
    with_kills(run, random.Random(arguments.seed))
    for line in run.told(0):
        say(f"    worker 0: {line}")
    for line in run.told(1):
        say(f"    worker 1: {line}")
    joslim("status", f"--workdir={run.workdir}")
    joslim("profile", f"--workdir={run.workdir}", "--formats=int8")
    joslim("front", f"--workdir={run.workdir}", "--by=latency:host", "--formats=int8")
    say("\nthe same without kills:")
    ended(alone)
    expected = content(alone.workdir)
    wrong = differences(run.workdir, expected)
    if wrong:
        raise RuntimeError(f"Not the same bits: {wrong}")
    files = sum(name.endswith(".tflite") for name in expected)
    say(f"{len(expected)} things compared ({files} TFLite files): the same bits")


def _shown(command):
    return " ".join(["joslim", *map(str, command[4:])])


if __name__ == "__main__":
    main()
