"""Stand-ins for the TFLite benchmark tool: executables as the phone's ABI check wants them."""

import platform
import shlex
import struct
import sys

import pytest

from tests.tflite import benchmark_stand_in
from tests.tflite.phone_programs import PIXEL

# A phone of this machine's processor: Chromebooks and emulators are.
PHONE = PIXEL.replace("arm64-v8a,armeabi-v7a,armeabi", "x86_64,x86").replace(
    "Thermal Status: 1", "Thermal Status: 0"
)

needs_x86 = pytest.mark.skipif(
    platform.machine() != "x86_64" or sys.platform != "linux",
    reason="the stand-in for the benchmark tool is a program for Linux on x86-64",
)

# Prints as a nightly of 2025. Latency in microseconds: the first line of $PHONE/latencies, which
# is used up, or the size of the model. What stands in $PHONE/fault comes before the result.
_SCRIPT = """\
#!/bin/sh
for argument; do case "$argument" in --graph=*) graph="${argument#--graph=}";; esac; done
echo "$*" >> "$PHONE/runs"
echo "INFO: STARTING!"
echo "INFO: Graph: [$graph]"
if [ ! -f "$graph" ]; then
  echo "ERROR: Could not open '$graph'."; echo "ERROR: Benchmarking failed."; exit 1
fi
echo "INFO: Loaded model $graph"
replaced=9
if [ -f "$PHONE/fault" ]; then . "$PHONE/fault"; fi
echo "INFO: Created TensorFlow Lite XNNPACK delegate for CPU."
case "$replaced" in 0) ;; *)
  echo "VERBOSE: Replacing $replaced out of 9 node(s) with delegate (TfLiteXNNPackDelegate) node, \\
yielding 1 partitions for subgraph 0.";;
esac
us=$(wc -c < "$graph")
if [ -s "$PHONE/latencies" ]; then
  us=$(head -n 1 "$PHONE/latencies"); sed -i 1d "$PHONE/latencies"
fi
echo "INFO: Initialized session in 1.5ms."
echo "INFO: Running benchmark for at least 1 iterations and at least 0.5 seconds."
echo "INFO: count=1 curr=$us p5=$us median=$us p95=$us"
echo
echo "INFO: Running benchmark for at least 50 iterations and at least 1 seconds."
echo "INFO: count=50 first=$us curr=$us min=$us max=$us avg=$us std=0 p5=$us median=$us p95=$us"
echo
echo "INFO: Inference timings in us: Init: 1500, First inference: $us, Warmup (avg): $us, \\
Inference (avg): $us"
echo "INFO: Memory footprint delta from the start of the tool (MB): init=1 overall=2"
case "$*" in *report_peak*)
  echo "INFO: Overall peak memory footprint (MB) via periodic monitoring: 7.5";;
esac
"""


def elf(machine=62, bits=64, interpreter=None, code=b""):
    """An executable with one segment, the whole file, at 0x400000, entered behind the headers."""
    names = b"" if interpreter is None else interpreter.encode() + b"\0"
    head, row = (64, 56) if bits == 64 else (52, 32)
    rows = 1 + bool(names)
    begin = head + rows * row
    size = begin + len(names) + len(code)
    base = 0x400000
    entry = base + begin + len(names)
    ident = b"\x7fELF" + bytes([2 if bits == 64 else 1, 1, 1]) + bytes(9)
    if bits == 64:
        start = struct.pack(
            "<HHIQQQIHHHHHH", 2, machine, 1, entry, head, 0, 0, 64, 56, rows, 0, 0, 0
        )
        load = struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, size, size, 0x1000)
        named = struct.pack(
            "<IIQQQQQQ", 3, 4, begin, base + begin, base + begin, len(names), len(names), 1
        )
    else:
        start = struct.pack(
            "<HHIIIIIHHHHHH", 2, machine, 1, entry, head, 0, 0, 52, 32, rows, 0, 0, 0
        )
        load = struct.pack("<IIIIIIII", 1, 0, base, base, size, size, 5, 0x1000)
        named = struct.pack(
            "<IIIIIIII", 3, begin, base + begin, base + begin, len(names), len(names), 4, 1
        )
    return ident + start + (named if names else b"") + load + names + code


def elf_running(program):
    """An executable for Linux on x86-64 that becomes another program, with the same arguments."""
    path = str(program).encode() + b"\0"
    code = (
        b"\x48\x8d\x3d\x22\x00\x00\x00"  # lea rdi, [rip + 0x22]: the path, behind the code
        b"\x48\x8d\x74\x24\x08"  # lea rsi, [rsp + 8]: argv
        b"\x48\x8b\x04\x24"  # mov rax, [rsp]: argc
        b"\x48\x8d\x54\xc4\x10"  # lea rdx, [rsp + rax * 8 + 16]: envp
        b"\xb8\x3b\x00\x00\x00\x0f\x05"  # mov eax, 59; syscall: execve
        b"\xbf\x7f\x00\x00\x00"  # mov edi, 127
        b"\xb8\x3c\x00\x00\x00\x0f\x05"  # mov eax, 60; syscall: exit
    )
    return elf(code=code + b"\x90" + path)


def write_tool(folder, script=_SCRIPT):
    """Writes the tool that prints made-up figures; its path."""
    program = folder / "stand_in.sh"
    program.write_text(script)
    program.chmod(0o755)
    return _written(folder, program)


def write_real_tool(folder):
    """Writes a tool that really runs the model, in LiteRT's interpreter; its path."""
    script = benchmark_stand_in.__file__
    program = folder / "real_stand_in.sh"
    program.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, "-P", script])} "$@"\n')
    program.chmod(0o755)
    return _written(folder, program)


def _written(folder, program):
    tool = folder / "benchmark_model"
    tool.write_bytes(elf_running(program))
    tool.chmod(0o755)
    return tool


def write_model(path, size):
    """A file that passes for a TFLite file, of so many bytes; its path."""
    path.write_bytes(b"\0\0\0\0TFL3" + bytes(size - 8))
    return path


def runs(phone):
    """The arguments of each run of the tool on a loopback phone: a list of lists of str."""
    path = phone.path("/runs")
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def install_app(phone):
    """Gives a loopback phone the programs that the benchmark app is installed, started and read by.

    The app runs what `write_tool` runs; its lines go to the phone's log.
    """
    program = phone.programs / "benchmark_app"
    program.write_text(_SCRIPT)
    program.chmod(0o755)
    phone.path("/log").write_text("08-21 09:14:01.000  1  1 E tflite  : of an earlier run\n")
    phone.program("log", 'echo "08-21 09:14:02.000  99 99 I $2: $3" >> "$PHONE/log"')
    phone.program("logcat", 'echo "$*" >> "$PHONE/logcats"; cat "$PHONE/log"')
    phone.program("pidof", '[ -f "$PHONE/running" ]')
    phone.program(
        "pm",
        """\
echo "$*" >> "$PHONE/pms"
case "$1" in
  path) [ -f "$PHONE/app" ] && echo "package:$PHONE/app";;
  install) for apk; do :; done; cp "$apk" "$PHONE/app" && echo Success;;
  uninstall) rm "$PHONE/app" && echo Success;;
esac""",
    )
    phone.program(
        "run_app",
        """\
{ benchmark_app $1 2>&1 || rm -f "$PHONE/running"; } \\
  | sed -u 's/^/08-21 09:14:03.000  612  613 I tflite  : /' >> "$PHONE/log"
""",
    )
    phone.program(
        "am",
        """\
rm -f "$PHONE/running"
[ -f "$PHONE/app_pid" ] && kill -s KILL -- "-$(cat "$PHONE/app_pid")" 2> /dev/null
if [ "$1" = force-stop ]; then echo "$2" >> "$PHONE/stopped"; exit; fi
echo "Stopping: org.tensorflow.lite.benchmark"
[ -f "$PHONE/app" ] || { echo "Error: Activity class does not exist."; exit; }
echo "Starting: Intent { cmp=$4 (has extras) }"
touch "$PHONE/running"
setsid run_app "$7" > /dev/null 2>&1 < /dev/null &
echo $! > "$PHONE/app_pid"
""",
    )
