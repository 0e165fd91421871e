"""What the text of a failed benchmark run means: one table of (pattern, error, words, remedy)."""

import re


class BenchmarkLogError(RuntimeError):
    """The text of a run holds no latency that may be believed.

    Attributes:
        what: str, what happened.
        line: str, the line of the text that decides it, "" if no single line does.
        remedy: str, what to do.
        details: dict of what the line names: "operator", "version", "delegate"... all str.
        retryable: may the same command succeed when it is run again as it is?
    """

    retryable = False

    def __init__(self, what, line="", remedy="", details=None):
        super().__init__(what, line, remedy, details)
        self.what = what
        self.line = line
        self.remedy = remedy
        self.details = dict(details or {})

    def __str__(self):
        quoted = f"The log says: {self.line[:300]!r}." if self.line else ""
        return " ".join(part for part in (self.what, quoted, self.remedy) if part)


class TruncatedLogError(BenchmarkLogError):
    """The text ends before the tool did."""

    retryable = True


class EmptyLogError(TruncatedLogError):
    """There is no text at all."""


class InconsistentLogError(BenchmarkLogError):
    """Figures of the text contradict each other: lines of several runs, or out of order."""

    retryable = True


class UnreadableTimingError(BenchmarkLogError):
    """A figure is zero, negative, not a number, or of an unknown unit."""


class UnknownLogError(BenchmarkLogError):
    """The text is not one of the benchmark tool."""


class BenchmarkFailedError(BenchmarkLogError):
    """The tool failed for a reason that no other error names."""


class WrongAbiError(BenchmarkLogError):
    """The tool was built for another processor or another system."""


class ToolNotFoundError(BenchmarkLogError):
    """The tool, or its folder, is not where it was started from."""


class MissingLibraryError(BenchmarkLogError):
    """The tool needs a shared library that the device lacks."""


class PermissionDeniedError(BenchmarkLogError):
    """The tool may not be started, or a file may not be read or written."""


class ModelNotFoundError(BenchmarkLogError):
    """The tool could not open the model file."""


class InvalidModelError(BenchmarkLogError):
    """The model file is not a TFLite file, or a damaged one."""


class UnsupportedOperatorError(BenchmarkLogError):
    """The tool lacks an operator of the model: see `details`."""


class FlexOperatorError(UnsupportedOperatorError):
    """The model needs TensorFlow's own kernels (Flex), which the tool lacks."""


class DelegateError(BenchmarkLogError):
    """A delegate could not take the model, and the tool did not fall back."""


class OutOfSpaceError(BenchmarkLogError):
    """The disk of the device is full."""


class OutOfMemoryError(BenchmarkLogError):
    """The tool was killed, or it found no memory."""


class CrashedError(BenchmarkLogError):
    """The tool crashed."""


_ABI = (
    "Take the build for the device's processor: `adb shell getprop ro.product.cpu.abi` says which."
)
_CONVERT = "Convert the model without SELECT_TF_OPS, or take the tool's build with Flex."
_OLD_TOOL = "Take a newer build of the tool, or convert the model with an older converter."
_COPY = "Push the file again and compare its size and checksum."
_DELEGATE = (
    "Measure with another delegate; the lines before this one may name the operators it lacks."
)
_MEMORY = "Close other apps, or measure a smaller sub-network."
_CRASH = "Try one thread and no delegate; `adb logcat -b crash -d` holds the trace."
_SHELL = r"(?:\S*/)?\w*sh(?:\[\d+\])?: (?:line \d+: |\d+: )?"
# How a shell reports a signal: alone, or as "bash: line 1:  4711 Killed   ./benchmark_model".
_SIGNALLED = r"(?:" + _SHELL + r" *(?:\d+ +)?)?"

# The first row of which a line matches from its beginning decides, so causes stand above their
# consequences. Words in braces are the pattern's named groups.
_TABLE = tuple(
    (re.compile(pattern, re.ASCII), error, what, remedy)
    for pattern, error, what, remedy in (
        (
            r".*not executable: .*ELF|.*Exec format error|.*cannot execute binary file"
            r"|.*is \d\d-bit instead of \d\d-bit|.*unexpected e_machine|.*instead of EM_\w+"
            r"|.*only position independent executables",
            WrongAbiError,
            "The benchmark tool was built for another processor or system.",
            _ABI,
        ),
        (
            r"CANNOT LINK EXECUTABLE.*library \"(?P<library>[^\"]+)\" not found"
            r"|.*error while loading shared libraries: (?P<library_>[^:\s]+)",
            MissingLibraryError,
            "The benchmark tool needs the library {library}, which was not found.",
            "Push the library beside the tool and set LD_LIBRARY_PATH to that folder.",
        ),
        (
            r"CANNOT LINK EXECUTABLE",
            MissingLibraryError,
            "The benchmark tool does not fit the libraries of this device.",
            "Take a build of the tool for this version of the system.",
        ),
        (
            r".*No space left on device|.*not enough space",
            OutOfSpaceError,
            "The disk of the device is full.",
            "Free space there (`adb shell df /data/local/tmp`), or export fewer points.",
        ),
        (
            r"[\w./-]+(?:\[\d+\])?: .*(?:Permission denied|Read-only file system)"
            r"|Mmap of .* failed with error '13'",
            PermissionDeniedError,
            "The device did not permit it.",
            "Put tool and model in /data/local/tmp and `chmod 755` the tool; folders such as "
            "/sdcard forbid execution.",
        ),
        (
            r"(?:" + _SHELL + r"\S|taskset: |env: |timeout: |nice: ).*"
            r": (?:(?:inaccessible or |required file )?not found|No such file or directory)$",
            ToolNotFoundError,
            "The benchmark tool, or its folder, was not found.",
            "Push the tool again. A build for Linux started on Android says the same: take the "
            "one for Android.",
        ),
        (
            r"Node number \d+ \((?P<operator>Flex\w+)\) failed to prepare"
            r"|Encountered unresolved custom op: (?P<operator_>Flex\w+)",
            FlexOperatorError,
            "The model needs the Flex operator {operator}, which the tool lacks.",
            _CONVERT,
        ),
        (
            r"(?:Select TensorFlow op\(s\)|Regular TensorFlow ops).* not supported",
            FlexOperatorError,
            "The model needs Flex operators, which the tool lacks.",
            _CONVERT,
        ),
        (
            r"Didn't find op for builtin opcode '(?P<operator>[^']+)' version '(?P<version>\d+)'",
            UnsupportedOperatorError,
            "The tool lacks operator {operator} in version {version}: it is older than the model.",
            _OLD_TOOL,
        ),
        (
            r"(?:Encountered unresolved|Unsupported) custom op: (?P<operator>[\w.:]*\w)",
            UnsupportedOperatorError,
            "The tool lacks the custom operator {operator}.",
            "Replace the operator in the model, or link its kernel into the tool.",
        ),
        (
            r"Could not open '(?P<model>.*?)'",
            ModelNotFoundError,
            "The tool could not open {model}.",
            "Push the model, and check the path and the right to read it.",
        ),
        (
            r"The model is not a valid Flatbuffer|Model provided has model identifier"
            r"|No subgraph in the model|Mmap of .* failed",
            InvalidModelError,
            "The model file is damaged or no TFLite file.",
            _COPY,
        ),
        (
            r"Failed to (?:load|mmap) (?:the )?model",
            ModelNotFoundError,
            "The tool could not load the model.",
            _COPY,
        ),
        (
            r"Disallowed CPU fallback detected|.*requires? full delegation"
            r"|Requesting full delegation",
            DelegateError,
            "Full delegation was required, and the delegate did not take the whole model.",
            "Leave --require_full_delegation out, or measure with another delegate.",
        ),
        (
            r"(?:Failed to apply|Ignoring failed application of) the default TensorFlow Lite"
            r"|Failed to apply (?P<delegate>.+?) delegate",
            DelegateError,
            "The {delegate} delegate could not be applied to the model.",
            _DELEGATE,
        ),
        (
            r"Node number \d+ \((?P<delegate>\w*Delegate\w*|LITERT_\w+)\) failed to"
            r"|(?:Failed to create|No usable) .*(?:delegate kernel|Dispatch runtime)"
            r"|.*ModifyGraphWithDelegate is disallowed"
            r"|Restored (?:original|previous) execution plan after delegate",
            DelegateError,
            "A delegate failed on the model.",
            _DELEGATE,
        ),
        (
            _SIGNALLED + r"Killed\b|.*std::bad_alloc|.*Cannot allocate memory"
            r"|.*\bOut of memory\b",
            OutOfMemoryError,
            "The benchmark tool was killed or found no memory.",
            _MEMORY,
        ),
        (
            _SIGNALLED + r"Illegal instruction\b",
            WrongAbiError,
            "The benchmark tool uses instructions that this processor lacks.",
            _ABI,
        ),
        (
            _SIGNALLED + r"(?:Aborted|Segmentation fault|Bus error|Floating point exception"
            r"|Trace/breakpoint trap)\b|Fatal signal \d+",
            CrashedError,
            "The benchmark tool crashed.",
            _CRASH,
        ),
        (
            r".*[Ff]ailed to invoke|Failed to (?:allocate tensors|compile model"
            r"|initialize the interpreter|construct interpreter)",
            BenchmarkFailedError,
            "The benchmark tool could not run the model.",
            "Run the file on the host first (`tflite.profile`); a file that works there may need "
            "a newer tool.",
        ),
        (
            r"Benchmarking failed",
            BenchmarkFailedError,
            "The benchmark tool says that it failed, without a reason known here.",
            "The lines before this one hold the reason.",
        ),
    )
)

# With these a figure may have been printed all the same, and be worthless: the tool goes on timing
# when an inference fails, and tells only at the end.
_FATAL = re.compile(
    r"Benchmarking failed|.*[Ff]ailed to invoke|Fatal signal \d+|"
    + _SIGNALLED
    + r"(?:Killed|Aborted|Segmentation fault|Bus error|Illegal instruction"
    r"|Floating point exception|Trace/breakpoint trap)(?![.\w])",
    re.ASCII,
)

# Exit codes of shells, where the text says nothing: 126 and 127, and 128 + the signal's number.
_CODES = {
    126: (PermissionDeniedError, "The shell could not start the benchmark tool."),
    127: (ToolNotFoundError, "The shell did not find the benchmark tool."),
    132: (WrongAbiError, "The benchmark tool uses instructions that this processor lacks."),
    134: (CrashedError, "The benchmark tool aborted."),
    135: (CrashedError, "The benchmark tool crashed (bus error)."),
    137: (OutOfMemoryError, "The benchmark tool was killed."),
    139: (CrashedError, "The benchmark tool crashed (segmentation fault)."),
}
_CODE_REMEDIES = {
    PermissionDeniedError: "Push the tool again, `chmod 755` it, and check that it is for this "
    "processor.",
    ToolNotFoundError: "Push the tool again.",
    WrongAbiError: _ABI,
    CrashedError: _CRASH,
    OutOfMemoryError: _MEMORY,
}


def failed(lines):
    """Do the lines say that the run failed, whatever figures they hold?"""
    return any(_FATAL.match(line) for line in lines)


def cause(lines):
    """The error that the lines speak of.

    Args:
        lines: messages without the prefixes of loggers, a list of str.

    Returns:
        A `BenchmarkLogError` to be raised, None if no row of the table matches.
    """
    for pattern, error, what, remedy in _TABLE:
        for line in lines:
            match = pattern.match(line)
            if match:
                # A group of an alternative is called like the other one's, with "_" at the end.
                details = {
                    name.rstrip("_"): value for name, value in match.groupdict().items() if value
                }
                named = {"delegate": "default", **details}
                return error(what.format(**named), line, remedy, details)
    return None


def of_exit_code(code, last_lines):
    """The error of an exit code other than 0 that no line explains; `last_lines` is quoted."""
    error, what = _CODES.get(code, (BenchmarkFailedError, "The benchmark tool failed."))
    remedy = _CODE_REMEDIES.get(error, "The last lines may hold the reason.")
    return error(f"{what} Exit code {code}.", last_lines, remedy, {"code": str(code)})
