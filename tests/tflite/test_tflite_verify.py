"""Only a file that computes what Keras computes is accepted."""

import keras
import numpy as np
import pytest

from keras_joslim import tflite


def with_kernel(build_model, change):
    """A model like `model`, with one kernel changed by `change`."""
    model = build_model()
    layer = model.get_layer("project")
    kernel, bias = layer.get_weights()
    layer.set_weights([change(kernel), bias])
    return model


def test_right_file_is_accepted_and_described(model, images, files):
    difference = tflite.verify(files["fp32"], model, images)
    expected = keras.ops.convert_to_numpy(model(images))
    errors = np.abs(tflite.run(files["fp32"], images) - expected)
    assert difference.max_abs == pytest.approx(errors.max(), abs=1e-7)
    assert difference.max_abs <= difference.allowed
    assert difference.scale == pytest.approx(np.abs(expected).max())
    assert difference.allowed == pytest.approx(1e-6 + 1e-5 * difference.scale)
    assert (difference.output, difference.images) == ("logits", 6)


def test_replaced_weights_are_refused(build_model, images, files):
    other = build_model(seed=5)
    with pytest.raises(tflite.DisagreementError) as caught:
        tflite.verify(files["fp32"], other, images, name="p03.fp32.tflite")
    message, difference = str(caught.value), caught.value.difference
    assert message.startswith("p03.fp32.tflite disagrees with Keras and was not accepted")
    assert f"differs by {difference.max_abs:.3g} on image {difference.image} of 6" in message
    assert f"Accepted is {difference.allowed:.3g}" in message
    assert "export the model again" in message
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("name", ["fp32", "fp16"])
def test_small_damage_is_refused_too(build_model, images, files, name):
    damaged = with_kernel(build_model, lambda kernel: kernel * 1.1)
    with pytest.raises(tflite.DisagreementError):
        tflite.verify(files[name], damaged, images, tflite.FORMATS[name].tolerance)


def test_fp16_is_no_fp32(model, images, files):
    with pytest.raises(tflite.DisagreementError):
        tflite.verify(files["fp16"], model, images, tflite.FORMATS["fp32"].tolerance)
    tflite.verify(files["fp16"], model, images, tflite.FORMATS["fp16"].tolerance)


def test_file_with_nan_is_refused(build_model, model, images):
    broken = tflite.to_tflite(with_kernel(build_model, lambda kernel: kernel * np.nan))
    with pytest.raises(tflite.DisagreementError, match=r"p0 was not.*'logits' is not finite on"):
        tflite.verify(broken, model, images, tflite.Tolerance(1e9, 1e9), name="p0")


def test_overflow_of_fp16_is_refused(build_model, images):
    large = with_kernel(build_model, lambda kernel: kernel * 1e6)
    tflite.verify(tflite.to_tflite(large), large, images)
    with pytest.raises(tflite.DisagreementError):
        tflite.verify(
            tflite.to_tflite(large, "fp16"), large, images, tflite.FORMATS["fp16"].tolerance
        )


def test_keras_model_with_nan_is_named_as_the_culprit(build_model, images, files):
    broken = with_kernel(build_model, lambda kernel: kernel * np.nan)
    with pytest.raises(ValueError, match=r"Keras model 'small' itself computes NaN") as caught:
        tflite.verify(files["fp32"], broken, images)
    assert not isinstance(caught.value, tflite.DisagreementError)


def test_one_bad_image_of_many_is_found(build_model, model, images, files):
    # Black images pool to small numbers and tell the two models apart least.
    other = build_model()
    head = other.get_layer("logits")
    kernel, bias = head.get_weights()
    head.set_weights([kernel * (1 + 1e-3), bias])
    mixed = np.concatenate([np.zeros_like(images[:40]), images[:1] * 50])
    with pytest.raises(tflite.DisagreementError) as caught:
        tflite.verify(files["fp32"], other, mixed)
    assert caught.value.difference.image == len(mixed) - 1


def test_other_output_shape_is_refused(images, files):
    image = keras.Input((16, 16, 3), name="image")
    pooled = keras.layers.GlobalAveragePooling2D()(image)
    other = keras.Model(image, keras.layers.Dense(4, name="logits")(pooled))
    with pytest.raises(tflite.DisagreementError, match=r"shape \(6, 5\), Keras's has \(6, 4\)"):
        tflite.verify(files["fp32"], other, images)


def test_images_must_tell_something(model, images, files):
    with pytest.raises(ValueError, match="at least one image"):
        tflite.verify(files["fp32"], model, images[:0])
    with pytest.raises(ValueError, match=r"finite images.*'image'"):
        tflite.verify(files["fp32"], model, images * np.inf)


def test_images_must_fit_the_file(files, images):
    with pytest.raises(ValueError, match=r"shape \(16, 16, 3\) for input 'image'.*\(6, 8, 8, 3\)"):
        tflite.run(files["fp32"], images[:, ::2, ::2])
    with pytest.raises(ValueError, match=r"float32 can hold.*dtype=complex64"):
        tflite.run(files["fp32"], images.astype(np.complex64))


def test_path_runs_like_bytes(path, files, images):
    np.testing.assert_array_equal(tflite.run(path, images), tflite.run(files["fp32"], images))
    with pytest.raises(ValueError, match=r"Received: path='.*nothing': no file"):
        tflite.run(path.with_name("nothing"), images)


def test_tolerance_is_not_negative():
    with pytest.raises(ValueError, match=r"at least 0.*absolute=-1"):
        tflite.Tolerance(-1, 0)
    with pytest.raises(ValueError, match="relative=nan"):
        tflite.Tolerance(0, float("nan"))
