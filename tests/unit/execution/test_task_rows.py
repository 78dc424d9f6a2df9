"""Rows of tasks: gathered, then added to the data plane at once."""

from simpy import Environment

from t3sim.execution.task_rows import TaskRows
from t3sim.hardware.plane.plane import plane_of
from t3sim.hardware.plane.state import TASK


def task_row(**fields):
    """Make the row of a task that has zeros beside ``fields``."""
    return tuple(fields.get(name, 0) for name in TASK.names)


def test_what_tasks_refer_to_lies_where_their_rows_say():
    """Behind what others have added before, every task finds its own waits, ways and bases."""
    plane = plane_of(Environment())
    plane.add("tasks", [task_row(reads=9)] * 3)
    for table, rows in (("waits", [90]), ("ways", [91, 92]), ("bases", [93, 94, 95, 96])):
        plane.add(table, rows)
    expected = [((11, 12), (21,), (31, 32)), ((), (22, 23), ()), ((13,), (), (33,))]
    rows = TaskRows()
    for number, (waits, ways, bases) in enumerate(expected):
        first = {
            "first_wait": rows.put("first_wait", waits),
            "first_way": rows.put("first_way", ways),
            "first_base": rows.put("first_base", bases),
        }
        assert len(rows) == number
        rows.add(task_row(reads=number, **first))
    start = rows.into(plane)
    assert start == 3
    for number, found in enumerate(expected, start):
        task = plane.rows("tasks")[number]
        assert task["reads"] == number - start
        for (table, field), values in zip(
            (("waits", "first_wait"), ("ways", "first_way"), ("bases", "first_base")), found, strict=True
        ):
            first = int(task[field])
            assert tuple(plane.rows(table)[first : first + len(values)]) == values


def test_no_tasks_are_no_rows():
    """A kernel without tasks adds nothing."""
    plane = plane_of(Environment())
    assert TaskRows().into(plane) == TaskRows().into(plane) == 0
