"""Measures files on one device with the benchmark tool: rounds, order, sentinel, journal, warnings.

What a device is stays open: a phone over adb, the benchmark app on it, or this machine. It has

    name, route, tool, cores, warnings: str, str, sha256, tuple or None, tuple of str
    place(paths): makes the files available where the tool runs; dict sha256 -> path
    run(file, extra): runs the tool on the file of this sha256 and returns a `ToolOutput`
    thermal_status(): int, or None
    pause(seconds): waits, and raises if the measurement is to stop
"""

import dataclasses
import hashlib
import pathlib
import re
import secrets
import typing

import numpy as np

from keras_joslim import atomic
from keras_joslim.tflite.benchmark_log import errors as benchmark_errors
from keras_joslim.tflite.benchmark_log.parser import BenchmarkLogError, delegate_problem, parse
from keras_joslim.tflite.profiling.benchmark_tool import file_sha256
from keras_joslim.tflite.profiling.device_latency import device_latency, drift
from keras_joslim.tflite.profiling.host import ProfileError, ProfileTimeoutError, checked_files
from keras_joslim.tflite.profiling.journal import Measurement, journal_key

# From what share on the sentinel's drift is told.
_DRIFT = 0.05
# Seconds between two looks at a hot phone.
_LOOK = 5.0
# With these the next file would fail likewise.
_OF_THE_TOOL = (
    benchmark_errors.WrongAbiError,
    benchmark_errors.ToolNotFoundError,
    benchmark_errors.MissingLibraryError,
    benchmark_errors.PermissionDeniedError,
    benchmark_errors.OutOfSpaceError,
    benchmark_errors.UnknownLogError,
)


class ToolOutput(typing.NamedTuple):
    """What the tool wrote, and its exit status; None if only the text tells that it ended."""

    stdout: str
    stderr: str
    code: int | None


class RunTimeoutError(ProfileTimeoutError):
    """The tool took too long on a file; the device is well. `output`: what it had written."""

    def __init__(self, message, output=""):
        super().__init__(message)
        self.output = output


class DeviceProfileError(ProfileError):
    """Something could not be measured. The journal has what could; a second call does the rest.

    Attributes:
        errors: dict (device, file name) -> the error; the name is None for one of the device.
        measured: what the call would have returned, as far as it goes; a latency of fewer rounds
            than asked for says so in its warnings.
    """

    def __init__(self, errors, measured, journal, left=()):
        self.errors, self.measured = dict(errors), measured
        lines = [
            f"{device}{'' if name is None else f', {name}'}: {error}"
            for (device, name), error in errors.items()
        ]
        if left:
            lines.append(f"Not removed, which the same call again does: {', '.join(left)}")
        super().__init__(
            "Not everything could be measured. What was is kept in "
            f"{journal}: the same call again measures the rest.\n" + "\n".join(lines)
        )


class Step(typing.NamedTuple):
    """One run of the tool: "round", "sentinel", "memory" or "operators"; which one; the file."""

    kind: str
    number: int
    name: str


def steps(names, rounds, seed, operators, memory=True):
    """The runs of the tool on one device, in their order: a list of `Step`.

    The first file is the sentinel: measured at the beginning and after each round, in which all
    files take their turn in a new random order. What slows the tool down comes last.
    """
    names = list(names)
    rng = np.random.default_rng(seed)
    planned = [Step("sentinel", 0, names[0])]
    for number in range(rounds):
        planned += [Step("round", number, name) for name in rng.permutation(names).tolist()]
        planned.append(Step("sentinel", number + 1, names[0]))
    for kind in ("memory",) * memory + ("operators",) * operators:
        planned += [Step(kind, 0, name) for name in names]
    return planned


class Rounds:
    """The measurements of one device.

    Args:
        device: see above.
        files: dict name -> (path, sha256).
        settings: `BenchmarkSettings`.
        planned: list of `Step`.
        journal: `Journal`.
        logs: folder of the raw texts.
        cool_down: seconds of pause before each run.
        thermal_wait: seconds to wait at most, each time, for a device that throttles.
        require_delegate: is a latency of another delegate, or partly so, an error of the file?
        on_step: called with each step after it.

    Attributes:
        errors: dict name -> error of a file that could not be measured.
    """

    def __init__(
        self,
        device,
        files,
        settings,
        planned,
        journal,
        logs,
        cool_down=0.0,
        thermal_wait=0.0,
        require_delegate=False,
        on_step=lambda step: None,
    ):
        self.device, self.files, self.settings, self.planned = device, files, settings, planned
        self.journal, self.logs = journal, pathlib.Path(logs)
        self.cool_down, self.thermal_wait = cool_down, thermal_wait
        self.require_delegate, self.on_step = require_delegate, on_step
        self.errors = {}
        self._done = {}

    def measure(self):
        """Takes all steps; those in the journal are not run again.

        Raises:
            The error of a device or a tool that no file can be measured with. Errors of single
            files go to `errors`, and the others are measured.
        """
        missing = [step for step in self.planned if self.journal.find(self._key(step)) is None]
        self.device.place({self.files[step.name][1]: self.files[step.name][0] for step in missing})
        for step in self.planned:
            if step.name not in self.errors:
                try:
                    self._take(step)
                except (BenchmarkLogError, RunTimeoutError) as error:
                    if isinstance(error, _OF_THE_TOOL):
                        raise
                    self.errors[step.name] = error
            self.on_step(step)

    def latencies(self):
        """dict name -> `DeviceLatency` of the files that have at least one round, and no error."""
        # What an earlier call measured counts too where this one did not come to it.
        for step in self.planned:
            found = self.journal.find(self._key(step))
            if found is not None:
                self._done.setdefault(step, found)
        numbers = sorted({step.number for step in self.planned if step.kind == "round"})
        sentinels = [
            self._done[step].result
            for step in self.planned
            if step.kind == "sentinel" and step in self._done
        ]
        ratio = drift(sentinels)
        found = {}
        for name in self.files:
            runs = [Step("round", number, name) for number in numbers]
            done = [self._done[step] for step in runs if step in self._done]
            if name in self.errors or not done:
                continue
            extras = {kind: self._done.get(Step(kind, 0, name)) for kind in ("memory", "operators")}
            found[name] = device_latency(
                [one.result for one in done],
                **{kind: one and one.result for kind, one in extras.items()},
                drift=ratio,
                delegate=self.settings.delegate,
                threads=self.settings.num_threads,
                cores=self.device.cores,
                thermal_before=_highest(one.thermal_before for one in done),
                thermal_after=_highest(one.thermal_after for one in done),
                route=self.device.route,
                tool=self.device.tool,
                warnings=self._warnings(done, len(runs), ratio),
            )
        return found

    def _warnings(self, done, asked, ratio):
        """Sentences on one file's runs, a tuple without repetitions."""
        said = list(self.device.warnings)
        if len(done) < asked:
            said.append(f"{len(done)} of {asked} rounds were measured.")
        said += [delegate_problem(one.result, self.settings.delegate) for one in done]
        ignored = sorted({flag for one in done for flag in one.result.ignored_flags})
        if ignored:
            said.append(f"The tool does not know, and ignored: {' '.join(ignored)}.")
        before = _highest(one.thermal_before for one in done)
        after = _highest(one.thermal_after for one in done)
        if before:
            said.append(
                f"The phone was hot: measured at thermal status {before} (0 is cool) after waiting "
                f"{self.thermal_wait:g} s."
            )
        elif after:
            said.append(f"The phone grew hot during a run: thermal status {after} at its end.")
        if ratio is None:
            said.append("Whether the device drifted is not known: there is no second measurement.")
        elif abs(ratio - 1) > _DRIFT:
            said.append(
                f"The device drifted: the same file took {ratio:.2f} times as long at the end as "
                "at the beginning."
            )
        return tuple(dict.fromkeys(filter(None, said)))

    def _key(self, step):
        return journal_key(
            device=self.device.name,
            tool=self.device.tool,
            file=self.files[step.name][1],
            settings={
                **dataclasses.asdict(self.settings),
                "route": self.device.route,
                "cores": self.device.cores and list(self.device.cores),
            },
            kind=step.kind,
            number=step.number,
        )

    def _take(self, step):
        key = self._key(step)
        found = self.journal.find(key)
        if found is None:
            found = self._run(step)
            self.journal.add(key, found)
        problem = delegate_problem(found.result, self.settings.delegate)
        if self.require_delegate and problem:
            raise benchmark_errors.DelegateError(
                problem, remedy="Measure with another delegate, or without require_delegate."
            )
        self._done[step] = found

    def _run(self, step):
        """Waits for a cool device, runs the tool once and reads its text."""
        device = self.device
        device.pause(self.cool_down)
        before, waited = device.thermal_status(), 0.0
        while before and waited < self.thermal_wait:
            pause = min(_LOOK, self.thermal_wait - waited)
            device.pause(pause)
            before, waited = device.thermal_status(), waited + pause
        extra = step.kind if step.kind in ("memory", "operators") else None
        try:
            output = device.run(self.files[step.name][1], extra)
        except Exception as error:
            # An unfinished text is never read, but it may tell the owner what went wrong.
            if unfinished := getattr(error, "output", ""):
                self._log(step, unfinished, "")
            raise
        log = self._log(step, output.stdout, output.stderr)
        word = secrets.token_hex(8)
        ending = "" if output.code is None else f"{word} {output.code}\n"
        result = parse(output.stdout + ending, output.stderr, ending and word or None)
        return Measurement(result, before, device.thermal_status(), log)

    def _log(self, step, stdout, stderr):
        """Keeps the raw text, never in the place of another one; its path relative to the logs."""
        folder = self.logs / file_name(self.device.name)
        stem = f"{file_name(step.name)}.{step.kind}{step.number}"
        attempt = 1
        while (folder / f"{stem}.run{attempt}.out.txt").exists():
            attempt += 1
        path = folder / f"{stem}.run{attempt}.out.txt"
        if stderr:
            atomic.write_text(path.with_name(f"{stem}.run{attempt}.err.txt"), stderr)
        atomic.write_text(path, stdout)
        return path.relative_to(self.logs).as_posix()


def hashed_files(files):
    """dict name -> (path, sha256) of the files that `tflite.profile` takes; raises as it does."""
    return {name: (path, file_sha256(path)) for name, path in checked_files(files).items()}


def check_plan(rounds, timeout, cool_down, thermal_wait=0.0):
    """Raises ValueError for impossible numbers."""
    if not isinstance(rounds, int) or isinstance(rounds, bool) or rounds < 1:
        raise ValueError(f"Expected an int of at least 1. Received: rounds={rounds!r}")
    if not timeout > 0 or not cool_down >= 0 or not thermal_wait >= 0:
        raise ValueError(
            "Expected a timeout above 0, and cool_down and thermal_wait of at least 0 seconds. "
            f"Received: timeout={timeout}, cool_down={cool_down}, thermal_wait={thermal_wait}"
        )


def file_name(name):
    """A name that file systems take, different for different names."""
    plain = re.sub(r"[^\w.-]+", "_", name, flags=re.ASCII).lstrip(".-")[:60]
    if plain and plain == name:
        return name
    return f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _highest(values):
    values = list(values)
    return None if None in values else max(values)
