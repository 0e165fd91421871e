"""Searching the widths of a trained model: an engine asks, the model's losses are told."""

import numpy as np
from absl import logging
from tqdm import tqdm

from keras_joslim.calibration_data import checked_calibration_data, refuse_unfit_data
from keras_joslim.costs.network_identity import refuse_cost_of_other_network


def search_widths(
    model, engine, calibration_data, evaluations=None, num_asked=8, on_round=None, progress=True
):
    """Lets an engine search the widths of a model whose weights stay as they are.

    The second stage of two-stage methods (Once-for-All, AutoSlim). Losses are those of
    `model.losses_at`, BatchNormalization on the batch's statistics; each network is
    measured once, so the losses of an engine are those of the weights that it was begun with:
    after more training take a new one. A restored engine goes on where it was.

    Args:
        model: the compiled, trained `SlimmableModel`.
        engine: an engine of `keras_joslim.search` over its width space.
        calibration_data: `(x, y)` or `(x, y, sample_weight)`, one batch that the weights
            were not trained on.
        evaluations: networks to measure in all, those already in the history included;
            fewer if the engine is `done` before. `None` goes on until it is: `GreedySearch`
            at its last target, `NSGA2Search` when nothing new comes up for 20 generations,
            `MRFSearch` at once with scores, `RandomSearch` with all of the space,
            `JoslimSearch` never.
        num_asked: networks asked for at a time.
        on_round: called without arguments after each round of losses, to save the state.
        progress: whether to show a progress bar.

    Returns:
        The engine's `History`, all of it with losses.

    Raises:
        ValueError: an engine over another width space, data that does not fit the model, fewer
            than one evaluation.

    Example:

    >>> engine = kj.search.NSGA2Search(slim.width_space, kj.costs.MACs(slim))
    >>> history = kj.search_widths(slim, engine, (x_validation, y_validation), evaluations=500)
    >>> front = kj.ParetoFront.build(slim, history.widths[history.leading(40)], ...)
    """
    if not hasattr(model, "width_space"):
        raise ValueError(
            f"Expected a slimmable model: `make_slimmable(model, ...)`. Received: model={model!r}"
        )
    _refuse_other_space(engine.space, model)
    refuse_cost_of_other_network(engine.cost, model)
    calibration_data = checked_calibration_data(calibration_data)
    refuse_unfit_data(model, calibration_data)
    if evaluations is not None and evaluations < 1:
        raise ValueError(f"Expected one evaluation or more. Received: evaluations={evaluations}")
    history = engine.history
    uninformed = engine.uninformed
    if evaluations is not None and evaluations <= uninformed and not engine.done:
        logging.warning(
            "Nothing is searched: the first %d networks are measured before a loss counts, and no "
            "more than %d were asked for. Raise `evaluations`, hundreds to be of use.",
            uninformed,
            evaluations,
        )
    with tqdm(total=evaluations, desc="searching widths", disable=not progress, leave=False) as bar:
        while True:
            waiting = np.flatnonzero(~history.evaluated)
            if len(waiting):
                losses = history.losses
                losses[waiting] = model.losses_at(history.widths[waiting], *calibration_data)
                engine.tell(losses)
                if on_round is not None:
                    on_round()
            bar.update(len(history) - bar.n)
            room = num_asked if evaluations is None else evaluations - len(history)
            if engine.done or room <= 0:
                return history
            before = len(history)
            # The first alone: how many an engine gives before it wants a loss is its own affair.
            engine.ask(min(num_asked, room) if before else 1)
            if len(history) == before:
                # Only repeats are left to ask for: every legal network has been measured.
                return history


def _refuse_other_space(space, model):
    groups, others = ([(g.name, g.legal) for g in s.groups] for s in (model.width_space, space))
    if groups == others:
        return
    if len(groups) != len(others):
        what = f"{len(others)} channel groups, the model {len(groups)}"
    else:
        ours, theirs = next((a, b) for a, b in zip(groups, others) if a != b)
        what = f"a group {theirs[0]!r} where the model has {ours[0]!r}"
        if ours[0] == theirs[0]:
            what = f"other legal widths for group {ours[0]!r}"
    raise ValueError(
        f"The engine searches another width space than that of model {model.name!r}: it has "
        f"{what}. Make the engine with `model.width_space`; to go on with a state in another "
        "process, give the layers names, as Keras numbers those that have none."
    )
