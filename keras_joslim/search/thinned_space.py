"""A width space of fewer legal widths, for searches whose tables have one entry for each."""

import dataclasses

import numpy as np

from keras_joslim.search.whole_number import whole_number
from keras_joslim.width_space import WidthSpace


def thinned(space, choices):
    """The space with at most so many legal widths a group, evenly spaced, the full one among them.

    Args:
        space: a `WidthSpace`.
        choices: legal widths a group at most, from 1.

    Returns:
        A `WidthSpace` of the same groups; all that is legal in it is legal in `space`.

    Raises:
        ValueError: `choices` that is no whole number from 1.
    """
    choices = whole_number("choices", choices, 1)
    groups = []
    for group in space.groups:
        legal = np.array(group.legal)
        if len(legal) > choices:
            targets = np.linspace(legal[0], legal[-1], choices) if choices > 1 else legal[-1:]
            nearest = np.abs(legal[:, None] - targets).argmin(axis=0)
            legal = legal[np.unique(nearest)]
        groups.append(dataclasses.replace(group, legal=tuple(legal.tolist())))
    return WidthSpace(groups, space.ordering, space.frozen)
