"""The names of the ways to train on many devices, checked before TensorFlow is loaded."""

from keras_joslim.distribution.cluster import Cluster

STRATEGIES = ("none", "mirrored", "multi_worker", "tpu")


def checked_strategy(name, environment=None):
    """One of `STRATEGIES` that can be had.

    Args:
        name: what was given.
        environment: where TF_CONFIG is looked for; `os.environ` if `None`.

    Returns:
        `name`.

    Raises:
        ValueError: an unknown name; "tpu"; "multi_worker" without a TF_CONFIG that can be used.
    """
    if name not in STRATEGIES:
        raise ValueError(
            f"A strategy is one of {', '.join(STRATEGIES)}. Received: strategy={name!r}"
        )
    if name == "tpu":
        raise ValueError(
            "Slimmable networks do not train on TPUs: their widths change from step to step, and "
            "XLA compiles for static shapes, so it would compile again at every step. "
            "docs/many_devices.md says what it would take. Use GPUs: --strategy=mirrored or "
            "--strategy=multi_worker"
        )
    worker_index(name, environment)
    return name


def worker_index(name, environment=None):
    """Which worker this process is: 0 but for the others of "multi_worker".

    Args: as of `checked_strategy`.

    Raises:
        ValueError: "multi_worker" without a TF_CONFIG that can be used.
    """
    return Cluster.from_environment(environment).index if name == "multi_worker" else 0
