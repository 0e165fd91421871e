"""The benchmark tool on a phone: put there, started, timed out, and taken away again."""

from keras_joslim.tflite.android import phone
from keras_joslim.tflite.android.adb import Adb
from keras_joslim.tflite.android.adb_errors import AdbError, AdbTimeoutError
from keras_joslim.tflite.profiling import benchmark_tool
from keras_joslim.tflite.profiling.rounds import RunTimeoutError, ToolOutput

# Seconds for what is done after a failure, when the phone may be gone.
_CLEANING = 10.0


class PhoneTool:
    """One phone and the tool on it, a device of `measurement_rounds`.

    Args:
        adb: `Adb` of the phone, with its serial.
        binary: path of the tool here.
        settings: `BenchmarkSettings`.
        folder: of tool and models on the phone; nobody else's.
        timeout: seconds of one run.
        stop: `threading.Event`, set when the measurement is to end.
        big_cores: pin the tool to the fastest cores?

    Attributes:
        tool: sha256 of the tool.
        cores: tuple of int, those that the tool is pinned to; None if it is not.
        warnings: tuple of str.
    """

    route = "binary"

    def __init__(self, adb, binary, settings, folder, timeout, stop, big_cores):
        self.adb, self.binary, self.settings, self.folder = adb, binary, settings, folder
        self.timeout, self.stop, self.big_cores = timeout, stop, big_cores
        self.name = adb.serial
        self.tool, self.cores, self.warnings = None, None, ()

    def prepare(self):
        """Checks that tool and phone fit, before anything is pushed; the `PhoneFacts`."""
        facts = phone.facts(self.adb)
        self._check(facts)
        said = [self._pin(facts)] if self.big_cores else []
        self.warnings = (*self.warnings, *filter(None, said))
        return facts

    def _check(self, facts):
        warning = benchmark_tool.check_for_phone(self.binary, facts.abis)
        self.warnings = (warning,) if warning else ()
        self.tool = benchmark_tool.file_sha256(self.binary)

    def _pin(self, facts):
        """Chooses the cores; a warning if there are none to be had."""
        cores = fastest_cores(facts, self.settings.num_threads)
        if cores is None:
            return "Not pinned to big cores: the phone does not tell which they are."
        answer = self.adb.shell(["taskset", mask(cores), "true"])
        if answer.code != 0:
            words = " ".join((answer.stderr or answer.stdout).split())
            return (
                f"Not pinned to the cores {', '.join(map(str, cores))}: the phone does not let "
                f"adb ({words or f'taskset: exit status {answer.code}'})."
            )
        self.cores = cores
        if len(cores) < self.settings.num_threads:
            return (
                f"{self.settings.num_threads} threads took turns on the {len(cores)} cores there "
                "are: pass a smaller num_threads."
            )
        return ""

    def place(self, paths):
        """Pushes tool and models, those that are not there yet; dict sha256 -> path here."""
        if not paths:
            return
        self._make_folder()
        self._push(self.binary, "benchmark_model", 0o755)
        self._push_models(paths)

    def _make_folder(self):
        self.adb.make_folder(self.folder)
        self.adb.chmod(self.folder, 0o755)

    def _push_models(self, paths):
        for file, path in paths.items():
            # Readable by the app too.
            self._push(path, self._model(file), 0o644)

    def _push(self, local, name, mode):
        self.pause(0)
        self.adb.push_if_changed(local, f"{self.folder}/{name}")
        self.adb.chmod(f"{self.folder}/{name}", mode)

    def _model(self, file):
        # No name of the user's reaches the phone; the app splits its arguments at spaces.
        return f"{file[:24]}.tflite"

    def _flags(self, file, extra):
        return self.settings.flags(f"{self.folder}/{self._model(file)}", extra)

    def run(self, file, extra=None):
        """Runs the tool on a model; a `ToolOutput`.

        Raises:
            RunTimeoutError: it did not end in time; the phone answers.
            AdbError: the phone does not.
        """
        pinned = [] if self.cores is None else ["taskset", mask(self.cores)]
        command = [*pinned, f"{self.folder}/benchmark_model", *self._flags(file, extra)]
        try:
            output = self.adb.shell(command, self.timeout)
        except AdbTimeoutError as error:
            self._answers(error)
            raise self._too_long(error.output) from None
        return ToolOutput(*output)

    def _answers(self, error):
        """Raises `error` if the phone does not answer."""
        try:
            self.adb.shell(["true"], _CLEANING)
        except AdbError:
            raise error from None

    def _too_long(self, output):
        return RunTimeoutError(
            f"The benchmark tool took more than {self.timeout:g} s and was stopped; the phone is "
            "well. Pass a longer timeout=, fewer runs= or another delegate=.",
            output,
        )

    def thermal_status(self):
        """0 (cool) to 6 (shutdown), None before Android 10."""
        return phone.thermal_status(self.adb)

    def pause(self, seconds):
        """Waits; raises `AdbError` if the measurement is to end."""
        if self.stop.wait(seconds):
            raise AdbError("The measurement was interrupted.")

    def clean(self):
        """Removes the folder; raises `AdbError` if the phone is gone or refuses."""
        self._done(["rm", "-rf", self.folder])

    def _own(self):
        """An `Adb` that works when the measurement was interrupted, too."""
        return Adb(self.adb.binary, self.adb.serial, _CLEANING)

    def _done(self, command):
        output = self._own().shell(command)
        if output.code != 0:
            raise AdbError(
                f"{' '.join(command)} failed on the phone {self.name}: "
                f"{(output.stderr or output.stdout).strip()}"
            )


def fastest_cores(facts, threads):
    """`big_cores` of a phone and, if there are more threads, the next fastest with them.

    Args:
        facts: `PhoneFacts`.
        threads: int.

    Returns:
        A tuple of int, ascending, which may be fewer than `threads`; None if the phone does not
        tell its frequencies.

    >>> fastest_cores(PhoneFacts(max_frequencies=(1, 1, 2, 2, 3, 3), big_cores=(4, 5)), 4)
    (2, 3, 4, 5)
    """
    if facts.big_cores is None:
        return None
    chosen = set(facts.big_cores)
    known = {core: one for core, one in enumerate(facts.max_frequencies) if one is not None}
    for frequency in sorted(set(known.values()), reverse=True):
        if len(chosen) < threads:
            chosen |= {core for core, one in known.items() if one == frequency}
    return tuple(sorted(chosen))


def mask(cores):
    """What `taskset` calls these cores: "c0" for (6, 7)."""
    return f"{sum(1 << core for core in cores):x}"
