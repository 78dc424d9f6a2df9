"""What a problem looks like to the person who has to solve it."""

import pickle

from t3sim.errors import NO_VALUE, InputError, Problem, SimulationError, StallError, T3SimError


def test_problem_shows_place_key_value_and_what_is_known():
    """Every part of a problem stands in one line, the nearest known word first."""
    problem = Problem(
        message="unknown name",
        file="a.yaml",
        line=12,
        key="memory.model",
        value="flud",
        known=("bank", "fluid"),
    )
    assert str(problem) == (
        "a.yaml:12: memory.model: unknown name, got 'flud' (did you mean fluid?; known: fluid, bank)"
    )


def test_problem_leaves_out_what_it_does_not_have():
    """Without place, key, value or known words, the message stands alone."""
    assert str(Problem(message="no such file")) == "no such file"
    assert str(Problem(message="no such file", file="a.yaml")) == "a.yaml: no such file"
    assert str(Problem(message="must be text", key="a.b", value=None)) == "a.b: must be text, got None"


def test_nearest_word_is_found_by_the_last_part_of_the_key():
    """A misspelt key without a value is compared by its own name, whatever its case."""
    problem = Problem(message="unknown key", key="memory.Bandwith", known=("capacity", "bandwidth"))
    assert str(problem) == ("memory.Bandwith: unknown key (did you mean bandwidth?; known: bandwidth, capacity)")


def test_problem_stays_one_line_that_a_terminal_can_show():
    """Line breaks and escape codes in names of files and keys are spelled out."""
    assert str(Problem(message="unknown key", file="a\nb", key="\x1b[2J\ud800")) == (
        "a\\nb: \\x1b[2J\\ud800: unknown key"
    )


def test_huge_values_are_cut():
    """A value of any size adds at most a line to the message."""
    for value in ("x" * 10**6, [["y" * 100] * 100] * 100, 10**40):
        assert len(str(Problem(message="must be less", value=value))) < 110


def test_input_error_lists_every_problem_up_to_a_screenful():
    """All problems are kept, fifty are shown, and the rest is counted."""
    error = InputError(*(Problem(message=f"problem {i}") for i in range(60)))
    assert len(error.problems) == 60
    assert str(error).splitlines()[0] == "problem 0"
    assert str(error).splitlines()[49:] == ["problem 49", "and 10 more problems"]


def test_errors_survive_the_way_between_processes():
    """An error that is pickled in a worker is equal to the one that was raised there."""
    error = InputError(Problem(message="must be text", file="a.yaml", line=3, key="k"))
    copy = pickle.loads(pickle.dumps(error))
    assert copy.problems == error.problems
    assert copy.problems[0].value is NO_VALUE
    assert str(copy) == str(error)


def test_exit_codes():
    """Wrong input ends with 2, a failed run with 1, and both can be caught as one type."""
    assert (InputError.exit_code, SimulationError.exit_code, StallError.exit_code) == (2, 1, 1)
    assert issubclass(InputError, T3SimError)
    assert issubclass(StallError, SimulationError)
