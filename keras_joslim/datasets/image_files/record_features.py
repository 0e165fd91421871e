"""What the features of a record are called, by the layouts that ImageNet is stored in."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Features:
    """Names of the features of a record.

    Args:
        image: bytes of an image file.
        label: class number.
        file: name of the image file; None if it has none.
        synset: the class in a word; None if it has none.
        first_label: the label of class 0.
    """

    image: str
    label: str
    file: str | None = None
    synset: str | None = None
    first_label: int = 0


@dataclasses.dataclass(frozen=True)
class Found:
    """What a record says of its image."""

    image: bytes
    label: int
    file: str
    synset: str


# The script of TensorFlow's models (build_imagenet_data.py), label 0 being "background".
OFFICIAL = Features(
    *("image/encoded", "image/class/label", "image/filename", "image/class/synset"), first_label=1
)
TFDS = Features("image", "label", "file_name")


def find_features(record, where, image=None, label=None, file=None, first_label=None):
    """The features of the data set that a record is of.

    Args:
        record: bytes of its first record.
        where: what the record is called, for messages.
        image, label, file: names that are known; None: by the layout.
        first_label: label of class 0, or None likewise.

    Returns:
        `Features`.

    Raises:
        ValueError: a record of neither layout, naming the features that it has.
    """
    there = _features(record)
    if there is None:
        raise ValueError(f"Expected records with a tf.train.Example each. Received: {where}")
    layout = next((each for each in (OFFICIAL, TFDS) if each.image in there), None)
    if layout is None and (image is None or label is None):
        raise ValueError(
            f"Expected the features {OFFICIAL.image!r} and {OFFICIAL.label!r}, or {TFDS.image!r} "
            f"and {TFDS.label!r}. Received: {where} with {_listed(there)}. Name them by "
            "--config.data.image_feature=... and --config.data.label_feature=..."
        )
    layout = layout or Features(image, label)
    chosen = {"image": image, "label": label, "file": file, "first_label": first_label}
    chosen = {name: value for name, value in chosen.items() if value is not None}
    if "label" in chosen and chosen["label"] != layout.label:
        chosen = {"first_label": 0, **chosen}
    features = dataclasses.replace(layout, **chosen)
    missing = next(
        (n for n in (features.image, features.label, file) if n and n not in there), None
    )
    if missing is not None:
        raise ValueError(_lacking(missing, there, where))
    absent = [name for name in ("file", "synset") if getattr(features, name) not in [*there]]
    return dataclasses.replace(features, **dict.fromkeys(absent))


def image_features(record, features, where):
    """What a record says of its image; None if it is no Example.

    Args:
        record: its bytes.
        features: `Features`.
        where: what the record is called, for messages.

    Raises:
        ValueError: a feature that it does not have, or of another type.
    """
    there = _features(record)
    if there is None:
        return None
    images = _values(there, features.image, "bytes_list", where)
    labels = _values(there, features.label, "int64_list", where)
    for name, values in ((features.image, images), (features.label, labels)):
        if len(values) != 1:
            raise ValueError(
                f"Expected one value of feature {name!r} in each record. Received: {where} with "
                f"{len(values)} of the type that is wanted"
            )
    file, synset = (
        _text(_values(there, name, "bytes_list", where)) if name else ""
        for name in (features.file, features.synset)
    )
    return Found(images[0], int(labels[0]), file, synset)


def _features(record):
    """The features of an Example by name; None if it is none."""
    # Loaded here: data in memory do without TensorFlow's protocol buffers.
    import tensorflow as tf

    try:
        there = tf.train.Example.FromString(record).features.feature
    except Exception:  # The DecodeError of protocol buffers, which are no dependency of ours.
        return None
    return there or None


def _values(there, name, kind, where):
    # Asking a map of a protocol buffer for what it has not would put it there.
    if name not in there:
        raise ValueError(_lacking(name, there, where))
    return getattr(there[name], kind).value


def _lacking(name, there, where):
    return (
        f"The feature {name!r} is missing. Received: {where} with {_listed(there)}. Every record "
        "needs an image and a label of the same names."
    )


def _listed(there):
    return ", ".join(map(repr, sorted(there)))


def _text(values):
    return values[0].decode("utf-8", "replace") if values else ""
