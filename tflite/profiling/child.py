"""Times TFLite files in this process, one after the other, and prints a line of JSON for each.

Run by path, as `python child.py '{"paths": [...], ...}'`, never imported: it loads numpy and the
LiteRT interpreter and nothing else, so it starts fast and the memory of a single file is its own.
"""

import json
import os
import sys
import time


def _memory(field):
    """A line of this process's memory figures, in bytes; None where there is no /proc."""
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:
            for line in file:
                if line.startswith(field + ":"):
                    return int(line.split()[1]) * 1024
    except OSError:
        return None
    return None


def _reset_peak():
    """Sets the peak to what is resident now: importing has left a higher one."""
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
    except OSError:
        # Not allowed everywhere. The difference is then a lower bound.
        return


def _inputs(details, seed):
    """One input of random numbers in [0, 1) per tensor; zeros for integers."""
    import numpy as np

    rng = np.random.default_rng(seed)
    for detail in details:
        value = np.zeros(detail["shape"], detail["dtype"])
        if np.issubdtype(value.dtype, np.floating):
            value = rng.random(value.shape).astype(value.dtype)
        yield detail["index"], value


def _measure(path, spec):
    from ai_edge_litert import interpreter as litert

    resolver = litert.OpResolverType.AUTO
    if not spec["xnnpack"]:
        resolver = litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    _reset_peak()
    before = _memory("VmHWM")
    interpreter = litert.Interpreter(
        model_path=path,
        num_threads=spec["threads"],
        experimental_op_resolver_type=resolver,
    )
    interpreter.allocate_tensors()
    for index, value in _inputs(interpreter.get_input_details(), spec["seed"]):
        interpreter.set_tensor(index, value)
    _loop(interpreter.invoke, spec["warmup"], spec["warmup_seconds"])
    times = _loop(interpreter.invoke, spec["runs"], spec["min_seconds"])
    after = _memory("VmHWM")
    # Of files after the first the memory is not their own: what those before gave back counts in
    # it, and the difference may be below zero.
    known = len(spec["paths"]) == 1 and before is not None and after is not None
    return {"times_ns": times, "peak_memory": after - before if known else None}


def _loop(invoke, runs, seconds):
    """Nanoseconds of each call: at least `runs` of them and at least so many seconds."""
    times = []
    start = now = time.perf_counter_ns()
    while len(times) < runs or now - start < seconds * 1e9:
        begin = time.perf_counter_ns()
        invoke()
        now = time.perf_counter_ns()
        times.append(now - begin)
    return times


def main():
    """Measures what the first argument says and prints the results."""
    # Native code prints to descriptor 1 as it likes; the result gets one of its own.
    result = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    spec = json.loads(sys.argv[1])
    for path in spec["paths"]:
        measured = _measure(path, spec)
        result.write(json.dumps({"keras_joslim_profile": 1, **measured}) + "\n")
    result.close()


if __name__ == "__main__":
    main()
