"""Scores of single widths, learnt from the losses of whole networks that had them."""

import numpy as np


class UnaryScores:
    """The moving average of `loss - full loss` of each legal width of each group.

    A width that no network told had yet scores as the worst one seen of its group: it is neither
    ruled out nor given a bonus; of a group of which none was seen all score 0. Berman et al., AOWS
    (CVPR 2020, arXiv 2005.10481); ours: a plain mean until it has `1 / rate` entries.

    Args:
        space: a `WidthSpace`.
        rate: weight of a new loss in the moving average, in [0, 1]; 0 is a plain mean.

    Attributes:
        counts: how often each width of each group was told: a list of int64 arrays.

    Raises:
        ValueError: a rate out of range.

    Example:

    >>> unary = UnaryScores(space)
    >>> unary.tell(widths, losses, full_loss)
    >>> unary.scores[0]  # of the legal widths of the first group, lower is better
    """

    def __init__(self, space, rate=0.0):
        self.space, self.rate = space, float(rate)
        if not 0 <= self.rate <= 1:
            raise ValueError(f"`rate` is from 0 to 1. Received: rate={rate}")
        sizes = [len(legal) for legal in space.legal]
        self.counts = [np.zeros(size, np.int64) for size in sizes]
        self._means = [np.zeros(size) for size in sizes]

    @property
    def scores(self):
        """Scores of all widths as they stand: a list of float64 `(legal widths,)`."""
        result = []
        for means, counts in zip(self._means, self.counts, strict=True):
            seen = counts > 0
            worst = means[seen].max() if seen.any() else 0.0
            result.append(np.where(seen, means, worst))
        return result

    def tell(self, widths, losses, full_loss):
        """Takes in the losses of some networks.

        Args:
            widths: legal widths, int `(n, groups)`.
            losses: `(n,)`, measured on the same images as `full_loss`.
            full_loss: the full network's.

        Raises:
            ValueError: widths that are not legal, another number of losses, or one that is not
                finite. Nothing has changed then.
        """
        widths = np.atleast_2d(self.space.validate(widths))
        above = np.asarray(losses, np.float64) - float(full_loss)
        if above.shape != (len(widths),) or not np.isfinite(above).all():
            raise ValueError(
                f"Expected {len(widths)} finite losses, one a network, and the full network's. "
                f"Received: losses={losses}, full_loss={full_loss}"
            )
        columns = zip(self.space.legal, widths.T, self._means, self.counts, strict=True)
        for legal, column, means, counts in columns:
            for place, value in zip(np.searchsorted(legal, column), above, strict=True):
                counts[place] += 1
                means[place] += max(self.rate, 1.0 / counts[place]) * (value - means[place])

    def state(self):
        """A JSON dict from which `restore` goes on."""
        return {
            "counts": [counts.tolist() for counts in self.counts],
            "means": [means.tolist() for means in self._means],
        }

    def restore(self, state):
        """Takes up a `state()`.

        Raises:
            ValueError: the state of a space with other numbers of widths, or none at all. Nothing
                has changed then.
        """
        try:
            counts = [np.array(values, np.int64) for values in state["counts"]]
            means = [np.array(values, np.float64) for values in state["means"]]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"Not the state of unary scores: {error!r}") from error
        shapes = [values.shape for values in self.counts]
        if [v.shape for v in counts] != shapes or [v.shape for v in means] != shapes:
            raise ValueError("The state has other numbers of widths a group than its settings say.")
        self.counts, self._means = counts, means
