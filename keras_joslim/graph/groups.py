"""Finds the channel groups of a functional model: one walk, one handler an operation."""

import dataclasses
import fnmatch
import math

import keras

from keras_joslim.channel_layout import ChannelLayout
from keras_joslim.graph.handlers import handler_of, output_layouts
from keras_joslim.graph.handlers.table import fixed_like
from keras_joslim.graph.partition import Partition
from keras_joslim.graph.walk import functional_graph, run, unique_names
from keras_joslim.layers.conv import refuse_channels_first
from keras_joslim.width_space import ChannelGroup, WidthSpace, legal_widths

# So many groups are named in a message.
_NAMED = 8


@dataclasses.dataclass(frozen=True)
class NetworkGroups:
    """What `find_groups` found.

    Attributes:
        space: the `WidthSpace`.
        layouts: `id(operation)` -> (input layout, output layout), in terms of the
            space's group indices, for the operations that a slimmable layer
            replaces.
        names: `id(operation)` -> its name in the slimmable network, for all operations.
    """

    space: WidthSpace
    layouts: dict
    names: dict


def find_groups(model, min_width, divisor=1, choices=None, skip=()):
    """The channel groups of a functional or Sequential model.

    Args:
        model: the model.
        min_width: smallest width multiplier, above 0 and below 1.
        divisor: widths are multiples of it.
        choices: at most so many legal widths a group; `None` keeps all.
        skip: `fnmatch` patterns of layer names that stay at full width.

    Returns:
        `NetworkGroups`.

    Raises:
        ValueError: arguments out of range, a `skip` pattern that matches no layer,
            a model without a graph, a model of which nothing can be narrowed.
    """
    _check_arguments(min_width, divisor, choices)
    names = unique_names(model)
    partition = Partition(names)
    skipped = _Patterns(skip)
    calls = {}
    # Layers with weights that nothing slices, and the layouts around them.
    whole = []

    def visit(node, inputs, args, kwargs):
        operation = node.operation
        refuse_channels_first(operation)
        outputs = output_layouts(node, inputs, partition)
        if skipped.match(operation.name, names[id(operation)]):
            for layout in outputs:
                if layout is not None:
                    partition.freeze(layout, operation, "is skipped on request")
        if handler_of(operation).slim is None:
            if isinstance(operation, keras.Layer) and operation.weights:
                whole.append((operation, [x for x in (*inputs, *outputs) if x is not None]))
            return outputs
        # What has no channels yet (the tokens that an embedding reads) counts as one.
        source, target = (
            ChannelLayout.fixed(1) if x is None else x for x in (inputs[0], outputs[0])
        )
        if id(operation) in calls:
            # A shared layer has one kernel: both calls slice it the same way.
            _, earlier_in, earlier_out = calls[id(operation)]
            partition.merge(earlier_in, source, operation)
            partition.merge(earlier_out, target, operation)
        else:
            calls[id(operation)] = (operation, source, target)
        return outputs

    graph = functional_graph(model)
    outputs = run(graph, [fixed_like(tensor) for tensor in graph.inputs], visit)
    for tensor, layout in zip(graph.outputs, keras.tree.flatten(outputs), strict=True):
        if layout is not None:
            operation = tensor._keras_history.operation
            partition.freeze(layout, operation, "is an output of the model, which is never slimmed")
    for operation, *sides in calls.values():
        if id(operation) in partition.stock:
            for layout in sides:
                partition.freeze(layout, operation, "runs at full width in another of its calls")
    skipped.refuse_unmatched(model)
    partition.close()
    for operation, layouts in whole:
        if not all(partition.resolve(layout).is_fixed for layout in layouts):
            raise ValueError(
                f"Layer {operation.name!r} ({type(operation).__name__}) has weights, and a handler "
                "that lets its channels be narrowed, but nothing that slices the weights. Give "
                "`register_handler` a slimmable form, `slim=`, or the handler 'frozen'."
            )
    space, index = _width_space(partition, min_width, divisor, choices)
    if not len(space.searchable):
        reasons = "".join(f"\n  {layer}: {reason}" for layer, reason in space.frozen)
        raise ValueError(
            f"Nothing in model {model.name!r} can be narrowed with min_width={min_width}, "
            f"divisor={divisor}, choices={choices}. {_single_widths(space)}"
            f"What stays at full width:{reasons}"
        )

    def indexed(layout):
        return partition.resolve(layout).map_segments(
            lambda s: dataclasses.replace(s, group=None if s.group is None else index[s.group])
        )

    layouts = {
        key: (indexed(a), indexed(b))
        for key, (_, a, b) in calls.items()
        if key not in partition.stock
    }
    return NetworkGroups(space, layouts, names)


def _width_space(partition, min_width, divisor, choices):
    """The `WidthSpace` and, for every root group in it, its index."""
    groups, index, named = [], {}, {}
    for root in partition.roots():
        members, size = partition.members(root), partition.size(root)
        # A divisor is that of a layer's channels, of which this group may be one of equal parts.
        step = divisor // math.gcd(divisor, partition.parts(root))
        legal = legal_widths(size, min_width, step, choices, partition.unit(root))
        least = partition.least(root)
        legal = tuple(w for w in legal if w >= least)
        index[root] = len(groups)
        # A handler may have opened several groups in the name of one layer.
        count = named[members[0]] = named.get(members[0], -1) + 1
        name = f"{members[0]} ({count})" if count else members[0]
        groups.append(ChannelGroup(name, size, legal, members))
    ordering = [(index[a], index[b]) for a, b in partition.ordering]
    frozen = [(layer, reason) for layer, reason in partition.reasons.items()]
    return WidthSpace(groups, ordering, frozen), index


def _single_widths(space):
    """A sentence on the groups of a space in which none has a choice; empty without groups."""
    if not len(space):
        return ""
    named = [f"{group.name} ({group.size} channels)" for group in space.groups[:_NAMED]]
    if len(space) > _NAMED:
        named.append(f"and {len(space) - _NAMED} more")
    return (
        "No group has two legal widths: lower divisor or min_width, or raise choices. "
        f"Groups: {', '.join(named)}. "
    )


class _Patterns:
    """The `skip` patterns, and which of them have matched."""

    def __init__(self, patterns):
        self._patterns = (patterns,) if isinstance(patterns, str) else tuple(patterns)
        self._unmatched = dict.fromkeys(self._patterns)

    def match(self, *names):
        hits = [p for p in self._patterns if any(fnmatch.fnmatchcase(name, p) for name in names)]
        for pattern in hits:
            self._unmatched.pop(pattern, None)
        return bool(hits)

    def refuse_unmatched(self, model):
        if self._unmatched:
            raise ValueError(
                f"These `skip` patterns match no layer of model {model.name!r}: "
                f"{list(self._unmatched)}. Patterns are matched against whole layer names, "
                "'*' for any characters; `model.summary()` lists the names."
            )


def _check_arguments(min_width, divisor, choices):
    if not isinstance(min_width, (int, float)) or not 0 < min_width < 1:
        raise ValueError(
            "`min_width` is the smallest width multiplier, a number above 0 and below 1. "
            f"Received: min_width={min_width!r}"
        )
    if not isinstance(divisor, int) or divisor < 1:
        raise ValueError(f"`divisor` must be a whole number from 1. Received: divisor={divisor!r}")
    if choices is not None and (not isinstance(choices, int) or choices < 1):
        raise ValueError(
            f"`choices` must be a whole number from 1, or None. Received: choices={choices!r}"
        )
