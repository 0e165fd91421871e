"""Width spaces, costs and losses that the tests of search engines share."""

import numpy as np

from keras_joslim.width_space import ChannelGroup, WidthSpace, legal_widths


def chain(sizes=(16, 32, 64, 64), min_width=0.25, ordering=(), choices=None):
    """A space, and the cost of a chain of layers between its groups."""
    groups = [
        ChannelGroup(f"g{i}", size, legal_widths(size, min_width, choices=choices))
        for i, size in enumerate(sizes)
    ]
    space = WidthSpace(groups, ordering)

    def cost(widths):
        widths = np.asarray(widths, np.float64)
        return 9.0 * widths[..., 0] + (widths[..., 1:] * widths[..., :-1]).sum(axis=-1)

    return space, cost


def saturating(space, amounts, rates):
    """A loss of which every group takes away less and less."""

    def loss(widths):
        return (np.array(amounts) * np.exp(-np.array(rates) * space.multipliers(widths))).sum(-1)

    return loss


def search(engine, loss, evaluations, num_asked=7, after_round=None):
    """Lets an engine search until it is done or has so many evaluations."""
    while len(engine.history) < evaluations and not engine.done:
        engine.ask(num_asked)
        engine.tell([float(value) for value in loss(engine.history.widths)])
        if after_round is not None:
            engine = after_round(engine)
    return engine
