"""Checks of arguments that engines share."""


def whole_number(name, value, least):
    """`value` as an int of at least `least`.

    Raises:
        ValueError: it is something else.
    """
    try:
        whole = int(value)
        if isinstance(value, bool) or whole != value or whole < least:
            raise ValueError
    except (TypeError, ValueError):
        raise ValueError(
            f"{name} must be a whole number, at least {least}. Received: {name}={value!r}"
        ) from None
    return whole
