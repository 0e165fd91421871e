"""Starts the workers of a training as processes on loopback; none outlives the block."""

import contextlib
import dataclasses
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
# For a machine on which much else runs; what passes ends far sooner.
PATIENCE = 900
JOSLIM = ("-m", "keras_joslim.app.main")
SLEEPS = ("-c", "import time; time.sleep(3600)")


def free_ports(count):
    """Ports that the system has free, all different."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@dataclasses.dataclass
class Worker:
    """One process: `poll()`, `kill()`, and what it has written."""

    process: subprocess.Popen
    output: pathlib.Path
    errors: pathlib.Path

    def stdout(self):
        return self.output.read_text()

    def stderr(self):
        """Without what TensorFlow says of itself when it is loaded."""
        lines = self.errors.read_text().splitlines()
        loading = ("WARNING: All log messages before", "I0000 ")
        return "\n".join(line for line in lines if not line.startswith(loading))


@contextlib.contextmanager
def running(commands, environments=None, workers=None):
    """Runs one worker a command.

    Args:
        commands: for each worker the arguments of the Python interpreter.
        environments: for each further variables.
        workers: of how many TF_CONFIG speaks; as many as there are commands if `None`.

    Yields:
        The `Worker`s.
    """
    ports = free_ports(workers or len(commands))
    addresses = [f"127.0.0.1:{port}" for port in ports]
    started = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            for index, command in enumerate(commands):
                task = {"type": "worker", "index": index}
                config = {"cluster": {"worker": addresses}, "task": task}
                environment = {
                    **os.environ,
                    "PYTHONPATH": str(ROOT),
                    "TF_CONFIG": json.dumps(config),
                    "TF_CPP_MIN_LOG_LEVEL": "3",
                    "TF_NUM_INTRAOP_THREADS": "1",
                    "OMP_NUM_THREADS": "1",
                    **(environments or [{}] * len(commands))[index],
                }
                output, errors = (pathlib.Path(folder) / f"{index}.{end}" for end in ("out", "err"))
                with output.open("w") as out, errors.open("w") as err:
                    process = subprocess.Popen(
                        [sys.executable, *map(str, command)],
                        cwd=ROOT,
                        stdin=subprocess.DEVNULL,
                        stdout=out,
                        stderr=err,
                        env=environment,
                    )
                started.append(Worker(process, output, errors))
            yield started
        finally:
            for worker in started:
                worker.process.kill()
            for worker in started:
                worker.process.wait()


def until(condition, workers, seconds=PATIENCE):
    """Waits until something holds, as long as all workers run.

    Raises:
        AssertionError: it did not come to hold; says what the workers wrote.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert all(worker.process.poll() is None for worker in workers), _told(workers)
        assert time.monotonic() < deadline, _told(workers)
        time.sleep(0.05)


def codes(workers, seconds=PATIENCE):
    """Exit codes, when all have ended.

    Raises:
        AssertionError: one has not ended; says what the workers wrote.
    """
    deadline = time.monotonic() + seconds
    for worker in workers:
        try:
            worker.process.wait(max(deadline - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            raise AssertionError(_told(workers)) from None
    return [worker.process.returncode for worker in workers]


def ended_well(workers):
    """Waits for all to end.

    Raises:
        AssertionError: one has not ended, or not with 0; says what the workers wrote.
    """
    assert codes(workers) == [0] * len(workers), _told(workers)


def _told(workers):
    return "\n".join(
        f"--- worker {i}, exit {w.process.poll()}\n{w.stdout()[-2000:]}\n{w.stderr()[-3000:]}"
        for i, w in enumerate(workers)
    )
