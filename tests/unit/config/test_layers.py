"""Overrides from the command line: what they reach, what they replace, and how they are refused."""

import pytest

SIZES = "B, kB, MB, GB, TB, KiB, MiB, GiB, TiB"


def test_overrides_replace_values(write, loaded, base, specs):
    """Any key that the schema knows can be set, also one in a list or one that no file mentions."""
    write("x.yaml", base)
    spec = loaded(
        "x",
        "memory.bandwidth=2 TB/s",
        "memory.arbitration={policy: round_robin}",
        "memory.latency=3 ns",
        "link.lanes.1=7",
        "clock=1 Hz",
        "clock = 2 Hz",
        "link.direction=both",
    ).spec
    assert spec.memory == specs.Memory(bandwidth=2 * 10**12, capacity=2**34, latency=3 * 10**6)
    assert spec.link == specs.Link(latency=500 * 10**6, lanes=(1, 7), direction=specs.Direction.BOTH)
    assert spec.clock == 2


def test_override_of_an_override(write, loaded, base):
    """An item of a list that was itself set on the command line can be set."""
    write("x.yaml", base)
    assert loaded("x", "link.lanes=[5, 6]", "link.lanes.0=9").spec.link.lanes == (9, 6)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("clock", "--set: must read KEY.KEY=VALUE, got 'clock'"),
        ("=1 GHz", "--set: must read KEY.KEY=VALUE, got '=1 GHz'"),
        ("memory..latency=1 ns", "--set: must read KEY.KEY=VALUE, got 'memory..latency=1 ns'"),
        (
            "memory.bandwith=1 TB/s",
            (
                "--set: memory.bandwith: unknown key "
                "(did you mean bandwidth?; known: bandwidth, capacity, latency, efficiency, arbitration)"
            ),
        ),
        (
            "memry.bandwidth=1 TB/s",
            (
                "--set: memry: unknown key "
                "(did you mean memory?; known: memory, name, link, clock, stages, either, is_mirror)"
            ),
        ),
        ("name.first=x", "--set: name.first: 'name' has no keys in it; set it as a whole"),
        (
            "memory.bandwidth.value=1",
            "--set: memory.bandwidth.value: 'memory.bandwidth' has no keys in it; set it as a whole",
        ),
        ("link.lanes.2=1", "--set: link.lanes.2: no item '2' in a list of 2, counted from 0"),
        ("link.lanes.x=1", "--set: link.lanes.x: no item 'x' in a list of 2, counted from 0"),
        ("memory.capacity=5", f"--set: memory.capacity: 5 has no unit; known: {SIZES}"),
        ("memory.bandwidth=0 B/s", "--set: memory.bandwidth: must be greater than 0, got '0 B/s'"),
        ("memory.capacity=", "--set: memory.capacity: must be a size with a unit, as in '16 MiB', got None"),
        (
            "link={lanes: [1, 2]}",
            "--set: link.latency: missing key",
        ),
        ("name=!x y", "--set: name: tag !x: tags are not accepted"),
        (
            "link.lanes=[1",
            (
                "--set: link.lanes: not valid YAML: while parsing a flow sequence, "
                "expected ',' or ']', but got '<stream end>'"
            ),
        ),
        (
            "version=2",
            "--set: version: unknown key (known: name, memory, link, clock, stages, either, is_mirror)",
        ),
    ],
)
def test_wrong_overrides(write, override, message, refusal, base):
    """An override that cannot be meant is refused in the name of --set."""
    write("x.yaml", base)
    assert refusal("x", override) == message


def test_all_overrides_are_checked_together_with_the_file(write, refusal, base):
    """Mistakes on the command line and in the file are one refusal."""
    write("x.yaml", base.replace("16 GiB", "16"))
    assert refusal("x", "clock", "name=5").splitlines() == [
        f"presets/x.yaml:6: memory.capacity: 16 has no unit; known: {SIZES}",
        "--set: must read KEY.KEY=VALUE, got 'clock'",
        "--set: name: must be text, got 5",
    ]
