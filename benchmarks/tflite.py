"""What a point's TFLite file is worth: its latency, its making, and what a number format costs.

    python benchmarks/tflite.py latency [--size=96] [--processes=7]
    python benchmarks/tflite.py seconds [--size=96] [--formats=fp32,fp16,dynamic,int8]
    python benchmarks/tflite.py difference [--size=96] [--formats=fp32,fp16,dynamic,int8]
    python benchmarks/tflite.py accuracy --workdir=runs/digits

`latency`: points of a slimmable MobileNetV2 against the same network written by hand with stock
Keras layers of the same widths: ratio of the medians, files interleaved (1.00 is the aim).
`seconds`: to convert, compare and write a point, by format. `difference`: of such a file from
Keras, both of random weights, BatchNormalization's among them, and on random images. `accuracy`:
validation and test accuracy of the files of an exported run less that of their Keras models, by
format.
"""

import argparse
import collections
import os
import pathlib
import tempfile
import time

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("what", choices=["latency", "seconds", "difference", "accuracy"])
parser.add_argument("--size", type=int, default=96, help="pixels of the square input")
parser.add_argument("--processes", type=int, default=7)
parser.add_argument("--runs", type=int, default=100, help="timed runs a process, at least")
parser.add_argument("--formats", default="fp32,fp16,dynamic,int8")
parser.add_argument("--workdir", help="of an exported run")
arguments = parser.parse_args()
for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
    os.environ[name] = "1"

import keras  # noqa: E402
import numpy as np  # noqa: E402

import keras_joslim as kj  # noqa: E402
from keras_joslim import tflite  # noqa: E402

layers = keras.layers
CLASSES = 1000


def points(activation="softmax"):
    """Dict name -> extracted point of MobileNetV2, by ascending width."""
    keras.utils.set_random_seed(0)
    shape = (arguments.size, arguments.size, 3)
    network = keras.applications.MobileNetV2(shape, weights=None, classifier_activation=activation)
    slim = kj.make_slimmable(network, 0.35, divisor=8)
    space = slim.width_space
    drawn = space.from_multipliers(np.random.default_rng(0).uniform(0.35, 1, (2, len(space))))
    chosen = {"x0.50": space.uniform(0.5), "random": drawn[0], "random2": drawn[1]}
    return {name: kj.extract(slim, widths) for name, widths in chosen.items()} | {
        "full": kj.extract(slim, space.full)
    }


def by_hand(point):
    """MobileNetV2 (Sandler et al., CVPR 2018, table 2) in stock layers, with a point's widths."""

    def channels(name):
        return point.get_layer(name).filters

    def normalised(x, activation=True):
        x = layers.BatchNormalization(epsilon=1e-3)(x)
        return layers.ReLU(6.0)(x) if activation else x

    image = keras.Input((arguments.size, arguments.size, 3))
    x = layers.Conv2D(channels("Conv1"), 3, 2, "same", use_bias=False)(image)
    x = normalised(x)
    block = 0
    for repeats, stride in ((1, 1), (2, 2), (3, 2), (4, 2), (3, 1), (3, 2), (1, 1)):
        for repeat in range(repeats):
            name = f"block_{block}_" if block else "expanded_conv_"
            y, strides = x, stride if repeat == 0 else 1
            if block:
                y = normalised(layers.Conv2D(channels(f"{name}expand"), 1, use_bias=False)(y))
            if strides == 2:
                y = layers.ZeroPadding2D(((0, 1), (0, 1)))(y)
            padding = "valid" if strides == 2 else "same"
            y = normalised(layers.DepthwiseConv2D(3, strides, padding, use_bias=False)(y))
            y = layers.Conv2D(channels(f"{name}project"), 1, use_bias=False)(y)
            y = normalised(y, activation=False)
            x = layers.Add()([x, y]) if repeat else y
            block += 1
    x = normalised(layers.Conv2D(channels("Conv_1"), 1, use_bias=False)(x))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(CLASSES, "softmax")(x))


def latency():
    files = {}
    with tempfile.TemporaryDirectory() as directory:
        for name, point in points().items():
            hand = by_hand(point)
            counts = [model.count_params() for model in (point, hand)]
            if counts[0] != counts[1]:
                raise RuntimeError(f"{name} is another network: {counts} parameters")
            for kind, model in (("point", point), ("hand", hand)):
                path = pathlib.Path(directory) / f"{name}.{kind}.tflite"
                path.write_bytes(tflite.to_tflite(model))
                files[f"{name}.{kind}"] = path
        measured = tflite.profile(
            files, processes=arguments.processes, runs=arguments.runs, threads=1
        )
    print(f"MobileNetV2, {arguments.size} px, fp32, 1 thread; load {os.getloadavg()[0]:.1f}")
    print("point      point ms (median, min)   by hand ms      ratio of medians  of minima")
    for name in points_of(files):
        ours, hand = measured[f"{name}.point"], measured[f"{name}.hand"]
        print(
            f"{name:<10} {ours.median:8.3f} {ours.min:8.3f}        {hand.median:8.3f} "
            f"{hand.min:8.3f}  {ours.median / hand.median:10.3f} {ours.min / hand.min:10.3f}"
        )


def points_of(files):
    return list(dict.fromkeys(key.rpartition(".")[0] for key in files))


def seconds():
    formats = arguments.formats.split(",")
    rng = np.random.default_rng(1)
    images = rng.uniform(-1, 1, (100, arguments.size, arguments.size, 3)).astype(np.float32)
    taken = collections.defaultdict(list)
    for name, point in points().items():
        # Else what it computes vanishes from layer to layer, down to scales that no kernel takes.
        kj.calibrate_batch_norm(point, [images])
        for number_format in formats:
            with tempfile.TemporaryDirectory() as directory:
                start = time.perf_counter()
                tflite.export(
                    {name: point},
                    directory,
                    number_format,
                    images=images[:4],
                    representative=images,
                    # Of random weights, whose outputs are all alike.
                    tolerances={number_format: tflite.Tolerance(absolute=1.0, relative=1.0)},
                )
                taken[number_format].append(time.perf_counter() - start)
    print(f"MobileNetV2, {arguments.size} px; load {os.getloadavg()[0]:.1f}")
    print("format     seconds a point: median   each")
    for number_format, values in taken.items():
        each = " ".join(f"{value:.1f}" for value in values)
        print(f"{number_format:<10} {np.median(values):23.1f}   {each}")


def difference():
    formats = arguments.formats.split(",")
    rng = np.random.default_rng(1)
    shape = (216, arguments.size, arguments.size, 3)
    images = rng.uniform(-1, 1, shape).astype(np.float32)
    print(f"MobileNetV2, {arguments.size} px; largest difference over largest output, 16 images")
    anything = tflite.Tolerance(absolute=0.0, relative=np.inf)
    for name, point in points(activation=None).items():
        for weight in point.weights:
            if "gamma" in weight.path or "moving_variance" in weight.path:
                weight.assign(rng.uniform(0.5, 1.5, weight.shape))
            elif "beta" in weight.path or "moving_mean" in weight.path:
                weight.assign(rng.normal(0, 0.3, weight.shape))
        with tflite.saved_model(point) as saved:
            for number_format in formats:
                data = saved.to_tflite(number_format, images[16:])
                found = tflite.verify(data, point, images[:16], anything)
                print(f"{name:<10} {number_format:<12} {found.max_relative:9.2g} {len(data):>12,}")


def accuracy():
    if not arguments.workdir:
        raise SystemExit("accuracy needs --workdir of an exported run")
    front = kj.ParetoFront.load(pathlib.Path(arguments.workdir) / "front.json")
    print("differences from Keras, in points of accuracy; bytes as a share of fp32's")
    print("format     points  validation: mean  worst   test: files  mean   worst   bytes")
    for number_format in dict.fromkeys(name for point in front for name in point.deployed):
        rows = [point for point in front if number_format in point.deployed]
        lost = [
            100 * (p.deployed[number_format]["accuracy"] - p.validation["accuracy"]) for p in rows
        ]
        tested = [
            100 * (p.tested[number_format]["accuracy"] - p.test["accuracy"])
            for p in rows
            if p.test and number_format in p.tested
        ]
        size = np.mean(
            [p.bytes[number_format] / p.bytes["fp32"] for p in rows if "fp32" in p.bytes]
        )
        test = f"{np.mean(tested):+8.2f} {min(tested):+7.2f}" if tested else f"{'-':>8} {'-':>7}"
        print(
            f"{number_format:<10} {len(rows):>6}  {np.mean(lost):+16.2f} {min(lost):+6.2f}   "
            f"{len(tested):>11} {test}  {size:6.3f}"
        )


if __name__ == "__main__":
    {"latency": latency, "seconds": seconds, "difference": difference, "accuracy": accuracy}[
        arguments.what
    ]()
