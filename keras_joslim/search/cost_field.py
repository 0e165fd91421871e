"""The field of a cost: what an exact search over widths is made on."""

from keras_joslim.search.thinned_space import thinned
from keras_joslim.search.width_mrf import WidthMRF


def cost_field(space, cost, choices=12):
    """A `WidthMRF` over a space thinned to some legal widths a group.

    Args:
        space: a `WidthSpace`.
        cost: a cost object that is a sum of tables, `cost.factors(legal)`: `costs.MACs`,
            `costs.Parameters`, a fitted latency model.
        choices: legal widths a group at most, from 1.

    Returns:
        A `WidthMRF`; its `space` is the thinned one, all that is legal in it is so in `space`.

    Raises:
        ValueError: a cost without factors; what `WidthMRF` raises.
    """
    if not hasattr(cost, "factors"):
        raise ValueError(
            "An exact search over widths needs a cost that is a sum of tables of a few groups "
            f"each: macs, parameters or a latency model. {getattr(cost, 'name', cost)!r} is none "
            "(a peak of memory is a maximum, not a sum): another method can search by it."
        )
    space = thinned(space, choices)
    return WidthMRF(space, cost.factors(space.legal))
