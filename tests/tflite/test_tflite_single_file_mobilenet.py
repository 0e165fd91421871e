"""Full-size MobileNetV2: six points in one file that is little larger than the largest's own."""

import keras
import numpy as np
import pytest

from keras_joslim import tflite
from tests.tflite.slimmed import points, slimmable

SHAPE = (96, 96, 3)


def network():
    return keras.applications.MobileNetV2(SHAPE, weights=None, classifier_activation=None)


@pytest.mark.slow
def test_six_points_of_mobilenet_v2(tmp_path):
    slim = slimmable(network)
    multipliers = np.linspace(0.42, 1, 6)
    models = points(slim, {f"{m:.2f}": slim.width_space.uniform(m) for m in multipliers})
    images = np.random.default_rng(0).uniform(-1, 1, (2, *SHAPE)).astype(np.float32)
    report = tflite.export_single_file(models, tmp_path / "front.tflite", images=images)

    assert report.bytes == report.path.stat().st_size
    assert report.unshared == ()
    # The network's 1000 classes are in it: 14 MB.
    largest = max(point.own_bytes for point in report.points)
    assert largest > 13.9e6
    assert report.bytes <= 1.06 * largest
    kernels = sum(w.numpy().nbytes for w in models["1.00"].weights if len(w.shape) > 1)
    vectors = sum(
        2 * 4 * layer.gamma.shape[0]
        for model in models.values()
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    )
    assert report.bytes <= 1.01 * (kernels + vectors)
    assert report.vectors <= vectors

    file = tflite.SingleFile(report.path)
    for name, model in models.items():
        expected = tflite.run(tflite.to_tflite(model), images)
        scale = np.abs(expected).max()
        assert np.ptp(expected) > 0.1 * scale
        np.testing.assert_allclose(file.run(name, images), expected, atol=1e-5 * scale, rtol=0)
