"""The table of steps: what a kill or a resume leaves of it."""

import math

import pytest

from keras_joslim.watching.steps_table import StepsTable


@pytest.fixture
def table(tmp_path):
    table = StepsTable(tmp_path / "logs" / "steps.csv")
    table.begin(0)
    for step in (10, 20, 30):
        table.append({"step": step, "loss_full": 1 / step, "hypervolume": float("nan")})
    return table


def test_rows_come_back_as_numbers(table):
    rows = table.rows()
    assert [row["step"] for row in rows] == [10, 20, 30]
    assert rows[0]["loss_full"] == 0.1
    assert math.isnan(rows[0]["hypervolume"])


def test_there_are_none_without_a_file(tmp_path):
    assert StepsTable(tmp_path / "steps.csv").rows() == []


def test_steps_that_are_run_again_go_away(table):
    table.begin(20)
    table.append({"step": 30, "loss_full": 5.0, "hypervolume": 0.5})
    assert [(row["step"], row["loss_full"]) for row in table.rows()] == [
        (10, 0.1),
        (20, 0.05),
        (30, 5.0),
    ]


def test_a_torn_line_is_no_row(table, tmp_path):
    path = tmp_path / "logs" / "steps.csv"
    path.write_text(path.read_text()[:-4])
    assert [row["step"] for row in table.rows()] == [10, 20]
    table.begin(100)
    table.append({"step": 30, "loss_full": 2.0, "hypervolume": 1.0})
    assert table.rows()[-1]["loss_full"] == 2.0


def test_a_fresh_start_leaves_no_rows(table, tmp_path):
    table.begin(0)
    assert (tmp_path / "logs" / "steps.csv").read_text() == ""
