"""Every parameter of a system, and everything that is registered, stands on a page under docs/model."""

import importlib.util

import pytest

from t3sim.config import Spec
from t3sim.data import models_dir
from t3sim.registry import names
from t3sim.simulation import SystemSpec
from t3sim.workload.hugging_face_families import FAMILIES
from t3sim.workload.models import ExpertsSpec, LatentAttentionSpec, ModelSpec, SparseMlpSpec

KINDS = ("address mapping", "algorithm", "arbitration", "memory model", "scheduler", "scheme", "topology")


@pytest.fixture(scope="module")
def tables(root):
    """Give the script that writes the tables."""
    spec = importlib.util.spec_from_file_location("docs_tables", root / "docs" / "tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def reachable(tables, spec, seen):
    """Collect the specs that a system is made of."""
    for field in spec.model_fields.values():
        for inner in tables.specs_in(field.annotation):
            if inner not in seen:
                seen.append(inner)
                reachable(tables, inner, seen)
    return seen


def keys_of(tables, spec):
    """List the keys of a spec that hold a value: not those of specs inside it, nor the name that selects it."""
    schemas = spec.model_json_schema()["properties"]
    fields = ((field.alias or name, field) for name, field in spec.model_fields.items())
    return [name for name, field in fields if "const" not in schemas[name] and not tables.is_spec(field.annotation)]


def test_every_key_of_every_part_has_a_line(tables):
    """Each key of each spec of a system is in a table of parameters, with a meaning and a unit."""
    shown = {}
    for page, kind, what, _ in tables.blocks():
        if kind == "parameters":
            assert page.parent.name == "model"
            spec, _ = tables.located(what)
            lines = tables.parameters(what)
            assert all(line.meaning and line.unit for line in lines)
            shown[type(spec)] = {line.key.strip("`").split(".")[0].split("[")[0] for line in lines}
            # A list of specs, such as MCA's thresholds, is spelt out in the table of the spec that holds it.
            for name, field in type(spec).model_fields.items():
                for inner in tables.specs_in(field.annotation):
                    if name in shown[type(spec)]:
                        shown[inner] = {line.key.strip("`").split(".")[-1] for line in lines if f"{name}[" in line.key}
    parts = [part for part in reachable(tables, SystemSpec, []) if keys_of(tables, part)]
    assert len(parts) > 10
    for part in parts:
        assert shown[part] >= set(keys_of(tables, part)), part.__name__


def test_every_section_of_a_system_is_named(tables):
    """The overview names the sections of a system's file."""
    text = next(page for page in tables.PAGES if page.parent.name == "model" and page.name == "README.md").read_text()
    assert not [name for name in SystemSpec.model_fields if f"`{name}`" not in text]


def test_every_choice_has_a_line(tables):
    """Whatever is registered under a name, of every kind that a system or a run may choose from, is listed."""
    listed = {what: body for _, kind, what, body in tables.blocks() if kind == "choices"}
    assert set(listed) == set(KINDS)
    for kind in KINDS:
        assert not [name for name in names(kind) if f"| `{name}` |" not in listed[kind]]


def test_every_key_of_a_model_has_a_meaning(tables):
    """Each key of a model's file, and of its sections, is listed with what it means; so is each shipped model."""
    listed = {what: body for _, kind, what, body in tables.blocks() if kind in ("keys", "models")}
    for spec, prefix in (
        (ModelSpec, ""),
        (ExpertsSpec, "experts."),
        (SparseMlpSpec, "sparse_mlp."),
        (LatentAttentionSpec, "latent_attention."),
    ):
        assert not [key for key in spec.model_fields if f"| `{prefix}{key}` |" not in listed[""]]
    unexplained = [key for key, meaning, _ in tables.model_keys() if not meaning]
    assert unexplained == []
    assert not [path.stem for path in models_dir().glob("*.yaml") if f"| `{path.stem}` |" not in listed["shipped"]]
    assert not [name for name in FAMILIES if f"| `{name}` |" not in listed["hugging-face"]]


def test_pages_are_up_to_date(tables):
    """Tables of parameters and choices are those of the specs, files and registrations of today."""
    for page, kind, what, body in tables.blocks():
        if kind in ("parameters", "choices", "keys", "models"):
            assert body == tables.TABLES[kind](what), f"{page.name}: {kind} {what}; run python docs/tables.py {kind}"


def test_a_spec_is_found_inside_a_type(tables):
    """Specs are seen in options, lists and mappings, and nowhere else."""

    class Part(Spec):
        size: int = 0

    assert list(tables.specs_in(Part | None)) == [Part]
    assert list(tables.specs_in(dict[str, tuple[Part, ...]])) == [Part]
    assert not tables.is_spec(dict[str, int])


def test_tables_are_found_by_their_markers(tables, parsed, tmp_path):
    """Only what stands between a marker and the end is replaced, and only tables of the kinds asked for."""
    page = tmp_path / "page.md"
    kept = "<!-- table: reproduce -->\n<!-- end -->\ntext | text\n<!-- run -->\n"
    page.write_text(f"{kept}<!-- table: choices topology -->\n| old |\n<!-- end -->\nafter\n")
    tables.rewrite(page, ["choices"])
    head, _, rest = page.read_text().partition("<!-- table: choices topology -->\n")
    table, _, after = rest.partition("<!-- end -->")
    assert (head, after) == (kept, "\nafter\n")
    assert "`torus`" in [row["name"] for row in parsed(table)]
