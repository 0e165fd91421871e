"""Points of one slimmable network into one TFLite file, their kernels stored once."""

import dataclasses
import pathlib

import numpy as np

from keras_joslim import atomic
from keras_joslim.tflite.convert import saved_model
from keras_joslim.tflite.operators import check_operators
from keras_joslim.tflite.single_file.kernel_constants import kernel_constants
from keras_joslim.tflite.single_file.kernel_sharing import (
    PointKernel,
    Unshared,
    families,
    total_elements,
    worthwhile_copies,
)
from keras_joslim.tflite.single_file.point_graph import PointGraph
from keras_joslim.tflite.single_file.reader import SingleFile
from keras_joslim.tflite.single_file.shared_graph import add_point
from keras_joslim.tflite.single_file.shared_tables import SharedTables
from keras_joslim.tflite.source import Source
from keras_joslim.tflite.verify import Difference, compare_outputs, keras_outputs, named_images


@dataclasses.dataclass(frozen=True)
class SinglePoint:
    """One point of a file of several.

    Attributes:
        name: of the point and of its signature.
        own_bytes: of a file of its own.
        scaled: values that its inference multiplies, image by image, because it shares kernels
            that were stored with another point's BatchNormalization.
        copied: bytes of the kernels that it has copies of.
        difference: the `Difference` from Keras.
    """

    name: str
    own_bytes: int
    scaled: int
    copied: int
    difference: Difference


@dataclasses.dataclass(frozen=True)
class SingleFileReport:
    """What `export_single_file` wrote.

    Attributes:
        path: of the file.
        bytes: of the file.
        kernels: bytes of all kernels, each once.
        vectors: bytes of the points' own offsets and scales, without copies of kernels.
        points: tuple of `SinglePoint`.
        unshared: tuple of `Unshared`: kernels that could not be shared.
    """

    path: pathlib.Path
    bytes: int
    kernels: int
    vectors: int
    points: tuple
    unshared: tuple[Unshared, ...]

    @property
    def overhead(self):
        """Bytes beyond kernels and vectors, as a share of those."""
        return self.bytes / (self.kernels + self.vectors) - 1


def export_single_file(
    models,
    path,
    *,
    images,
    tolerance=None,
    overhead=0.01,
    input_shape=None,
    on_progress=None,
):
    """Exports sub-networks of one slimmable network to one TFLite file, a signature each.

    Kernels are stored once. Each point has its own offsets, and factors for the kernels that are
    stored with another point's BatchNormalization scale; to multiply with them costs time, most
    where the images are still large. There kernels are small: `overhead` buys copies of those
    that save most time for their bytes.

    The file is fp32. Every point is run on `images` and compared with Keras before the file is
    written, atomically. The same models give the same bytes.

    Args:
        models: dict point name -> stock `keras.Model` as `extract` makes them, path of a `.keras`
            file, or function without arguments that returns a model; `ParetoFront.models` is one.
            All are sub-networks of one slimmable network with the same weights, each with its own
            BatchNormalization statistics. Names are any text; they become signatures.
        path: of the file to write.
        images: array of shape `(n, height, width, channels)`, preprocessed as in training; a dict
            input name -> array for several inputs. A few suffice.
        tolerance: a `Tolerance`; by default that of "fp32".
        overhead: bytes that the file may have beyond kernels and vectors, as a share of those, at
            least 0. Indices and operators come first (0.01 suffices for MobileNetV2 with
            `divisor=8`; small networks and odd widths need more, and get it), copies of kernels
            take the rest. `float("inf")` copies every kernel that costs time.
        input_shape: shape without batch for models that do not fix it; see `to_tflite`.
        on_progress: called as `on_progress(done, total, point)` after each conversion.

    Returns:
        A `SingleFileReport`; its `unshared` says what could not be shared, why, and its bytes.

    Raises:
        DisagreementError: a point that computes something else than Keras; nothing is written.
        ValueError: no models, names that are no text, models of different networks, with loops
            or branches, or that cannot be converted, images that do not fit.

    Example:

    >>> report = export_single_file(front.models, "front.tflite", images=validation_images[:16])
    >>> report.bytes, SingleFile("front.tflite").points
    (14534912, ('p00', 'p01', 'p02', 'p03', 'p04', 'p05'))
    """
    _check(models, overhead)
    points = convert_points(models, images, input_shape, on_progress)
    return write_points(points, path, overhead, tolerance)


def convert_points(models, images, input_shape=None, on_progress=None):
    """The points converted one by one; see `export_single_file` for the arguments.

    Returns:
        A list of `ConvertedPoint` for `write_points`.
    """
    points = []
    for name, given in models.items():
        points.append(ConvertedPoint(name, Source(given, name).model(), images, input_shape))
        points[-1].check_same_network(points[0])
        if on_progress:
            on_progress(len(points), len(models), name)
    return points


def write_points(points, path, overhead, tolerance=None):
    """Writes converted points to one file; see `export_single_file`.

    Args:
        points: list of `ConvertedPoint`.
        path, overhead, tolerance: as there.

    Returns:
        A `SingleFileReport`.
    """
    # The largest point's BatchNormalization is the one that the kernels are stored with.
    by_size = sorted(points, key=lambda point: -point.own_bytes)
    plan = families([kernel for point in by_size for kernel in point.kernels])
    others = {content: size for point in points for content, size in point.others.items()}
    kernels = sum(family.whole_bytes for family in plan) + sum(others.values())
    vectors = sum(point.vector_bytes for point in points) + sum(
        shared.factor.nbytes
        for family in plan
        for shared in family.shared.values()
        if shared.factor is not None
    )
    data, plan, copies = _within(points, plan, (1 + overhead) * (kernels + vectors))
    check_operators(data, f"the single file of {len(points)} points")
    file = SingleFile(data)
    differences = {
        point.name: compare_outputs(
            file.run(point.name, point.images),
            point.expected,
            tolerance,
            f"Point {point.name!r} of the single file",
        )
        for point in points
    }
    path = pathlib.Path(path)
    atomic.write_bytes(path, data)
    return SingleFileReport(
        path=path,
        bytes=len(data),
        kernels=kernels,
        vectors=vectors,
        points=tuple(
            SinglePoint(
                name=point.name,
                own_bytes=point.own_bytes,
                scaled=sum(
                    shared.kernel.elements
                    for family in plan
                    for (name, _), shared in family.shared.items()
                    if name == point.name and shared.factor is not None
                ),
                copied=sum(k.bytes for k in point.kernels if k.key in copies),
                difference=differences[point.name],
            )
            for point in points
        ),
        unshared=tuple(item for family in plan for item in family.unshared),
    )


class ConvertedPoint:
    """A point converted to a file of its own.

    Args:
        name: of the point.
        model: its stock Keras model.
        images, input_shape: as for `export_single_file`.

    Attributes:
        data: its own file.
        graph: its `PointGraph`.
        kernels: list of `PointKernel`.
        vector_bytes: of its other constants of one axis, offsets above all.
        others: dict content -> bytes of its constants that are no kernels.
        images, expected: dict name -> array, what goes in and what Keras computes.
        weight_names: list of str, of the Keras model.

    Raises:
        ValueError: as for `export_single_file`.
    """

    def __init__(self, name, model, images, input_shape):
        self.name = name
        with saved_model(model, input_shape) as saved:
            self.data = saved.to_tflite("fp32")
            self.images = named_images(saved.model, images)
            self.expected = keras_outputs(saved.model, self.images)
            weights = [(v.path, np.asarray(v.value, np.float32)) for v in saved.model.weights]
        self.weight_names = [path for path, _ in weights]
        for path, values in weights:
            if not np.isfinite(values).all():
                raise ValueError(f"Point {name!r} has weights that are not finite: {path!r}")
        self.graph = PointGraph(self.data, f"point {name!r}")
        constants = kernel_constants(self.graph, weights)
        self.kernels = [
            PointKernel(name, constant, total_elements(self.graph, constant.tensor))
            for constant in constants.values()
        ]
        self.vector_bytes, self.others = 0, {}
        for tensor in range(len(self.graph.tensors)):
            if tensor in constants or not self.graph.is_float_constant(tensor):
                continue
            values = self.graph.data(tensor)
            if len(self.graph.shape(tensor)) > 1:
                self.others[values.tobytes()] = values.nbytes
            else:
                self.vector_bytes += values.nbytes

    @property
    def own_bytes(self):
        """Bytes of its own file."""
        return len(self.data)

    def check_same_network(self, other):
        """Refuses a point whose weights are not named as another's."""
        mine, theirs = self.weight_names, other.weight_names
        if mine != theirs:
            odd = next((a, b) for a, b in _pairs(mine, theirs) if a != b)
            raise ValueError(
                "Expected sub-networks of one slimmable network, which have the same weights at "
                f"other widths. Received: points {other.name!r} and {self.name!r}, where "
                f"{odd[1]!r} stands against {odd[0]!r}. Extract all of them from one model."
            )


def _pairs(mine, theirs):
    length = max(len(mine), len(theirs))
    return zip(*(names + [None] * (length - len(names)) for names in (mine, theirs)), strict=True)


def _within(points, plan, limit):
    """The file with as many copies of kernels as stay below `limit` bytes.

    Returns:
        The file, its families, and the keys of the copies.
    """
    data, ranked = _assembled(points, plan), worthwhile_copies(plan)
    chosen, size = [], len(data)
    for cost, key in ranked:
        if size + cost <= limit:
            chosen.append(key)
            size += cost
    while chosen:
        changed = [family.without(chosen) for family in plan]
        grown = _assembled(points, changed)
        if len(grown) <= limit:
            return grown, changed, set(chosen)
        chosen.pop()
    return data, plan, set()


def _assembled(points, plan):
    shared = {point.name: {} for point in points}
    for family in plan:
        for (name, tensor), kernel in family.shared.items():
            shared[name][tensor] = kernel
    tables = SharedTables("keras_joslim: one signature a point")
    for point in points:
        add_point(tables, point.name, point.graph, shared[point.name])
    return tables.to_bytes()


def _check(models, overhead):
    if not isinstance(models, dict) or not models:
        raise ValueError(
            "Expected models as a dict point name -> model, at least one. "
            f"Received: models={models if models == {} else type(models).__name__}"
        )
    for name in models:
        if not isinstance(name, str) or not name or "\0" in name or not _is_text(name):
            raise ValueError(f"Expected point names that are text. Received: {name!r}")
    if not overhead >= 0:
        raise ValueError(f"Expected an overhead of at least 0. Received: overhead={overhead}")


def _is_text(name):
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
