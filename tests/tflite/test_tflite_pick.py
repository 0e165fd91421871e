"""`tflite.pick`: the best measured file within a budget, and what it says if there is none."""

import pytest

from keras_joslim import tflite
from tests.tflite.manifest_entries import measured_entry

# Larger networks are better and slower; on the phone p01 in int8 is as fast as p00 in fp32.
MANIFEST = tflite.Manifest(
    (
        measured_entry("p00", "fp32", loss=0.9, accuracy=0.70, size=4000, pixel7=4.0, host=1.0),
        measured_entry("p00", "int8", loss=1.0, accuracy=0.71, size=1000, pixel7=2.0),
        measured_entry("p01", "fp32", loss=0.6, accuracy=0.80, size=8000, pixel7=8.0, host=2.0),
        measured_entry("p01", "int8", loss=0.7, accuracy=0.79, size=2000, pixel7=4.0),
        measured_entry("p02", "fp32", loss=0.3, accuracy=0.90, size=16000, host=4.0),
        measured_entry("p02", "fp16", size=8000, pixel7=8.0),
    )
)


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        ({}, "p02.fp32"),
        ({"max_ms": 100, "device": "pixel7"}, "p01.fp32"),
        ({"max_ms": 8.0, "device": "pixel7"}, "p01.fp32"),
        ({"max_ms": 7.9, "device": "pixel7"}, "p01.int8"),
        ({"max_ms": 4, "device": "pixel7", "format": "fp32"}, "p00.fp32"),
        ({"max_ms": 2, "device": "pixel7"}, "p00.int8"),
        ({"max_ms": 2, "device": "host"}, "p01.fp32"),
        ({"max_bytes": 8000}, "p01.fp32"),
        ({"max_bytes": 7999}, "p01.int8"),
        ({"max_bytes": 1500}, "p00.int8"),
        ({"max_bytes": 4000, "metric": "accuracy", "format": "int8"}, "p01.int8"),
        ({"max_bytes": 1999, "metric": "accuracy"}, "p00.int8"),
        ({"max_ms": 8, "device": "pixel7", "max_bytes": 4000}, "p01.int8"),
    ],
)
def test_the_best_within_the_budget(budget, expected):
    entry = tflite.pick(MANIFEST, **budget)
    assert f"{entry.point}.{entry.format}" == expected


@pytest.mark.parametrize("metric", ["loss", "segmentation_loss", "mean_absolute_error"])
def test_losses_and_errors_are_better_the_lower(metric):
    files = [measured_entry("p00", loss=1.0), measured_entry("p01", loss=1.0)]
    for file, value in zip(files, (0.5, 0.25)):
        file.validation["metrics"][metric] = value
    assert tflite.pick(tflite.Manifest(tuple(files)), metric=metric).point == "p01"


def test_of_equally_good_files_the_fastest_then_the_smallest():
    files = (
        measured_entry("p00", loss=0.5, size=10, host=3.0),
        measured_entry("p01", loss=0.5, size=30, host=1.0),
        measured_entry("p02", loss=0.5, size=20, host=1.0),
    )
    manifest = tflite.Manifest(files)
    assert tflite.pick(manifest, max_ms=9, device="host").point == "p02"
    assert tflite.pick(manifest).point == "p00"


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        (
            {"max_ms": 1.5, "device": "pixel7"},
            "No file is within max_ms=1.5. The fastest of 5 is p00.int8 with 2.0",
        ),
        (
            {"max_bytes": 999},
            "No file is within max_bytes=999. The smallest of 6 is p00.int8 with 1000",
        ),
        ({"max_ms": 5, "device": "pixel9"}, "a device of host, pixel7. Received: device='pixel9'"),
        ({"max_ms": 5}, "Milliseconds are those of a device: give device="),
        ({"device": "host"}, "A device is there for max_ms="),
        ({"max_ms": 0, "device": "host"}, "a number above 0. Received: max_ms=0"),
        ({"max_bytes": "1 MB"}, "a number above 0. Received: max_bytes='1 MB'"),
        ({"max_ms": float("nan"), "device": "host"}, "a number above 0. Received: max_ms=nan"),
        ({"format": "int4"}, "a format out of fp16, fp32, int8. Received: format='int4'"),
        (
            {"max_ms": 5, "device": "host", "format": "int8"},
            "Not measured on 'host': p00.int8, p01.int8. .* measured there: fp32",
        ),
        ({"metric": "auc"}, "a metric of accuracy, loss, loss_se. Received: metric='auc'"),
        ({"format": "fp16"}, "Not measured on validation data: p02.fp16. Export them with `judge="),
    ],
)
def test_what_cannot_be_is_said(budget, message):
    with pytest.raises(ValueError, match=message):
        tflite.pick(MANIFEST, **budget)


def test_nothing_to_pick_from():
    with pytest.raises(ValueError, match="an empty one. Export first"):
        tflite.pick(tflite.Manifest())
    manifest = tflite.Manifest((measured_entry("p00", loss=0.5),))
    with pytest.raises(ValueError, match="No file was profiled yet"):
        tflite.pick(manifest, max_ms=5, device="host")
