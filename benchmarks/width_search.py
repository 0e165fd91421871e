"""Seconds for one new width vector, beside scikit-learn's Gaussian process, in one run.

    python benchmarks/width_search.py [--threads=1] [--repeats=5]

The problem: 25 channel groups of 16 to 320 channels, divisor 1, width multipliers from 0.42; the
loss a sum of exponentials, the cost a sum of products of neighbouring widths. For a history of
100, 300 and 1000 told entries:

* *ask, fit*: `JoslimSearch.ask(1)` with hyper-parameters fitted in it from an earlier fit, the
  slowest ask there is in a long run.
* *ask*: the same with hyper-parameters that are held, as in most asks of a long run.
* *scikit-learn*: GaussianProcessRegressor (Matern-5/2, one lengthscale, noise) fitted to the
  history each time, mean and deviation of 2,000 legal candidates; no restarts, no scalarisation, no
  refinement.

Each is the median, and in brackets the minimum, of the repeats (one for scikit-learn at 1000); all
losses are told anew before each ask. The engine limits itself to one thread; `--threads` is for
scikit-learn. Give it more on a quiet machine only: where something else holds the cores, two
threads wait for each other and are slower than one.
"""

import argparse
import os
import statistics
import sys
import time

GROUPS = 25
SIZES = (100, 300, 1000)
CANDIDATES = 2000
TARGET = 0.2


def main():
    """Parses the command line and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--threads", type=int, default=1, help="threads of scikit-learn's linear algebra"
    )
    parser.add_argument("--repeats", type=int, default=5, help="asks a size")
    parser.add_argument("--lengthscales", choices=("one", "per_group"), default="per_group")
    arguments = parser.parse_args()
    # The library reads these when numpy is first imported.
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ[name] = str(arguments.threads)
    run(arguments)


def run(arguments):
    """Times all sizes and prints one line each."""
    import numpy as np
    import scipy
    import sklearn

    space, cost, loss = problem()
    print(
        f"{GROUPS} groups, {CANDIDATES} candidates, lengthscales={arguments.lengthscales}, "
        f"threads: engine 1, scikit-learn {arguments.threads}; {os.cpu_count()} CPUs, "
        f"load {os.getloadavg()[0]:.1f}; "
        f"python {sys.version.split()[0]}, numpy {np.__version__}, scipy {scipy.__version__}, "
        f"scikit-learn {sklearn.__version__}"
    )
    print(
        f"{'|H|':>5} {'ask, fit (s)':>16} {'ask (s)':>16} {'scikit-learn (s)':>18} "
        f"{'ask, fit / s-l':>15} {'ask / s-l':>10}"
    )
    for size in SIZES:
        fitting, asking = engine_seconds(space, cost, loss, size, arguments)
        other = scikit_seconds(space, loss, size, arguments)
        middle = [statistics.median(seconds) for seconds in (fitting, asking, other)]
        cells = [
            f"{m:.3f} ({min(seconds):.3f})"
            for m, seconds in zip(middle, (fitting, asking, other), strict=True)
        ]
        print(
            f"{size:>5} {cells[0]:>16} {cells[1]:>16} {cells[2]:>18} "
            f"{middle[0] / middle[2]:>15.3f} {middle[1] / middle[2]:>10.3f}",
            flush=True,
        )
    verdict = "met" if middle[0] <= TARGET else "MISSED"
    print(f"target, at {size} with the fit: {TARGET} s at most: {verdict}")


def problem():
    """The space, its cost and a loss."""
    import numpy as np

    from keras_joslim.width_space import ChannelGroup, WidthSpace, legal_widths

    rng = np.random.default_rng(0)
    sizes = np.linspace(16, 320, GROUPS).astype(int).tolist()
    groups = [ChannelGroup(f"g{i}", s, legal_widths(s, 0.42)) for i, s in enumerate(sizes)]
    space = WidthSpace(groups)
    amounts, rates = rng.gamma(1.0, 1.0, GROUPS), rng.uniform(2.0, 6.0, GROUPS)
    resolutions = 1e6 * rng.gamma(1.0, 1.0, GROUPS - 1)

    def cost(widths):
        multipliers = space.multipliers(widths)
        return (resolutions * multipliers[..., 1:] * multipliers[..., :-1]).sum(axis=-1)

    def loss(widths):
        return (amounts * np.exp(-rates * space.multipliers(widths))).sum(axis=-1)

    return space, cost, loss


def engine_seconds(space, cost, loss, size, arguments):
    """Seconds of asks that fit and of asks that do not, at a history of about `size`."""
    import numpy as np

    from keras_joslim.search import JoslimSearch

    # The first 60 are asked for, the rest scattered around those: a thousand would take minutes.
    rng = np.random.default_rng(1)
    engine = JoslimSearch(space, cost, lengthscales=arguments.lengthscales, candidates=CANDIDATES)
    told = 0

    def tell():
        nonlocal told
        told += 1
        # A little drift a round, as training gives.
        engine.tell(loss(engine.history.widths) * (1.0 + 0.01 * told))

    while len(engine.history) < 60:
        engine.ask(2)
        tell()
    while len(engine.history) < size - 2 * arguments.repeats:
        parent = engine.history.widths[rng.integers(len(engine.history))]
        jitter = rng.normal(scale=0.1, size=GROUPS)
        widths = space.from_multipliers(space.multipliers(parent) + jitter)
        if widths not in engine.history:
            engine.history.append(widths, cost(widths))
    tell()
    seconds = {True: [], False: []}
    engine.ask(1)
    tell()
    for fitting in (True, False):
        while len(seconds[fitting]) < arguments.repeats:
            state = engine.state()
            # The entries at the last fit: so few that a fit is due, or all.
            state["fitted_entries"] = len(engine.history) // 2 if fitting else len(engine.history)
            engine.restore(state)
            start = time.perf_counter()
            engine.ask(1)
            seconds[fitting].append(time.perf_counter() - start)
            tell()
    return seconds[True], seconds[False]


def scikit_seconds(space, loss, size, arguments):
    """Seconds of a fit and a prediction by scikit-learn."""
    import warnings

    import numpy as np
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    rng = np.random.default_rng(2)
    seconds = []
    # One run is enough where one takes a minute.
    repeats = arguments.repeats if size < 1000 else 1
    for _ in range(repeats):
        widths, others = space.sample(rng, size), space.sample(rng, CANDIDATES)
        losses = loss(widths)
        kernel = ConstantKernel(1.0) * Matern(1.0, nu=2.5) + WhiteKernel(1e-2)
        start = time.perf_counter()
        with warnings.catch_warnings():
            # Parameters at their bounds are of no interest here.
            warnings.simplefilter("ignore")
            process = GaussianProcessRegressor(kernel, normalize_y=True)
            process.fit(space.multipliers(widths), losses)
            process.predict(space.multipliers(others), return_std=True)
        seconds.append(time.perf_counter() - start)
    return seconds


if __name__ == "__main__":
    main()
