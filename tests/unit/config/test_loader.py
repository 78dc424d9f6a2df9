"""From files to specs: what is found, joined and kept, and what the files must say they are."""

from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BeforeValidator, ValidationInfo

from t3sim import registry
from t3sim.config import Spec, dump_yaml, load
from t3sim.errors import InputError
from t3sim.results.provenance import Provenance, provenance

HEADER = "format: t3sim-system\nversion: 1\n"
MEMORY = "memory: {bandwidth: 1 TB/s, capacity: 16 GiB}\n"
SIZES = "B, kB, MB, GB, TB, KiB, MiB, GiB, TiB"


def test_spec_in_base_units(write, loaded, base, specs):
    """Quantities become whole base units, and what the file leaves out its default."""
    spec = loaded(write("x.yaml", base)).spec
    assert spec == specs.System(
        name="base",
        memory=specs.Memory(bandwidth=10**12, capacity=2**34, arbitration=specs.Threshold(occupancy=4)),
        link=specs.Link(latency=500 * 10**6, lanes=(1, 2)),
    )


def test_names_and_paths(write, tmp_path, loaded, base):
    """A bare word is a file of the folder; what has a separator or a suffix is a path."""
    path = write("x.yaml", base)
    write("z.yml", base)
    for ref in ("x", "z", str(path), path, tmp_path / path):
        assert loaded(ref).spec.name == "base"
    assert loaded("x").path == path


def test_unknown_names_and_missing_files(write, refusal, base):
    """A name that no file has is refused with those there are, the nearest first."""
    write("mi300.yaml", base)
    write("h100.yaml", base)
    assert refusal("mi30") == ("unknown name in presets, got 'mi30' (did you mean mi300?; known: mi300, h100)")
    assert refusal("..") == "unknown name in presets, got '..' (known: h100, mi300)"
    assert refusal("") == "unknown name in presets, got '' (known: h100, mi300)"
    assert refusal("mi300.yaml") == "mi300.yaml: no such file"
    assert refusal("./presets") == "presets: this is a directory, not a file"


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (
            "format: t3sim-trace\nversion: 1",
            "presets/x.yaml:1: format: must be t3sim-system to be read here, got 't3sim-trace'",
        ),
        ("format: t3sim-system\nversion: 2", "presets/x.yaml:2: version: must be 1 to be read here, got 2"),
        (
            "format: t3sim-system\nversion: true",
            "presets/x.yaml:2: version: must be 1 to be read here, got True",
        ),
        (
            "version: '1'\nformat: [x]",
            (
                "presets/x.yaml:1: version: must be 1 to be read here, got '1'\n"
                "presets/x.yaml:2: format: must be t3sim-system to be read here, got ['x']"
            ),
        ),
    ],
)
def test_other_formats_and_versions(write, header, message, refusal):
    """A file of another kind is refused for just that, since its keys mean something else."""
    write("x.yaml", f"{header}\nnam: x\n")
    assert refusal("x") == message


def test_missing_header(write, refusal):
    """A file that does not say what it is gets told so together with its other problems."""
    write("x.yaml", f"# no header\nnam: x\n{MEMORY}")
    assert refusal("x").splitlines() == [
        "presets/x.yaml:2: format: missing key; this t3sim reads format: t3sim-system",
        "presets/x.yaml:2: version: missing key; this t3sim reads version: 1",
        "presets/x.yaml:2: name: missing key",
        (
            "presets/x.yaml:2: nam: unknown key "
            "(did you mean name?; known: name, memory, link, clock, stages, either, is_mirror)"
        ),
    ]


def test_extends_joins_mappings_and_replaces_the_rest(write, loaded, base):
    """A child changes single keys of its ancestors; lists and values with sources are taken whole."""
    write("base.yaml", base)
    write("more/middle.yaml", HEADER + "extends: ../base.yaml\nlink: {lanes: [3, 4]}\n")
    write(
        "child.yaml",
        HEADER + "extends: more/middle.yaml\nname: child\nmemory: {bandwidth: 2 TB/s}\nclock: 1 GHz\n",
    )
    result = loaded("child")
    assert result.resolved == {
        "format": "t3sim-system",
        "version": 1,
        "name": "child",
        "memory": {
            "bandwidth": "2 TB/s",
            "capacity": "16 GiB",
            "arbitration": {"policy": "threshold", "occupancy": 4},
        },
        "link": {"latency": "500 ns", "lanes": [3, 4]},
        "clock": "1 GHz",
    }


def test_extends_a_name(write, loaded, base):
    """A bare word after extends is a file of the folder, wherever the child is."""
    write("base.yaml", base)
    Path("child.yaml").write_text(HEADER + "extends: base\nname: child\n", encoding="utf-8")
    assert loaded("child.yaml").spec.name == "child"


def test_problems_are_reported_where_they_were_written(write, refusal, base):
    """What the child wrote is at the child's line, and what it took over at the parent's."""
    write("base.yaml", base.replace("16 GiB", "16").replace("[1, 2]", "[1]"))
    write(
        "child.yaml",
        HEADER + "extends: base\n\nmemory:\n  bandwidth: 2\n  latncy: 1 ns\nlink:\n  lanes: [1]\n",
    )
    assert refusal("child").splitlines() == [
        f"presets/base.yaml:6: memory.capacity: 16 has no unit; known: {SIZES}",
        (
            "presets/child.yaml:6: memory.bandwidth: 2 has no unit; known: B/s, kB/s, MB/s, GB/s, TB/s, "
            "KiB/s, MiB/s, GiB/s, TiB/s, kbit/s, Mbit/s, Gbit/s, Tbit/s"
        ),
        (
            "presets/child.yaml:7: memory.latncy: unknown key "
            "(did you mean latency?; known: latency, bandwidth, capacity, efficiency, arbitration)"
        ),
        "presets/child.yaml:8: link: lanes come in pairs, not 1",
    ]


@pytest.mark.parametrize(
    ("extends", "message"),
    [
        ("bse", "extends: unknown name in presets, got 'bse' (did you mean base?; known: base, x)"),
        ("./none.yaml", "extends: no such file, got './none.yaml'"),
        ("[base]", "extends: must be a name or a path, got ['base']"),
        ("", "extends: must be a name or a path, got None"),
        ("x", "extends: files extend each other: presets/x.yaml -> presets/x.yaml"),
    ],
)
def test_wrong_extends(write, extends, message, refusal, base):
    """What cannot be extended is refused at the line of extends."""
    write("base.yaml", base)
    write("x.yaml", f"{HEADER}extends: {extends}\n")
    assert refusal("x") == f"presets/x.yaml:3: {message}"


def test_extends_in_a_circle(write, refusal):
    """Files that extend each other are refused with the whole circle."""
    write("a.yaml", HEADER + "extends: b\n")
    write("b.yaml", HEADER + "extends: ./a.yaml\n")
    assert refusal("a") == (
        "presets/b.yaml:3: extends: files extend each other: presets/a.yaml -> presets/b.yaml -> presets/a.yaml"
    )


def test_ancestor_of_another_format(write, refusal, base):
    """The header of an ancestor is checked as the file's own."""
    write("base.yaml", base.replace("system", "model"))
    write("x.yaml", HEADER + "extends: base\n")
    assert refusal("x") == ("presets/base.yaml:1: format: must be t3sim-system to be read here, got 't3sim-model'")


def test_sources_are_kept(write, loaded, base):
    """Each value's source is found by its path; values of overrides are assumed, unless they say more."""
    write("x.yaml", base)
    resolved = loaded("x", "memory.latency=3 ns", "clock={value: 1 GHz, source: clock tool, class: measured}").resolved
    assert resolved["memory"]["capacity"] == "16 GiB"
    assert provenance(resolved) == {
        "memory.bandwidth": Provenance("vendor sheet", "datasheet"),
        "memory.latency": Provenance("--set", "assumed"),
        "clock": Provenance("clock tool", "measured"),
    }


def test_resolved_data_loads_to_the_same_spec(write, loaded, base):
    """What is written beside a result reproduces its configuration, sources included."""
    write("base.yaml", base)
    write("x.yaml", HEADER + "extends: base\nname: '1e9'\n")
    first = loaded("x", "link.lanes=[5, 6]", "memory.efficiency=0.5")
    Path("resolved.yaml").write_text(dump_yaml(first.resolved), encoding="utf-8")
    again = loaded("resolved.yaml")
    assert (again.spec, again.resolved, again.config_hash) == (first.spec, first.resolved, first.config_hash)


def test_hash_is_of_the_values(write, loaded):
    """Other words for the same values have the same hash, and another value has another."""
    one = loaded(write("x.yaml", HEADER + "name: x\n" + MEMORY))
    same = loaded(
        write(
            "y.yaml",
            "memory:\n  capacity: {value: 16384 MiB, source: s, class: paper}\n  bandwidth: 1000 GB/s\n"
            "clock: 1 GHz\nname: x\nversion: 1\nformat: t3sim-system\n",
        )
    )
    assert one.config_hash == same.config_hash
    assert len(one.config_hash) == 16
    assert int(one.config_hash, 16)
    assert loaded("x", "memory.latency=1 fs").config_hash != one.config_hash


def _policy(data: Any, info: ValidationInfo) -> Any:
    if not isinstance(data, dict):
        return data
    return registry.get("test.policy", data["policy"]).model_validate(data, context=info.context)


class Open(Spec):
    """A spec whose part is chosen by its registered name."""

    arbitration: Annotated[Spec, BeforeValidator(_policy)]


def test_registered_specs_are_checked_as_the_others(write, monkeypatch, specs):
    """A spec that a validator finds by name has its problems at their lines, and counts in the hash."""
    monkeypatch.setattr(registry, "_classes", {"test.policy": {"threshold": specs.Threshold}})

    def attempt(text):
        path = write("x.yaml", f"{HEADER}arbitration:\n{text}\n")
        return load(Open, path, folder=path.parent, format_name="t3sim-system")

    with pytest.raises(InputError) as refused:
        attempt("  policy: threshold\n  ocupancy: 4\n  occupancy: -1")
    assert str(refused.value) == (
        "presets/x.yaml:5: arbitration.ocupancy: unknown key "
        "(did you mean occupancy?; known: occupancy, policy)\n"
        "presets/x.yaml:6: arbitration.occupancy: must be greater than or equal to 0, got -1"
    )
    with pytest.raises(InputError) as refused:
        attempt("  policy: treshold")
    assert str(refused.value) == (
        "presets/x.yaml:3: arbitration: unknown test.policy, got 'treshold' (did you mean threshold?; known: threshold)"
    )
    hashes = {attempt(f"  policy: threshold\n  occupancy: {n}").config_hash for n in (1, 2)}
    assert len(hashes) == 2
