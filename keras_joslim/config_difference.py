"""Where two configs differ, by the name of the field."""


def first_difference(old, new, prefix=""):
    """The first field, in alphabetical order, in which two nested dicts differ.

    Args:
        old, new: JSON dicts.
        prefix: put before the names.

    Returns:
        `(dotted name, old value, new value)`, `None` for a value that is not there; or `None`.

    Example:

    >>> first_difference({"train": {"epochs": 2}}, {"train": {"epochs": 3}})
    ('train.epochs', 2, 3)
    """
    for name in sorted({*old, *new}):
        before, after = old.get(name), new.get(name)
        if isinstance(before, dict) and isinstance(after, dict):
            deeper = first_difference(before, after, f"{prefix}{name}.")
            if deeper:
                return deeper
        elif before != after or (name in old) != (name in new):
            return f"{prefix}{name}", before, after
    return None
