"""Peak memory and time of a batch that is run in parts (`compile(accumulate=...)`).

A sandwich step of MobileNetV2 over four networks on a batch at once, in parts, and on a batch that
is as large as one part. Peaks are VmHWM of fresh processes; less that of a process with one image a
part, which has TensorFlow, the graph, weights and gradients too, they are what the images take.

    python benchmarks/accumulation.py                    # batch 32 in 4 parts, 224 px
    python benchmarks/accumulation.py --batch=64 --parts=8
"""

import argparse
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


def measured(batch, parts, size, steps):
    """VmHWM in bytes, and seconds of the fastest step but the first."""
    keras.utils.set_random_seed(0)
    model = keras.applications.MobileNetV2((size, size, 3), weights=None, classes=1000)
    slim = kj.make_slimmable(model, 0.42, divisor=8)
    del model
    slim.compile(
        keras.optimizers.SGD(0.01, momentum=0.9),
        "sparse_categorical_crossentropy",
        accumulate=parts,
    )
    rng = np.random.default_rng(0)
    x = rng.random((batch, size, size, 3), np.float32)
    batches = tf.data.Dataset.from_tensors((x, rng.integers(0, 1000, batch))).repeat()
    slim.fit(batches, steps_per_epoch=1, shuffle=False, verbose=0)
    schedule = kj.RandomWidths(num_sampled=2)
    schedule.set_model(slim)
    slim.training_widths = schedule.widths(0)[None]
    iterator, seconds = iter(batches), []
    for _ in range(steps):
        start = time.perf_counter()
        slim.train_function(iterator)
        seconds.append(time.perf_counter() - start)
    with open("/proc/self/status", encoding="ascii") as status:
        line = next(line for line in status if line.startswith("VmHWM"))
    return {"peak": int(line.split()[1]) * 1024, "seconds": min(seconds[1:])}


def in_a_fresh_process(batch, parts, arguments):
    command = [sys.executable, os.path.abspath(__file__), f"--batch={batch}", f"--parts={parts}"]
    command += [f"--size={arguments.size}", f"--steps={arguments.steps}", "--child"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(output.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--parts", type=int, default=4)
    parser.add_argument("--size", type=int, default=224, help="of an image, in pixels")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        sizes = (arguments.batch, arguments.parts, arguments.size, arguments.steps)
        print(json.dumps(measured(*sizes)))
        return
    batch, parts = arguments.batch, arguments.parts
    # Run in parts the graph is larger: the first part is built by itself.
    base = {count: in_a_fresh_process(count, count, arguments)["peak"] for count in {1, parts}}
    print(f"MobileNetV2, {arguments.size} px, four networks a step", flush=True)
    for name, case in {
        f"batch {batch}": (batch, 1),
        f"batch {batch} in {parts} parts": (batch, parts),
        f"batch {batch // parts}": (batch // parts, 1),
    }.items():
        found = in_a_fresh_process(*case, arguments)
        print(
            f"{name:24} peak {found['peak'] / 2**20:6.0f} MiB, less one image a part "
            f"{(found['peak'] - base[case[1]]) / 2**20:6.0f} MiB; {found['seconds']:5.2f} s a step",
            flush=True,
        )


if __name__ == "__main__":
    main()
