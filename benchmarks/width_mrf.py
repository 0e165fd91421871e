"""Seconds of the width MRF's answers, and its budgeted answer beside CP-SAT's optimum.

    OMP_NUM_THREADS=1 python benchmarks/width_mrf.py [--widths=12] [--cp_sat=20 --seconds=60]

Networks of `keras.applications` (224 px) with the tables of `costs.MACs`, 12 legal widths a group,
random scores that fall with the width. Seconds of the one thread, so that a busy machine does not
count, the minimum of five calls each: making the field, the
minimum at a fixed gamma, the best widths within 40 % of the full MACs (bisection, then moves), one
joint draw, all marginals; `gap` is score less Lagrangian bound, in parts of the score range, the
most that the answer can be from the optimum.

`--cp_sat=N`: N instances on MobileNetV2's groups and layers, each with tables and scores drawn anew
and a budget of 20 to 70 % of the full cost, solved by OR-tools' CP-SAT too, in `--seconds` each.
"""

import argparse
import os
import time

os.environ["CUDA_VISIBLE_DEVICES"] = ""

import keras
import numpy as np

import keras_joslim as kj

NETWORKS = ("MobileNet", "MobileNetV2", "MobileNetV3Large", "ResNet50", "DenseNet121")


def space_and_factors(name, choices):
    """The thinned width space of a network, and its MACs as factors."""
    model = getattr(keras.applications, name)((224, 224, 3), weights=None)
    # DenseNet's concatenations: multiples of 8, or its sums would take very many values.
    slim = kj.make_slimmable(model, 0.25, divisor=8 if name.startswith("Dense") else 1)
    space = kj.search.thinned(slim.width_space, choices)
    return space, kj.costs.MACs(slim).factors(space.legal)


def drawn_scores(space, rng):
    """Scores that fall with the width at a drawn rate, and some noise."""
    multipliers = [legal / legal[-1] for legal in space.legal]
    return [
        rng.gamma(1.0) * np.exp(-rng.uniform(1, 6) * m) + rng.normal(scale=0.02, size=len(m))
        for m in multipliers
    ]


def drawn_instance(space, factors, seed):
    """Factors such as measured latencies would be, scores and a budget.

    Returns:
        `(factors, scores, budget)`: each table times a drawn speed of its layer and, entry by
        entry, 10 % of noise.
    """
    rng = np.random.default_rng(seed)
    factors = [
        kj.costs.Factor(
            factor.groups,
            factor.table * rng.gamma(2.0) * np.exp(0.1 * rng.normal(size=factor.table.shape)),
        )
        for factor in factors
    ]
    scores = drawn_scores(space, rng)
    full = kj.search.WidthMRF(space, factors).cost(space.full)
    return factors, scores, rng.uniform(0.2, 0.7) * full


def seconds(function, repeats=5, clock=time.thread_time):
    """The minimum over some calls, and the last result."""
    times = []
    for _ in range(repeats):
        start = clock()
        result = function()
        times.append(clock() - start)
    return min(times), result


def time_networks(names, choices):
    """Prints the table of times."""
    print(
        "| network | groups | make, s | minimum, s | within budget, s | draw, s | marginals, s | "
        "gap | MiB |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|"
    )
    for name in names:
        space, factors = space_and_factors(name, choices)
        scores, rng = drawn_scores(space, np.random.default_rng(0)), np.random.default_rng(1)
        made, field = seconds(lambda s=space, f=factors: kj.search.WidthMRF(s, f))
        full = field.cost(space.full)
        spread = sum(np.ptp(values) for values in scores)
        gamma = spread / full
        calls = (
            lambda m=field, s=scores, g=gamma: m.minimum(s, g),
            lambda m=field, s=scores, b=0.4 * full: m.within(s, b),
            lambda m=field, s=scores, g=gamma, r=rng: m.sample(s, g, 0.1, 1, r),
            lambda m=field, s=scores, g=gamma: m.marginals(s, g, 0.1),
        )
        times, results = zip(*map(seconds, calls), strict=True)
        gap = (results[1].score - results[1].bound) / spread
        cells = " | ".join(f"{t:.4f}" for t in (made, *times))
        print(
            f"| {name} | {len(space)} | {cells} | {100 * gap:.4f} % | {field.memory / 2**20:.1f} |",
            flush=True,
        )


def compare(instances, limit, choices):
    """Prints each instance beside CP-SAT's answer, and the medians."""
    import cp_sat

    space, factors = space_and_factors("MobileNetV2", choices)
    gaps, proved_gaps = [], []
    print("\n| instance | score less CP-SAT's | proved | bound's gap | s | CP-SAT s |")
    print("|---|--:|---|--:|--:|--:|")
    for seed in range(instances):
        drawn, scores, budget = drawn_instance(space, factors, seed)
        field = kj.search.WidthMRF(space, drawn)
        spread = sum(np.ptp(values) for values in scores)
        mine, found = seconds(lambda m=field, s=scores, b=budget: m.within(s, b), 1)
        theirs, (widths, proved) = seconds(
            lambda f=drawn, s=scores, b=budget: cp_sat.solve(space, f, s, budget=b, seconds=limit),
            1,
            time.perf_counter,
        )
        gaps.append((found.score - field.score(scores, widths)) / spread)
        if proved:
            proved_gaps.append(gaps[-1])
        dual = (found.score - found.bound) / spread
        print(
            f"| {seed} | {100 * gaps[-1]:.4f} % | {proved} | {100 * dual:.4f} % | {mine:.3f} | "
            f"{theirs:.1f} |",
            flush=True,
        )
    print(
        f"\nIn parts of the score range, all {len(gaps)}: median {100 * np.median(gaps):.4f} %, "
        f"largest {100 * max(gaps):.4f} %"
    )
    if proved_gaps:
        print(
            f"where CP-SAT proved its optimum, {len(proved_gaps)}: median "
            f"{100 * np.median(proved_gaps):.4f} %, largest {100 * max(proved_gaps):.4f} %"
        )


def main():
    """Parses the command line and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--widths", type=int, default=12, help="legal widths a group at most")
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--cp_sat", type=int, default=0, help="instances to solve by CP-SAT too")
    parser.add_argument("--seconds", type=float, default=60.0, help="CP-SAT's time limit")
    arguments = parser.parse_args()
    print(
        f"OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS')}, {os.cpu_count()} CPUs, load "
        f"{os.getloadavg()[0]:.1f}, numpy {np.__version__}"
    )
    if arguments.networks:
        time_networks(arguments.networks.split(","), arguments.widths)
    if arguments.cp_sat:
        compare(arguments.cp_sat, arguments.seconds, arguments.widths)


if __name__ == "__main__":
    main()
