"""Times TFLite files on this machine: fresh processes, files interleaved, spread reported.

Medians vary by several percent from process to process and double on a busy machine, while the
minimum hardly moves. So each file is measured by several processes, each round goes over all files
in a new random order, and minimum, median and 95th percentile are given together.
"""

import dataclasses
import json
import math
import os
import pathlib
import subprocess
import sys

import numpy as np

from keras_joslim.tflite.manifest import Manifest

_CHILD = pathlib.Path(__file__).with_name("child.py")
# Runnable processes of others, as a share of the processors, from which latencies are suspect.
_BUSY = 0.5
_WARMUP_SECONDS = 0.05
_TAIL = 1500


class ProfileError(RuntimeError):
    """A measuring process failed; the file could not be timed."""


class ProfileTimeoutError(ProfileError):
    """A measuring process took longer than it was given."""


@dataclasses.dataclass(frozen=True)
class Latency:
    """What was measured of one file.

    Attributes:
        min, median, p95: milliseconds of one inference, over all runs of all processes.
        peak_memory: bytes by which the resident memory of a process rose at most, from before
            the file was opened to after the last run; None where the system does not tell.
        runs: timed inferences in all.
        processes: processes that timed the file.
        process_medians: tuple, the median of each process, milliseconds.
        threads: threads of one inference.
        xnnpack: was the XNNPACK delegate on?
        load_average: runnable processes of others on the machine (1 minute average).
        warning: "" or what makes the figures doubtful.
    """

    min: float
    median: float
    p95: float
    peak_memory: int | None
    runs: int
    processes: int
    process_medians: tuple
    threads: int
    xnnpack: bool
    load_average: float | None
    warning: str = ""

    def __repr__(self):
        peak = "" if self.peak_memory is None else f", peak {self.peak_memory / 1e6:.1f} MB"
        doubtful = ", doubtful: see .warning" if self.warning else ""
        return (
            f"Latency(min={self.min:.3f} ms, median={self.median:.3f} ms, p95={self.p95:.3f} ms"
            f"{peak}{doubtful})"
        )

    def to_dict(self):
        """A JSON object."""
        values = dataclasses.asdict(self)
        values["process_medians"] = list(self.process_medians)
        return values

    def to_entry(self):
        """What the entry of a manifest holds of it, a JSON object."""
        medians, spread = self.process_medians, None
        if len(medians) > 1:
            spread = (max(medians) - min(medians)) / self.median
        return {
            "milliseconds": self.median,
            "statistic": "median",
            "min": self.min,
            "p95": self.p95,
            "spread": spread,
            "rounds": self.processes,
            "threads": self.threads,
            "delegate": "xnnpack" if self.xnnpack else "none",
            "warnings": [self.warning] if self.warning else [],
        }


def profile(
    files,
    processes=5,
    runs=50,
    *,
    warmup=5,
    threads=1,
    xnnpack=True,
    min_seconds=0.2,
    seed=0,
    timeout=120.0,
    files_per_process=1,
    on_progress=None,
):
    """Measures latency and peak memory of TFLite files on this machine.

    Args:
        files: dict name -> path, an iterable of paths (then named by `str(path)`), or the
            `Manifest` of an export (then named "<point>.<format>").
        processes: fresh processes for each file, so many rounds over all files.
        runs: timed inferences of a process, at least.
        warmup: untimed inferences before them, at least.
        threads: threads of one inference.
        xnnpack: leave the XNNPACK delegate on, as LiteRT does by itself.
        min_seconds: timed seconds of a process, at least.
        seed: of the order of the files within the rounds, and of the inputs.
        timeout: seconds that a process may take, for each file.
        files_per_process: files that a process times one after the other. With more than one
            hundreds of files take a third of the time, and peak memory is not known.
        on_progress: called as `on_progress(done, total, name)` after each process.

    Returns:
        A dict name -> `Latency`, in the order of `files`.

    Raises:
        ValueError: no files, a path without a file or with something else, impossible numbers.
        ProfileError: a process died or did not print a result; names the file and quotes the end
            of what it wrote. `ProfileTimeoutError` if it hung.

    Example:

    >>> profile({"p00": "models/p00.fp32.tflite"})["p00"].median
    0.0423
    """
    files = checked_files(files)
    for key, value in (
        ("processes", processes),
        ("runs", runs),
        ("threads", threads),
        ("files_per_process", files_per_process),
    ):
        if not (isinstance(value, int) and value >= 1):
            raise ValueError(f"Expected an int of at least 1. Received: {key}={value!r}")
    if warmup < 0 or min_seconds < 0 or timeout <= 0:
        raise ValueError(
            "Expected warmup and min_seconds of at least 0 and a timeout above 0. "
            f"Received: warmup={warmup}, min_seconds={min_seconds}, timeout={timeout}"
        )
    spec = {
        "threads": threads,
        "xnnpack": bool(xnnpack),
        "runs": runs,
        "min_seconds": min_seconds,
        "warmup": warmup,
        "warmup_seconds": min(_WARMUP_SECONDS, min_seconds),
    }
    times = {name: [] for name in files}
    memory = {name: [] for name in files}
    rng = np.random.default_rng(seed)
    load = load_average()
    done, total = 0, processes * len(files)
    for _ in range(processes):
        order = rng.permutation(list(files)).tolist()
        for start in range(0, len(order), files_per_process):
            names = order[start : start + files_per_process]
            paths = [str(files[name]) for name in names]
            results = _measured({**spec, "paths": paths, "seed": seed}, timeout * len(names))
            for name, (elapsed, peak) in zip(names, results, strict=True):
                times[name].append(elapsed)
                memory[name].append(peak if len(names) == 1 else None)
                done += 1
                if on_progress:
                    on_progress(done, total, name)
    after = load_average()
    if load is not None and after is not None:
        # What the measuring processes added themselves is not somebody else's load.
        load = max(load, after - threads)
    facts = {
        "processes": processes,
        "threads": threads,
        "xnnpack": bool(xnnpack),
        "load_average": load,
        "warning": load_warning(load),
    }
    return {name: _latency(times[name], memory[name], facts) for name in files}


def _latency(times, memory, facts):
    """The `Latency` of one file out of arrays of milliseconds, one a process."""
    pooled = np.concatenate(times)
    return Latency(
        min=float(pooled.min()),
        median=float(np.median(pooled)),
        p95=float(np.percentile(pooled, 95)),
        peak_memory=None if None in memory else max(memory),
        runs=len(pooled),
        process_medians=tuple(float(np.median(one)) for one in times),
        **facts,
    )


def _measured(spec, timeout):
    """For each file milliseconds of its runs, shape (runs,), and the peak memory of the process.

    One fresh process times all of them.
    """
    # -P: the folder of the script, which is this package's, does not go on the import path.
    command = [sys.executable, "-P", str(_CHILD), json.dumps(spec)]
    path = ", ".join(spec["paths"])
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ProfileTimeoutError(
            f"Timing {path} took more than {timeout:g} s and was stopped. Pass a longer timeout= "
            f"or fewer runs=.{_tail(error.stderr)}"
        ) from None
    if done.returncode != 0:
        how = f"exit code {done.returncode}"
        if done.returncode < 0:
            how = f"signal {-done.returncode}"
        raise ProfileError(
            f"The process that timed {path} died ({how}). The file may need operators or memory "
            f"that this machine lacks.{_tail(done.stderr)}"
        )
    lines = done.stdout.splitlines() or [done.stdout]
    results = [_parsed(line, path, done.stderr) for line in lines]
    if len(results) != len(spec["paths"]):
        raise ProfileError(
            f"The process that timed {path} printed {len(results)} results for "
            f"{len(spec['paths'])} files.{_tail(done.stderr)}"
        )
    return results


def _parsed(stdout, path, stderr):
    """The child's result, or an error: a figure that cannot be read never becomes a latency."""
    try:
        value = json.loads(stdout)
        if value["keras_joslim_profile"] != 1:
            raise ValueError("of another version")
        times = np.asarray(value["times_ns"], np.float64) / 1e6
        peak = value["peak_memory"]
        if times.ndim != 1 or not (peak is None or (isinstance(peak, int) and peak >= 0)):
            raise ValueError("of another form")
    except (ValueError, TypeError, KeyError) as error:
        raise ProfileError(
            f"The process that timed {path} printed no result ({type(error).__name__}: {error}) "
            f"but {stdout[:200]!r}.{_tail(stderr)}"
        ) from None
    if len(times) == 0 or not (np.isfinite(times).all() and (times > 0).all()):
        worst = f"{times.min():g} ms" if len(times) else "no runs"
        raise ProfileError(
            f"The process that timed {path} reported an impossible latency ({worst})."
            f"{_tail(stderr)}"
        )
    return times, peak


def _tail(stderr):
    text = (stderr or b"").decode(errors="replace").strip()
    return f" It wrote: {text[-_TAIL:]}" if text else " It wrote no error."


def checked_files(files):
    """dict name -> path, of the files that `profile` takes; raises ValueError as it does."""
    if isinstance(files, Manifest):
        files = files.paths()
    if isinstance(files, str | pathlib.Path):
        files = [files]
    if not isinstance(files, dict):
        files = {str(path): path for path in files}
    if not files:
        raise ValueError("Expected at least one TFLite file to time. Received: none")
    paths = {}
    for name, path in files.items():
        path = pathlib.Path(path)
        if not path.is_file():
            raise ValueError(f"Expected a TFLite file. Received: path={str(path)!r}: no file")
        with open(path, "rb") as file:
            start = file.read(8)
        if start[4:] != b"TFL3":
            raise ValueError(
                f"Expected a TFLite file (identifier 'TFL3' at byte 4). "
                f"Received: path={str(path)!r}, which starts with {start!r}"
            )
        paths[str(name)] = path
    return paths


def load_average():
    """Runnable processes over the last minute, or None where the system does not tell."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return None


def load_warning(load):
    """What a load average means for latencies, "" if nothing."""
    processors = os.cpu_count() or 1
    if load is None or math.isnan(load) or load <= _BUSY * processors:
        return ""
    return (
        f"Other processes kept {load:.1f} of {processors} processors busy: compare minima, the "
        "medians may be up to twice too high."
    )
