"""The TFLite benchmark tool (`benchmark_model`): its command line, and what it is built for.

Flags as documented in tensorflow/lite/tools/benchmark/README.md of TensorFlow. The tool is
downloaded, or built, by the user: https://ai.google.dev/edge/litert/models/measurement.
"""

import dataclasses
import hashlib
import pathlib
import platform
import re
import struct
import typing
import zipfile

from keras_joslim.tflite.benchmark_log.errors import ToolNotFoundError, WrongAbiError

DELEGATES = {
    "xnnpack": ("--use_xnnpack=true",),
    "gpu": ("--use_gpu=true",),
    "nnapi": ("--use_nnapi=true",),
    # Left out, the flag stands for the runtime's default, which is XNNPACK.
    "none": ("--use_xnnpack=false",),
}
# What is measured by a run of its own, since it slows the inferences down.
EXTRAS = {
    "memory": ("--report_peak_memory_footprint=true",),
    "operators": ("--enable_op_profiling=true", "--op_profiling_output_mode=csv"),
}
PAGE = "https://ai.google.dev/edge/litert/models/measurement"

# ABI as Android calls it -> (e_machine, bits) of its ELF files, and its prebuilt tools' names.
_MACHINES = {
    "arm64-v8a": (183, 64),
    "armeabi-v7a": (40, 32),
    "x86_64": (62, 64),
    "x86": (3, 32),
    "riscv64": (243, 64),
}
_ANDROID = {"arm64-v8a": "android_aarch64", "armeabi-v7a": "android_arm"}
_LINUX = {"arm64-v8a": "linux_aarch64", "armeabi-v7a": "linux_arm", "x86_64": "linux_x86-64"}
_HOSTS = {
    "x86_64": "x86_64",
    "amd64": "x86_64",
    "aarch64": "arm64-v8a",
    "arm64": "arm64-v8a",
    "armv7l": "armeabi-v7a",
    "i686": "x86",
    "riscv64": "riscv64",
}
_INTERPRETER = 3


@dataclasses.dataclass(frozen=True)
class BenchmarkSettings:
    """How the tool is to run a model; two latencies compare only if these are equal.

    Attributes:
        num_threads: threads of the CPU kernels.
        delegate: "xnnpack", "gpu", "nnapi" or "none".
        runs: timed inferences, at least.
        min_seconds: timed seconds, at least.
        warmup: untimed inferences before them, at least; the tool warms up for 0.5 s in any case.

    Raises:
        ValueError: an impossible number, an unknown delegate.
    """

    num_threads: int = 4
    delegate: str = "xnnpack"
    runs: int = 50
    min_seconds: float = 1.0
    warmup: int = 1

    def __post_init__(self):
        if self.delegate not in DELEGATES:
            raise ValueError(
                f"Expected a delegate out of {list(DELEGATES)}. Received: delegate="
                f"{self.delegate!r}"
            )
        for key, least in (("num_threads", 1), ("runs", 1), ("warmup", 0)):
            value = getattr(self, key)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ValueError(f"Expected an int of at least {least}. Received: {key}={value!r}")
        # The tool stops by itself after 150 s.
        if not 0 <= self.min_seconds <= 150:
            raise ValueError(
                f"Expected 0 to 150 seconds. Received: min_seconds={self.min_seconds!r}"
            )
        # 1 and 1.0 are the same settings.
        object.__setattr__(self, "min_seconds", float(self.min_seconds))

    def flags(self, graph, extra=None):
        """The tool's arguments.

        Args:
            graph: path of the model where the tool runs.
            extra: None for latency, or a key of `EXTRAS`.

        Returns:
            A list of str.

        Example:

        >>> BenchmarkSettings(num_threads=2, delegate="gpu").flags("/data/local/tmp/a.tflite")[:2]
        ['--graph=/data/local/tmp/a.tflite', '--num_threads=2']
        """
        return [
            f"--graph={graph}",
            f"--num_threads={self.num_threads}",
            f"--num_runs={self.runs}",
            f"--min_secs={self.min_seconds:g}",
            f"--warmup_runs={self.warmup}",
            *DELEGATES[self.delegate],
            *(EXTRAS[extra] if extra else ()),
        ]


class Elf(typing.NamedTuple):
    """What an executable is for: `abi` ("arm64-v8a"; None if unknown), and its dynamic linker."""

    abi: str | None
    machine: int
    bits: int
    interpreter: str | None

    def __str__(self):
        known = self.abi or f"a processor of ELF machine {self.machine}, {self.bits} bits"
        return f"{known} ({self.system})" if self.system else known

    @property
    def system(self):
        """ "Android" or "Linux"; "" for a static executable, which does not tell."""
        if self.interpreter is None:
            return ""
        return "Android" if self.interpreter.startswith("/system/") else "Linux"


def read_elf(path):
    """The `Elf` of an executable; None if the file is none."""
    data = pathlib.Path(path).read_bytes()
    # 32 or 64 bits, little-endian as all of Android is.
    if data[:4] != b"\x7fELF" or data[4:6] not in (b"\1\1", b"\2\1") or len(data) < 64:
        return None
    bits, word = (64, "<Q") if data[4] == 2 else (32, "<I")
    machine = struct.unpack_from("<H", data, 18)[0]
    table = struct.unpack_from(word, data, 32 if bits == 64 else 28)[0]
    size, count = struct.unpack_from("<2H", data, 54 if bits == 64 else 42)
    interpreter = None
    for row in range(table, table + count * size, max(size, 1)):
        # Type, and further on the place and length of the dynamic linker's path.
        if len(data) < row + 56:
            break
        if struct.unpack_from("<I", data, row)[0] == _INTERPRETER:
            begin = struct.unpack_from(word, data, row + (8 if bits == 64 else 4))[0]
            length = struct.unpack_from(word, data, row + (32 if bits == 64 else 16))[0]
            name = data[begin : begin + length].split(b"\0")[0]
            interpreter = name.decode(errors="replace")
    abi = next((abi for abi, kind in _MACHINES.items() if kind == (machine, bits)), None)
    return Elf(abi, machine, bits, interpreter)


def check_for_phone(path, abis):
    """Checks that a phone can run this build of the tool.

    Args:
        path: of the tool.
        abis: of the phone, the preferred first, as `PhoneFacts.abis`; None if it did not tell.

    Returns:
        A warning, "" if there is none.

    Raises:
        WrongAbiError: it is for another processor or system, or no executable; says which the
            phone has and what to download.
        ToolNotFoundError: there is no such file.
    """
    elf = _executable(path, "for route='binary'", lambda: _get(_ANDROID, abis))
    there = f"the phone runs {', '.join(abis)}" if abis else "the phone runs Android"
    if elf.system == "Linux" or (abis and elf.abi not in abis):
        raise WrongAbiError(
            f"{path} was built for {elf}; {there}.",
            remedy=_get(_ANDROID, abis),
            details={"built_for": str(elf), "device": ", ".join(abis or ())},
        )
    if abis and elf.bits == 32 and "64" in abis[0]:
        return (
            f"The tool is a build of 32 bits ({elf.abi}), the phone's apps run {abis[0]}: "
            "latencies of such apps are lower."
        )
    return ""


def check_for_host(path):
    """Checks that this machine can run this build of the tool; raises as `check_for_phone`."""
    machine = platform.machine().lower()
    abi = _HOSTS.get(machine)
    remedy = _get(_LINUX, [abi] if abi else None)
    elf = _executable(path, "on Linux", lambda: remedy)
    fits = {"x86_64": ("x86_64", "x86")}.get(abi, (abi,))
    if elf.system == "Android" or (abi and elf.abi not in fits):
        raise WrongAbiError(
            f"{path} was built for {elf}; this machine is {machine} (Linux).",
            remedy=remedy,
            details={"built_for": str(elf), "device": machine},
        )


def check_apk(path, abis):
    """Checks that a phone can run the benchmark app; raises as `check_for_phone`."""
    _existing(path)
    try:
        with zipfile.ZipFile(path) as file:
            names = file.namelist()
    except (zipfile.BadZipFile, OSError):
        names = []
    if "AndroidManifest.xml" not in names:
        raise WrongAbiError(
            f"{path} is no Android app (APK).",
            remedy=f"Download android_aarch64_benchmark_model.apk from {PAGE}, or measure with the "
            "tool itself by route='binary'.",
        )
    built = sorted({match[1] for name in names if (match := re.match(r"lib/([^/]+)/", name))})
    if built and abis and not set(built) & set(abis):
        raise WrongAbiError(
            f"{path} was built for {', '.join(built)}; the phone runs {', '.join(abis)}.",
            remedy=_get(_ANDROID, abis, ".apk"),
            details={"built_for": ", ".join(built), "device": ", ".join(abis)},
        )


def file_sha256(path):
    """The sha256 of a file, as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _executable(path, where, remedy):
    _existing(path)
    elf = read_elf(path)
    if elf is None:
        raise WrongAbiError(
            f"{path} is no executable (ELF file) as the benchmark tool is {where}.",
            remedy=f"{remedy()} An APK is measured with by route='apk'.",
        )
    return elf


def _existing(path):
    if not pathlib.Path(path).is_file():
        raise ToolNotFoundError(
            f"There is no benchmark tool at {path}.", remedy=f"Download it from {PAGE}."
        )


def _get(names, abis, suffix=""):
    """What to download for a device of these ABIs."""
    name = next((names[abi] for abi in abis or () if abi in names), None)
    if name:
        return f"Download {name}_benchmark_model{suffix} from {PAGE}."
    if abis:
        return f"Build the tool for {abis[0]}: for that none is offered at {PAGE}."
    return f"Download the build for the device's processor from {PAGE}."
