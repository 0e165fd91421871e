"""Which operators a TFLite file holds; files that need Flex or custom operators are refused."""

import struct

# The file identifier of the TFLite schema, at offset 4.
_IDENTIFIER = b"TFL3"


def operators(data, name="this TFLite file"):
    """The operators of a TFLite file, in execution order, repeats included.

    Args:
        data: the file as bytes.
        name: what to call it in messages.

    Returns:
        A list of str, one a node over all subgraphs: "CONV_2D", "FlexCholesky"... A custom
        operator has the name its maker gave it.

    Raises:
        ValueError: not a TFLite file, or one that is cut short.

    Example:

    >>> operators(to_tflite(model))
    ['CONV_2D', 'DEPTHWISE_CONV_2D', 'ADD', 'MEAN', 'FULLY_CONNECTED']
    """
    return [code for code, _ in _nodes(data, name)]


def check_operators(data, name="this TFLite file"):
    """Refuses a file with operators that plain TFLite does not have.

    Args:
        data: the file as bytes.
        name: what to call it in messages.

    Returns:
        What `operators` returns.

    Raises:
        ValueError: names the Flex and custom operators.
    """
    nodes = _nodes(data, name)
    flex = sorted({code for code, custom in nodes if custom and code.startswith("Flex")})
    other = sorted({code for code, custom in nodes if custom and not code.startswith("Flex")})
    if flex or other:
        raise ValueError(
            f"Expected operators of plain TFLite in {name}. "
            f"Received: Flex operators {flex}, custom operators {other}. "
            "Phones do not have them; convert without SELECT_TF_OPS and replace the operations."
        )
    return [code for code, _ in nodes]


def _nodes(data, name):
    """(operator name, is it custom) of each node, in execution order."""
    from ai_edge_litert import schema_py_generated as schema

    data = bytes(data)
    if data[4:8] != _IDENTIFIER:
        raise ValueError(
            f"Expected a TFLite file (identifier 'TFL3' at byte 4). "
            f"Received: {name}, {len(data)} bytes that start with {data[:8]!r}"
        )
    names = {
        code: builtin
        for builtin, code in vars(schema.BuiltinOperator).items()
        if not builtin.startswith("_")
    }
    try:
        model = schema.Model.GetRootAs(data)
        codes = []
        for index in range(model.OperatorCodesLength()):
            entry = model.OperatorCodes(index)
            # Codes above 127 did not fit the old field, which then holds a placeholder.
            code = max(entry.BuiltinCode(), entry.DeprecatedBuiltinCode())
            if code == schema.BuiltinOperator.CUSTOM:
                codes.append(((entry.CustomCode() or b"").decode(), True))
            else:
                codes.append((names.get(code, f"BUILTIN_{code}"), False))
        nodes = []
        for index in range(model.SubgraphsLength()):
            graph = model.Subgraphs(index)
            nodes += [
                codes[graph.Operators(node).OpcodeIndex()]
                for node in range(graph.OperatorsLength())
            ]
    except (struct.error, IndexError, TypeError, UnicodeDecodeError) as error:
        raise ValueError(
            f"Expected a whole TFLite file. Received: {name}, {len(data)} bytes, "
            f"cut short or damaged ({error}). Export it again."
        ) from error
    return nodes
