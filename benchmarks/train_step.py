"""Time and memory of a sandwich step, against stock Keras steps of the same run.

Ideal is the stock model's full training step (forward, backward, update) times the sum of the
relative multiply-accumulates of the networks that the sandwich trains: what four stock networks
would take if time went with MACs. Steps are interleaved, so that a busy machine slows both.
Peaks are VmHWM of fresh processes, medians over some for each model (TensorFlow's allocator lands
a hundred MiB apart from one process to the next).

    python benchmarks/train_step.py                       # all rows
    python benchmarks/train_step.py --rows=mobilenet_v2/8 --steps=20

The stock model is compiled without XLA, as the slimmable one is: on CPU, Keras's default of
compiling it makes its step slower by an order of magnitude (see it with --xla).
"""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

import keras_joslim as kj


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table; targets are `None` where there is none."""

    network: str
    divisor: int
    image: tuple
    batch: int
    min_width: float
    classes: int
    time_target: float | None = None
    memory_target: float | None = None

    def model(self):
        keras.utils.set_random_seed(0)
        if self.network == "mobilenet_v2":
            return keras.applications.MobileNetV2(self.image, weights=None, classes=self.classes)
        return kj.models.ResNet20(classifier_activation="softmax")


ROWS = {
    "mobilenet_v2/8": Row("mobilenet_v2", 8, (96, 96, 3), 32, 0.42, 1000, 0.9, 1.25),
    "mobilenet_v2/1": Row("mobilenet_v2", 1, (96, 96, 3), 32, 0.42, 1000, 1.4, None),
    "resnet20/4": Row("resnet20", 4, (32, 32, 3), 128, 0.316, 10),
    "resnet20/1": Row("resnet20", 1, (32, 32, 3), 128, 0.316, 10),
}


def stepper(model, row, jit_compile):
    """A function that trains one step by the function that `fit` calls."""
    rng = np.random.default_rng(0)
    x = rng.random((row.batch, *row.image), np.float32)
    y = rng.integers(0, row.classes, row.batch)
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True)
    model.compile(optimizer, "sparse_categorical_crossentropy", jit_compile=jit_compile)
    batches = tf.data.Dataset.from_tensors((x, y)).repeat()
    model.fit(batches, steps_per_epoch=1, shuffle=False, verbose=0)
    iterator = iter(batches)
    return lambda: model.train_function(iterator)


def sandwich(slim, seed):
    """The four networks: full, two of random widths drawn by the seed, smallest."""
    schedule = kj.RandomWidths(num_sampled=2, seed=seed)
    schedule.set_model(slim)
    return schedule.widths(0)


def relative_macs(slim, widths):
    macs = kj.costs.MACs(slim)(widths)
    return macs / macs[0]


def times(row, steps, seed, xla):
    """Seconds a step: name -> list, interleaved."""
    stock = row.model()
    slim = kj.make_slimmable(stock, row.min_width, divisor=row.divisor)
    widths = sandwich(slim, seed)
    runs = {"stock": (stepper(stock, row, False), None)}
    step = stepper(slim, row, False)
    runs["sandwich"] = (step, widths)
    runs["full network"] = (step, widths[:1])
    if xla:
        runs["stock, XLA"] = (stepper(row.model(), row, True), None)
    seconds = {name: [] for name in runs}
    for i in range(steps + 1):
        for name, (function, networks) in runs.items():
            if networks is not None:
                slim.training_widths = networks[None]
            start = time.perf_counter()
            function()
            if i:  # the first round warms up
                seconds[name].append(time.perf_counter() - start)
    return seconds, relative_macs(slim, widths)


def peak(row, kind, steps, seed):
    """VmHWM in bytes of this process after some steps of one kind."""
    model = row.model()
    if kind == "sandwich":
        slim = kj.make_slimmable(model, row.min_width, divisor=row.divisor)
        del model
        step = stepper(slim, row, False)
        slim.training_widths = sandwich(slim, seed)[None]
    else:
        step = stepper(model, row, False)
    for _ in range(steps):
        step()
    with open("/proc/self/status", encoding="ascii") as status:
        line = next(line for line in status if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def fresh_peak(name, kind, arguments):
    """`peak` in a process of its own."""
    command = [sys.executable, os.path.abspath(__file__), f"--rows={name}", f"--child={kind}"]
    command += [f"--{key}={getattr(arguments, key)}" for key in ("steps", "seed", "threads")]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(output.splitlines()[-1])["peak"]


def verdict(value, target):
    if target is None:
        return ""
    return f"  target {target}: {'met' if value <= target else 'MISSED'}"


def report(name, row, arguments):
    seconds, relative = times(row, arguments.steps, arguments.seed, arguments.xla)
    print(f"\n{name}: batch {row.batch}, image {row.image}, min_width {row.min_width}", flush=True)
    print(f"  relative MACs {np.round(relative, 3)}, sum {relative.sum():.3f}")
    for key, values in seconds.items():
        print(
            f"  {key:14} {1000 * min(values):8.1f} ms min {1000 * np.median(values):8.1f} ms median"
        )
    for label, of in (("minima", np.min), ("medians", np.median)):
        stock = of(seconds["stock"])
        ratio = of(seconds["sandwich"]) / (stock * relative.sum())
        full = of(seconds["full network"]) / stock
        print(
            f"  {label:8} step / ideal {ratio:.2f}, full network alone / stock {full:.2f}"
            + verdict(ratio, row.time_target),
            flush=True,
        )
    if not arguments.no_memory:
        kinds = ("stock", "sandwich")
        peaks = [
            [fresh_peak(name, k, arguments) for k in kinds] for _ in range(arguments.processes)
        ]
        stock, slim = np.median(peaks, axis=0)
        print(
            f"  VmHWM    sandwich {slim / 2**20:.0f} MiB, stock {stock / 2**20:.0f} MiB, ratio "
            f"{slim / stock:.2f} (pairs: {', '.join(f'{b / a:.2f}' for a, b in peaks)})"
            + verdict(slim / stock, row.memory_target),
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", default=",".join(ROWS), help=f"of {', '.join(ROWS)}")
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0, help="of the sampled widths")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--processes", type=int, default=3, help="for each peak")
    parser.add_argument("--xla", action="store_true", help="time the stock model under XLA too")
    parser.add_argument("--no-memory", action="store_true", help="leave the peaks out")
    parser.add_argument("--child", choices=("stock", "sandwich"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    unknown = set(arguments.rows.split(",")) - set(ROWS)
    if unknown:
        parser.error(f"no such rows: {sorted(unknown)}; there are {list(ROWS)}")
    tf.config.threading.set_intra_op_parallelism_threads(arguments.threads)
    tf.config.threading.set_inter_op_parallelism_threads(arguments.threads)
    for name in arguments.rows.split(","):
        if arguments.child:
            size = peak(ROWS[name], arguments.child, min(arguments.steps, 5), arguments.seed)
            print(json.dumps({"peak": size}))
        else:
            report(name, ROWS[name], arguments)


if __name__ == "__main__":
    main()
