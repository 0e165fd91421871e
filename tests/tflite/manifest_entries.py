"""Entries of manifests that no export has to be run for, and the latencies of their profiles."""

from keras_joslim import tflite
from keras_joslim.tflite.interpreter import TensorFacts
from keras_joslim.tflite.manifest import sha256

DATA = b"the bytes of a file"


def entry(**changes):
    """An `ExportedFile` of `DATA`."""
    fields = {
        "point": "p00",
        "format": "fp32",
        "path": "models/p00.fp32.tflite",
        "sha256": sha256(DATA),
        "bytes": len(DATA),
        "arena": 8192,
        "source": "a" * 64,
        "representative": None,
        "operators": {"CONV_2D": 2},
        "weights": {"float32": 5},
        "xnnpack": {"partitions": 1, "taken": 2, "operators": 2, "left": []},
        "difference": {"max_abs": 1e-7},
        "tolerance": {"absolute": 1e-6, "relative": 1e-5},
        "inputs": (TensorFacts("image", (1, 8, 8, 1), "float32"),),
        "outputs": (TensorFacts("logits", (1, 10), "float32"),),
        "versions": {"keras": "3"},
        "metadata": {"widths": [4, 8]},
    }
    return tflite.ExportedFile(**(fields | changes))


def measured_entry(point, name="fp32", *, loss=None, accuracy=0.5, size=1000, **milliseconds):
    """An entry with results: loss and accuracy if there is a loss, milliseconds by device."""
    metrics = {"loss": loss, "loss_se": 0.01, "accuracy": accuracy}
    validation = {"metrics": metrics, "examples": 360, "data": "c" * 64}
    return entry(
        point=point,
        format=name,
        path=f"models/{point}.{name}.tflite",
        bytes=size,
        validation={} if loss is None else validation,
        latency={device: latency_entry(value) for device, value in milliseconds.items()},
    )


def latency_entry(milliseconds):
    """A latency as the manifest holds it."""
    return {
        "milliseconds": milliseconds,
        "statistic": "median",
        "min": milliseconds / 2,
        "p95": None,
        "spread": 0.1,
        "rounds": 3,
        "threads": 1,
        "delegate": "xnnpack",
        "warnings": [],
    }


def host_latency(median, *, peak=4096, xnnpack=True, warning=""):
    """What `tflite.profile` finds, of two processes 20 % apart."""
    return tflite.Latency(
        median / 2,
        median,
        3 * median,
        peak,
        100,
        2,
        (0.9 * median, 1.1 * median),
        1,
        xnnpack,
        0.0,
        warning,
    )
