"""Which kernels of several points stand once in their common file, and which in copies."""

import dataclasses
import math

import numpy as np

from keras_joslim.tflite.single_file.kernel_blocks import KernelBlocks, Reading, TooManyAxesError
from keras_joslim.tflite.single_file.kernel_constants import KernelConstant
from keras_joslim.tflite.single_file.kernel_union import NotSlicesError, union

# What one more sparse tensor, DENSIFY and operator that scales take in the file, measured.
_OPERATOR_BYTES = 200
# Two float32 roundings of each value: the same to the last bit or the one before it.
_SAME = 2.5e-7
# A larger factor between two points' scales would take digits from the offset.
_LARGEST_FACTOR = 2.0**10
# In the place of a kernel's factor: there is none that would do.
_NO_FACTOR = object()


@dataclasses.dataclass(frozen=True)
class PointKernel:
    """One kernel of one point.

    Attributes:
        point: name of the point.
        constant: its `KernelConstant`.
        elements: outputs of its operators, to be scaled if the kernel is shared.
    """

    point: str
    constant: KernelConstant
    elements: int

    @property
    def key(self):
        """Which constant of the file this is."""
        return self.point, self.constant.tensor

    @property
    def bytes(self):
        """Of the kernel stored for its point alone."""
        return self.constant.values.nbytes


@dataclasses.dataclass(frozen=True)
class SharedKernel:
    """How a point has a kernel that it shares.

    Attributes:
        buffer: the stored values, float32 1-D; one object for all who share it.
        reading: its `Reading`; None of the whole kernel as it is stored.
        factor: float32 `(output channels,)` to multiply the output with; None if that is 1.
        kernel: the `PointKernel`.
    """

    buffer: np.ndarray
    reading: Reading | None
    factor: np.ndarray | None
    kernel: PointKernel

    @property
    def extra_bytes(self):
        """What the point adds to the file for this kernel, at most."""
        if self.reading is None and self.factor is None:
            return 0
        indices = 0 if self.reading is None else self.reading.bytes
        return _OPERATOR_BYTES + indices + (0 if self.factor is None else self.factor.nbytes)


@dataclasses.dataclass(frozen=True)
class Unshared:
    """A kernel that a point stores for itself, though another point has it too.

    Attributes:
        point: name of the point.
        weight: name of the Keras weight.
        bytes: that it takes.
        reason: why.
    """

    point: str
    weight: str
    bytes: int
    reason: str


class Family:
    """One Keras weight and the kernels that the points have of it.

    Args:
        kernels: list of `PointKernel`.

    Attributes:
        kernels: the same.
        whole_bytes: of the kernel that all are slices of.
        shared: dict key -> `SharedKernel`; the others are stored as they are.
        unshared: list of `Unshared`.
    """

    def __init__(self, kernels):
        self.kernels = kernels
        self.shared, self.unshared = {}, []
        self.whole_bytes = max((kernel.bytes for kernel in kernels), default=0)
        if len(kernels) > 1:
            try:
                self._share()
            except NotSlicesError as error:
                self._refuse(kernels, f"not slices of one kernel: {error}")
            except TooManyAxesError as error:
                self._refuse(kernels, f"narrowed along more than two axes: {error}")

    def _share(self):
        whole, maps = union({k.key: k.constant.raw for k in self.kernels})
        blocks = KernelBlocks(whole.shape, maps)
        self.whole_bytes = blocks.size * whole.itemsize
        stored, factors = _common_scale(whole, maps, self.kernels)
        far = [k for k in self.kernels if factors[k.key] is _NO_FACTOR]
        self._refuse(far, "its BatchNormalization scales are too far from the others'")
        buffer = blocks.ordered(np.nan_to_num(stored))
        shared = [
            SharedKernel(buffer, blocks.reading(k.key), factors[k.key], k)
            for k in self.kernels
            if k not in far
        ]
        # A small kernel's copy is smaller than what it takes to share it, and faster.
        worth = [s for s in shared if s.kernel.bytes > s.extra_bytes]
        together = buffer.nbytes + sum(s.extra_bytes for s in worth)
        if together < sum(s.kernel.bytes for s in worth):
            self.shared = {s.kernel.key: s for s in worth}
        elif len(worth) > 1:
            reason = "its widths have too small a common divisor: indices would take more"
            self._refuse([s.kernel for s in worth], reason)

    def _refuse(self, kernels, reason):
        # One of the kernels must be stored in any case.
        largest = max(self.kernels, key=lambda kernel: kernel.bytes)
        self.unshared += [
            Unshared(k.point, k.constant.name, k.bytes, reason) for k in kernels if k is not largest
        ]

    def without(self, keys):
        """The family of the kernels whose keys are not among `keys`; those are stored as copies."""
        kept = [k for k in self.kernels if k.key not in keys]
        return self if len(kept) == len(self.kernels) else Family(kept)


def families(kernels):
    """The kernels by the Keras weight that they are of.

    Args:
        kernels: list of `PointKernel`.

    Returns:
        A list of `Family`.
    """
    by_weight = {}
    for kernel in kernels:
        by_weight.setdefault(kernel.constant.weight, []).append(kernel)
    return [Family(members) for members in by_weight.values()]


def worthwhile_copies(all_families):
    """The kernels whose copies save most, the best first.

    A shared kernel with another BatchNormalization costs its point one pass over the operator's
    output, a copy costs bytes.

    Returns:
        A list of `(bytes that the file grows by at most, key)`.
    """
    scaled = [s for f in all_families for s in f.shared.values() if s.factor is not None]
    scaled.sort(key=lambda s: (-s.kernel.elements / s.kernel.bytes, s.kernel.key))
    return [(s.kernel.bytes - s.factor.nbytes + 16, s.kernel.key) for s in scaled]


def _common_scale(whole, maps, kernels):
    """The kernel as it is stored, and the factor by which each point's is another one.

    The scale is that of the largest kernel, whose point thus needs no factor.

    Returns:
        An array of the shape of `whole`, and a dict key -> float32 array, None of a factor 1, or
        `_NO_FACTOR` where none will do.
    """
    ordered = sorted(kernels, key=lambda kernel: -kernel.bytes)
    axes = {k.constant.axis for k in kernels}
    axis = axes.pop() if len(axes) == 1 else None
    if axis is None:
        same = {k.key: None if k.constant.scale is None else _NO_FACTOR for k in kernels}
        return whole, same
    common = np.zeros(whole.shape[axis])
    scales = {}
    for kernel in ordered:
        channels = maps[kernel.key][axis]
        scale = kernel.constant.scale
        scales[kernel.key] = np.ones(len(channels)) if scale is None else scale
        mine = common[channels]
        common[channels] = np.where(mine == 0, scales[kernel.key], mine)
    common[common == 0] = 1.0
    wide = np.expand_dims(common, [i for i in range(whole.ndim) if i != axis])
    stored = (whole.astype(np.float64) * wide).astype(np.float32)
    largest = ordered[0]
    here = np.ix_(*maps[largest.key])
    # The largest point's own file, to the last bit.
    stored[here] = _where_close(largest.constant.values, stored[here])
    factors = {}
    for kernel in kernels:
        values = kernel.constant.values
        close = np.abs(stored[np.ix_(*maps[kernel.key])] - values) <= _SAME * np.abs(values)
        factor = scales[kernel.key] / common[maps[kernel.key][axis]]
        size = np.abs(factor)
        if close.all():
            factors[kernel.key] = None
        elif (size < 1 / _LARGEST_FACTOR).any() or (size > _LARGEST_FACTOR).any():
            factors[kernel.key] = _NO_FACTOR
        else:
            factors[kernel.key] = factor.astype(np.float32)
    return stored, factors


def _where_close(values, other):
    """`values` where they are `other` up to rounding, else `other`."""
    return np.where(np.abs(values - other) <= 1e-6 * np.abs(other), values, other)


def total_elements(graph, tensor):
    """Outputs of all operators of a graph that read a tensor."""
    return sum(
        math.prod(graph.shape(operator.outputs[0]))
        for operator in graph.operators
        if tensor in operator.inputs
    )
