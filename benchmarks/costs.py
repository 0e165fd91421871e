"""Seconds for the costs of many width vectors, and for making each cost.

    python benchmarks/costs.py [--vectors=10000]

MobileNetV2 at 224 px with 25 channel groups; the minimum of five evaluations each. Making
`Memory` exports a few sub-networks; the other costs read the graph.
"""

import argparse
import os
import time

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--vectors", type=int, default=10_000)
parser.add_argument("--size", type=int, default=224, help="pixels of the square input")
parser.add_argument("--threads", type=int, default=2)
arguments = parser.parse_args()
for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
    os.environ[name] = str(arguments.threads)

import keras  # noqa: E402
import numpy as np  # noqa: E402

import keras_joslim as kj  # noqa: E402


def seconds(function, repeats=5):
    """The minimum over some calls, and the last result."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = function()
        times.append(time.perf_counter() - start)
    return min(times), result


def main():
    shape = (arguments.size, arguments.size, 3)
    model = keras.applications.MobileNetV2(shape, weights=None)
    made, slim = seconds(lambda: kj.make_slimmable(model, min_width=0.25), repeats=3)
    print(f"make_slimmable: {made:.2f} s, {len(slim.width_space)} groups")
    widths = slim.width_space.sample(np.random.default_rng(0), arguments.vectors)
    print(f"\n| cost | made in, s | {arguments.vectors:,} vectors, s |\n|---|---|---|")
    total = 0.0
    for kind in (kj.costs.MACs, kj.costs.Parameters, kj.costs.Memory):
        making, cost = seconds(lambda kind=kind: kind(slim), repeats=1)
        one, _ = seconds(lambda cost=cost: cost(widths))
        total += one
        print(f"| {kind.__name__} | {making:.2f} | {one:.4f} |")
    print(f"| all | | {total:.4f} |")


if __name__ == "__main__":
    main()
