"""Imports point down the layers, and hardware components know each other by their ports only."""

import ast

import pytest

LAYERS = (
    ("cli",),
    ("report",),
    ("experiments", "studies", "validation", "sweeps"),
    ("iterations",),
    ("simulation",),
    ("schemes",),
    ("execution",),
    ("observe",),
    ("hardware",),
    ("lowering",),
    ("collectives",),
    ("workload",),
    ("config",),
    (
        "results",
        "registry",
        "units",
        "errors",
        "files",
        "compiled",
        "tables",
        "table_types",
        "part_compiler",
        "bits",
        "version",
        "data",
        "lazy",
        "own_folder",
        "disk_cache",
        "processes",
    ),
)
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}
LOWEST = len(LAYERS) - 1
# All that reports may see: results as plain data, and base modules.
REPORTS_SEE = {"report", "results", "registry", "units", "errors", "files", "data", "version", "lazy"}
# The doors of the package stand above the layers.
DOORS = {"t3sim": {"simulation", "sweeps", "version", "lazy"}, "t3sim.__main__": {"cli"}}

# Words that components share; not components themselves.
VOCABULARY = {
    "hardware.clock",
    "hardware.probe",
    "hardware.standing",
    "hardware.memory.access",
    "hardware.network.message",
}
# Modules whose job is to put components together.
COMPOSING = {"conditions", "gpu", "machine", "ports"}
# What stands for a whole GPU or more.
WHOLE = {"gpu", "machine"}
# What ports say, beside the parts that they lead to.
WORDS_OF_PORTS = {"Environment", "Message", "Values"}
# The names, worked out, by which a package loads its own files, whatever they are.
OWN_FILES = {"f'{__name__}.{_module.name}'", "f'{__name__}.{module.name}'"}
# What puts imports off: they come when all modules are there, and, commands aside, stand for type checkers too.
PUT_OFF = {"t3sim.lazy"}
# Every other import from one component into another, with its reason.
EXCEPTIONS = {
    ("compute", "plane"): "components put their rows into the data plane",
    ("memory", "plane"): "the same; and memories are compiled into it",
    ("network", "plane"): "the same",
    ("t3", "plane"): "the same",
    ("plane", "memory"): "it holds the memories' rows and serves them",
}

# Who may use a library that brings its own clock, file format or terminal.
LIBRARIES = {
    "simpy": {"execution", "hardware"},
    "yaml": {"config", "workload"},
    "typer": {"cli"},
    "filelock": {"sweeps"},
    "rich": {"cli", "report"},
    "matplotlib": {"report"},
    "numba": {"compiled", "part_compiler", "table_types", "bits"},
    "networkx": {"hardware", "workload"},
    "pandas": {"results", "report", "sweeps", "cli"},
}


def layer_of(module):
    return module.split(".")[1]


@pytest.fixture(scope="module")
def edges(imports):
    """Give every import from one module of the package to another, doors aside."""
    return [
        (module, target)
        for module, targets in imports.items()
        for target in targets
        if module not in DOORS and target.split(".")[0] == "t3sim"
    ]


def test_every_module_is_in_a_layer(imports):
    """A new package or module of the top level has to be given its place in the list of layers."""
    assert {layer_of(module) for module in imports if module not in DOORS} == set(RANK)


def test_imports_point_down(edges):
    """A module imports from its own package and from lower layers; only the lowest layer imports from itself."""
    wrong = [
        f"{module} imports {target}"
        for module, target in edges
        if target == "t3sim"
        or not (
            layer_of(module) == layer_of(target)
            or RANK[layer_of(module)] < RANK[layer_of(target)]
            or RANK[layer_of(module)] == RANK[layer_of(target)] == LOWEST
        )
    ]
    assert not wrong


def test_reports_see_results_only(edges):
    """A report can be made of any results, whoever made them: it imports plain data, and nothing that simulates."""
    wrong = [
        f"{module} imports {target}"
        for module, target in edges
        if layer_of(module) == "report" and layer_of(target) not in REPORTS_SEE
    ]
    assert not wrong


def test_doors_lead_to_their_layers(imports):
    """The package itself and ``python -m t3sim`` import what they hand on, and nothing else."""
    found = {
        module: {layer_of(target) for target in imports[module] if target.startswith("t3sim.")} for module in DOORS
    }
    assert found == DOORS


def test_components_know_no_other_components(edges):
    """Inside hardware, only the composing modules and the listed exceptions reach into another component."""
    found = set()
    for module, target in edges:
        if layer_of(module) != "hardware" or layer_of(target) != "hardware":
            continue
        component, other = module.split(".")[2], target.split(".")[2]
        if component == other or component in COMPOSING or target.removeprefix("t3sim.") in VOCABULARY:
            continue
        found.add((component, other))
    assert found == set(EXCEPTIONS), "an import that is new, or an exception that nobody needs any more"


@pytest.mark.parametrize("library", LIBRARIES)
def test_libraries_stay_where_they_belong(imports, library):
    """The workload knows no clock, hardware knows no YAML, and only the outer layers know a terminal."""
    users = {
        layer_of(module)
        for module, targets in imports.items()
        if any(target.split(".")[0] == library for target in targets)
    }
    assert users == LIBRARIES[library]


def test_imports_by_name_are_seen(imports):
    """The server of the banked memory, imported by name with the first such system, is an import like others."""
    assert "t3sim.hardware.memory.banked.memory" in imports["t3sim.hardware.memory.banked.spec"]


def in_circles(edges):
    """Return those modules that cannot be put in an order in which each comes after all that it imports."""
    left = {module: {target for target in targets if target in edges} - {module} for module, targets in edges.items()}
    while ready := {module for module, targets in left.items() if not targets}:
        left = {module: targets - ready for module, targets in left.items() if module not in ready}
    return set(left)


def test_nothing_imports_in_a_circle(imports):
    """Modules can be put in an order in which each comes after all that it imports."""
    assert not in_circles(imports)


def test_packages_that_load_their_files_are_in_no_circle(imports, computed_imports):
    """What a package imports by names that it works out are its own files; taken as one, they are in no circle too."""
    loading = {module: names for module, names in computed_imports.items() if module not in PUT_OFF}
    assert {name for names in loading.values() for name in names} == OWN_FILES
    assert len(loading) > 5

    def whole(module):
        return (
            module
            if module in loading
            else max((package for package in loading if package == module.rpartition(".")[0]), default=module)
        )

    joined = {}
    for module, targets in imports.items():
        joined.setdefault(whole(module), set()).update(map(whole, targets))
    assert not in_circles(joined)


def test_a_circle_is_found():
    """Two modules that import each other, and all that needs them, are in no order; the rest is."""
    assert in_circles({"a": ["b"], "b": ["c", "simpy"], "c": ["b"], "d": []}) == {"a", "b", "c"}


def test_programs_reach_hardware_by_its_ports(imports, trees):
    """What runs on a GPU imports no part that ports lead to: only ports, and what is said or handed over there."""
    parts = {alias.name for node in trees["t3sim.hardware.ports"].body for alias in imported(node)} - WORDS_OF_PORTS
    assert parts == {"ComputeArray", "DmaEngine", "MemoryController", "Network", "Tracker"}
    programs = [module for module in imports if module.startswith("t3sim.execution")]
    assert not [
        f"{module} imports {alias.name}"
        for module in programs
        for node in ast.walk(trees[module])
        for alias in imported(node)
        if alias.name in parts
    ]
    assert not [module for module in programs if {f"t3sim.hardware.{name}" for name in WHOLE} & set(imports[module])]


def imported(node):
    return node.names if isinstance(node, ast.ImportFrom) and node.module.startswith("t3sim.hardware") else []
