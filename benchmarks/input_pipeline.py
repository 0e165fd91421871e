"""Images per second and core of the training pipeline, against a bare decode of the same files.

Photographs are drawn (noise of several scales, as large in pixels and bytes as ImageNet's are on
average: 500x375, some 110 kB), written as JPEG class folders and as TFRecords, and read over and
over: by the training pipeline (read, decode the crop, resize, mirror, colours, normalise, batch),
by the evaluation pipeline, and by a `tf.data` map that reads and decodes each file whole and does
nothing else. Passes are interleaved and counted in seconds of CPU, so that other work on the
machine hurts all of them alike; a row has the median of the passes, and of the ratios
of passes that followed each other.

    python benchmarks/input_pipeline.py                  # 224 px
    python benchmarks/input_pipeline.py --size=64        # a rehearsal
    python benchmarks/input_pipeline.py --scale=0.08     # the crops of MobileNetV3
"""

import argparse
import os
import pathlib
import statistics
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from keras_joslim import datasets

CLASSES = 4
# Images of a pass: several times what is read ahead.
_PASS = 1024


def draw(rng, width, height):
    """One photograph as JPEG bytes: noise of several scales, the coarser the stronger."""
    image = np.full((height, width, 3), 120, np.float32)
    for cells, strength in ((8, 60), (32, 50), (128, 40), (400, 17)):
        coarse = rng.normal(0, strength, (cells * height // width, cells, 3))
        image += tf.image.resize(coarse, (height, width), "bicubic").numpy()
    pixels = tf.cast(tf.clip_by_value(image, 0, 255), tf.uint8)
    return tf.io.encode_jpeg(pixels, quality=90).numpy()


def write(folder, images):
    """The same images as class folders and as records, both parts alike."""
    for part in ("train", "val"):
        for number, contents in enumerate(images):
            path = folder / "folders" / part / f"c{number % CLASSES}" / f"{number:05d}.JPEG"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(contents)
    (folder / "records").mkdir()
    for part in ("train", "validation"):
        path = folder / "records" / f"{part}-00000-of-00001"
        with tf.io.TFRecordWriter(str(path)) as writer:
            for number, contents in enumerate(images):
                writer.write(example(contents, 1 + number % CLASSES, f"{number:05d}.JPEG"))


def example(contents, label, name):
    feature = {
        "image/encoded": tf.train.Feature(bytes_list=tf.train.BytesList(value=[contents])),
        "image/filename": tf.train.Feature(bytes_list=tf.train.BytesList(value=[name.encode()])),
        "image/class/label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
    }
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def bare_decode(paths):
    """Reads and decodes each file whole, on all cores."""
    decode = tf.autograph.experimental.do_not_convert(
        lambda path: tf.io.decode_jpeg(
            tf.io.read_file(path), channels=3, dct_method="INTEGER_ACCURATE"
        )
    )
    return tf.data.Dataset.from_tensor_slices(paths).repeat().map(decode, os.cpu_count())


def cpu_milliseconds(iterator, elements, images):
    """CPU time of so many elements, milliseconds an image: from full buffers to full buffers."""
    begin = settled()
    for _ in range(elements):
        next(iterator)
    return 1000 * (settled() - begin) / images


def settled():
    """The CPU time of this process when nothing is read ahead any more."""
    spent = time.process_time()
    while True:
        time.sleep(0.2)
        before, spent = spent, time.process_time()
        if spent - before < 0.005:
            return spent


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--width", type=int, default=500)
    parser.add_argument("--height", type=int, default=375)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--scale", type=float, default=0.25, help="least share of a crop")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--passes", type=int, default=5)
    flags = parser.parse_args()
    rng = np.random.default_rng(0)
    images = [draw(rng, flags.width, flags.height) for _ in range(flags.images)]
    mean = statistics.mean(map(len, images))
    print(f"{len(images)} JPEGs of {flags.width}x{flags.height}, {mean / 1000:.0f} kB on average")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        write(folder, images)
        options = {"size": flags.size, "validation": 1}
        folders = datasets.load("image_folder", directory=str(folder / "folders"), **options)
        records = datasets.load("tfrecord", directory=str(folder / "records"), **options)
        augment = datasets.PhotoAugmentation(scale=(flags.scale, 1.0))

        def training(split, augment=augment):
            return split.stream(flags.batch, 0, augment).from_step(0)

        paths = sorted(map(str, (folder / "folders" / "train").rglob("*.JPEG")))
        rows = {
            "bare decode of whole files": (bare_decode(paths), 1),
            "training, class folders": (training(folders.train), flags.batch),
            "training, records": (training(records.train), flags.batch),
            "the same without colours": (
                training(
                    folders.train,
                    datasets.PhotoAugmentation((flags.scale, 1.0), jitter=0, lighting=0),
                ),
                flags.batch,
            ),
            "evaluation, class folders": (training(folders.train, None), flags.batch),
        }
        measure(rows, flags)


def measure(rows, flags):
    """Interleaves the passes and prints the table."""
    iterators = {name: iter(dataset) for name, (dataset, _) in rows.items()}
    times = {name: [] for name in rows}
    for _ in range(flags.passes + 1):
        for name, (_, together) in rows.items():
            elements = max(_PASS // together, 1)
            spent = cpu_milliseconds(iterators[name], elements, elements * together)
            times[name].append(spent)
    # The first pass traces graphs and fills buffers.
    times = {name: spent[1:] for name, spent in times.items()}
    bare = next(iter(times.values()))
    print("| pipeline | CPU ms an image | images a second and core | of the bare decode |")
    print("|---|--:|--:|--:|")
    for name, spent in times.items():
        median = statistics.median(spent)
        ratio = statistics.median(b / one for b, one in zip(bare, spent))
        print(f"| {name} | {median:.2f} | {1000 / median:.0f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
