"""Latency of TFLite files on this machine by the Linux build of the TFLite benchmark tool.

The same tool that phones are measured with, and the same rounds, journal and result.
"""

import contextlib
import os
import pathlib
import platform
import signal
import subprocess
import time

from keras_joslim.tflite.benchmark_log.errors import PermissionDeniedError
from keras_joslim.tflite.benchmark_log.parser import BenchmarkLogError
from keras_joslim.tflite.profiling import benchmark_tool
from keras_joslim.tflite.profiling.host import load_average, load_warning
from keras_joslim.tflite.profiling.journal import Journal
from keras_joslim.tflite.profiling.rounds import (
    DeviceProfileError,
    Rounds,
    RunTimeoutError,
    ToolOutput,
    check_plan,
    hashed_files,
    steps,
)

# Linux counts the peak memory of a process from that of the one that was replaced by it: of a
# child of Python, Python's. So the tool is a child of a shell, which is small.
_COMMAND = '"$@"; exit $?'


def profile_with_tool(
    files,
    benchmark_binary,
    *,
    journal,
    logs,
    num_threads=1,
    delegate="xnnpack",
    require_delegate=False,
    rounds=3,
    runs=50,
    min_seconds=1.0,
    warmup=1,
    operators=False,
    memory=True,
    seed=0,
    timeout=400.0,
    cool_down=0.0,
    on_progress=None,
):
    """Measures TFLite files on this machine with the TFLite benchmark tool.

    Args:
        files, journal, logs, num_threads, delegate, require_delegate, rounds, runs, min_seconds,
            warmup, operators, memory, seed, timeout, cool_down, on_progress: as in
            `profile_android`.
        benchmark_binary: path of the tool, built for Linux and this processor, executable.

    Returns:
        dict name -> `DeviceLatency`, in the order of `files`.

    Raises:
        ValueError: impossible arguments, files that are none, a damaged journal.
        WrongAbiError, ToolNotFoundError, PermissionDeniedError: the tool does not run here.
        DeviceProfileError: after all has been tried: what could not be measured, and why.

    Example:

    >>> measured = profile_with_tool(
    ...     manifest, "./linux_x86-64_benchmark_model", journal="journal.json", logs="logs"
    ... )
    >>> measured["p00.fp32"].median
    0.412
    """
    settings = benchmark_tool.BenchmarkSettings(num_threads, delegate, runs, min_seconds, warmup)
    check_plan(rounds, timeout, cool_down)
    files, kept = hashed_files(files), Journal(journal)
    planned = steps(files, rounds, seed, operators, memory)
    device = HostTool(benchmark_binary, settings, timeout)
    done = 0

    def on_step(step):
        nonlocal done
        done += 1
        if on_progress:
            on_progress(done, len(planned), step.name)

    measurement = Rounds(
        device,
        files,
        settings,
        planned,
        kept,
        logs,
        cool_down=cool_down,
        require_delegate=require_delegate,
        on_step=on_step,
    )
    errors = {}
    try:
        measurement.measure()
    except BenchmarkLogError as error:
        errors[device.name, None] = error
    errors |= {(device.name, name): error for name, error in measurement.errors.items()}
    latencies = measurement.latencies()
    if errors:
        raise DeviceProfileError(errors, latencies, kept.path) from next(iter(errors.values()))
    return latencies


class HostTool:
    """The tool on this machine, a device of `measurement_rounds`.

    Args:
        binary: path of the tool.
        settings: `BenchmarkSettings`.
        timeout: seconds of one run.

    Raises:
        WrongAbiError, ToolNotFoundError, PermissionDeniedError: it does not run here.
    """

    route = "host"
    cores = None

    def __init__(self, binary, settings, timeout):
        benchmark_tool.check_for_host(binary)
        self.binary = str(pathlib.Path(binary).absolute())
        if not os.access(self.binary, os.X_OK):
            raise PermissionDeniedError(
                f"{binary} may not be executed.", remedy=f"Run: chmod +x '{binary}'"
            )
        self.settings, self.timeout = settings, timeout
        self.name = f"host {platform.node()}"
        self.tool = benchmark_tool.file_sha256(self.binary)
        self._paths, self._load = {}, load_average()

    @property
    def warnings(self):
        """A tuple of str: was the machine busy with other things, before or until now?"""
        load = load_average()
        if load is not None and self._load is not None:
            load = max(self._load, load - self.settings.num_threads)
        return tuple(filter(None, [load_warning(load)]))

    def place(self, paths):
        """Remembers where the models are; dict sha256 -> path."""
        self._paths = paths

    def run(self, file, extra=None):
        """Runs the tool on a model; a `ToolOutput`. Raises `RunTimeoutError` if it hangs."""
        graph = str(pathlib.Path(self._paths[file]).absolute())
        command = [self.binary, *self.settings.flags(graph, extra)]
        # A session of its own: what the tool has started is stopped with it.
        process = subprocess.Popen(
            ["/bin/sh", "-c", _COMMAND, "sh", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        with process:
            try:
                out, err = process.communicate(timeout=self.timeout)
            except BaseException as error:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                out, err = process.communicate()
                if isinstance(error, subprocess.TimeoutExpired):
                    raise RunTimeoutError(
                        f"The benchmark tool took more than {self.timeout:g} s and was stopped. "
                        "Pass a longer timeout= or fewer runs=.",
                        out.decode(errors="replace") + err.decode(errors="replace"),
                    ) from None
                raise
        # If the shell itself was killed: its way to tell of a signal.
        code = process.returncode if process.returncode >= 0 else 128 - process.returncode
        return ToolOutput(out.decode(errors="replace"), err.decode(errors="replace"), code)

    def thermal_status(self):
        """None: it is not known of this machine."""
        return None

    def pause(self, seconds):
        """Waits."""
        time.sleep(seconds)
