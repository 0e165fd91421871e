"""What a latency is of: the network, so that a fitted model is used for no other one."""


def network_identity(model):
    """A JSON dict that tells networks apart by what their latency depends on.

    Args:
        model: a `SlimmableModel`.

    Returns:
        "groups": `[name, full width, smallest width]` of each channel group; "layers": of each
        layer its name, class, the shapes of its outputs and, where it has them, kernel size,
        strides, dilation, pool size and activation. Names are for messages: they are not compared.

    Raises:
        ValueError: the model is not slimmable.
    """
    if not hasattr(model, "width_space"):
        raise ValueError(
            f"A latency is of a slimmable model: `make_slimmable(model, ...)`. Received: {model!r}"
        )
    groups = [[group.name, group.size, group.legal[0]] for group in model.width_space.groups]
    return {"groups": groups, "layers": [_layer(layer) for layer in model.network.layers]}


def refuse_other_network(stored, own, where):
    """Refuses a latency that was measured of another network.

    Args:
        stored: the `network_identity` of what was measured.
        own: that of the model that it is to be used for.
        where: what to call the latency in the message.

    Raises:
        ValueError: naming the first difference.
    """
    difference = network_difference(stored, own)
    if difference:
        raise ValueError(
            f"{where} is of another network: {difference}. Measure this one, `joslim latency "
            "sample`."
        )
    for (name, _, least), (_, _, mine) in zip(stored["groups"], own["groups"], strict=True):
        # (Fewer legal widths than were measured are as good.)
        if mine < least:
            raise ValueError(
                f"{where} was measured at {least} channels and more of group {name!r}; this model "
                f"goes down to {mine}. Make it slimmable with the same min_width, or measure again."
            )


def network_difference(stored, own):
    """Words on the first layer or group in which two networks differ, "" if there is none."""
    if len(stored["groups"]) != len(own["groups"]):
        return f"it has {len(stored['groups'])} channel groups, this one {len(own['groups'])}"
    for kind, used in (("layers", None), ("groups", 2)):
        theirs, mine = stored[kind], own[kind]
        for one, other in zip(theirs, mine):
            if one[1:used] != other[1:used]:
                return f"{kind[:-1]} {one[0]!r} was {one[1:used]}, {other[0]!r} is {other[1:used]}"
        if len(theirs) != len(mine):
            return f"it has {len(theirs)} {kind}, this one {len(mine)}"
    return ""


def refuse_cost_of_other_network(cost, model):
    """Refuses a cost that says of itself that it is of another network than the model's.

    Args:
        cost: function of widths; one with `check_model(model)` is asked.
        model: the `SlimmableModel` that it is to be used for.

    Raises:
        ValueError: naming the first difference.
    """
    check = getattr(cost, "check_model", None)
    if check is not None:
        check(model)


def _layer(layer):
    import keras

    shapes = [list(tensor.shape) for tensor in keras.tree.flatten(layer.output)]
    facts = [layer.name, type(layer).__name__, shapes]
    config = layer.get_config()
    for name in ("kernel_size", "strides", "dilation_rate", "pool_size", "activation"):
        value = config.get(name)
        if value is not None and not isinstance(value, dict):
            value = list(value) if isinstance(value, tuple) else value
            facts.append(f"{name}={value}")
    return facts
