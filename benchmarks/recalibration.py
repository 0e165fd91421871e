"""Re-calibration of the history on a budget, against measuring all of it at every search.

    python benchmarks/recalibration.py replay [--data=digits] [--tau=10] [--seeds=0,1,2]
    python benchmarks/recalibration.py watch --data=glyphs [--num_sampled=5] [--seed=0]

`replay` trains with the whole history measured at every search and keeps all the losses. Then it
replays the history for several budgets: at each search only what `Recalibration` chooses is
taken from the record, the rest is carried. Compared with the record: the rank correlation of the
losses of the entries that were not measured, the root mean square of their error in parts of
the deviation of all losses, the same over the deviation that the carrying said it has, and the
hypervolume that is really on the front that the carried losses would choose. `stale` leaves the
losses that are not measured as they were.

`watch` trains on a budget as a user would (the config's), and measures the whole history beside it
at every tenth search, untimed: the share of wall time that re-calibration and search take, as the
history grows, and the rank correlation at each look. It writes what it saw into
`benchmarks/results/recalibration/`.
"""

import argparse
import json
import os
import pathlib
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
RESULTS = ROOT / "benchmarks" / "results" / "recalibration"
BUDGETS = (8, 12, 16, 24, 48)
LOOK_EVERY = 10


def main():
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=("replay", "watch"))
    parser.add_argument("--data", choices=("digits", "glyphs"), default="digits")
    parser.add_argument("--tau", type=int)
    parser.add_argument("--num_sampled", type=int)
    parser.add_argument("--budget", type=int)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    # Read when TensorFlow and numpy are first imported.
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    for kind in ("INTRA", "INTER"):
        os.environ[f"TF_NUM_{kind}OP_THREADS"] = str(arguments.threads)
    {"replay": replay, "watch": watch}[arguments.command](arguments)


def make(arguments, seed, budget):
    """A recipe of Joslim with some numbers changed."""
    from configs import digits, glyphs
    from keras_joslim.app.recipe import make_recipe

    config = {"digits": digits, "glyphs": glyphs}[arguments.data].get_config()
    config.seed = seed
    config.method.name, config.method.recalibration = "joslim", budget
    for field in ("tau", "num_sampled"):
        if getattr(arguments, field):
            config.method[field] = getattr(arguments, field)
    if arguments.epochs:
        config.train.epochs = arguments.epochs
    return make_recipe(json.loads(config.to_json()))


def fit(recipe):
    """Trains it, and says so epoch by epoch."""
    recipe.model.fit(
        recipe.stream.from_step(0),
        epochs=recipe.epochs,
        steps_per_epoch=recipe.stream.steps_per_epoch,
        callbacks=[recipe.schedule],
        shuffle=False,
        verbose=2,
    )


# -- replay ------------------------------------------------------------------


def replay(arguments):
    """Records a run a seed and prints one line a budget."""
    import numpy as np

    records = [record(arguments, int(seed)) for seed in arguments.seeds.split(",")]
    for r in records:
        print(f"recorded: {len(r['rounds'])} searches, {len(r['widths'])} networks at the end")
    print("| budget | rank correlation, mean (lowest) | error / sd | error / said | front kept |")
    print("|--:|--:|--:|--:|--:|")
    for budget in BUDGETS:
        for stale in (False, True):
            looks = np.array([replayed(r, budget, stale) for r in records])
            correlation, lowest, error, ratio, kept = looks.mean(axis=0)
            name = f"{budget}, stale" if stale else f"{budget}"
            said = "" if stale else f"{ratio:.2f}"
            print(
                f"| {name} | {correlation:.4f} ({lowest:.3f}) | {error:.3f} | {said} | {kept:.4f} |"
            )


def record(arguments, seed):
    """The losses of the whole history at every search of one run."""
    recipe = make(arguments, seed, budget=None)
    rounds, schedule = [], recipe.schedule
    schedule.set_model(recipe.model)
    tell = schedule._engine.tell

    def noted(losses, noise=None):
        rounds.append([float(loss) for loss in losses])
        tell(losses, noise)

    schedule._engine.tell = noted
    fit(recipe)
    history = schedule.history
    return {
        "widths": history.widths,
        "costs": history.costs,
        "inputs": recipe.model.width_space.multipliers(history.widths),
        "rounds": rounds,
    }


def replayed(recorded, budget, stale):
    """Means over the searches at which something was carried."""
    import numpy as np
    from scipy.stats import spearmanr

    from keras_joslim.search import History, front_indices, hypervolume
    from keras_joslim.search.recalibration import Recalibration

    history = History(recorded["widths"].shape[1])
    recalibration = Recalibration(budget)
    looks = []
    for truth in recorded["rounds"]:
        truth = np.array(truth)
        while len(history) < len(truth):
            history.append(recorded["widths"][len(history)], recorded["costs"][len(history)])
        entries = recalibration.choose(history, recorded["inputs"][: len(truth)])
        losses, noise = recalibration.carry(history, entries, truth[entries])
        if stale:
            kept = history.losses
            kept[entries] = truth[entries]
            losses = kept
        history.set_losses(losses, noise)
        others = np.setdiff1d(np.arange(len(truth)), entries)
        if len(others) < 10:
            continue
        error = losses[others] - truth[others]
        costs = recorded["costs"][: len(truth)]
        corner = (truth.max(), 1.1 * costs.max())
        front = front_indices(losses, costs)
        looks.append(
            [
                spearmanr(losses[others], truth[others])[0],
                np.sqrt(np.mean(error**2)) / truth.std(),
                np.sqrt(np.mean((error / noise[others]) ** 2)),
                hypervolume(truth[front], costs[front], corner) / hypervolume(truth, costs, corner),
            ]
        )
    looks = np.array(looks)
    means = looks.mean(axis=0)
    return [means[0], looks[:, 0].min(), *means[1:]]


# -- watch -------------------------------------------------------------------


def watch(arguments):
    """Trains one seed on a budget and looks at the truth now and then."""
    import numpy as np
    from scipy.stats import spearmanr

    seed = int(arguments.seeds.split(",")[0])
    recipe = make(arguments, seed, arguments.budget or 12)
    schedule, looks, untimed = recipe.schedule, [], 0.0
    schedule.set_model(recipe.model)
    tell, calls, begun = schedule._engine.tell, 0, time.perf_counter()

    def looked(losses, noise=None):
        nonlocal calls, untimed
        calls += 1
        carried = np.flatnonzero(noise > 0)
        if calls % LOOK_EVERY == 0 and len(carried) > 2:
            start = time.perf_counter()
            widths = schedule.history.widths[carried]
            truth = recipe.model.losses_at(widths, *schedule.calibration_data)
            untimed += time.perf_counter() - start
            schedule.seconds["search"] -= time.perf_counter() - start
            error = losses[carried] - truth
            looks.append(
                {
                    "step": schedule.step,
                    "history": len(losses),
                    "rank_correlation": float(spearmanr(losses[carried], truth)[0]),
                    "error_over_said": float(np.sqrt(np.mean((error / noise[carried]) ** 2))),
                    "seconds": time.perf_counter() - begun - untimed,
                    **{f"{k}_seconds": v for k, v in schedule.seconds.items()},
                }
            )
            print(looks[-1], flush=True)
        tell(losses, noise)

    schedule._engine.tell = looked
    fit(recipe)
    total = time.perf_counter() - begun - untimed
    result = {
        "data": arguments.data,
        "seed": seed,
        "tau": schedule.tau,
        "num_sampled": schedule.num_sampled,
        "budget": arguments.budget or 12,
        "steps": recipe.steps,
        "threads": arguments.threads,
        "history": len(schedule.history),
        "seconds": total,
        **{f"{k}_seconds": v for k, v in schedule.seconds.items()},
        "recalibration_share": schedule.seconds["recalibration"] / total,
        "search_share": schedule.seconds["search"] / total,
        "looks": looks,
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"watch-{arguments.data}-{schedule.num_sampled}-{result['budget']}-{seed}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({k: v for k, v in result.items() if k != "looks"}, indent=1))


if __name__ == "__main__":
    main()
