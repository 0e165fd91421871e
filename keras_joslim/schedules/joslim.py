"""Joslim: weights and layer-wise widths optimised jointly."""

import inspect
import time

import numpy as np
from absl import logging

from keras_joslim.calibration_data import checked_calibration_data, refuse_unfit_data
from keras_joslim.costs import MACs
from keras_joslim.costs.network_identity import refuse_cost_of_other_network
from keras_joslim.schedules.front_progress import FrontProgress
from keras_joslim.schedules.schedule import Schedule, held_steps, sandwich
from keras_joslim.search import JoslimSearch
from keras_joslim.search.joslim_settings import checked_settings
from keras_joslim.search.recalibration import Recalibration
from keras_joslim.search.whole_number import whole_number

# Arguments of `Joslim` that go to its engine.
SEARCH_ARGUMENTS = set(inspect.signature(JoslimSearch).parameters) - {"space", "cost", "seed"}


class Joslim(Schedule):
    """Every tau steps the search engine chooses widths for the next steps to train.

    At the start of a period the losses of all widths visited so far (the history)
    are measured again with today's weights, the engine is told, and asked for
    `num_sampled` new ones; they are trained for `tau` steps between the full and
    the smallest network. Chin, Morcos and Marculescu, Joslim (ECML-PKDD 2021),
    algorithm 1; with `targets="gap"` it is PareCO (RealML, ICML 2020).

    Args:
        calibration_data: `(x, y)` or `(x, y, sample_weight)`, one batch held out
            from the weights' training, on which the history's losses are measured.
        tau: optimizer steps between two searches. A run of T steps visits
            `num_sampled * T / tau` networks, the first `prior_points` (20) of them
            uniform multipliers: choose tau so that 60 or more are visited.
        cost: a cost object such as `costs.Parameters(slim)`, called with widths;
            `MACs` of the model if `None`. Give `ParetoFront.build(costs=[...])` the same.
        num_sampled: networks asked for at a time (M).
        seed: fixes the search.
        recalibration: how many networks of the history to measure again at each search, 8
            or more; the others' losses are carried along by what those show, with an
            uncertainty that grows with age. `None` measures all, as published.
        recent: each step trains `num_sampled` networks drawn from the `recent` ones asked last,
            so that the weights do not settle on two networks for `tau` steps. `None` holds
            the last `num_sampled`, as published.
        **search: further arguments of `keras_joslim.search.JoslimSearch`
            (`prior_points`, `targets`, `bound`, `lengthscales`, ...).

    The logs of `fit` gain `hypervolume`, `front_size`, `front_full_loss` and
    `front_smallest_loss`, of the history at the last search (see `FrontProgress`).

    Raises:
        ValueError: `tau` below 1, `recent` below `num_sampled`, calibration data without labels,
            a period that begins inside a `steps_per_execution` block.

    Example:

    >>> joslim = Joslim((x_validation, y_validation), tau=100)
    >>> slim.fit(x_train, y_train, epochs=20, callbacks=[joslim])
    >>> joslim.history.widths  # (visited, groups)
    """

    keeps_history = True

    def __init__(
        self,
        calibration_data,
        tau,
        cost=None,
        num_sampled=2,
        seed=0,
        recalibration=None,
        recent=None,
        **search,
    ):
        super().__init__()
        if cost is not None and (isinstance(cost, type) or not callable(cost)):
            raise ValueError(
                "`cost` is an object called with widths, such as `costs.Parameters(slim)`. "
                f"Received: cost={cost!r}"
            )
        _refuse_unknown(search)
        checked_settings(**search)
        self.calibration_data = checked_calibration_data(calibration_data)
        self.tau = held_steps(tau)
        self.cost = cost
        self.num_sampled = whole_number("num_sampled", num_sampled, 1)
        self.seed = whole_number("seed", seed, 0)
        if recent is not None:
            recent = whole_number("recent", recent, self.num_sampled)
        self.recent = recent
        self.seconds = {"recalibration": 0.0, "search": 0.0}
        self._recalibration = None
        if recalibration is not None:
            self._recalibration = Recalibration(recalibration, self.seed)
        self._progress = FrontProgress()
        self._search = search
        self._engine = None
        self._period = -1
        self._sampled = None
        self._pending = None

    @property
    def history(self):
        """The widths visited so far with their losses and costs (`search.History`)."""
        if self._engine is None:
            raise ValueError("There is no history yet: `fit` has not begun.")
        return self._engine.history

    def set_model(self, model):
        if self._engine is not None and model is not self._model:
            raise ValueError(
                f"This Joslim holds the history of model {self._model.name!r}. Make a new one "
                f"for another model. Received: model {model.name!r}"
            )
        super().set_model(model)
        if self._engine is None:
            self.cost = self.cost or MACs(model)
            refuse_cost_of_other_network(self.cost, model)
            self._engine = JoslimSearch(self.space, self.cost, seed=self.seed, **self._search)
        if self._pending is not None:
            self._engine.restore(self._pending["engine"])
            self._period = self._pending["period"]
            self._sampled = np.array(self._pending["sampled"], np.int32)
            self._progress.restore(self._pending["progress"])
            if self._recalibration is not None:
                self._recalibration.restore(self._pending["recalibration"])
            self._pending = None

    def widths(self, step):
        if self.recent is None:
            return sandwich(self.space, self._sampled)
        pool = self.history.widths[-self.recent :]
        rng = np.random.default_rng([self.seed, step])
        return sandwich(self.space, pool[rng.choice(len(pool), self.num_sampled, replace=False)])

    def on_train_batch_begin(self, batch, logs=None):
        step = self.step
        self._refuse_inner_boundary(step, batch)
        if step // self.tau != self._period:
            self._search_widths()
            self._period = step // self.tau
        super().on_train_batch_begin(batch, logs)

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch, logs)
        self._log(logs)

    def on_epoch_end(self, epoch, logs=None):
        self._log(logs)

    def _log(self, logs):
        if logs is not None:
            logs.update(self._progress.logs)

    def on_train_begin(self, logs=None):
        # Told at once, not at the second search.
        ends = refuse_unfit_data(self.model, self.calibration_data)
        self._progress.begin(ends)
        if not self._progress.logs:
            # The keys are there from the first epoch on: a CSV file keeps those alone.
            self._progress.update(ends, self.cost(np.stack([self.space.full, self.space.smallest])))

    def on_train_end(self, logs=None):
        visited, uniform = len(self.history), self._search.get("prior_points", 20)
        if visited <= uniform:
            lower = f"Lower tau (now {self.tau}) or prior_points" if self.tau > 1 else None
            logging.warning(
                "The search never began: %d networks were visited, the first %d are uniform "
                "multipliers. %s, or train longer.",
                visited,
                uniform,
                lower or f"Lower prior_points (now {uniform})",
            )

    def _search_widths(self):
        self.recalibrate()
        start = time.perf_counter()
        workers = self.model.workers
        state = workers.from_chief(self._asked)
        if not workers.is_chief:
            # Of other machines the last bits of a sum may differ, and with them the search.
            self.restore(state)
        self.seconds["search"] += time.perf_counter() - start

    def _asked(self):
        """Asks; the state after that, if there is another worker to take it up."""
        self._sampled = self._ask()
        return self.state() if self.model.workers.count > 1 else None

    def _ask(self):
        """The widths of the period that begins."""
        return self._engine.ask(self.num_sampled)

    def recalibrate(self, everything=False):
        """Measures the history, or the part of it that is due, with today's weights.

        It happens at the beginning of every period; after the last one the networks that
        came last have no loss yet, and all others an old one.

        Args:
            everything: measure all, whatever `recalibration` says.
        """
        history = self._engine.history
        if not len(history):
            return
        start = time.perf_counter()
        entries, widths = np.arange(len(history)), history.widths
        if self._recalibration is not None and not everything:
            entries = np.array(self.model.workers.from_chief(self._due), np.int64)
        losses, noise = self.model.losses_at(widths[entries], *self.calibration_data), None
        if self._recalibration is not None:
            losses, noise = self._recalibration.carry(history, entries, losses)
        self.seconds["recalibration"] += time.perf_counter() - start
        start = time.perf_counter()
        self._engine.tell(losses, noise)
        self._progress.update(losses, history.costs)
        self.seconds["search"] += time.perf_counter() - start

    def _due(self):
        """The entries of the history to measure now."""
        history = self._engine.history
        inputs = self.space.multipliers(history.widths)
        return self._recalibration.choose(history, inputs).tolist()

    @property
    def _budget(self):
        return None if self._recalibration is None else self._recalibration.budget

    def _refuse_inner_boundary(self, step, batch):
        """One execution is one graph call: widths cannot be searched in the middle of it."""
        if hasattr(self.model.optimizer, "inner_optimizer"):
            # A step that a scaled loss skips moves all boundaries: the search then comes with the
            # next execution.
            return
        count = self.model.steps_per_execution
        if self.params and self.params.get("steps"):
            count = min(count, self.params["steps"] - batch)
        boundary = -(-(step + 1) // self.tau) * self.tau
        if boundary < step + count:
            raise ValueError(
                f"A search period (tau={self.tau}) begins at step {boundary}, inside the execution "
                f"of steps {step} to {step + count - 1} (steps_per_execution="
                f"{self.model.steps_per_execution}). Make tau, and the steps of an epoch, "
                "multiples of steps_per_execution."
            )

    def visited(self, count=None):
        """The history; with `count` its best part, front after front (`History.leading`)."""
        widths = self.history.widths
        if count is not None and count < len(widths):
            widths = widths[self.history.leading(count)]
        return np.unique(widths, axis=0)

    def state(self):
        if self._engine is None:
            raise ValueError("There is no state yet: `fit` has not begun.")
        sampled = [] if self._sampled is None else self._sampled.tolist()
        return {
            "tau": self.tau,
            "budget": self._budget,
            "recent": self.recent,
            "engine": self._engine.state(),
            "period": self._period,
            "sampled": sampled,
            "progress": self._progress.state(),
            "recalibration": self._recalibration and self._recalibration.state(),
        }

    def restore(self, state):
        own = {"tau": self.tau, "budget": self._budget, "recent": self.recent}
        for name, value in own.items():
            if state.get(name) != value:
                name = {"budget": "recalibration"}.get(name, name)
                raise ValueError(
                    f"The state is that of a Joslim with another {name}; this one has "
                    f"{name}={value!r}. Construct it with the same arguments."
                )
        self._pending = state
        if getattr(self, "_model", None) is not None:
            self.set_model(self._model)


def _refuse_unknown(search):
    unknown = sorted(set(search) - SEARCH_ARGUMENTS)
    if unknown:
        raise ValueError(
            f"Joslim has no argument {unknown[0]!r}. Arguments of the search: "
            f"{sorted(SEARCH_ARGUMENTS)}"
        )
