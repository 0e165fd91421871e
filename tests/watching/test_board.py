"""Images for TensorBoard."""

import numpy as np

from keras_joslim.watching.board import front_image, widths_image


def test_a_row_of_pixels_a_group_and_a_column_a_network():
    multipliers = np.array([[1.0, 0.25], [0.25, 1.0], [1.0, 1.0]])
    image = widths_image(multipliers)
    height, width, _ = image.shape
    cells = image[height // 4 :: height // 2, width // 6 :: width // 3][:2, :3]
    wide, narrow = cells[0, 0].tolist(), cells[1, 0].tolist()
    assert wide != narrow
    assert cells.tolist() == [[wide, narrow, wide], [narrow, wide, wide]]


def test_a_long_history_is_thinned():
    assert widths_image(np.ones((5000, 3))).shape[1] <= 400


def test_the_front_is_drawn_without_what_has_no_loss():
    losses = np.array([0.5, np.nan, 0.2, 0.9])
    image = front_image(losses, np.array([1.0, 2.0, 3.0, 2.5]))
    assert image.ndim == 3
    assert image.dtype == np.uint8
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 10
    assert (image != front_image(losses[:1], np.array([1.0]))).any()
