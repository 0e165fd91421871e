"""The operators of a network's file at any widths, as terms of its latency, and that file itself.

A latency is a sum over the operators of the exported file, whatever graph they make: each costs
what its kind, its fixed sizes and the one or two widths that its tensors depend on say. Operators
that agree in all but the widths share one table.
"""

import numpy as np

from keras_joslim.costs.latency_tables import Term
from keras_joslim.costs.probed_files import ProbedFiles
from keras_joslim.costs.width_functions import evaluate
from keras_joslim.tflite.resized import ResizableFile

_LETTERS = "abcdefghijklmnop"
_MOST_AXES = 2


class FileNetwork:
    """A slimmable network as the files that its sub-networks are.

    Args:
        model: a `SlimmableModel`; its weights do not matter.
        format: number format of the files.

    Attributes:
        terms: tuple of `Term`, of the operators that widths change.
        fixed: how many operators no width changes.

    Raises:
        ValueError: as for `costs.Memory`: files that are not understood at all widths.
    """

    def __init__(self, model, format="fp32"):  # noqa: A002 - the word of the field
        self.space, self.format = model.width_space, format
        probed = ProbedFiles(model, format)
        self._symbolic = probed.symbolic
        self._file = ResizableFile(probed.data[0])
        terms = [self._term(i) for i in range(len(self._symbolic.graph.operators))]
        self.terms = tuple(term for term in terms if term.axes)
        self.fixed = len(terms) - len(self.terms)
        self._check(probed)

    def file(self, widths):
        """The TFLite file of a sub-network of random weights: bytes, always the same ones.

        Args:
            widths: legal widths, int `(groups,)`.
        """
        symbolic = self._symbolic
        values = _Values(np.asarray(widths))
        shapes = {index: values.shape(shape) for index, shape in symbolic.shapes.items()}
        constants = {}
        for place, constant in symbolic.operands.items():
            if constant.kind and constant.kind[0] == "list":
                _, dtype, shape = constant.kind
                contents = np.array(values.shape(constant.contents), dtype)
                constants[place] = contents.reshape(shape)
            else:
                constants[place] = values.shape(constant.shape)
        gone = {at for at, added in symbolic.pads.items() if not any(values.shape(added))}
        return self._file.resized(shapes, constants, gone)

    def _term(self, position):
        symbolic = self._symbolic
        operator = symbolic.graph.operators[position]
        computed = [symbolic.shapes[i] for i in operator.inputs if i in symbolic.shapes]
        written = [symbolic.shapes[i] for i in operator.outputs]
        axes = _varying([*computed, *written])
        if len(axes) > _MOST_AXES:
            # A concatenation reads many widths; what it writes is their sum.
            axes = _varying(written)[:_MOST_AXES]
        letters = {function: _LETTERS[i % len(_LETTERS)] for i, function in enumerate(axes)}
        sizes = []
        for slot, index in enumerate(operator.inputs):
            shape = symbolic.shapes.get(index)
            if shape is None and (position, slot) in symbolic.operands:
                shape = symbolic.operands[position, slot].shape
            if shape is not None:
                sizes.append(_size_text(shape, letters, symbolic.graph.tensors[index].dtype))
        out = [
            _size_text(symbolic.shapes[i], letters, symbolic.graph.tensors[i].dtype)
            for i in operator.outputs
        ]
        options = _options_text(self._file.options(position))
        text = f"{operator.name} {', '.join(sizes)} -> {', '.join(out)}{options}"
        return Term(symbolic.graph.tensors[operator.outputs[0]].name, text, tuple(axes))

    def _check(self, probed):
        """What is written is what was converted, at the widths where both are known."""
        from keras_joslim.tflite.liveness import read_graph

        for widths, graph in zip(probed.rows, probed.graphs, strict=True):
            mine = read_graph(self.file(widths), "the file written for measuring")
            if _shapes(mine) != _shapes(graph):
                raise ValueError(
                    "The file of this network is not understood: at "
                    f"widths={widths.tolist()} the converter makes other operators or sizes than "
                    "its files at other widths say. Raise `min_width`."
                )


class _Values:
    """Values of functions at one width vector."""

    def __init__(self, widths):
        self._widths, self._known = widths[None], {}

    def shape(self, functions):
        missing = [f for f in functions if f not in self._known]
        if missing:
            values = evaluate(missing, self._widths)[0]
            self._known.update(zip(missing, (int(value) for value in values), strict=True))
        return tuple(self._known[f] for f in functions)


def _varying(shapes):
    """Functions in shapes that widths change, each once, in order."""
    return list(dict.fromkeys(f for shape in shapes for f in shape if any(f[:-1])))


def _size_text(shape, letters, dtype):
    text = "x".join(letters.get(f, "?") if any(f[:-1]) else f"{f[-1]:g}" for f in shape)
    return f"{dtype}[{text}]"


def _options_text(options):
    """Numbers and flags among an operator's options, those that are not 0."""
    known = {
        name: value
        for name, value in sorted((vars(options) if options is not None else {}).items())
        if isinstance(value, bool | int | float) and value
    }
    return "".join(f"; {name}={value:g}" for name, value in known.items())


def _shapes(graph):
    """The operators with the shapes of what they read and write."""
    return [
        (
            operator.name,
            [None if i is None else graph.tensors[i].shape for i in operator.inputs],
            [graph.tensors[i].shape for i in operator.outputs],
        )
        for operator in graph.operators
    ]
