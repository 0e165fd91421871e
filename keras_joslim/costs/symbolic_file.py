"""A TFLite file whose sizes are functions of widths, found from the files at a few widths.

The converter decides what is in a file, so files are looked at: their operators must be the same,
and each size the width of a channel layout. What the converter does at some widths only is
foreseen: it leaves out a pad of no channels, and stores constants of equal contents once.
"""

import dataclasses

import numpy as np

# What is left out of a file where it would add nothing.
_PADS = ("PAD", "PADV2")
# Longer lists of whole numbers are tables, not shapes or axes: no widths are looked for in them.
_LONGEST_LIST = 32


@dataclasses.dataclass(frozen=True)
class Constant:
    """What the converter stores for one constant, or for several that are always equal.

    Attributes:
        itemsize: bytes of an element.
        shape: functions, see `costs.width_functions`.
        kind: constants of one kind are stored once where the values of their `contents` are
            equal; `None` is never equal to another.
        contents: functions.
        pad: position of the pad that alone reads it, else `None`.
    """

    itemsize: int
    shape: tuple
    kind: tuple | None = None
    contents: tuple = ()
    pad: int | None = None


class SymbolicFile:
    """A TFLite file at any widths.

    Args:
        graphs: `tflite.liveness.FileGraph`s of sub-networks, the full network's first.
        functions: `WidthFunctions` at their widths.

    Attributes:
        graph: the full network's graph, which has every operator.
        shapes: index of a computed tensor -> functions, its shape.
        pads: position of an operator that may be left out -> functions, what it adds; it is
            left out where all are 0.
        constants: list of `Constant`.
        operands: (position of an operator, place among its inputs) -> the `Constant` read there.
        missing: for each of `graphs`, the set of positions that are left out.

    Raises:
        ValueError: files of different operators, a size that is no function of widths.
    """

    def __init__(self, graphs, functions):
        self.graph = graphs[0]
        self._graphs = graphs
        self._functions = functions
        self._matches = [_Match(self.graph, graph) for graph in graphs]
        self.missing = [match.missing for match in self._matches]
        self.shapes = {}
        for index in self.graph.lifetimes():
            tensors = [
                graph.tensors[match.tensors[index]]
                for graph, match in zip(graphs, self._matches, strict=True)
            ]
            self.shapes[index] = self._shape(tensors, index)
        self.pads = self._vanishing_pads()
        self.operands = {}
        self.constants = self._distinct_constants()

    def _shape(self, tensors, index=None):
        """The shape of one tensor, seen in every file, as functions."""
        shapes = [tensor.shape for tensor in tensors]
        if len({len(shape) for shape in shapes}) > 1:
            raise ValueError(
                f"Tensor {tensors[0].name!r} of the exported file must have as many axes at all "
                f"widths. Received: shapes={shapes}"
            )
        shape = []
        for axis, sizes in enumerate(zip(*shapes)):
            found = self._functions.find(sizes) or self._joined(sizes, index, axis)
            if found is None:
                raise ValueError(
                    f"Axis {axis} of tensor {tensors[0].name!r} of the exported file is as long as "
                    f"no channel layout of the network: its bytes are not known at other widths. "
                    f"Received: sizes={sizes}. Leave the layers around it at full width "
                    "(`make_slimmable(skip=...)`)."
                )
            shape.append(found)
        return tuple(shape)

    def _joined(self, sizes, index, axis):
        """What only concatenations read is the input of no layer: the sum of its parts."""
        for operator in self.graph.operators:
            if operator.name == "CONCATENATION" and index in operator.outputs:
                parts = [self.shapes[i][axis] for i in operator.inputs if i in self.shapes]
                total = tuple(np.sum(parts, axis=0).tolist())
                return total if self._functions.agrees(total, sizes) else None
        return None

    def _vanishing_pads(self):
        pads = {}
        for position, operator in enumerate(self.graph.operators):
            if operator.name in _PADS:
                before, after = (self.shapes[i[0]] for i in (operator.inputs, operator.outputs))
                added = tuple(_difference(b, a) for a, b in zip(before, after, strict=True))
                varying = tuple(f for f in added if any(f[:-1]))
                # A border of constant size is always there.
                if varying and not any(f[-1] for f in added if f not in varying):
                    pads[position] = varying
        return pads

    def _distinct_constants(self):
        """The constants: those that share a buffer in every file are one."""
        readers = {}
        for position, operator in enumerate(self.graph.operators):
            for slot, index in enumerate(operator.inputs):
                if index is not None and self.graph.tensors[index].buffer is not None:
                    seen = tuple(match.constants.get((position, slot)) for match in self._matches)
                    buffers = tuple(
                        None if i is None else graph.tensors[i].buffer
                        for graph, i in zip(self._graphs, seen, strict=True)
                    )
                    readers.setdefault(buffers, (seen, []))[1].append((position, slot))
        constants = {}
        for number, (seen, places) in enumerate(readers.values()):
            tensors = [
                None if i is None else graph.tensors[i]
                for graph, i in zip(self._graphs, seen, strict=True)
            ]
            constant = self._constant(tensors, [position for position, _ in places])
            self.operands.update(dict.fromkeys(places, constant))
            constants[number if constant.kind is None else constant] = constant
        return list(constants.values())

    def _constant(self, tensors, positions):
        """One constant out of what it is in each file, `None` where its operator is left out."""
        there = [tensor for tensor in tensors if tensor is not None]
        first = there[0]
        shape = self._shape([tensor or first for tensor in tensors])
        kind, contents = self._contents(tensors, there, shape, self.graph.operators[positions[0]])
        pad = positions[0] if set(positions) <= set(self.pads) else None
        return Constant(first.itemsize, shape, kind, contents, pad)

    def _contents(self, tensors, there, shape, operator):
        """`kind` and `contents` of a `Constant`."""
        dtype = there[0].dtype
        if np.issubdtype(dtype, np.integer) and len({tensor.shape for tensor in there}) == 1:
            entries = [None if t is None else t.data.ravel().tolist() for t in tensors]
            contents = self._entries(entries, there[0].data.size, operator)
            if None not in contents:
                return ("list", dtype, there[0].shape), contents
        value = there[0].data.flat[0].item()
        if all((tensor.data == value).all() for tensor in there):
            return ("filled", dtype, len(shape), value), shape
        # Weights of a trained network: no two are equal.
        return None, ()

    def _entries(self, entries, size, operator):
        """Functions of whole numbers such as shapes and paddings; `None` for an unknown one."""
        if size > _LONGEST_LIST:
            return (None,)
        found = []
        for place in range(size):
            values = [None if entry is None else entry[place] for entry in entries]
            fits = (f for f in self._meanings(place, values, operator) if f is not None)
            found.append(next((f for f in fits if self._functions.agrees(f, values)), None))
        return tuple(found)

    def _meanings(self, place, values, operator):
        """What an entry of a list may be, the likeliest first: several may have its values."""
        first = next(value for value in values if value is not None)
        constant = self._functions.find([first] * len(values))
        before, after = (self.shapes.get(i[0], ()) for i in (operator.inputs, operator.outputs))
        if operator.name in _PADS:
            axis = place // 2
            return [_difference(after[axis], before[axis]), constant]
        own = [function for i in operator.inputs for function in self.shapes.get(i, ())]
        differences = [_difference(a, b) for a in own for b in after]
        return [constant, *after[place : place + 1], self._functions.find(values), *differences]


class _Match:
    """What of one file is what of the full network's.

    Attributes:
        tensors: index of a computed tensor -> its index in the other file.
        constants: (position of an operator, operand) -> index of a constant in the other file.
        missing: positions of the operators that the other file leaves out.
    """

    def __init__(self, full, other):
        self.tensors = dict(zip(full.inputs, other.inputs, strict=True))
        self.constants, self.missing = {}, set()
        rest = list(other.operators)
        for position, operator in enumerate(full.operators):
            if rest and self._is_same(full, other, operator, rest[0]):
                theirs = rest.pop(0)
                self.tensors.update(zip(operator.outputs, theirs.outputs, strict=True))
                for slot, (mine, index) in enumerate(zip(operator.inputs, theirs.inputs)):
                    if mine is not None and mine not in self.tensors:
                        self.constants[position, slot] = index
            elif operator.name in _PADS:
                self.missing.add(position)
                self.tensors[operator.outputs[0]] = self.tensors[operator.inputs[0]]
            else:
                raise _other_operators(_named(full, operator), _named(other, *rest[:1]))
        if rest:
            raise _other_operators(_named(full), _named(other, rest[0]))

    def _is_same(self, full, other, mine, theirs):
        if (mine.name, len(mine.inputs)) != (theirs.name, len(theirs.inputs)):
            return False
        for a, b in zip(mine.inputs, theirs.inputs, strict=True):
            constant = b is not None and other.tensors[b].buffer is not None
            if a in self.tensors and self.tensors[a] != b:
                return False
            if a not in self.tensors and (a is not None) != constant:
                return False
        return len(mine.outputs) == len(theirs.outputs)


def _named(graph, operator=None):
    """What to call an operator: its name and that of the tensor it computes."""
    if operator is None:
        return "the end"
    return f"{operator.name} {graph.tensors[operator.outputs[0]].name!r}"


def _other_operators(expected, received):
    return ValueError(
        "Exported sub-networks must have the same operators at all widths. "
        f"Received: {expected} in the full network, at other widths {received} in its place. "
        "Raise `min_width`: of groups with one channel the converter makes something simpler."
    )


def _difference(a, b):
    return tuple(np.subtract(a, b).tolist())
