"""Latency of a sub-network by tables that were fitted to measurements on a device."""

import json
import pathlib

import numpy as np

from keras_joslim.costs.factor import table_factors
from keras_joslim.costs.latency_tables import Grid, Term
from keras_joslim.costs.network_identity import (
    network_difference,
    network_identity,
    refuse_other_network,
)
from keras_joslim.costs.width_functions import evaluate

KIND = "keras_joslim latency model"
SCHEMA = 1


class Latency:
    """Milliseconds of one inference: a sum over the operators of a sub-network's file.

    What an operator takes is looked up in the table of its signature, by the widths of its input
    and output; between the knots of a table it is interpolated. Tables are fitted to measured
    sub-networks: `latency.fit`, or `joslim latency fit`. Berman et al., AOWS (CVPR 2020, arXiv
    2005.10481), equation 4; there of chains, here of any graph.

    Args:
        facts: the JSON dict that `save` writes. Use `Latency.load`.

    Attributes:
        facts: that dict: "network", "format", "device", "settings" and "fit" say what the
            latency is of and how well it was fitted.

    Call arguments:
        widths: int, `(groups,)` or `(n, groups)`.

    Returns of a call: float64 milliseconds, a scalar or `(n,)`.

    Raises:
        ValueError: when called, widths of another length.

    Example:

    >>> latency = kj.costs.Latency.load("latency.json", slim)
    >>> latency(slim.width_space.full)
    1.114
    >>> joslim = kj.Joslim(calibration_data, tau=100, cost=latency)
    """

    name = "latency"
    unit = "ms"

    def __init__(self, facts):
        self.facts = facts
        self._groups = len(facts["network"]["groups"])
        self._constant = float(facts["constant"])
        terms = [Term.from_dict(values, self._groups) for values in facts["operators"]]
        self._functions, tables = {}, {}
        for signature, table in facts["tables"].items():
            axes = tuple(np.asarray(axis, np.float64) for axis in table["widths"])
            grid = Grid(signature, axes, 0)
            tables[signature] = (grid, np.asarray(table["ms"], np.float64).ravel())
        # Operators of one table are looked up together, one on the other.
        self._lookups = []
        for signature, (grid, values) in tables.items():
            columns = [
                [self._functions.setdefault(f, len(self._functions)) for f in term.axes]
                for term in terms
                if term.signature == signature
            ]
            self._lookups.append((grid, values, np.array(columns, np.int64)))

    def __call__(self, widths):
        widths = np.asarray(widths)
        if widths.ndim not in (1, 2) or widths.shape[-1] != self._groups:
            raise ValueError(
                f"Expected widths of shape ({self._groups},) or (n, {self._groups}). "
                f"Received: shape={widths.shape}"
            )
        rows = np.atleast_2d(widths)
        functions = evaluate(list(self._functions), rows)
        total = np.full(len(rows), self._constant)
        for grid, values, columns in self._lookups:
            # (n, terms, axes) at once.
            places = functions[:, columns].reshape(-1, columns.shape[1])
            index, weight = grid.weights(places)
            found = (values[index] * weight).sum(axis=1)
            total += found.reshape(len(rows), len(columns)).sum(axis=1)
        return total if widths.ndim == 2 else float(total[0])

    def factors(self, legal):
        """The latency as tables over the widths of the groups that each operator depends on.

        Args:
            legal: per group an ascending int array of its legal widths (`WidthSpace.legal`).

        Returns:
            A list of `Factor`s whose sum is the latency, such as `search.WidthMRF` takes.

        Raises:
            ValueError: a table of more than half a GiB.
        """
        functions = list(self._functions)
        terms = []
        for grid, values, columns in self._lookups:

            def table(*lines, grid=grid, values=values):
                places = np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1)
                index, weight = grid.weights(places.reshape(-1, len(lines)))
                return (values[index] * weight).sum(axis=1).reshape(places.shape[:-1])

            terms += [([functions[c] for c in row], table) for row in columns.tolist()]
        return table_factors(terms, self._constant, legal)

    def save(self, path):
        """Writes the model as JSON."""
        from keras_joslim import atomic

        atomic.write_json(path, {"kind": KIND, "schema": SCHEMA, **self.facts})

    @classmethod
    def read(cls, path):
        """Reads a fitted latency, of whatever network.

        Raises:
            ValueError: no such file, or a damaged one.
        """
        return cls(_facts(path))

    @classmethod
    def load(cls, path, model, format=None):  # noqa: A002 - the word of the field
        """Reads a fitted latency for a model.

        Args:
            path: of the JSON file that `joslim latency fit` wrote.
            model: the `SlimmableModel` that it is to be used for.
            format: number format that it has to be of; any if `None`.

        Raises:
            ValueError: no such file, a damaged one, one of another network (naming the first
                difference), of another number format, or of narrower widths than were measured.
        """
        facts, where = _facts(path), f"The latency in {path}"
        refuse_other_network(facts["network"], network_identity(model), where)
        if format is not None and facts["format"] != format:
            raise ValueError(
                f"{where} is of {facts['format']} files, wanted is {format!r}. `joslim latency "
                f"sample --formats={format}` measures those."
            )
        return cls(facts)

    def check_model(self, model):
        """Refuses a model that this is not the latency of.

        Trainings, searches and fronts call it with their model.

        Raises:
            ValueError: it is of another network (naming the first difference), or of narrower
                widths than were measured.
        """
        refuse_other_network(self.facts["network"], network_identity(model), repr(self))

    def __repr__(self):
        facts, settings = self.facts, self.facts["settings"]
        return (
            f"Latency({facts['device'].get('name')}, {facts['format']}, {settings['delegate']}, "
            f"threads={settings['threads']})"
        )


def _facts(path):
    """What is in the file of a latency model, as far as it can be made one."""
    path = pathlib.Path(path)
    if not path.is_file():
        raise ValueError(
            f"There is no latency model {path}: no such file"
            + ("" if path.is_absolute() else f" as seen from {pathlib.Path.cwd()}")
            + ". `joslim latency sample` and `joslim latency fit` make one."
        )
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        if (facts.pop("kind"), facts.pop("schema")) != (KIND, SCHEMA):
            raise ValueError("another kind of file")
        network_difference(facts["network"], facts["network"])
        values = [Latency(facts)._constant, *(t["ms"] for t in facts["tables"].values())]
        if not all(np.isfinite(np.asarray(v, np.float64)).all() for v in values):
            raise ValueError("a table has entries that are no numbers")
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise ValueError(
            f"{path} is not a latency model of `joslim latency fit` ({error!r}). Fit it again."
        ) from None
    return facts
