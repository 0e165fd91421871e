"""Runs a TFLite file as the TFLite benchmark tool does, and prints what it would have printed.

Started by path, as `python benchmark_stand_in.py --graph=... --num_runs=...`.
"""

import resource
import statistics
import sys
import time


def main(arguments):
    flags = dict(argument.removeprefix("--").split("=", 1) for argument in arguments)
    path, threads = flags["graph"], int(flags["num_threads"])
    print("INFO: STARTING!")
    print(f"INFO: Num threads: [{threads}]")
    print(f"INFO: Graph: [{path}]")
    from ai_edge_litert import interpreter as litert

    resolver = litert.OpResolverType.BUILTIN
    if flags.get("use_xnnpack") == "false":
        resolver = litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    before = peak()
    started = time.perf_counter_ns()
    interpreter = litert.Interpreter(
        model_path=path, num_threads=threads, experimental_op_resolver_type=resolver
    )
    interpreter.allocate_tensors()
    # Whole microseconds, as the tool counts.
    init = (time.perf_counter_ns() - started) // 1000
    print(f"INFO: Loaded model {path}")
    if resolver == litert.OpResolverType.BUILTIN:
        print("INFO: Created TensorFlow Lite XNNPACK delegate for CPU.")
        # The interpreter does not tell how many nodes were replaced; its operators do.
        names = [operator["op_name"] for operator in interpreter._get_ops_details()]
        nodes = len(names) - names.count("DELEGATE")
        print(
            f"VERBOSE: Replacing {nodes} out of {nodes} node(s) with delegate "
            "(TfLiteXNNPackDelegate) node, yielding 1 partitions for subgraph 0."
        )
    loaded = peak()
    print(f"INFO: Initialized session in {init / 1e3:g}ms.")
    print(f"INFO: Running benchmark for at least {flags['warmup_runs']} iterations")
    warm = times(interpreter, max(1, int(flags["warmup_runs"])), 0)
    print(f"INFO: {statistics_of(warm)}\n")
    print(f"INFO: Running benchmark for at least {flags['num_runs']} iterations")
    timed = times(interpreter, int(flags["num_runs"]), float(flags["min_secs"]))
    print(f"INFO: {statistics_of(timed)}\n")
    print(
        f"INFO: Inference timings in us: Init: {init}, First inference: {warm[0]:.0f}, "
        f"Warmup (avg): {statistics.fmean(warm):g}, Inference (avg): {statistics.fmean(timed):g}"
    )
    print(
        "INFO: Memory footprint delta from the start of the tool (MB): "
        f"init={loaded - before:g} overall={peak() - before:g}"
    )
    if flags.get("report_peak_memory_footprint") == "true":
        print(f"INFO: Overall peak memory footprint (MB) via periodic monitoring: {peak():g}")


def times(interpreter, runs, seconds):
    """Microseconds of each inference."""
    taken, end = [], time.perf_counter() + seconds
    while len(taken) < runs or time.perf_counter() < end:
        start = time.perf_counter_ns()
        interpreter.invoke()
        taken.append(max(1, (time.perf_counter_ns() - start) // 1000))
    return taken


def statistics_of(taken):
    ordered = sorted(taken)
    at = {share: ordered[round(share * (len(ordered) - 1))] for share in (0.05, 0.5, 0.95)}
    if len(taken) == 1:
        shares = f"p5={at[0.05]} median={at[0.5]} p95={at[0.95]}"
        return f"count=1 curr={taken[0]} {shares}"
    return (
        f"count={len(taken)} first={taken[0]} curr={taken[-1]} min={ordered[0]} max={ordered[-1]} "
        f"avg={statistics.fmean(taken):g} std={statistics.pstdev(taken):.0f} "
        f"p5={at[0.05]} median={at[0.5]} p95={at[0.95]}"
    )


def peak():
    """Resident memory at its highest, in the tool's megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main(sys.argv[1:])
