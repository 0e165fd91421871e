"""Small photographs as JPEG bytes, class folders and TFRecord files of them."""

import numpy as np
import tensorflow as tf


def pixels(seed, height=20, width=24):
    """Smooth colours, so that a JPEG holds them nearly as they are: uint8."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width]
    waves = [
        127 + 100 * np.sin(rows / rng.uniform(3, 9) + columns / rng.uniform(3, 9) + phase)
        for phase in rng.uniform(0, 6, 3)
    ]
    return np.stack(waves, -1).astype(np.uint8)


def jpeg(seed, height=20, width=24):
    """The same as the bytes of a JPEG."""
    return tf.io.encode_jpeg(pixels(seed, height, width), quality=95).numpy()


def write_folders(root, counts, classes=("cat", "dog", "owl"), first=0):
    """`root/<part>/<class>/<class>_<number>.JPEG`, so many of each class in each part."""
    for part, count in counts.items():
        for label, name in enumerate(classes):
            folder = root / part / name
            folder.mkdir(parents=True, exist_ok=True)
            for number in range(first, first + count):
                path = folder / f"{name}_{part}{number}.JPEG"
                path.write_bytes(jpeg((part == "val") * 10000 + 100 * label + number))
    return root


def feature(value):
    """One value as a feature of an Example."""
    if isinstance(value, bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
    if isinstance(value, float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=[value]))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))


def example(**features):
    """An Example of these features; `__` in a name stands for a slash."""
    named = {name.replace("__", "/"): feature(value) for name, value in features.items()}
    return tf.train.Example(features=tf.train.Features(feature=named)).SerializeToString()


def write_shards(folder, names, records):
    """Deals records out to files of these names."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        with tf.io.TFRecordWriter(str(folder / name)) as writer:
            for record in records[number :: len(names)]:
                writer.write(record)


def records_of_folders(root, part, official):
    """The images of class folders as records of the official script, or of TFDS."""
    records = []
    for label, folder in enumerate(sorted((root / part).iterdir())):
        for path in sorted(folder.iterdir()):
            contents, name = path.read_bytes(), path.name.encode()
            if official:
                synset = folder.name.encode()
                values = {"image__encoded": contents, "image__class__label": label + 1}
                values |= {"image__filename": name, "image__class__synset": synset}
                records.append(example(image__height=20, **values))
            else:
                records.append(example(image=contents, label=label, file_name=name))
    return records


def write_official(folder, root, shards=3):
    """`train-00000-of-00003`, ... and `validation-00000-of-00001` of class folders."""
    names = [f"train-{i:05d}-of-{shards:05d}" for i in range(shards)]
    write_shards(folder, names, records_of_folders(root, "train", official=True))
    validation = records_of_folders(root, "val", official=True)
    write_shards(folder, ["validation-00000-of-00001"], validation)
    return folder


def write_tfds(folder, root, shards=2):
    """`photos-train.tfrecord-00000-of-00002`, ... and the names of the classes."""
    names = [f"photos-train.tfrecord-{i:05d}-of-{shards:05d}" for i in range(shards)]
    write_shards(folder, names, records_of_folders(root, "train", official=False))
    validation = records_of_folders(root, "val", official=False)
    write_shards(folder, ["photos-validation.tfrecord-00000-of-00001"], validation)
    classes = sorted(path.name for path in (root / "train").iterdir())
    (folder / "label.labels.txt").write_text("".join(f"{name}\n" for name in classes))
    return folder


def resized(image, size):
    """An independent bilinear resize to a square, pixel centres at halves: float64."""

    def weights(length):
        matrix = np.zeros((size, length))
        for place in range(size):
            centre = (place + 0.5) * length / size - 0.5
            low = int(np.floor(centre))
            for neighbour, weight in ((low, 1 - (centre - low)), (low + 1, centre - low)):
                matrix[place, min(max(neighbour, 0), length - 1)] += weight
        return matrix

    rows, columns = weights(image.shape[0]), weights(image.shape[1])
    return np.einsum("ih,hwc,jw->ijc", rows, image.astype(np.float64), columns)
