"""What sublayers are called."""

from t3sim.results.sublayers import full_name, namer, shown_names


def test_a_full_name_is_phase_and_name():
    """As the command line takes it."""
    assert full_name(("backward", "fc2")) == "backward/fc2"


def test_names_are_short_where_they_are_of_one_phase():
    """Once `fc2` is in both phases each says its own; what is there twice is one sublayer."""
    assert shown_names([("forward", "op"), ("backward", "fc2"), ("forward", "op")]) == {
        ("forward", "op"): "op",
        ("backward", "fc2"): "fc2",
    }
    assert shown_names([("forward", "fc2"), ("forward", "op"), ("backward", "fc2")]) == {
        ("forward", "fc2"): "forward/fc2",
        ("forward", "op"): "op",
        ("backward", "fc2"): "backward/fc2",
    }


def test_rows_are_named_as_a_table_needs_it():
    """Two models with `op` in other phases stand in one table: both say it."""
    rows = [{"model": "a", "phase": "forward", "sublayer": "op"}, {"model": "b", "phase": "backward", "sublayer": "op"}]
    name_of = namer(rows)
    assert [name_of(row) for row in rows] == ["forward/op", "backward/op"]
    assert namer(rows[:1])(rows[0]) == "op"
