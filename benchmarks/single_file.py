"""Bytes and latency of one TFLite file with many widths against a file for each.

    python benchmarks/single_file.py [--size=224] [--overheads=0.01,0.02,0.03,0.05,inf]

MobileNetV2 with 1000 classes and random weights, points at uniform width multipliers, each with
its own BatchNormalization statistics. One thread; the same point of all files runs in turn, in
random order. Minima and medians of a point's runs are given as ratios to its own file's: on a busy
machine minima are the steadier. Loading is measured in a fresh process each, in seconds of CPU.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import time

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--size", type=int, default=224, help="pixels of the square input")
parser.add_argument("--points", type=int, default=6)
parser.add_argument("--min_width", type=float, default=0.42)
parser.add_argument("--divisor", type=int, default=8)
parser.add_argument("--overheads", default="0.01,0.02,0.03,0.05,inf")
parser.add_argument("--seconds", type=float, default=10.0, help="of timing, a point and file")
arguments = parser.parse_args()
for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
    os.environ[name] = "1"

import keras  # noqa: E402
import numpy as np  # noqa: E402
from tqdm import tqdm  # noqa: E402

import keras_joslim as kj  # noqa: E402
from keras_joslim.tflite.single_file.writer import convert_points, write_points  # noqa: E402

LOAD = """
import sys, time
from ai_edge_litert.interpreter import Interpreter
def resident():
    return next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith("VmRSS"))
# The delegate's own start is not the files'.
Interpreter(model_path=sys.argv[1], num_threads=1).allocate_tensors()
before, kept, start = resident(), [], time.process_time()
for path in sys.argv[2:]:
    kept.append(Interpreter(model_path=path, num_threads=1))
    kept[-1].allocate_tensors()
print(time.process_time() - start, (resident() - before) / 1024)
"""


def make_points():
    """Dict name -> stock model, by ascending width."""
    keras.utils.set_random_seed(0)
    model = keras.applications.MobileNetV2((arguments.size, arguments.size, 3), weights=None)
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if weight.path.endswith(("gamma", "moving_variance")):
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
        elif weight.path.endswith(("beta", "moving_mean")):
            weight.assign(rng.normal(0, 0.3, weight.shape))
    slim = kj.make_slimmable(model, arguments.min_width, divisor=arguments.divisor)
    models = {}
    for rank, multiplier in enumerate(np.linspace(arguments.min_width, 1, arguments.points)):
        point = kj.extract(slim, slim.width_space.uniform(multiplier))
        # As calibration would: every point has other statistics.
        for weight in point.weights:
            values = np.asarray(weight.value)
            if weight.path.endswith("moving_variance"):
                weight.assign(values * rng.uniform(0.8, 1.25, values.shape))
            elif weight.path.endswith("moving_mean"):
                weight.assign(values + rng.normal(0, 0.05, values.shape))
        models[f"p{rank:02d}"] = point
    return models


def runner(path, signature=None):
    """One inference by a signature as a function without arguments."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=1)
    run = interpreter.get_signature_runner(signature)
    ((name, details),) = run.get_input_details().items()
    image = np.random.default_rng(0).uniform(-1, 1, details["shape"]).astype(np.float32)
    return lambda: (interpreter, run(**{name: image}))


def times(runs):
    """Dict of functions -> dict of seconds, run in turn in random order."""
    rng, keys = np.random.default_rng(0), list(runs)
    seconds = {key: [] for key in keys}
    deadline = time.monotonic() + arguments.seconds * len(keys)
    for run in runs.values():
        run()
    while time.monotonic() < deadline or not all(seconds.values()):
        for i in rng.permutation(len(keys)):
            # The first run finds the caches full of another file's kernels.
            runs[keys[i]]()
            start = time.perf_counter()
            runs[keys[i]]()
            seconds[keys[i]].append(time.perf_counter() - start)
    return seconds


def loading(*paths):
    """Seconds of CPU and MiB by which the process grows."""
    command = [sys.executable, "-c", LOAD, paths[0], *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    return [float(value) for value in done.stdout.split()]


def main():
    models = make_points()
    shape = (2, arguments.size, arguments.size, 3)
    images = np.random.default_rng(1).uniform(-1, 1, shape).astype(np.float32)
    bar = tqdm(total=len(models), desc="converting")
    points = convert_points(models, images, None, lambda *_: bar.update())
    bar.close()
    largest = max(point.own_bytes for point in points)
    with tempfile.TemporaryDirectory() as directory:
        directory = pathlib.Path(directory)
        own = {}
        for point in points:
            own[point.name] = directory / f"{point.name}.tflite"
            own[point.name].write_bytes(point.data)
        reports = {}
        for overhead in arguments.overheads.split(","):
            path = directory / f"one_{overhead}.tflite"
            reports[overhead] = write_points(points, path, float(overhead))
        measured = {}
        for point in tqdm(points, "timing"):
            runs = {"own": runner(own[point.name])}
            runs |= {key: runner(r.path, point.name) for key, r in reports.items()}
            measured[point.name] = times(runs)
        report(points, largest, own, reports, measured)


def report(points, largest, own, reports, measured):
    load = os.getloadavg()[0]
    print(
        f"\nMobileNetV2, {arguments.size} px, {len(points)} points at width multipliers "
        f"{arguments.min_width} to 1, divisor {arguments.divisor}, one thread; "
        f"load average {load:.1f} on {os.cpu_count()} cores.\n"
    )
    print("| files | bytes | of the largest point's file | beyond kernels and vectors | "
          "seconds of CPU to load | MiB loaded |\n|---|---|---|---|---|---|")  # fmt: skip
    total = sum(point.own_bytes for point in points)
    seconds, mib = loading(*own.values())
    ratio = total / largest
    print(f"| a file for each point | {total:,} | {ratio:.3f} | | {seconds:.2f} | {mib:.0f} |")
    for overhead, one in reports.items():
        seconds, mib = loading(one.path)
        print(
            f"| one file, overhead={overhead} | {one.bytes:,} | {one.bytes / largest:.3f} | "
            f"{100 * one.overhead:.2f} % | {seconds:.2f} | {mib:.0f} |"
        )
    first = next(iter(reports.values()))
    print(
        f"\nKernels {first.kernels:,} bytes, vectors {first.vectors:,} bytes. Largest difference "
        f"from Keras, of the largest output: "
        f"{max(p.difference.max_relative for r in reports.values() for p in r.points):.1e}.\n"
    )
    print(
        "| point | own file, ms (min, median) | "
        + " | ".join(f"overhead={k}" for k in reports)
        + " |"
    )
    print("|---" * (2 + len(reports)) + "|")
    for point in points:
        values = measured[point.name]
        base = min(values["own"]), np.median(values["own"])
        ratios = [
            f"{min(values[key]) / base[0]:.2f}, {np.median(values[key]) / base[1]:.2f}"
            for key in reports
        ]
        print(f"| {point.name} | {1e3 * base[0]:.2f}, {1e3 * base[1]:.2f} | {' | '.join(ratios)} |")
    means = []
    for key in reports:
        minima = [min(v[key]) / min(v["own"]) for v in measured.values()]
        medians = [np.median(v[key]) / np.median(v["own"]) for v in measured.values()]
        means.append(" , ".join(f"{np.exp(np.log(r).mean()):.2f}" for r in (minima, medians)))
    print(f"| mean | | {' | '.join(means)} |".replace(" , ", ", "))
    runs = [len(values["own"]) for values in measured.values()]
    print(
        f"\nRatios to the point's own file (of minima, of medians); {min(runs)} to {max(runs)} "
        "runs a cell."
    )


if __name__ == "__main__":
    main()
