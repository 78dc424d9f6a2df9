"""A folder of results as a document of sections, and the document as a page that stands alone."""

import gzip
import json
import re
from html.parser import HTMLParser

import pandas as pd
import pytest

from t3sim.errors import InputError
from t3sim.report.html import Material, build, page, read_material
from t3sim.report.html.material import Run
from t3sim.results import COLUMN_NAMES, read_frame

NASTY = "</script><img src=x onerror=alert(1)>&\u2028"


def row(scheme, total_us, **changes):
    """Give one row of results, as it stands in a table; the baseline takes 300 us and 8 MiB."""
    values = dict.fromkeys(COLUMN_NAMES)
    values |= {"status": "ok", "system": "toy", "model": "m", "tp": 2, "sublayer": "op", "phase": "forward"}
    values |= {"M": 64, "scheme": scheme, "total_us": total_us, "speedup": 300 / total_us, "dram_total_bytes": 2**23}
    return {**values, "version": "9.9", "config_hash": "abc", **changes}


def material(rows, **more):
    return Material(place="out/x", frame=pd.DataFrame(rows), **more)


def by_id(document):
    return {section["id"]: section for section in document["sections"]}


def chart_of(section, title):
    return next(chart for chart in section["charts"] if chart["title"] == title)


def table_of(section, caption):
    return next(table for table in section["tables"] if table["caption"] == caption)


TWO = [
    *(row("sequential", 300.0, sublayer=name) for name in ("op", "fc2")),
    row("t3-mca", 150.0),
    row("t3-mca", 200.0, sublayer="fc2"),
]


def test_the_title_is_the_answer():
    """Speedups of 2 and 1.5 have the geometric mean sqrt(3) = 1.73."""
    assert build(material(TWO))["title"] == "T3-MCA makes these sublayers 1.73x as fast (geomean of 2)"
    assert build(material([TWO[0], TWO[2]]))["title"] == "T3-MCA makes this sublayer 2.00x as fast"
    assert build(material(TWO[:1]))["title"] == "t3sim results, rows: 1", "nothing is compared with the baseline"
    assert build(material([row("t3", 1.0, speedup=None)]))["title"] == "t3sim results, rows: 1"


def test_speedups_are_drawn_by_sublayer():
    """A line a sublayer, a mark a scheme; the baseline, always 1, is the rule they are compared with."""
    speedup, total, *_ = chart_of(by_id(build(material(TWO)))["results"], "By sublayer")["views"]
    assert speedup["groups"] == ["m TP 2 op", "m TP 2 fc2"]
    assert [(line["name"], line["values"]) for line in speedup["series"]] == [("t3-mca", [2, 1.5])]
    assert speedup["reference"] == 1
    assert speedup["axis"] == "speedup (x sequential)"
    assert speedup["command"] == (
        "t3sim table out/x --rows model,tp,sublayer --cols scheme --metric speedup --agg mean"
    )
    assert [(line["name"], line["values"]) for line in total["series"]] == [
        ("sequential", [300, 300]),
        ("t3-mca", [150, 200]),
    ]


def test_two_phases_of_a_name_are_two_lines():
    """Both phases of `op` are drawn, each with its phase, and the command for the same numbers asks for it."""
    rows = [row("t3", time, phase=phase) for phase, time in (("forward", 150.0), ("backward", 100.0))]
    section = by_id(build(material(rows)))["results"]
    speedup, *_ = chart_of(section, "By sublayer")["views"]
    assert speedup["groups"] == ["m TP 2 forward/op", "m TP 2 backward/op"]
    assert [line["values"] for line in speedup["series"]] == [[2, 3]]
    assert "--rows model,tp,phase,sublayer --cols scheme" in speedup["command"]
    bad = row("t3", 1.0, phase="backward", status="failed", speedup=None, error_type="StallError")
    (failures,) = by_id(build(material([rows[0], bad])))["failed"]["tables"]
    assert [line[2] for line in failures["rows"]] == ["backward/op"]


def test_dram_traffic_shows_the_phase_of_a_name_with_two():
    """A bar for each phase of `op`."""
    rows = [row("t3", 100.0, phase=phase, dram_gemm_read_bytes=2**20) for phase in ("forward", "backward")]
    (view,) = chart_of(by_id(build(material(rows)))["results"], "DRAM traffic by cause")["views"]
    assert view["groups"] == ["forward/op · t3", "backward/op · t3"]


def test_every_result_is_in_a_table_with_units():
    """Bytes are shown in MiB; what is the same in every row is no column."""
    table = table_of(by_id(build(material(TWO)))["results"], "Every result")
    assert [(column["name"], column["unit"]) for column in table["columns"]] == [
        ("sublayer", ""),
        ("scheme", ""),
        ("speedup", "x sequential"),
        ("total", "us"),
        ("DRAM traffic", "MiB a GPU"),
    ]
    assert table["rows"][2] == ["op", "t3-mca", 2, 150, 8]


def test_what_the_hardware_did_is_in_a_table():
    """Counts in thousands, bytes in MiB, CU time in ms; what no row counted is left out, in older results the table."""
    counted = {"dram_activates": 1500, "llc_hit_bytes": 2**21, "cu_busy_gemm_us": 250.0, "wire_bytes": 3 * 2**20}
    table = table_of(by_id(build(material([row("t3", 100.0, **counted)])))["results"], "What the hardware of a GPU did")
    assert [column["name"] for column in table["columns"][2:]] == [
        "rows opened",
        "LLC hits",
        "CUs held by GEMMs",
        "on all links",
    ]
    assert table["rows"] == [["op", "t3", 1.5, 2, 0.25, 3]]
    older = by_id(build(material([row("t3", 100.0, wire_bytes_max=2**20)])))["results"]
    assert "What the hardware of a GPU did" not in [table["caption"] for table in older["tables"]]


def test_means_by_scheme():
    """One line a scheme: how many, geomean, smallest, largest."""
    rows = table_of(by_id(build(material(TWO)))["results"], "Speedup by scheme")["rows"]
    assert rows[0] == ["sequential", 2, 1, 1, 1, None]
    assert rows[1] == ["t3-mca", 2, pytest.approx(3**0.5, rel=1e-6), 1.5, 2, None]


def test_dram_traffic_is_split_by_cause():
    """A bar a sublayer and scheme, in MiB; causes that move nothing are left out."""
    rows = [row("t3", 100.0, dram_gemm_read_bytes=3 * 2**20, dram_rs_write_bytes=2**20, dram_ag_read_bytes=0)]
    (view,) = chart_of(by_id(build(material(rows)))["results"], "DRAM traffic by cause")["views"]
    assert view["groups"] == ["op · t3"]
    assert [(line["name"], line["values"]) for line in view["series"]] == [
        ("GEMM reads", [3]),
        ("reduce-scatter writes", [1]),
    ]


def test_a_sweep_is_drawn_over_its_axes():
    """Quantities are brought to one unit and drawn as lines; the mean over the sublayers is the geometric one."""
    rows = [
        {**row("t3", 300 / speedup, sublayer=name), "system.llc.capacity": size, "change": "a"}
        for size, name, speedup in (("4 MiB", "op", 1.0), ("4 MiB", "fc2", 4.0), ("64 MiB", "op", 3.0))
    ]
    section = by_id(build(material(rows, is_sweep=True)))["results"]
    assert [chart["title"] for chart in section["charts"]] == ["Over system.llc.capacity"]
    view = section["charts"][0]["views"][0]
    assert (view["xs"], view["x_axis"]) == ([4, 64], "system.llc.capacity (MiB)")
    assert view["series"][0]["values"] == [2, 3]
    assert section["charts"][0]["command"] == "t3sim sweep out/x/sweep.yaml --out out/x"


def test_failed_rows_are_told_and_not_counted():
    """A failed row is in the list of failures, and in no chart."""
    bad = row("t3", 1.0, status="failed", speedup=None, error_type="StallError", error_message="nothing moves")
    document = build(material([*TWO, bad]))
    (failures,) = by_id(document)["failed"]["tables"]
    assert failures["rows"] == [["m", 2, "op", "t3", "StallError", "nothing moves"]]
    assert document["facts"][0] == ["results", "5 rows, 1 of them failed"]
    schemes = table_of(by_id(document)["results"], "Speedup by scheme")["rows"]
    assert [line[0] for line in schemes] == ["sequential", "t3-mca"]


def test_published_figures_stand_beside_simulated_ones():
    """Figures that are not modelled are in the table, and in no chart."""
    target = {"id": "a", "set": "base", "published": 1.3, "simulated": 1.2, "error": -0.1, "use": "predict"}
    other = {**target, "id": "b", "simulated": None, "error": None, "status": "not modelled"}
    run = Run.model_validate({"source": "A paper", "targets": [{**target, "status": "ok"}, other]})
    section = by_id(build(material(TWO, run=run)))["published"]
    assert section["lead"] == "Source: A paper."
    (view,) = section["charts"][0]["views"]
    assert view["groups"] == ["a"]
    assert [(line["name"], line["values"]) for line in view["series"]] == [("published", [1.3]), ("simulated", [1.2])]
    assert [line[0] for line in section["tables"][0]["rows"]] == ["a", "b"]


def test_what_is_not_there_says_how_to_get_it():
    """Sections without data name the command that writes them."""
    sections = by_id(build(material(TWO)))
    assert sections["published"]["missing"] == "t3sim reproduce --out out/reproduction", "not into this folder"
    assert sections["losses"]["missing"] == "t3sim explain TRACE --sublayer NAME --out out/x"
    assert "--timeline out/x/timeline.json.gz" in sections["timeline"]["missing"]
    assert sections["parameters"]["missing"]


def test_parameters_have_value_unit_class_and_source():
    """A quantity is split into number and unit; the header of the file is no parameter."""
    system = {
        "format": "t3sim-system",
        "name": "toy",
        "description": "a toy",
        "link": {"bandwidth": {"value": "75 GB/s", "source": "its sheet", "class": "datasheet"}},
        "gemm": {"tiles": {"value": [8, 16], "source": "our guess", "class": "assumed"}},
        "policy": "mca",
    }
    (table,) = by_id(build(material(TWO, systems=(system,))))["parameters"]["tables"]
    assert table["caption"] == "toy: a toy"
    assert table["rows"] == [
        ["link.bandwidth", "75", "GB/s", "datasheet", "its sheet"],
        ["gemm.tiles", "8, 16", "", "assumed", "our guess"],
        ["policy", "mca", "", "", ""],
    ]


@pytest.fixture
def folder(tmp_path):
    """Give a folder with a table of results, and a function that writes a file beside it."""
    pd.DataFrame(TWO).to_csv(tmp_path / "results.csv", index=False)

    def write(name, content):
        text = content if isinstance(content, str) else json.dumps(content)
        data = text.encode()
        (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return tmp_path

    return write


def read(path):
    return read_material(path, read_frame(path / "results.csv"))


def test_loss_buckets_come_from_the_folder(folder):
    """Buckets in fs are shown in us, with what binds them and their share of the run."""
    explained = {"model": "m", "tp": 2, "phase": "forward", "sublayer": "op", "scheme": "t3", "total_fs": 4 * 10**9}
    explained |= {"gemm_compute_fs": 3 * 10**9, "rs_link_fs": 10**9, "launch_fs": 0, "what_if": []}
    found = {"rows": [explained], "manifest": {"command": "t3sim explain toy"}}
    section = by_id(build(read(folder("explain.json", found))))["losses"]
    (view,) = section["charts"][0]["views"]
    assert view["groups"] == ["t3"]
    assert [(line["name"], line["values"]) for line in view["series"]] == [
        ("gemm_compute (compute)", [3]),
        ("rs_link (link)", [1]),
    ]
    shares = [(line[2], line[3], line[4], line[5]) for line in section["tables"][0]["rows"]]
    assert shares == [("gemm_compute", "compute", 3, 75), ("rs_link", "link", 1, 25)]
    assert section["charts"][0]["command"] == "t3sim explain toy"


def test_loss_buckets_of_two_phases_are_told_apart(folder):
    """A view for each phase of `op`, and lines of the tables that say which."""
    help_ = {"assignment": "a=1", "before": "2", "total_fs": 10**9, "saved": 0.5}
    known = {"model": "m", "tp": 2, "sublayer": "op", "scheme": "t3", "total_fs": 2 * 10**9, "what_if": [help_]}
    rows = [{**known, "phase": phase, "launch_fs": 2 * 10**9} for phase in ("forward", "backward")]
    section = by_id(build(read(folder("explain.json", {"rows": rows}))))["losses"]
    names = ["m TP 2 forward/op", "m TP 2 backward/op"]
    assert [view["label"] for view in section["charts"][0]["views"]] == names
    assert [[line[0] for line in table["rows"]] for table in section["tables"]] == [names, names]


def test_a_timeline_is_reduced_to_what_can_be_seen(folder):
    """Slices nearer than a thousandth of the whole become one, lanes of one track too; counters become means."""

    def slice_(tid, start, duration):
        return {"ph": "X", "pid": 1, "tid": tid, "name": "s", "ts": start, "dur": duration}

    def named(kind, name, **place):
        return {"ph": "M", "pid": 1, "name": kind, "args": {"name": name}, **place}

    def rate(start, value):
        return {"ph": "C", "pid": 1, "name": "DRAM GB/s", "ts": start, "args": {"gemm read": value}}

    events = [named("process_name", "m op t3"), named("thread_name", "GEMM", tid=1)]
    events += [named("thread_name", f"link in {lane}", tid=2 + lane) for lane in (0, 1)]
    events += [slice_(1, 0, 400), slice_(1, 400.5, 99.5), slice_(1, 600, 400), slice_(2, 0, 10), slice_(3, 5, 10)]
    events += [rate(0, 100.0), rate(500, 0.0)]
    section = by_id(build(read(folder("timeline.json.gz", {"traceEvents": events}))))["timeline"]
    (view,) = section["charts"][0]["views"]
    assert (view["label"], view["end"]) == ("m op t3", 1000)
    assert [(track["name"], track["spans"]) for track in view["tracks"]] == [
        ("GEMM", [[0, 500], [600, 1000]]),
        ("link in", [[0, 15]]),
    ]
    (counter,) = view["counters"]
    assert counter["peak"] == pytest.approx(100)
    assert counter["layers"][0]["values"] == pytest.approx([100] * 120 + [0] * 120)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("run.json", "{", "cannot be read"),
        ("run.json", "[]", "is not as t3sim writes it"),
        ("run.json", {"targets": [{"id": "a"}]}, "targets.0.set: is not as t3sim writes it"),
        ("explain.json", {"rows": 5}, "rows: is not as t3sim writes it"),
        ("timeline.json", {"events": []}, "traceEvents: is not as t3sim writes it"),
    ],
)
def test_a_damaged_file_is_named(folder, name, content, message):
    """What is there and cannot be used is said in one line, with file and key."""
    with pytest.raises(InputError, match=re.escape(message)) as error:
        read(folder(name, content))
    assert name in str(error.value)
    assert "\n" not in str(error.value)


def test_commands_can_be_pasted(tmp_path):
    """A folder with a blank in its name is quoted for the shell."""
    (tmp_path / "a b").mkdir()
    found = build(read_material(tmp_path / "a b", pd.DataFrame(TWO)))
    (view, *_) = by_id(found)["results"]["charts"][0]["views"]
    assert f"t3sim table '{tmp_path}/a b' --rows" in view["command"]


def test_a_table_without_what_a_report_needs_is_refused(tmp_path):
    """What is lacking is named; a table of the right columns and no rows makes a report of none."""
    frame = pd.DataFrame(TWO)
    with pytest.raises(InputError, match="it lacks model, total_us"):
        read_material(tmp_path, frame.drop(columns=["model", "total_us"]))
    assert build(read_material(tmp_path, frame[:0]))["title"] == "t3sim results, rows: 0"


def test_a_damaged_archive_is_named(folder):
    """A timeline that is no gzip is said to be none."""
    path = folder("other", "")
    (path / "timeline.json.gz").write_bytes(b"no archive")
    with pytest.raises(InputError, match=r"timeline\.json\.gz: cannot be read"):
        read(path)


class Elements(HTMLParser):
    """Collects the elements of a page and the text inside them."""

    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.texts = {}
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        """Keep an element."""
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        """Keep text, by the number of elements before it."""
        self.texts.setdefault(len(self.tags), []).append(data)


def test_no_name_can_become_markup():
    """Names of users are data: the page has the same elements with any of them, and gives them back whole."""
    rows = [row("t3", 150.0, model=NASTY, system=NASTY)]
    nasty, kind = (Elements(page(build(material(each)))) for each in (rows, [row("t3", 150.0)]))
    assert nasty.tags == kind.tags
    place = next(number for number, (tag, attrs) in enumerate(nasty.tags, 1) if attrs.get("id") == "document")
    document = json.loads("".join(nasty.texts[place]))
    assert ["models", NASTY] in document["facts"]


def test_the_title_is_escaped():
    """A name in the title is text."""
    found = Elements(page(build(material([row("<b>", 150.0)]))))
    assert "b" not in [tag for tag, _ in found.tags]


def test_the_page_names_nothing_outside_itself():
    """No element loads anything, and the page forbids it too."""
    text = page(build(material(TWO)))
    found = Elements(text)
    assert [attrs["href"] for tag, attrs in found.tags if tag == "link"] == ["data:,"]
    assert not [attrs for _, attrs in found.tags if "src" in attrs]
    assert not re.search(r"@import|url\(", text)
    assert re.findall(r"https?://[^\"'\s]+", text) == ["http://www.w3.org/2000/svg"], "the name of SVG's vocabulary"
    policy = next(attrs["content"] for _, attrs in found.tags if attrs.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy


def test_the_same_results_give_the_same_bytes():
    """Nothing in the page depends on when or where it was made."""
    assert page(build(material(TWO))) == page(build(material(TWO)))
