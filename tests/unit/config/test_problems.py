"""What is wrong in a file, in full: every problem, its line, and the words that say it."""

import pytest

HEADER = "format: t3sim-system\nversion: 1\n"
MEMORY = "memory: {bandwidth: 1 TB/s, capacity: 16 GiB}\n"
SIZES = "B, kB, MB, GB, TB, KiB, MiB, GiB, TiB"


def test_everything_wrong_in_a_file_is_reported_at_once(write, refusal):
    """Twelve mistakes are twelve lines in the order of the file, each at its own line."""
    write(
        "x.yaml",
        """\
# a system with mistakes
format: t3sim-system
version: 1
memory:
  bandwith: 1 TB/s
  bandwidth: 0 GB/s
  capacity: 64
  latency: 5 parsec
  efficiency: {value: 1.5, source: "", class: papr}
  arbitration: {policy: treshold}
link: {latency: ~, direction: up}
clock: [1, 2]
stages:
  - {bandwidth: 1 TB/s, capacity: 16 GiB}
  - bandwidth: 1 TB/s
is_mirror: yes
either: maybe
clocks: 3
""",
    )
    assert refusal("x").splitlines() == [
        "presets/x.yaml:2: name: missing key",
        (
            "presets/x.yaml:5: memory.bandwith: unknown key "
            "(did you mean bandwidth?; known: bandwidth, capacity, latency, efficiency, arbitration)"
        ),
        "presets/x.yaml:6: memory.bandwidth: must be greater than 0, got '0 GB/s'",
        f"presets/x.yaml:7: memory.capacity: 64 has no unit; known: {SIZES}",
        (
            "presets/x.yaml:8: memory.latency: '5 parsec' has an unknown unit; "
            "known for a duration: fs, ps, ns, us, µs, ms, s"
        ),
        "presets/x.yaml:9: memory.efficiency.source: must say in words where the value comes from, got ''",
        (
            "presets/x.yaml:9: memory.efficiency.class: unknown class, got 'papr' "
            "(did you mean paper?; known: paper, datasheet, measured, calibrated, assumed, derived)"
        ),
        "presets/x.yaml:9: memory.efficiency: must be less than or equal to 1, got 1.5",
        (
            "presets/x.yaml:10: memory.arbitration.policy: unknown name, got 'treshold' "
            "(did you mean threshold?; known: threshold, round_robin)"
        ),
        "presets/x.yaml:11: link.latency: must be a duration with a unit, as in '500 ns', got None",
        "presets/x.yaml:11: link.direction: unknown name, got 'up' (known: each, both)",
        "presets/x.yaml:12: clock: must be a frequency with a unit, as in '1.4 GHz'",
        "presets/x.yaml:15: stages.1.capacity: missing key",
        "presets/x.yaml:16: is_mirror: must be true or false, got 'yes'",
        "presets/x.yaml:17: either: must be a whole number, or must be true or false, got 'maybe'",
        (
            "presets/x.yaml:18: clocks: unknown key "
            "(did you mean clock?; known: clock, name, memory, link, stages, either, is_mirror)"
        ),
    ]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("link: 5", "presets/x.yaml:5: link: must be a mapping, got 5"),
        ("link: {latency: 1 ns, lanes: 3}", "presets/x.yaml:5: link.lanes: must be a list, got 3"),
        (
            "link:\n  latency: 1 ns\n  lanes: [1, x]",
            "presets/x.yaml:7: link.lanes.1: must be a whole number, got 'x'",
        ),
        ("link: {latency: 1 ns, lanes: [1]}", "presets/x.yaml:5: link: lanes come in pairs, not 1"),
        ("name: 5", "presets/x.yaml:5: name: must be text, got 5"),
        (
            "stages: [{bandwidth: 1 TB/s, capacity: 1 B, efficiency: half}]",
            "presets/x.yaml:5: stages.0.efficiency: must be a number, got 'half'",
        ),
        (
            "stages:\n- bandwidth: 1 B/s\n  capacity: 1 B\n  arbitration: {occupancy: 4}",
            "presets/x.yaml:8: stages.0.arbitration.policy: missing key",
        ),
        (
            "stages:\n- bandwidth: 1 B/s\n  capacity: 1 B\n  arbitration: {policy: threshold, ocupancy: 4}",
            (
                "presets/x.yaml:8: stages.0.arbitration.occupancy: missing key\n"
                "presets/x.yaml:8: stages.0.arbitration.ocupancy: unknown key "
                "(did you mean occupancy?; known: occupancy, policy)"
            ),
        ),
        ("link: {value: 5}", None),
    ],
)
def test_wrong_values(write, lines, message, refusal):
    """A value of the wrong kind is named with its line, in the words of the file and not of Python."""
    name = "" if lines.startswith("name") else "name: x\n"
    write("x.yaml", f"{HEADER}{name}{MEMORY}{lines}\n" if name else f"{HEADER}{MEMORY}\n{lines}\n")
    if message is None:
        message = (
            "presets/x.yaml:5: link.source: missing key; a value has 'value', 'source' and 'class'\n"
            "presets/x.yaml:5: link.class: missing key; a value has 'value', 'source' and 'class'\n"
            "presets/x.yaml:5: link: must be a mapping, got 5"
        )
    assert refusal("x") == message


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            "{value: 1 GiB, class: paper}",
            ("presets/x.yaml:6: memory.capacity.source: missing key; a value has 'value', 'source' and 'class'"),
        ),
        (
            "{source: guess, class: assumed}",
            "presets/x.yaml:6: memory.capacity.value: missing key; a value has 'value', 'source' and 'class'",
        ),
        (
            "{value: 1 GiB, source: 5, class: paper}",
            "presets/x.yaml:6: memory.capacity.source: must say in words where the value comes from, got 5",
        ),
        (
            "{value: 1 GiB, source: x, class: paper, sauce: y}",
            (
                "presets/x.yaml:6: memory.capacity.sauce: unknown key beside a value "
                "(did you mean source?; known: source, value, class)"
            ),
        ),
        (
            "{value: {a: 1}, source: x, class: paper}",
            ("presets/x.yaml:6: memory.capacity.value: must not be a mapping; give each value in it its own source"),
        ),
        (
            "{value: 1, source: x, class: paper}",
            f"presets/x.yaml:6: memory.capacity: 1 has no unit; known: {SIZES}",
        ),
    ],
)
def test_values_with_wrong_sources(write, value, message, refusal):
    """A value whose source is incomplete or not words is refused at the key that is wrong."""
    write("x.yaml", f"{HEADER}name: x\nmemory:\n  bandwidth: 1 TB/s\n  capacity: {value}\n")
    assert refusal("x") == message
