"""The words that flags and configs are made of; no engine or network is loaded to check one."""

import numpy as np

COSTS = ("macs", "parameters", "memory")
SEARCHES = ("mobo", "nsga2", "greedy", "mrf")
# Of "mobo", see `keras_joslim.search.JoslimSearch`.
TARGETS = ("uniform", "gap", "lambda")
# How a cost is spelled that is read from a file: a latency model fitted to one device.
LATENCY = "latency:"


def checked_cost(name):
    """A cost as flags and configs spell it: one of `COSTS`, or "latency:FILE".

    Args:
        name: what was given.

    Returns:
        `name`.

    Raises:
        ValueError: it is neither.

    Example:

    >>> checked_cost("latency:pixel7.json")
    'latency:pixel7.json'
    """
    text = str(name)
    if text not in COSTS and not (text.startswith(LATENCY) and text != LATENCY):
        raise ValueError(
            f"A cost is one of {', '.join(COSTS)} or {LATENCY}FILE. Received: cost={name!r}"
        )
    return name


def cost_kind(name):
    """What kind of cost that is, without its file: "latency" for "latency:pixel7.json".

    Args:
        name: as `checked_cost` accepts it.
    """
    return name.partition(":")[0]


def in_full(number):
    """A number without an exponent, as names and messages have it: "2000000", "0.4"."""
    return np.format_float_positional(number, trim="-")
