"""How much of a TFLite file XNNPACK, the CPU delegate of phones and desktops, takes over."""

import dataclasses

from keras_joslim.tflite.quiet import native_logs


@dataclasses.dataclass(frozen=True)
class Delegated:
    """What a delegate takes of a file's graph.

    Attributes:
        partitions: how many stretches of operators; between them tensors go to and fro, so that
            1 is best.
        taken: operators inside them.
        operators: of the file, in all.
        left: names of the operators that run in the built-in kernels, each once.
    """

    partitions: int
    taken: int
    operators: int
    left: tuple

    def to_dict(self):
        """A JSON object."""
        return dataclasses.asdict(self) | {"left": list(self.left)}


def delegated(data):
    """What XNNPACK takes of a TFLite file on this machine; a phone's may be of another version.

    Args:
        data: the TFLite file as bytes.

    Returns:
        A `Delegated`, or `None` where the interpreter does not tell.

    Raises:
        ValueError: the interpreter cannot run the file.

    Example:

    >>> delegated(pathlib.Path("p00.fp32.tflite").read_bytes())
    Delegated(partitions=1, taken=23, operators=23, left=())
    """
    from ai_edge_litert import interpreter as litert

    with native_logs() as log:
        try:
            interpreter = litert.Interpreter(model_content=bytes(data), num_threads=1)
            interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            log.told = True
            raise ValueError(
                f"The interpreter cannot run this TFLite file ({len(data)} bytes): {error}"
            ) from error
    # Not part of the interpreter's public interface.
    if not hasattr(interpreter, "_get_ops_details"):
        return None
    nodes = interpreter._get_ops_details()
    delegates = [node for node in nodes if node["op_name"] == "DELEGATE"]
    own = [node for node in nodes if node["op_name"] != "DELEGATE"]
    producer = {int(tensor): i for i, node in enumerate(own) for tensor in node["outputs"]}
    taken = set()
    for delegate in delegates:
        outside = {int(tensor) for tensor in delegate["inputs"]}
        waiting = [int(tensor) for tensor in delegate["outputs"]]
        # From what it gives back to what it is given.
        while waiting:
            tensor = waiting.pop()
            node = producer.get(tensor)
            if tensor in outside or node is None or node in taken:
                continue
            taken.add(node)
            waiting.extend(int(t) for t in own[node]["inputs"])
    left = dict.fromkeys(node["op_name"] for i, node in enumerate(own) if i not in taken)
    return Delegated(len(delegates), len(taken), len(own), tuple(left))
