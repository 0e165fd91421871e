"""Which delegates really ran a model, read from the log of the TFLite benchmark tool."""

import dataclasses
import re

# The last number counts all parts of the graph, those that stayed with the built-in kernels too.
_REPLACING = re.compile(
    r"Replacing (\d{1,9})(?: out of (\d{1,9}))? node\(s\) with delegate \((.+?)\) node, "
    r"yielding (\d{1,9}) partitions(?: for subgraph (\d{1,9}))?",
    re.ASCII,
)
_EXPLICIT = re.compile(
    r"(?:Explicitly a|A)pplied (.+?) delegate, and the model graph will be "
    r"(completely|partially) executed"
)
_CREATED = re.compile(
    r"Created TensorFlow Lite (?:(\w+) delegate for CPU|delegate for (\w+))\."
    r"|(\w+) delegate created\b"
)
_REFUSED = re.compile(
    r"Though (.+?) delegate is explicitly applied, the model graph will not be executed"
    r"|(?:Failed to apply|Ignoring failed application of) (the default TensorFlow Lite) delegate"
    r"|Failed to apply (.+?) delegate"
    r"|(\w+) acceleration is unsupported on this platform"
)
_RESTORED = re.compile(r"Restored (?:original|previous) execution plan after delegate application")
# LiteRT's GPU and NPU delegates do not carry these words in their names.
_ALIASES = {"gpu": ("gpu", "litertcl", "litertgl", "litertmetal"), "npu": ("npu", "dispatch")}


@dataclasses.dataclass(frozen=True)
class Delegation:
    """What one delegate took of one subgraph.

    Attributes:
        name: as the tool prints it: "TfLiteXNNPackDelegate", "LITERT_CL"...
        nodes_replaced: nodes that the delegate took, None where only the outcome is printed.
        nodes_total: nodes of the subgraph at that time: delegates applied earlier count as one
            node a part. None where it is not printed (before TF 2.5).
        partitions: parts that the subgraph fell into, those of the built-in kernels included;
            each border costs time. None where it is not printed.
        subgraph: its index, None where it is not printed.
        complete: did the delegate take all nodes?
    """

    name: str
    nodes_replaced: int | None
    nodes_total: int | None
    partitions: int | None
    subgraph: int | None
    complete: bool

    def __str__(self):
        if self.nodes_replaced is None:
            return f"{self.name} {'all' if self.complete else 'a part'} of the nodes"
        of = "" if self.nodes_total is None else f" of {self.nodes_total}"
        where = f" of subgraph {self.subgraph}" if self.subgraph else ""
        parts = "partition" if self.partitions == 1 else "partitions"
        return f"{self.name} {self.nodes_replaced}{of} nodes{where} in {self.partitions} {parts}"


def delegations(lines):
    """What the lines say of delegates.

    Args:
        lines: messages without the prefixes of loggers, a list of str.

    Returns:
        (tuple of `Delegation`, applied), (tuple of str, refused), (tuple of str, created).
    """
    applied, explicit, undone, refused, created = [], [], [], [], []
    for line in lines:
        if match := _REPLACING.match(line):
            replaced, total, name, partitions, subgraph = match.groups()
            replaced, partitions = int(replaced), int(partitions)
            total = None if total is None else int(total)
            complete = partitions == 1 if total is None else replaced == total
            subgraph = None if subgraph is None else int(subgraph)
            applied.append(Delegation(name, replaced, total, partitions, subgraph, complete))
        elif match := _EXPLICIT.match(line):
            complete = match[2] == "completely"
            explicit.append(Delegation(match[1], None, None, None, None, complete))
        elif match := _REFUSED.match(line):
            # The delegate that newer tools apply by themselves is XNNPACK.
            refused.append("XNNPACK" if match[2] else match[1] or match[3] or match[4])
        elif match := _CREATED.match(line):
            created.append(match[1] or match[2] or match[3])
        elif _RESTORED.match(line):
            # All that was announced before is taken back, and the run goes on without it.
            undone += applied
            applied.clear()
    names = {one.name for one in applied}
    refused += [one.name for one in undone if one.name not in names]
    # Builds for other systems than Android leave the node counts out.
    applied += [one for one in explicit if not any(_is(other.name, one.name) for other in applied)]
    return tuple(applied), tuple(dict.fromkeys(refused)), tuple(dict.fromkeys(created))


def delegate_problem(result, requested):
    """Why a latency is not, or not wholly, that of the delegate it was asked of.

    The tool falls back silently: it prints a plausible latency and exits with 0.

    Args:
        result: a `BenchmarkResult`.
        requested: "none", "xnnpack", "gpu", "nnapi", "hexagon", "coreml", "npu" or another word
            of the delegate's name.

    Returns:
        A sentence for people; None if all nodes went to the delegate, or, for "none", if none
        was applied.

    Raises:
        ValueError: `requested` is no name.

    Example:

    >>> delegate_problem(result, "gpu")
    'gpu was requested, but took a part of the model only: TfLiteGpuDelegateV2 40 of 49 nodes in
    5 partitions; the rest went to TfLiteXNNPackDelegate 7 of 12 nodes in 4 partitions.'
    """
    if not isinstance(requested, str) or not _plain(requested):
        raise ValueError(
            f"Expected the name of a delegate, or 'none'. Received: requested={requested!r}"
        )
    own = [one for one in result.delegates if _is(one.name, requested)]
    others = [one for one in result.delegates if one not in own]
    told = "; ".join(map(str, others)) or "the built-in CPU kernels, as far as the tool tells"
    if _plain(requested) == "none":
        off = " Newer tools apply XNNPACK by default; pass --use_xnnpack=false to leave it off."
        off = off if any(_is(name, "xnnpack") for name in (told, *result.created)) else ""
        if others:
            return f"No delegate was requested, but the latency is that of {told}.{off}"
        if result.created:
            return (
                f"No delegate was requested, but {', '.join(result.created)} was created, and this "
                f"build of the tool does not print the nodes it took.{off}"
            )
        return None
    if any(_is(name, requested) for name in result.refused):
        return (
            f"{requested} was requested, but does not execute the model: the latency is that of "
            f"{told}."
        )
    if not own:
        if any(_is(name, requested) for name in result.created):
            return (
                f"{requested} was requested and created, but the tool did not print that it took "
                f"any nodes: the latency may be that of {told}."
            )
        return (
            f"{requested} was requested, but the tool does not say that it was applied: the "
            f"latency is that of {told}."
        )
    parts = [one for one in own if not one.complete]
    subgraphs = {None, *(one.subgraph for one in own)}
    elsewhere = [one for one in others if one.subgraph not in subgraphs]
    if not parts and not elsewhere:
        return None
    return (
        f"{requested} was requested, but took a part of the model only: "
        f"{'; '.join(map(str, parts or own))}; the rest went to {told}."
    )


def _is(name, requested):
    """Is a delegate's name, as some line spells it, that of the requested one?"""
    requested = _plain(requested)
    return any(word in _plain(name) for word in _ALIASES.get(requested, (requested,)))


def _plain(name):
    return re.sub(r"[^a-z0-9]", "", name.lower())
