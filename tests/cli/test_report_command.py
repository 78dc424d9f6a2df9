"""``t3sim report`` from results to a file, and the file in a real browser."""

import json
import shutil

import pytest

from t3sim.results import COLUMN_NAMES

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)
ENTER = "\ue007"  # as WebDriver writes the key
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")


@pytest.fixture
def results(t3sim, trace, tmp_path):
    """Give a folder with everything a report can show of a run: results, system, loss buckets, timeline."""
    out = tmp_path / "results"
    timeline = ("--timeline", out / "timeline.json.gz", "--timeline-detail", "stage")
    assert t3sim("run", trace, "--out", out, *timeline).code == 0
    assert t3sim("explain", trace, "--no-what-if", "--out", out).code == 0
    return out


def data_of(path):
    text = path.read_text(encoding="utf-8")
    return json.loads(text.split('id="document">')[1].split("</script>")[0])


def test_a_run_becomes_a_report(t3sim, results, tmp_path):
    """The report shows what the folder holds, with the commands that made it; twice gives the same bytes."""
    path = tmp_path / "new" / "report.html"
    result = t3sim("report", results, "--out", path)
    assert (result.code, result.out) == (0, "")
    assert f"wrote {path}" in result.err
    found = data_of(path)
    sections = {section["id"]: section for section in found["sections"]}
    assert found["command"].startswith("t3sim run ")
    assert sections["losses"]["charts"][0]["command"].startswith("t3sim explain ")
    assert len(sections["losses"]["charts"][0]["views"]) == 2
    assert sections["timeline"]["charts"][0]["views"]
    assert "t3sim reproduce" in sections["published"]["missing"]
    rows = sections["parameters"]["tables"][0]["rows"]
    assert ["link.bandwidth", "150", "GB/s"] in [row[:3] for row in rows]
    before = path.read_bytes()
    assert t3sim("report", results, "--out", path).code == 0
    assert path.read_bytes() == before


@pytest.mark.usefixtures("small_data")
def test_a_reproduction_becomes_a_small_report(t3sim, tmp_path):
    """Every published figure is in it; the file is far smaller than 2 MB."""
    out, path = tmp_path / "out", tmp_path / "report.html"
    assert t3sim("reproduce", "--out", out).code == 0
    assert t3sim("report", out, "--out", path).code == 0
    (published,) = [section for section in data_of(path)["sections"] if section["id"] == "published"]
    assert published["lead"].startswith("Source: Pati et al.")
    assert len(published["tables"][0]["rows"]) == len(json.loads((out / "run.json").read_text())["targets"])
    assert path.stat().st_size < 2_000_000


def test_a_table_alone_is_enough(t3sim, results, tmp_path):
    """Beside a single file nothing counts; its system is found among those shipped, by the hash of the values."""
    table = tmp_path / "alone.csv"
    shutil.copy(results / "results.csv", table)
    path = tmp_path / "report.html"
    assert t3sim("report", table, "--out", path).code == 0
    sections = {section["id"]: section for section in data_of(path)["sections"]}
    assert sections["losses"]["missing"]
    assert "as shipped" not in sections["parameters"]["lead"]


@pytest.mark.parametrize("name", ["nowhere", "empty", "text.csv"])
def test_what_is_no_result_is_refused(t3sim, tmp_path, name):
    """A place without results, or a file that is no table of them: one message, exit code 2, and no file."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    path = tmp_path / "report.html"
    result = t3sim("report", tmp_path / name, "--out", path)
    assert result.code == 2
    assert name in result.err
    assert not path.exists()


def test_a_disk_that_refuses_is_an_input_error(t3sim, results, tmp_path):
    """Where the file's folder cannot be made, nothing is written and the message says where."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    result = t3sim("report", results, "--out", tmp_path / "file" / "report.html")
    assert result.code == 2
    assert "--out" in result.err


@pytest.fixture
def browser(tmp_path_factory):
    """Give Chromium with an empty profile, driven by selenium."""
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("needs chromium and chromedriver (Debian: apt-get install chromium chromium-driver)")
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        driver.get("about:blank")
        driver.get_log("performance")  # what the browser's own first page asked for
        yield driver
    finally:
        driver.quit()


@pytest.fixture
def opened(browser, t3sim, results, tmp_path):
    """Give the browser with the report of a run open in it."""
    path = tmp_path / "report.html"
    assert t3sim("report", results, "--out", path).code == 0
    browser.get(path.as_uri())
    return browser


def requests(driver):
    """Give the addresses that pages of the browser have asked for."""
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    return [each["params"]["request"]["url"] for each in events if each["method"] == "Network.requestWillBeSent"]


def cells(driver, caption, column):
    """Give the texts of one column of a table."""
    script = """
        const part = [...document.querySelectorAll(".table")].find((each) => each.querySelector("h3").textContent === arguments[0]);
        const heads = [...part.querySelectorAll("th .name")].map((each) => each.textContent);
        return [...part.querySelectorAll("tbody tr")].map((row) => row.cells[heads.indexOf(arguments[1])].textContent);"""  # noqa: E501
    return driver.execute_script(script, caption, column)


def inside(driver, caption, selector):
    """Give an element of a table's frame."""
    xpath = f"//*[contains(@class, 'table')][.//h3[text()='{caption}']]"
    return driver.find_element("xpath", xpath).find_element("css selector", selector)


def test_it_opens_without_errors_and_asks_nobody(opened):
    """The only request is for the file itself (and the empty icon in it); the console stays empty."""
    asked = requests(opened)
    assert [address for address in asked if not address.startswith("data:")] == [opened.current_url]
    assert opened.get_log("browser") == []
    assert "as fast" in opened.find_element("tag name", "h1").text
    assert len(opened.find_elements("css selector", "figure svg[role=img]")) == 4


def test_the_log_of_requests_sees_them(browser, tmp_path):
    """A page that does ask for something is caught: the check above can fail."""
    path = tmp_path / "asks.html"
    path.write_text('<img src="http://127.0.0.1:9/x.png">', encoding="utf-8")
    browser.get(path.as_uri())
    assert "http://127.0.0.1:9/x.png" in requests(browser)
    assert browser.get_log("browser")


def test_tables_sort_and_filter(opened):
    """A heading sorts, largest first, then smallest; text and lists filter; the heading says how it is sorted."""
    caption = "Every result"
    totals = [float(text.replace(",", "")) for text in cells(opened, caption, "total")]
    assert totals != sorted(totals, reverse=True)
    button = inside(opened, caption, "th:nth-child(4) button")
    assert button.text.startswith("total")
    button.send_keys(ENTER)  # the keyboard is enough
    assert [float(text) for text in cells(opened, caption, "total")] == sorted(totals, reverse=True)
    assert inside(opened, caption, "th:nth-child(4)").get_attribute("aria-sort") == "descending"
    button.click()
    assert [float(text) for text in cells(opened, caption, "total")] == sorted(totals)
    inside(opened, caption, "input[type=search]").send_keys("t3-mca fc2")
    assert set(zip(cells(opened, caption, "sublayer"), cells(opened, caption, "scheme"), strict=True)) == {
        ("fc2", "t3-mca")
    }
    shown = cells(
        opened, "t3-paper: T3's simulated system, a ring of Volta-class GPUs with near-memory compute", "class"
    )
    assert len(set(shown)) > 1


def test_parameters_filter_by_class(opened):
    """The list of classes leaves the parameters of one class."""
    script = """
        const part = [...document.querySelectorAll("section")].find((each) => each.querySelector("#parameters"));
        const select = part.querySelector("select");
        select.value = "calibrated";
        select.dispatchEvent(new Event("change"));
        return [...part.querySelectorAll("tbody tr")].map((row) => row.cells[3].textContent);"""
    shown = opened.execute_script(script)
    assert shown
    assert set(shown) == {"calibrated"}


def test_a_legend_switches_series_off(opened):
    """Marks of a series go when its name is pressed, and come back."""
    script = "return document.querySelectorAll('figure .plot')[1].querySelectorAll('rect[data-tip]').length"
    before = opened.execute_script(script)
    press = "document.querySelectorAll('figure')[1].querySelector('.legend button').click()"
    opened.execute_script(press)
    assert 0 < opened.execute_script(script) < before
    opened.execute_script(press)
    assert opened.execute_script(script) == before


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1600])
def test_it_fits_the_screen_and_can_be_read(opened, width, scheme):
    """No page scrolls sideways, text is inside its chart, and ink stands out from the surface (WCAG AA: 4.5)."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    opened.refresh()
    assert opened.execute_script("return innerWidth") == width
    assert opened.execute_script("return document.documentElement.scrollWidth") <= width
    wide = """
        const edge = (each) => each.getBoundingClientRect().right;
        const parts = [...document.querySelectorAll("figure, figure svg text, .table")];
        return parts.filter((each) => edge(each) > innerWidth).map((each) => each.textContent);"""
    assert opened.execute_script(wide) == []
    assert opened.get_log("browser") == []
    contrast = """
        const canvas = document.body.appendChild(document.createElement("canvas"));
        const probe = canvas.getContext("2d", { willReadFrequently: true });
        const light = (name) => {
            const holder = document.body.appendChild(document.createElement("i"));
            holder.style.color = `var(${name})`;
            probe.fillStyle = getComputedStyle(holder).color;
            probe.fillRect(0, 0, 1, 1);
            const parts = [...probe.getImageData(0, 0, 1, 1).data].slice(0, 3).map((byte) => byte / 255)
                .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
            return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
        };
        const ratio = (one, other) => (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
        return arguments[0].map((name) => ratio(light(name), light("--surface")));"""
    assert min(opened.execute_script(contrast, ["--ink", "--quiet", "--accent"])) >= 4.5
    assert min(opened.execute_script(contrast, [f"--c{number}" for number in range(6)])) >= 3


def test_the_columns_of_results_are_explained(opened):
    """A heading says what its column means, in the words of the glossary."""
    titles = [each.get_attribute("title") for each in opened.find_elements("css selector", "th button[title]")]
    named = {title.split(":")[0] for title in titles}
    assert {"total_us", "speedup", "dram_total_bytes"} <= named & set(COLUMN_NAMES)
