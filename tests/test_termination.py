"""SIGTERM to real processes: a good end and exit code 0; the second one ends at once."""

import pathlib
import signal
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
PROGRAM = """
import hashlib, time
from keras_joslim.app import main
from keras_joslim.termination import Terminated, deferred

def step():
    print("ready", flush=True)
    time.sleep(0.2)

def plain(argv):
    print("ready", flush=True)
    time.sleep(600)

def training(argv):
    with deferred() as asked:
        for i in range(3000):
            step()
            if asked():
                raise Terminated(f"stopped at step {i}, which is saved")

def last_step(argv):
    with deferred():
        print("ready", flush=True)
        end = time.monotonic() + 1
        while time.monotonic() < end:
            time.sleep(0.1)
    print("judging", flush=True)

def long_step(argv):
    with deferred():
        print("ready", flush=True)
        hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)

main.main = CASE
main.run()
"""


def _started(case):
    """A process that is in the middle of it."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.replace("CASE", case)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    return process


def _end(process):
    output, errors = process.communicate(timeout=300)
    return process.returncode, output, errors.splitlines()


def test_where_nothing_is_trained_it_stops_and_exits_with_0():
    process = _started("plain")
    process.terminate()
    said = ["joslim: SIGTERM: stopped; the same command goes on"]
    assert _end(process) == (0, "", said)


def test_a_training_ends_its_step_and_exits_with_0():
    process = _started("training")
    process.stdout.readline()
    process.terminate()
    code, _, said = _end(process)
    assert code == 0
    assert said[0].startswith("joslim: SIGTERM: the step is finished and saved, then this ends")
    assert said[1].startswith("joslim: SIGTERM: stopped at step ")
    assert said[1].endswith(", which is saved; the same command goes on")


def test_after_the_last_step_it_stops_before_what_comes_next():
    process = _started("last_step")
    process.terminate()
    code, output, said = _end(process)
    assert (code, output) == (0, "")
    assert said[1].startswith("joslim: SIGTERM: stopped when all steps were trained; the same")


def test_a_second_one_ends_at_once():
    """In the middle of a step that does not come back to Python for minutes."""
    process = _started("long_step")
    process.terminate()
    assert process.stderr.readline().startswith("joslim: SIGTERM: the step is finished and saved")
    process.terminate()
    assert _end(process) == (128 + signal.SIGTERM, "", [])


def test_ctrl_c_is_what_it_was():
    process = _started("training")
    process.send_signal(signal.SIGINT)
    code, _, said = _end(process)
    assert code == 1
    assert said == ["joslim: interrupted; the same command goes on from the last checkpoint"]
