"""Kills a run again and again at random instants; all runs must end with the same bits.

A tiny run (the digits, 128 steps, then judging and export) is first left alone. The same run is
then started over and over; each process gets SIGKILL at a random instant, a tenth of them while
they start, the others between their first line and so much of the time that the stage took when
left alone: half of it for training and judging, twice it for the export (which is slow, and goes on
file by file). When a run is through it is compared with the one that was left alone, and the next
begins, until there have been as many kills as asked for and the last run is through.

Compared bit by bit: weights, statistics, optimizer and seeds of the last checkpoint, the state of
the schedule, history.jsonl, the judged networks and points of front.json with their validation and
test results, and the TFLite files. No temporary file may be left.

    nice -n 10 python benchmarks/kills.py --kills=100 --workdir=/tmp/kills > kills.log
"""

import argparse
import collections
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import time

from same_bits import content, differences

ROOT = pathlib.Path(__file__).resolve().parents[1]
CONFIG = (
    "--config=configs/digits.py",
    "--config.train.epochs=8",
    "--config.train.warmup_epochs=1",
    "--config.method.tau=16",
    "--config.method.prior_points=4",
    # Often, so that many kills come while one is written.
    "--config.checkpoint.every_steps=1",
    "--config.calibration.batches=1",
    "--config.front.networks=3",
    "--config.export.formats=('fp32',)",
)
# Part of a stage's time in which kills come.
_PART = {"train": 0.5, "export": 2.0}
# What a process says -> what it is doing from then on.
_PHASES = (
    ("Exporting", "export"),
    ("Judging", "judging"),
    ("Epoch", "training"),
    ("Going on", "training"),
)


def started(stage, workdir, log):
    """A process of `joslim train` or `joslim export`, its output into a file."""
    command = [sys.executable, "-u", "-m", "keras_joslim.app.main", stage, f"--workdir={workdir}"]
    if stage == "train":
        command += CONFIG
    return subprocess.Popen(
        command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, "TERM": "dumb"}
    )


def phase(text):
    """What a process was doing, by what it had said."""
    return next((name for words, name in _PHASES if words in text), "start")


def left_alone(workdir, log_file):
    """Trains and exports without a kill; seconds from the first line to the end, by stage."""
    seconds = {}
    for stage in ("train", "export"):
        with open(log_file, "wb") as log:
            process = started(stage, workdir, log)
            first = _wait_for_a_line(process, log_file)
            if process.wait():
                raise RuntimeError(pathlib.Path(log_file).read_text(encoding="utf-8"))
        seconds[stage] = time.monotonic() - first
    return seconds


def _wait_for_a_line(process, log_file):
    """Waits until a process says what it does; the time then."""
    while process.poll() is None and phase(_text(log_file)) == "start":
        time.sleep(0.02)
    return time.monotonic()


def _text(path):
    return pathlib.Path(path).read_text(encoding="utf-8", errors="replace")


def killed(stage, workdir, log_file, rng, seconds):
    """Starts a process and kills it: what it was doing, or None if it was through before."""
    with open(log_file, "wb") as log:
        process = started(stage, workdir, log)
        if rng.random() < 0.1:
            instant = time.monotonic() + rng.uniform(0, 6)
        else:
            instant = _wait_for_a_line(process, log_file) + rng.uniform(
                0, _PART[stage] * seconds[stage]
            )
        while process.poll() is None and time.monotonic() < instant:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        code = process.wait()
    if code == 0:
        return None
    text = _text(log_file)
    if code != -signal.SIGKILL:
        raise RuntimeError(f"{stage} ended with exit code {code}:\n{text[-3000:]}")
    return phase(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--workdir", type=pathlib.Path, default=ROOT / "runs" / "kills")
    parser.add_argument("--seed", type=int, default=0, help="of the instants")
    arguments = parser.parse_args()
    place, rng = arguments.workdir, random.Random(arguments.seed)
    place.mkdir(parents=True, exist_ok=True)
    began, log_file = time.monotonic(), place / "process.log"
    seconds = left_alone(place / "alone", log_file)
    expected = content(place / "alone")
    spent = ", ".join(f"{stage} {value:.0f} s" for stage, value in seconds.items())
    print(f"left alone: {spent} after the start; {len(expected)} things to compare", flush=True)

    phases, writing, kills, runs = collections.Counter(), 0, 0, 0
    while kills < arguments.kills:
        workdir, path = place / f"run-{runs}", []
        for stage in ("train", "export"):
            while True:
                if kills == arguments.kills:
                    # Enough: what has been killed so often may end.
                    doing = killed(stage, workdir, log_file, rng, dict.fromkeys(seconds, 1e9))
                else:
                    doing = killed(stage, workdir, log_file, rng, seconds)
                if doing is None:
                    break
                kills += 1
                phases[doing] += 1
                torn = any(re.search(r"/\.[^/]+$", str(p)) for p in workdir.rglob(".*"))
                writing += torn
                path.append(doing + (" (a file half-written)" if torn else ""))
        wrong = differences(workdir, expected) + [str(path) for path in workdir.rglob(".*")]
        print(f"run {runs}: {len(path)} kills: {', '.join(path)}", flush=True)
        print(f"run {runs}: {'the same bits' if not wrong else f'DIFFERENT: {wrong}'}", flush=True)
        if wrong:
            sys.exit(1)
        runs += 1
    counts = ", ".join(f"{name} {count}" for name, count in sorted(phases.items()))
    print(
        f"{kills} kills ({counts}; {writing} of them with a file half-written), {runs} runs, all "
        f"ended with the same bits; {(time.monotonic() - began) / 60:.0f} minutes"
    )


if __name__ == "__main__":
    main()
