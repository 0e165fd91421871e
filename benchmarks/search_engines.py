"""Width search engines side by side on problems with known fronts.

    python benchmarks/search_engines.py [--jobs=2] [--problems=chain,few] [--seeds=0,1,2]
        [--engines=joslim,nsga2] [--evaluations=100,300,1000] [--folder=...]
    python benchmarks/search_engines.py --record=digits    # makes benchmarks/tables/digits.npz

Problems and how each front is known: `benchmarks/search_problems.py`; by default the five analytic
ones and the recorded tables of `--record`. Every engine asks for 4 networks at a time, is
told the (measured) losses of its whole history, and so on. Printed: the hypervolume of the *true*
losses of all networks visited, as a share of the exact front's, mean and standard deviation over
seeds; reference point: the loss of the smallest and the cost of the full network.

* `random`: `RandomSearch`. `nsga2`: `NSGA2Search`, population 40.
* `scikit-learn`: as `published`, its candidates and acquisition too, but with scikit-learn's
  GaussianProcessRegressor (Matern-5/2, one lengthscale, noise), fitted by it to all of the history
  at every ask.
* `published`: `JoslimSearch(lengthscales="one", mean="zero", surrogate_entries=None)`.
* `joslim`: `JoslimSearch` as it comes. Not by default: `one_lengthscale`, with one for all groups;
  `zero_mean`, with the published mean and priors; `all_entries`, with all of the history in the
  posterior.

To save hours `scikit-learn`, `published`, `one_lengthscale` and `zero_mean` stop at 300
evaluations, and so do all engines on recorded tables.

One JSON file a problem, engine and seed is left in the folder; what is there is not run again.
"""

import argparse
import concurrent.futures
import json
import multiprocessing
import os
import pathlib
import sys
import time
import warnings

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "benchmarks"))
RESULTS = ROOT / "benchmarks" / "results" / "search_engines"
ENGINES = ("random", "nsga2", "scikit-learn", "published", "joslim")
RIVALS = ("random", "nsga2", "scikit-learn")
RECORDED = ("digits", "resnet", "digits_random", "resnet_random")
ASKED = 4
# Evaluations after which an engine is not followed any further.
MOST = {"scikit-learn": 300, "published": 300, "one_lengthscale": 300, "zero_mean": 300}


def main():
    """Parses the command line, runs what is missing and prints the table."""
    # Read by the libraries when they are first imported; every job is one thread.
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    from search_problems import ANALYTIC

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problems", default=",".join([*ANALYTIC, *RECORDED]))
    parser.add_argument("--engines", default=",".join(ENGINES))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--evaluations", default="100,300,1000")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--folder", type=pathlib.Path, default=RESULTS)
    parser.add_argument("--record", choices=RECORDED, help="train, and write the table")
    arguments = parser.parse_args()
    if arguments.record:
        record(arguments.record)
        return
    problems, engines = arguments.problems.split(","), arguments.engines.split(",")
    seeds = [int(seed) for seed in arguments.seeds.split(",")]
    marks = sorted(int(count) for count in arguments.evaluations.split(","))
    arguments.folder.mkdir(parents=True, exist_ok=True)
    cells = [(p, e, s) for s in seeds for e in engines for p in problems]
    missing = [cell for cell in cells if not complete(arguments.folder, *cell, marks)]
    # Spawned: a fork after TensorFlow's threads have started may hang.
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(arguments.jobs, mp_context=context) as pool:
        waiting = {pool.submit(run, *cell, marks): cell for cell in missing}
        for done in concurrent.futures.as_completed(waiting):
            write(arguments.folder, *waiting[done], done.result())
            print("done:", *waiting[done], file=sys.stderr, flush=True)
    table(arguments.folder, problems, engines, seeds, marks)


# -- cells -------------------------------------------------------------------


def path_of(folder, problem, engine, seed):
    return folder / f"{problem}-{engine}-{seed}.json"


def wanted(problem, engine, marks):
    """The evaluations after which a cell is judged."""
    most = MOST.get(engine, marks[-1])
    if problem in RECORDED:
        # Beyond a third of all networks even random search has seen the front.
        most = min(most, 300)
    return [mark for mark in marks if mark <= most]


def complete(folder, problem, engine, seed, marks):
    """Whether the file of a cell has all evaluations."""
    path = path_of(folder, problem, engine, seed)
    if not path.exists():
        return False
    shares = json.loads(path.read_text())["shares"]
    return all(str(mark) in shares for mark in wanted(problem, engine, marks))


def write(folder, problem, engine, seed, result):
    path = path_of(folder, problem, engine, seed)
    scratch = path.with_suffix(".part")
    scratch.write_text(json.dumps(result) + "\n")
    os.replace(scratch, path)


def run(problem_name, engine_name, seed, marks):
    """One engine on one problem: shares of the hypervolume, and seconds in the engine so far."""
    import numpy as np
    from search_problems import problem

    given = problem(problem_name)
    engine = make(engine_name, given, seed)
    rng = np.random.default_rng([seed, 1])
    shares, seconds, spent = {}, {}, 0.0
    for mark in wanted(problem_name, engine_name, marks):
        while len(engine.history) < mark:
            start = time.perf_counter()
            if engine.done:
                break
            engine.ask(min(ASKED, mark - len(engine.history)))
            spent += time.perf_counter() - start
            engine.tell(given.measured(engine.history.widths, rng))
        shares[mark], seconds[mark] = given.share(engine.history.widths), spent
    return {
        "problem": problem_name,
        "engine": engine_name,
        "seed": seed,
        "shares": shares,
        "seconds": seconds,
    }


def make(name, given, seed):
    """The engine of that name."""
    from keras_joslim.search import JoslimSearch, NSGA2Search, RandomSearch

    space, cost = given.space, given.cost
    if name == "random":
        return RandomSearch(space, cost, seed=seed)
    if name == "nsga2":
        return NSGA2Search(space, cost, population=40, seed=seed)
    if name == "scikit-learn":
        return scikit_search(space, cost, seed)
    settings = {
        "published": {"lengthscales": "one", "mean": "zero", "surrogate_entries": None},
        "joslim": {},
        "one_lengthscale": {"lengthscales": "one"},
        "zero_mean": {"mean": "zero"},
        "all_entries": {"surrogate_entries": None},
    }
    return JoslimSearch(space, cost, seed=seed, **settings[name])


def scikit_search(space, cost, seed):
    """The published setting, but with scikit-learn's process and fit."""
    import numpy as np
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    from keras_joslim.search import JoslimSearch
    from keras_joslim.search.gaussian_process import standardise
    from keras_joslim.search.pool import Surrogate

    class Process:
        def __init__(self, inputs, targets):
            kernel = ConstantKernel(1.0) * Matern(1.0, nu=2.5) + WhiteKernel(1e-2)
            self.model = GaussianProcessRegressor(kernel)
            with warnings.catch_warnings():
                # Parameters at their bounds are of no interest here.
                warnings.simplefilter("ignore")
                self.model.fit(inputs, targets)

        def predict(self, inputs):
            mean, sd = self.model.predict(inputs, return_std=True)
            # The deviation of the function: that of an observation has the noise in it.
            variance = sd**2 - self.model.kernel_.k2.noise_level
            return mean, np.sqrt(np.maximum(variance, 0.0))

        glance = predict

    class ScikitSearch(JoslimSearch):
        def _surrogate(self):
            known = self.history.evaluated
            losses = standardise(self.history.losses[known])
            inputs = self.space.multipliers(self.history.widths[known])
            return Surrogate(
                process=Process(inputs, losses(self.history.losses[known])),
                cost=self._costs,
                losses=losses,
                costs=standardise(self.history.costs[known]),
                inputs=self.space.multipliers,
                deviations=-(self._settings["beta"] ** 0.5),
            )

    return ScikitSearch(space, cost, seed=seed)


# -- table -------------------------------------------------------------------


def table(folder, problems, engines, seeds, marks):
    """Prints a line a problem and number of evaluations, and who was first how often."""
    import numpy as np

    print("| problem | evaluations | " + " | ".join(engines) + " |")
    print("|---|--:|" + "--:|" * len(engines))
    spent = {}
    ahead = dict.fromkeys(marks, 0)
    judged = dict.fromkeys(marks, 0)
    for problem in problems:
        for mark in marks:
            means, row = {}, []
            for engine in engines:
                found = []
                for seed in seeds:
                    path = path_of(folder, problem, engine, seed)
                    result = json.loads(path.read_text()) if path.exists() else {"shares": {}}
                    if str(mark) in result["shares"]:
                        found.append(result["shares"][str(mark)])
                        spent.setdefault((engine, mark), []).append(result["seconds"][str(mark)])
                row.append(f"{np.mean(found):.4f} ± {np.std(found):.4f}" if found else "")
                if found:
                    means[engine] = np.mean(found)
            if means:
                print(f"| {problem} | {mark} | " + " | ".join(row) + " |")
            rivals = [means[name] for name in RIVALS if name in means]
            if "joslim" in means and rivals:
                judged[mark] += 1
                ahead[mark] += means["joslim"] > max(rivals)
    for mark in marks:
        times = [np.mean(spent[e, mark]) if (e, mark) in spent else np.nan for e in engines]
        row = [f"{seconds:.1f}" if seconds == seconds else "" for seconds in times]
        print(f"| seconds in the engine, mean | {mark} | " + " | ".join(row) + " |")
    print(f"\n{len(seeds)} seeds; {ASKED} networks an ask")
    for mark in marks:
        print(f"joslim above every rival after {mark}: {ahead[mark]} of {judged[mark]} problems")


# -- recorded tables ---------------------------------------------------------


def record(name):
    """Trains a slimmable network on digits and writes the losses of all of its networks.

    `digits` is the network of `configs/digits.py`, `resnet` a CIFAR ResNet-8; trained with
    `UniformWidths`, or with `RandomWidths` as before a search after training. Few legal widths a
    group, so that all can be measured: `losses_at` of the 360 validation images, BatchNorm on
    their statistics. MACs are the cost.
    """
    import itertools

    import numpy as np
    from search_problems import TABLES

    from configs import digits
    from keras_joslim.app.recipe import make_recipe
    from keras_joslim.costs import MACs

    config = digits.get_config()
    network, _, method = name.partition("_")
    config.method.name = method or "uniform"
    config.slim.choices = {"digits": 3, "resnet": 4}[network]
    if network == "resnet":
        config.model.name = "cifar_resnet"
        config.model.options = {"depth": 8}
    recipe = make_recipe(config.to_dict())
    recipe.model.fit(
        recipe.stream.from_step(0),
        epochs=recipe.epochs,
        steps_per_epoch=recipe.stream.steps_per_epoch,
        callbacks=[recipe.schedule],
        shuffle=False,
        verbose=2,
    )
    space = recipe.model.width_space
    widths = np.unique(space.canonical(list(itertools.product(*space.legal))), axis=0)
    held_out = recipe.data.validation
    losses = recipe.model.losses_at(widths, held_out.images, held_out.labels)
    TABLES.mkdir(exist_ok=True)
    np.savez_compressed(
        TABLES / f"{name}.npz",
        space=json.dumps(space.to_dict()),
        widths=widths.astype(np.int32),
        losses=losses.astype(np.float32),
        costs=np.asarray(MACs(recipe.model)(widths), np.float64),
    )
    least, greatest = losses.min(), losses.max()
    print(f"{len(widths)} networks of {len(space)} groups, losses {least:.4f} to {greatest:.4f}")


if __name__ == "__main__":
    main()
