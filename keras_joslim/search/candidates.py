"""Legal widths worth a look: where the next point is searched.

Everything is drawn from a generator that the caller keys, and comes out canonical.
"""

import itertools

import numpy as np

# Relative moves of one group that a refinement tries, in parts of its legal range; 0 is one step.
_REACHES = (0.0, 0.06, 0.25)


class CandidateSource:
    """Draws candidate widths from a space.

    Args:
        space: the `WidthSpace`.
    """

    def __init__(self, space):
        self.space = space
        self.counts = np.array([len(legal) for legal in space.legal])
        self._columns = np.arange(len(space))
        self._table = np.zeros((len(space), self.counts.max()), np.int32)
        self._place = np.zeros((len(space), space.full.max() + 1), np.int64)
        for group, legal in enumerate(space.legal):
            self._table[group, : len(legal)] = legal
            self._place[group, legal] = np.arange(len(legal))

    def initial(self, rng, count, parents):
        """Candidates from everywhere.

        Args:
            rng: `numpy.random.Generator`.
            count: how many, about.
            parents: good widths by ascending cost, `(p, groups)`, such as the front.

        Returns:
            int32 `(about count, groups)`. All legal widths if there are no more than `count`;
            else random ones, uniform multipliers with jitter, blends of neighbouring parents
            and mutations of parents.
        """
        if self.space.num_networks <= count:
            return self.space.canonical(list(itertools.product(*self.space.legal)))
        part = max(1, count // 8)
        return np.concatenate(
            [
                self.space.sample(rng, part),
                self._jittered_uniform(rng, 2 * part),
                self._blends(rng, 2 * part, parents),
                self.mutations(rng, 3 * part, parents),
            ]
        )

    def mutations(self, rng, count, parents):
        """Parents with some groups moved, up or down, by at least one legal step."""
        searchable = self.space.searchable
        if not len(searchable):
            return np.repeat(parents[:1], count, axis=0)
        parents = parents[rng.integers(len(parents), size=count)]
        # From two groups on average up to half of them; small moves as often as large ones.
        shares = rng.choice([2.0 / len(searchable), 0.2, 0.5], size=(count, 1))
        moved = rng.random((count, len(searchable))) < shares
        moved[np.arange(count), rng.integers(len(searchable), size=count)] = True
        reach = 10.0 ** rng.uniform(-2.0, -0.4, size=(count, 1))
        offsets = rng.normal(size=moved.shape) * reach * (self.counts[searchable] - 1)
        offsets = np.copysign(np.ceil(np.abs(offsets)), offsets) * moved
        places = self._places(parents)
        places[:, searchable] += offsets.astype(np.int64)
        return self._widths(places)

    def single_moves(self, widths):
        """Widths `(groups,)` with each group moved up and down by one legal step and by more."""
        places = self._places(widths[None])
        steps = np.unique(
            [np.maximum(1, np.round(reach * (self.counts - 1))) for reach in _REACHES], axis=0
        )
        eye = np.eye(len(self.space))[self.space.searchable]
        offsets = [sign * step * eye for step in steps for sign in (-1, 1)]
        return self._widths(places + np.concatenate(offsets).astype(np.int64))

    def _jittered_uniform(self, rng, count):
        multipliers = rng.uniform(self.space.min_multiplier, 1.0, size=(count, 1))
        spread = 10.0 ** rng.uniform(-2.0, -0.5, size=(count, 1))
        jitter = rng.normal(size=(count, len(self.space)))
        return self.space.from_multipliers(multipliers + spread * jitter)

    def _blends(self, rng, count, parents):
        """Between two neighbouring parents, one share a child with a little jitter."""
        first = rng.integers(max(1, len(parents) - 1), size=count)
        second = np.minimum(first + 1, len(parents) - 1)
        share = rng.random((count, 1)) + 0.1 * rng.normal(size=(count, len(self.space)))
        blend = parents[first] + share * (parents[second] - parents[first])
        return self.space.canonical(blend)

    def _places(self, widths):
        """Indices of widths among the legal ones of their groups."""
        return self._place[self._columns, widths]

    def _widths(self, places):
        places = np.clip(places, 0, self.counts - 1)
        widths = self._table[self._columns, places]
        # Legal each for itself; only an ordering can still move them.
        return self.space.canonical(widths) if self.space.ordering else widths
