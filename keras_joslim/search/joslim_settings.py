"""What can be chosen of a `JoslimSearch`, and what of it is out of range."""

import math

from keras_joslim.search.whole_number import whole_number

TARGETS = ("uniform", "gap", "lambda")
_CHOICES = {
    "targets": TARGETS,
    "bound": ("optimistic", "upper"),
    "lengthscales": ("per_group", "one"),
    "mean": ("linear", "zero"),
}
# The least that each may be.
_WHOLE_NUMBERS = {"prior_points": 1, "seed": 0, "candidates": 1, "surrogate_entries": 8}


def checked_settings(**given):
    """The arguments of `JoslimSearch` besides space and cost as its state has them, a JSON dict.

    Raises:
        ValueError: a value out of range, or an unknown choice. Those left out are not looked at.
    """
    for name, known in _CHOICES.items():
        if name in given and given[name] not in known:
            raise ValueError(
                f"{name} must be one of {list(known)}. Received: {name}={given[name]!r}"
            )
    for name, least in _WHOLE_NUMBERS.items():
        if name in given and not (name == "surrogate_entries" and given[name] is None):
            given[name] = whole_number(name, given[name], least)
    if "beta" in given:
        if not 0.0 <= given["beta"] < math.inf:
            raise ValueError(f"beta must be at least 0 and finite. Received: beta={given['beta']}")
        given["beta"] = float(given["beta"])
    if "tolerance" in given:
        if not 0.0 < given["tolerance"] < 1.0:
            raise ValueError(
                "tolerance is a part of the full network's cost, between 0 and 1. "
                f"Received: tolerance={given['tolerance']}"
            )
        given["tolerance"] = float(given["tolerance"])
    return given
