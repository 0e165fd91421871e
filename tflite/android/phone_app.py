"""The benchmark tool as an Android app: started by `am start`, read from the phone's log.

As the app's own README has it (tensorflow/lite/tools/benchmark/android/README.md of TensorFlow).
The log is other people's too: it is never cleared. A line of our own marks where a run begins.
"""

import secrets
import time

from keras_joslim.tflite.android.adb_errors import AdbError
from keras_joslim.tflite.android.phone_tool import PhoneTool
from keras_joslim.tflite.benchmark_log.errors import ToolNotFoundError, TruncatedLogError
from keras_joslim.tflite.benchmark_log.parser import BenchmarkLogError, parse
from keras_joslim.tflite.profiling import benchmark_tool
from keras_joslim.tflite.profiling.rounds import ToolOutput

PACKAGE = "org.tensorflow.lite.benchmark"
ACTIVITY = f"{PACKAGE}/.BenchmarkModelActivity"
_TAG = "keras_joslim"
# The tool, its activity, and how Android reports that an app crashed.
_FILTERS = (
    *("tflite:V", "tflite_BenchmarkModelActivity:V", "litert:V", f"{_TAG}:V"),
    *("libc:F", "AndroidRuntime:E"),
)
# Seconds that a log with an error in it must stay as it is; the tool may say so and go on.
_SETTLED = 30.0
# Seconds until which an app that is not there is one that has not started yet.
_STARTING = 10.0
_INSTALLING = 120.0


class PhoneApp(PhoneTool):
    """One phone and the benchmark app on it; `binary` is its APK, None if it is installed."""

    route = "apk"
    # Seconds between two looks at the log: each of them takes the phone some work.
    look = 1.0

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self._apk = f"{self.folder}/benchmark_model.apk"
        self._install, self._uninstall = False, False

    def _check(self, facts):
        self.warnings = ()
        installed = self._installed()
        if self.binary is None:
            if installed is None:
                raise ToolNotFoundError(
                    f"The app {PACKAGE} is not installed on the phone {self.name}.",
                    remedy="Pass the path of its APK as benchmark_binary=; android_aarch64_"
                    f"benchmark_model.apk is offered at {benchmark_tool.PAGE}.",
                )
            self.tool = installed
            return
        benchmark_tool.check_apk(self.binary, facts.abis)
        self.tool = benchmark_tool.file_sha256(self.binary)
        self._install = installed != self.tool
        # Where our APK lies, an earlier call lost the phone and could not uninstall it.
        self._uninstall = installed is None or self.adb.shell(["ls", self._apk]).code == 0

    def _installed(self):
        """sha256 of the app on the phone, None if there is none."""
        found = self.adb.shell(["pm", "path", PACKAGE]).stdout.partition("\n")[0]
        if not found.startswith("package:/"):
            return None
        answer = self.adb.shell(["sha256sum", found.removeprefix("package:")])
        digest = answer.stdout[:64]
        if answer.code != 0 or len(digest) < 64:
            raise AdbError(
                f"The phone {self.name} does not tell the checksum of the installed app {PACKAGE} "
                f"({(answer.stderr or answer.stdout).strip()}). Uninstall it (`adb uninstall "
                f"{PACKAGE}`) and pass the APK as benchmark_binary=."
            )
        return digest

    def _pin(self, facts):
        return "Not pinned to big cores: Android places the threads of an app."

    def place(self, paths):
        """Installs the app if it must, and pushes the models."""
        if not paths:
            return
        self._make_folder()
        if self._install:
            self._push(self.binary, "benchmark_model.apk", 0o644)
            # -g grants the app to read files, -d lets an older one take the place of a newer one.
            command = ["pm", "install", "-r", "-d", "-g", self._apk]
            answer = self.adb.shell(command, _INSTALLING)
            if "Success" not in answer.stdout:
                words = " ".join((answer.stdout + answer.stderr).split())
                raise AdbError(
                    f"The phone {self.name} does not install {self.binary} ({words}). Allow "
                    "'Install via USB' in its developer options, or uninstall the app first: "
                    f"`adb uninstall {PACKAGE}`."
                )
            self._install = False
        self._push_models(paths)

    def run(self, file, extra=None):
        """Runs the app on a model; its lines of the log as a `ToolOutput` without exit status."""
        # Android gives an app less while the screen is off.
        self.adb.shell(["input", "keyevent", "KEYCODE_WAKEUP"])
        word = secrets.token_hex(8)
        self._done_or_raise(["log", "-t", _TAG, word], "marking the log")
        arguments = " ".join(self._flags(file, extra))
        self._done_or_raise(
            ["am", "start", "-S", "-n", ACTIVITY, "--es", "args", arguments], "starting the app"
        )
        begun = time.monotonic()
        text, settled, gone = "", begun, False
        # Looking for the end before there can be one only disturbs.
        self.pause(min(self.settings.min_seconds, self.timeout))
        while True:
            self.pause(self.look)
            before, was_gone = text, gone
            text, gone = self._log(word), self._gone()
            now = time.monotonic()
            if text != before:
                settled = now
            elif _whole(text) or _failed(text, now - settled):
                return ToolOutput(text, "", None)
            elif was_gone and gone and (text or now - begun > _STARTING):
                return ToolOutput(text, "", None)
            if now - begun > self.timeout:
                self._done(["am", "force-stop", PACKAGE])
                raise self._too_long(text)

    def _log(self, word):
        """The lines since the mark."""
        dump = self.adb.shell(["logcat", "-d", "-v", "threadtime", "-s", *_FILTERS]).stdout
        _, mark, text = dump.partition(word)
        if not mark:
            raise AdbError(
                f"The log of the phone {self.name} has no line that was written a moment ago. Make "
                "it larger (`adb logcat -G 16M`), and see that it is switched on in the developer "
                "options."
            )
        return text.partition("\n")[2]

    def _gone(self):
        # Exit status 1: there is no such process; 127: the phone has no pidof.
        return self.adb.shell(["pidof", PACKAGE]).code == 1

    def _done_or_raise(self, command, what):
        answer = self.adb.shell(command)
        words = " ".join((answer.stdout + answer.stderr).split())
        # `am` exits with 0 when it could not start anything.
        if answer.code != 0 or "Error" in words:
            raise AdbError(f"The phone {self.name} failed at {what}: {words}")

    def clean(self):
        """Stops the app, uninstalls it if it was not there before, removes the folder."""
        try:
            self._done(["am", "force-stop", PACKAGE])
            if self._uninstall:
                # It is not there if something failed before; then this fails, and that is fine.
                self._own().shell(["pm", "uninstall", PACKAGE])
        finally:
            super().clean()


def _whole(text):
    try:
        parse(text)
    except BenchmarkLogError:
        return False
    return True


def _failed(text, seconds):
    """Has a text that stayed as it is for so long an error in it, other than having no end?"""
    try:
        parse(text)
    except TruncatedLogError:
        return False
    except BenchmarkLogError:
        return seconds >= _SETTLED
    return False
