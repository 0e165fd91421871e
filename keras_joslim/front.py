"""The Pareto front: its points, all that is known of each, built, saved and drawn."""

import dataclasses
import json
import pathlib

import numpy as np
from tqdm import tqdm

from keras_joslim import atomic
from keras_joslim.costs import MACs, Parameters
from keras_joslim.costs.network_identity import refuse_cost_of_other_network
from keras_joslim.front_ranking import rank
from keras_joslim.front_selection import select
from keras_joslim.front_table import front_table
from keras_joslim.search.pareto import non_dominated

_VERSION = 1


@dataclasses.dataclass(frozen=True)
class ParetoPoint:
    """One sub-network on the front, and all that is known of it.

    Attributes:
        name: `p00`, `p01`, ... by ascending cost.
        widths: active channels of every group.
        costs: name of a cost -> its value (`macs`, `parameters`, `memory`).
        validation: `loss`, its bootstrap standard error `loss_se`, and metrics.
        test: the same on test data; empty until measured, once.
        files: `keras` or a number format -> path relative to the workdir.
        bytes: number format -> size of the file.
        deployed: number format -> `loss` and metrics measured from the file itself on
            validation data, `max_difference` of its outputs from Keras's, and `arena`,
            bytes that TFLite's built-in interpreter allocates for its tensors.
        tested: number format -> `loss` and metrics of the file on test data; only of files on
            the front of their format, each measured once.
        latency: device -> number format -> milliseconds and peak memory (bytes).
    """

    name: str
    widths: tuple
    costs: dict
    validation: dict
    test: dict = dataclasses.field(default_factory=dict)
    files: dict = dataclasses.field(default_factory=dict)
    bytes: dict = dataclasses.field(default_factory=dict)
    deployed: dict = dataclasses.field(default_factory=dict)
    tested: dict = dataclasses.field(default_factory=dict)
    latency: dict = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        object.__setattr__(self, "widths", tuple(int(w) for w in self.widths))

    def replace(self, **facts):
        """The point with other values for some attributes."""
        return dataclasses.replace(self, **facts)


class ParetoFront:
    """Sub-networks of which none is better in loss without costing more.

    Args:
        points: `ParetoPoint`s by ascending cost.
        history: dicts of every network that was judged: `widths`, `loss`, costs.
        cost: the cost that the front is against.
        width_space: JSON dict of the width space.
        ends: the full and the smallest network as points named `full` and
            `smallest`, on the front or not.

    Attributes:
        models: name of a point -> its calibrated stock Keras model; filled by `build`.
        end_models: the same for the ends, `full` and `smallest`.

    Example:

    >>> front = ParetoFront.build(slim, joslim.history.widths, (x_val, y_val), [x_train[:512]])
    >>> front.save("front.json")
    >>> front.plot().show()
    """

    def __init__(self, points, history=(), cost="macs", width_space=None, ends=()):
        self.points = tuple(points)
        self.ends = tuple(ends)
        self.history = tuple(history)
        self.cost = cost
        self.width_space = width_space
        self.models = {}
        self.end_models = {}
        self._tested = any(point.test for point in self.points)

    # -- making --------------------------------------------------------------

    @classmethod
    def build(cls, model, widths, validation, calibration, costs=None, progress=True):
        """Judges every network of a history and keeps the non-dominated ones.

        Each is extracted, its BatchNormalization calibrated, its loss measured on
        validation data. Test data has no part in it: see `measure_test`.

        Args:
            model: the trained, compiled `SlimmableModel`.
            widths: int `(n, groups)`, the history; the full and the smallest network
                are judged too.
            validation: `(x, y)` arrays or a dataset of such batches, held out from
                the training of the weights.
            calibration: list of batches of training images (`x` alone) with
                evaluation preprocessing, such as `[images[:256], images[256:512]]`.
            costs: cost objects to note; the first one is the front's. `MACs` and
                `Parameters` of the model if `None`. Give the one here that the search
                had, if it had another.
            progress: whether to show a progress bar.

        Raises:
            ValueError: `model` is not slimmable or not compiled.
        """
        # Here, not above: a front is read, ranked and drawn without Keras.
        from keras_joslim.batch_norm import as_batches, calibrate_batch_norm
        from keras_joslim.conversion import extract
        from keras_joslim.evaluation import Judge
        from keras_joslim.slimmable_model import SlimmableModel

        if not isinstance(model, SlimmableModel):
            raise ValueError(f"Expected a SlimmableModel. Received: model={model!r}")
        space = model.width_space
        costs = list(costs or (MACs(model), Parameters(model)))
        for cost in costs:
            refuse_cost_of_other_network(cost, model)
        widths = np.reshape(space.validate(widths), (-1, len(space)))
        widths = np.unique(np.concatenate([widths, [space.full, space.smallest]]), axis=0)
        judge, calibration = Judge(model, validation), as_batches(calibration)
        values = {getattr(cost, "name", "cost"): cost(widths) for cost in costs}
        first = next(iter(values))
        rows = [tuple(row) for row in widths.tolist()]
        full, smallest = (rows.index(tuple(end.tolist())) for end in (space.full, space.smallest))
        results, losses, networks = [], np.zeros(0), {}
        for i, row in enumerate(
            tqdm(widths, "judging networks", disable=not progress, leave=False)
        ):
            network = calibrate_batch_norm(extract(model, row), calibration)
            results.append(judge.measure(lambda x, n=network: n(x, training=False)))
            losses = np.append(losses, results[-1]["loss"])
            kept = np.flatnonzero(non_dominated(losses, values[first][: i + 1]))
            # Of a long history no more is held in memory than may be on the front.
            networks[i] = network
            networks = {k: n for k, n in networks.items() if k in {*kept, full, smallest}}
        kept = kept[np.argsort(values[first][kept], kind="stable")]

        def facts(i):
            return {name: np.asarray(value)[i].item() for name, value in values.items()}

        points = [
            ParetoPoint(f"p{rank:02d}", tuple(widths[i]), facts(i), results[i])
            for rank, i in enumerate(kept)
        ]
        history = [
            {"widths": widths[i].tolist(), "loss": float(losses[i]), **facts(i)}
            for i in range(len(widths))
        ]
        ends = [
            ParetoPoint(name, rows[i], facts(i), results[i])
            for name, i in (("full", full), ("smallest", smallest))
        ]
        front = cls(points, history, first, space.to_dict(), ends)
        front.end_models = {"full": networks[full], "smallest": networks[smallest]}
        front.models = {point.name: networks[i] for point, i in zip(points, kept)}
        # An end that is a point is one network, named as the point.
        for name, network in {**front.end_models, **front.models}.items():
            network.name = f"{model.name}_{name}"
        return front

    def measure_test(self, model, test):
        """Measures the points and the ends on test data, which nothing is chosen by.

        Args:
            model: the compiled `SlimmableModel`.
            test: `(x, y)` arrays or a dataset of batches.

        Returns:
            A new front whose points have `test` filled in; keep that one.

        Raises:
            ValueError: test was measured already, or the models are not in memory.
        """
        from keras_joslim.evaluation import Judge

        if self._tested:
            raise ValueError("Test data is measured once; these points have a test result already.")
        networks = self._networks()
        self._tested = True
        judge = Judge(model, test)

        results = {}

        def measured(point):
            network = networks[point.name]
            # The ends may be points too, and then are the same network.
            if id(network) not in results:
                results[id(network)] = judge.measure(lambda x: network(x, training=False))
            return point.replace(test=results[id(network)])

        ends = [measured(point) for point in self.ends]
        return self.with_points([measured(point) for point in self.points], ends)

    def with_points(self, points, ends=None):
        """The same front with other facts about its points."""
        ends = self.ends if ends is None else ends
        front = ParetoFront(points, self.history, self.cost, self.width_space, ends)
        front.models, front.end_models = self.models, self.end_models
        front._tested = self._tested
        return front

    def save_models(self, directory):
        """Writes the Keras model of every point and end to `directory/models/<name>.keras`.

        Args:
            directory: made if missing; paths in `files` are relative to it.

        Returns:
            A front whose points have `files["keras"]` filled in.

        Raises:
            ValueError: the models are not in memory.
        """
        folder = pathlib.Path(directory) / "models"
        folder.mkdir(parents=True, exist_ok=True)
        for name, network in self._networks().items():
            # Complete before it has its name; Keras wants the ending.
            partial = folder / f".{name}.keras"
            network.save(partial)
            partial.replace(folder / f"{name}.keras")

        def with_file(point):
            return point.replace(files={**point.files, "keras": f"models/{point.name}.keras"})

        return self.with_points(map(with_file, self.points), map(with_file, self.ends))

    def _networks(self):
        """Name -> Keras model of all points and ends."""
        networks = {**self.models, **self.end_models}
        for point in (*self.points, *self.ends):
            if point.name not in networks:
                raise ValueError(
                    f"The Keras model of {point.name!r} is not in memory: a loaded front knows "
                    "files only. `front.save_models(directory)` after `build` writes them; "
                    f"`files` of this one: {point.files}"
                )
        return networks

    # -- reading -------------------------------------------------------------

    def __len__(self):
        return len(self.points)

    def __iter__(self):
        return iter(self.points)

    def __getitem__(self, name):
        if isinstance(name, int):
            return self.points[name]
        for point in self.points:
            if point.name == name:
                return point
        raise KeyError(f"No point {name!r}. Points: {[p.name for p in self.points]}")

    def __repr__(self):
        return f"<ParetoFront of {len(self)} points out of {len(self.history)} networks>"

    def __str__(self):
        return self.table()

    def table(self, file_format=None):
        """The points as aligned text, one a line; what is not known yet is a dash."""
        return front_table(self, file_format)

    def rank(self, by, file_format=None):
        """The points in the order of another measure, those it shows to be dominated marked.

        Args:
            by: a cost ("macs", "parameters", "memory"), "bytes" or "arena" of the files, or
                "latency:<device>", as `latency` of the points names it (its beginning is enough).
            file_format: whose files, latencies and losses; the first one measured if `None`.

        Returns:
            A `Ranking`: iterable `RankedPoint`s, `front` (names), `table()`.

        Raises:
            ValueError: a measure, device or format that no point has.

        Example:

        >>> print(front.rank("latency:pixel7", "int8").table())
        """
        return rank(self, by, file_format)

    def select(self, points):
        """Names of the points that are worth shipping, by ascending cost.

        Args:
            points: "all"; "knees", both ends and the points beyond which more cost buys half as
                much or less; "budget:5", the five that dominate most, both ends among them;
                or names, as a list or "p00,p03".

        Raises:
            ValueError: anything else, names that are not the front's.

        Example:

        >>> front.select("budget:3")
        ['p00', 'p04', 'p08']
        """
        return select(self, points)

    # -- JSON ----------------------------------------------------------------

    def save(self, path):
        """Writes everything but the models as JSON, atomically."""
        atomic.write_json(
            path,
            {
                "format": "keras_joslim front",
                "version": _VERSION,
                "cost": self.cost,
                "points": [_plain(p) for p in self.points],
                "ends": [_plain(p) for p in self.ends],
                "history": list(self.history),
                "width_space": self.width_space,
            },
        )

    @classmethod
    def load(cls, path):
        """Reads a `front.json`.

        Raises:
            ValueError: the file is missing, corrupt, or something else.
        """
        path = pathlib.Path(path)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ValueError(
                f"There is no front at {path}. `ParetoFront.save` writes it."
            ) from None
        except ValueError as error:
            raise ValueError(
                f"{path} is not JSON ({error}). Was it cut off? Build it anew."
            ) from None
        if not isinstance(content, dict) or content.get("format") != "keras_joslim front":
            raise ValueError(f"{path} is JSON but not a front that `ParetoFront.save` wrote.")
        if content.get("version") != _VERSION:
            raise ValueError(
                f"{path} is of format version {content.get('version')}; this library reads "
                f"{_VERSION}."
            )
        try:
            points = [ParetoPoint(**point) for point in content["points"]]
            ends = [ParetoPoint(**point) for point in content["ends"]]
            return cls(points, content["history"], content["cost"], content["width_space"], ends)
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path} lacks something a front has: {error}") from None

    # -- drawing -------------------------------------------------------------

    def plot(self, cost=None, metric="loss"):
        """The front as a plotly figure: interactive in a notebook, HTML from a program.

        Args:
            cost: what is on the x axis: a cost of the points; the front's if `None`.
            metric: what is on the y axis: a validation result.

        Returns:
            `plotly.graph_objects.Figure`; `figure.write_html(path)` saves it.

        Raises:
            ValueError: a cost or metric that the points do not have.
        """
        from keras_joslim.front_figure import front_figure

        return front_figure(self, cost or self.cost, metric)


def _plain(point):
    return {**dataclasses.asdict(point), "widths": list(point.widths)}
