"""Memory of a sub-network: bytes of its weights, and of its live tensors at their peak.

What a converter makes of a network is not foreseen but looked at: a few sub-networks are exported
when the cost is made (`costs.probed_files`). From then on the cost is a function of widths like any
other.
"""

import dataclasses
import itertools
import math

import numpy as np

from keras_joslim.costs.probed_files import ProbedFiles
from keras_joslim.costs.width_functions import evaluate


class Memory:
    """Bytes that a sub-network's TFLite file has in memory while it runs.

    The *weight* term is the bytes of all constants of the exported file. The *activation* term is
    the peak, over its operators in their order, of the bytes of all live tensors: what the
    operator reads and writes, and what is needed later. Both equal, to the byte, what
    `tflite.weight_bytes` and `tflite.activation_bytes` count in the file of the extracted
    sub-network. Kernel temporaries are not in them: `tflite.arena_bytes` measures those. It is
    the larger figure, unless the peak is at an operator that the built-in interpreter runs in
    place, such as the product in `x * sigmoid(x)`.

    Making the cost exports a few sub-networks, three or four as a rule, which takes seconds each
    (MobileNetV2 at 96 px: half a minute in all on one core). Calling it exports nothing.

    The counts are those of trained weights. The converter drops additions of zero and stores equal
    constants once, so the file of a network fresh from its initialiser can be smaller.

    Args:
        model: a `SlimmableModel`.
        activation: whether the activation term counts.
        weights: whether the weight term counts.
        format: number format of the file, "fp32". An fp16 file begins by expanding its weights
            to float32, all of them or few at a time as the runtime likes.

    Call arguments:
        widths: int, `(groups,)` or `(n, groups)`.

    Returns of a call: int64, a scalar or `(n,)`.

    Raises:
        ValueError: neither term, another format, an input without a static shape, a network whose
            files differ in more than sizes, naming what differs; when called, widths of another
            length.

    Example:

    >>> memory = Memory(slim)
    >>> memory(slim.width_space.full)  # CIFAR ResNet-20
    1272816
    >>> joslim = Joslim(calibration_data, tau=100, cost=Memory(slim, weights=False))
    """

    name = "memory"
    unit = "bytes"

    def __init__(self, model, activation=True, weights=True, format="fp32"):  # noqa: A002
        from keras_joslim.tflite.formats import find_format

        find_format(format)
        if format != "fp32":
            raise ValueError(
                f"Memory is known of fp32 files. Received: format={format!r}. What is live in "
                "other formats depends on the runtime (fp16 weights are expanded to float32, for "
                "example); measure it with `tflite.arena_bytes` and `tflite.profile`."
            )
        if not (activation or weights):
            raise ValueError(
                "Memory is the sum of two terms, at least one of which must count. "
                f"Received: activation={activation}, weights={weights}"
            )
        self._groups = len(model.width_space)
        self._activation, self._weights = bool(activation), bool(weights)
        probed = ProbedFiles(model, format)
        rows, graphs, file = probed.rows, probed.graphs, probed.symbolic
        # Function -> column in the table of values; tuple of such columns -> column in the table
        # of features, which are products of values.
        self._functions, self._features = {}, {(): 0}
        # Of the exported network no contents are kept, only the order of its operators.
        self._graph = dataclasses.replace(file.graph, tensors=())
        self._pads = {position: self._columns(f) for position, f in file.pads.items()}
        self._sizes = {
            index: self._size(shape, file.graph.tensors[index].itemsize)
            for index, shape in file.shapes.items()
        }
        self._constants = [
            (self._size(c.shape, c.itemsize), self._columns(c.contents), c.kind, c.pad)
            for c in file.constants
        ]
        self._steps = {}
        self._check(rows, graphs, file.missing)

    def __call__(self, widths):
        return sum(self.terms(widths).values())

    def terms(self, widths):
        """The terms one by one.

        Args:
            widths: int, `(groups,)` or `(n, groups)`.

        Returns:
            A dict with the keys "activation" and "weight", as far as they count: int64, a
            scalar or `(n,)`.

        Raises:
            ValueError: widths of another length.
        """
        widths = np.asarray(widths)
        if widths.ndim not in (1, 2) or widths.shape[-1] != self._groups:
            raise ValueError(
                f"Expected widths of shape ({self._groups},) or (n, {self._groups}). "
                f"Received: shape={widths.shape}"
            )
        values, features = self._tables(np.atleast_2d(widths))
        terms = {}
        if self._activation:
            terms["activation"] = self._peaks(values, features)
        if self._weights:
            terms["weight"] = self._stored(values, features)
        # Bytes stay far below 2**53, so float64 sums of whole numbers are exact.
        terms = {name: term.astype(np.int64) for name, term in terms.items()}
        return terms if widths.ndim == 2 else {name: term[0] for name, term in terms.items()}

    # -- sizes as products of functions ------------------------------------------

    def _tables(self, widths):
        """Values `(n, functions)` and features `(n, features)` at some widths."""
        values = evaluate(list(self._functions), widths)
        products = [values[:, list(columns)].prod(axis=1) for columns in self._features]
        return values, np.stack(products, axis=1)

    def _columns(self, functions):
        """Columns of the functions in the table of values."""
        return [self._functions.setdefault(f, len(self._functions)) for f in functions]

    def _size(self, shape, itemsize):
        """Bytes of a tensor: what a feature is multiplied by, and the feature's column."""
        fixed = [function[-1] for function in shape if not any(function[:-1])]
        varying = [function for function in shape if any(function[:-1])]
        feature = tuple(sorted(self._columns(varying)))
        return itemsize * math.prod(fixed), self._features.setdefault(feature, len(self._features))

    # -- the terms -----------------------------------------------------------------

    def _peaks(self, values, features):
        """The activation term. A pad that adds nothing is not in the file."""
        gone = self._gone(values)
        patterns, which = np.unique(gone, axis=0, return_inverse=True)
        peaks = np.empty(len(values))
        for i, pattern in enumerate(patterns):
            rows = which.ravel() == i
            peaks[rows] = (features[rows] @ self._step_matrix(tuple(pattern)).T).max(axis=1)
        return peaks

    def _gone(self, values):
        """Which pads add nothing: bool `(n, pads)`."""
        gone = np.zeros((len(values), len(self._pads)), bool)
        for i, added in enumerate(self._pads.values()):
            gone[:, i] = (values[:, added] == 0).all(axis=1)
        return gone

    def _step_matrix(self, gone):
        """Live bytes of each operator as coefficients of the features, with some pads gone."""
        if gone not in self._steps:
            graph = self._graph.without(set(itertools.compress(self._pads, gone)))
            matrix = np.zeros((max(1, len(graph.operators)), len(self._features)))
            for index, (first, last) in graph.lifetimes().items():
                coefficient, feature = self._sizes[index]
                matrix[first : last + 1, feature] += coefficient
            matrix = np.unique(matrix, axis=0)
            # No width makes an operator the peak that another one exceeds in every feature.
            exceeded = [(row <= matrix).all(axis=1).sum() > 1 for row in matrix]
            self._steps[gone] = matrix[~np.array(exceeded)]
        return self._steps[gone]

    def _stored(self, values, features):
        """The weight term: constants of one kind and equal contents are stored once."""
        gone = dict(zip(self._pads, self._gone(values).T, strict=True))
        total, kinds = np.zeros(len(values)), {}
        for (coefficient, feature), contents, kind, pad in self._constants:
            there = ~gone[pad] if pad in gone else np.ones(len(values), bool)
            new = there.copy()
            if kind is not None:
                mine, others = values[:, contents], kinds.setdefault(kind, [])
                for others_there, other in others:
                    new &= ~(others_there & (other == mine).all(axis=1))
                others.append((there, mine))
            total += coefficient * features[:, feature] * new
        return total

    def _check(self, rows, graphs, missing):
        """The cost is what the exported files say, or there is no cost."""
        terms, gone = self.terms(rows), self._gone(self._tables(rows)[0])
        for i, graph in enumerate(graphs):
            left_out = set(itertools.compress(self._pads, gone[i]))
            if left_out != missing[i]:
                raise ValueError(
                    "Expected the exported file to leave out the pads that add nothing, and no "
                    f"other operators. Received: operators {sorted(missing[i])} left out at "
                    f"widths={rows[i].tolist()}, where {sorted(left_out)} add nothing."
                )
            found = {"activation": graph.live_bytes().max(), "weight": graph.constant_bytes()}
            for name, values in terms.items():
                if values[i] != found[name]:
                    raise ValueError(
                        f"The {name} bytes of this network are not understood: at "
                        f"widths={rows[i].tolist()} the exported file has {found[name]}, its "
                        f"sizes add up to {values[i]}: the converter does there what it does at "
                        "no other widths. Raise `min_width`, or use another cost."
                    )
