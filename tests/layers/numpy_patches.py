"""Patches of images under a kernel, in numpy alone."""

import numpy as np


def patches(images, kernel, strides, padding, dilation_rate):
    """float64 `(batch, new height, new width, kernel height, kernel width, channels)`."""
    spread = [(k - 1) * dilation_rate + 1 for k in kernel]
    if padding == "same":
        pads = [(0, 0)]
        for n, k in zip(images.shape[1:3], spread, strict=True):
            # TensorFlow's rule: as little as gives ceil(n / strides), the odd pixel at the end.
            total = max((-(-n // strides) - 1) * strides + k - n, 0)
            pads.append((total // 2, total - total // 2))
        images = np.pad(images, [*pads, (0, 0)])
    rows, columns = [(n - k) // strides + 1 for n, k in zip(images.shape[1:3], spread)]
    result = np.zeros((len(images), rows, columns, *kernel, images.shape[-1]))
    for i in range(rows):
        for j in range(columns):
            for a in range(kernel[0]):
                for b in range(kernel[1]):
                    y, x = i * strides + a * dilation_rate, j * strides + b * dilation_rate
                    result[:, i, j, a, b] = images[:, y, x]
    return result
