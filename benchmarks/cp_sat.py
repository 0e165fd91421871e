"""CP-SAT of OR-tools as an independent optimiser of a field over widths.

For `benchmarks/width_mrf.py` and the tests. Every legal width of every group is a Boolean, exactly
one a group; every entry of a factor's table is one too, joined to the widths on its axes by sums
over the others. Numbers are scaled to whole ones.
"""

import numpy as np

# Largest whole number that a score, or the cost of all factors together, becomes.
SCALE = 10**7


def solve(space, factors, scores, gamma=0.0, budget=None, seconds=60.0):
    """The best widths and whether that was proved.

    Args:
        space: a `WidthSpace` without ordering.
        factors: `Factor`s over groups, no sums.
        scores: one array a group.
        gamma: price of cost in the objective.
        budget: most that the widths may cost, or `None`.
        seconds: time limit of the solver.

    Returns:
        `(widths, proved)`: int `(groups,)` and a bool.
    """
    from ortools.sat.python import cp_model

    model = cp_model.CpModel()
    choices = [[model.NewBoolVar("") for _ in legal] for legal in space.legal]
    for group in choices:
        model.AddExactlyOne(group)
    variables = [v for group in choices for v in group]
    score_of = np.concatenate(scores)
    entries, entry_costs, constant = [], [], 0.0
    for factor in factors:
        if not factor.groups:
            constant += float(factor.table)
            continue
        table = np.array(
            [model.NewBoolVar("") for _ in range(factor.table.size)], dtype=object
        ).reshape(factor.table.shape)
        for axis, group in enumerate(factor.groups):
            rows = np.moveaxis(table, axis, 0).reshape(len(choices[group]), -1)
            for choice, row in zip(choices[group], rows, strict=True):
                model.Add(sum(row.tolist()) == choice)
        entries += table.reshape(-1).tolist()
        entry_costs.append(factor.table.reshape(-1))
    entry_costs = np.concatenate(entry_costs)
    energies = np.concatenate([score_of, gamma * entry_costs])
    unit = SCALE / np.abs(energies).max()
    objective = np.rint(energies * unit).astype(int).tolist()
    model.Minimize(cp_model.LinearExpr.WeightedSum([*variables, *entries], objective))
    if budget is not None:
        unit = SCALE / np.abs(entry_costs).max()
        # Rounded up, so that what is within the budget here is within it in truth.
        whole = np.ceil(entry_costs * unit).astype(int).tolist()
        room = int(np.floor((budget - constant) * unit))
        model.Add(cp_model.LinearExpr.WeightedSum(entries, whole) <= room)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = 0
    solver.parameters.max_time_in_seconds = seconds
    status = solver.Solve(model)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        raise RuntimeError(f"CP-SAT found no widths: {solver.StatusName(status)}")
    widths = [
        int(legal[[solver.Value(v) for v in group].index(1)])
        for legal, group in zip(space.legal, choices, strict=True)
    ]
    return np.array(widths), status == cp_model.OPTIMAL
