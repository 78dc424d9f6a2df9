"""Rows of the data plane for the tasks of a kernel, gathered and added at once: one by one takes far longer."""

from collections.abc import Iterable

import numpy as np

from t3sim.hardware.plane.plane import Plane
from t3sim.hardware.plane.state import TASK


class TaskRows:
    """Rows of tasks that are not in the plane yet, and of what they refer to."""

    def __init__(self) -> None:
        self._tasks: list[tuple[int, ...]] = []
        self._others: dict[str, list[int]] = {"first_wait": [], "first_way": [], "first_base": []}
        """By the field that says where a task's own begin."""

    def __len__(self) -> int:
        return len(self._tasks)

    def add(self, task: tuple[int, ...]) -> None:
        """Add the row of a task, whose places of others are those that ``put`` gave."""
        self._tasks.append(task)

    def put(self, field: str, rows: Iterable[int]) -> int:
        """Add rows that a task's ``field`` refers to; return the place of the first among those gathered here."""
        others = self._others[field]
        first = len(others)
        others.extend(rows)
        return first

    def into(self, plane: Plane) -> int:
        """Add all of them to the plane; return the place of the first task."""
        tasks = np.array(self._tasks, TASK)
        for field, table in (("first_wait", "waits"), ("first_way", "ways"), ("first_base", "bases")):
            tasks[field] += plane.add(table, self._others[field])
        return plane.add("tasks", tasks)
