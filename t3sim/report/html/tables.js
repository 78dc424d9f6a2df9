const MOST_ROWS = 500; /* More would make the page slow; filters reach the rest. */
const LONG = 40;

/* A table whose columns sort (a button in each heading) and whose rows filter (by text, and by lists of values). */
function tableOf(part) {
  const state = { text: "", chosen: new Map(), column: null, down: false };
  const body = make("tbody");
  const count = make("span", { class: "count", role: "status" });
  const heads = part.columns.map((column, number) => heading(column, () => {
    const numeric = column.digits != null;
    state.down = state.column === number ? !state.down : numeric; /* numbers: the largest first */
    state.column = number;
    update();
  }));
  const long = part.columns.map((_, number) => part.rows.some((row) => String(row[number] ?? "").length > LONG));

  function matching() {
    const words = state.text.toLowerCase().split(/\s+/).filter(Boolean);
    return part.rows.filter((row) => {
      const text = row.map((cell) => cell ?? "").join("\u0000").toLowerCase();
      return words.every((word) => text.includes(word)) && [...state.chosen].every(([number, value]) => !value || String(row[number] ?? "") === value);
    });
  }

  function update() {
    const rows = matching();
    if (state.column != null) rows.sort((one, other) => compare(one[state.column], other[state.column], state.down));
    heads.forEach((head, number) => head.setAttribute("aria-sort", number !== state.column ? "none" : state.down ? "descending" : "ascending"));
    body.replaceChildren(...rows.slice(0, MOST_ROWS).map((row) => make("tr", {}, ...row.map(cell))));
    const cut = rows.length > MOST_ROWS ? `, the first ${MOST_ROWS} shown` : "";
    count.textContent = `${rows.length} of ${part.rows.length} rows${cut}`;
  }

  function cell(value, number) {
    const { digits } = part.columns[number];
    if (digits != null) return make("td", { class: "number" }, format(value, digits));
    return make("td", { class: long[number] ? "long" : "short" }, value == null ? "" : String(value));
  }

  const controls = make("div", { class: "controls" });
  if (part.rows.length > 6) {
    const search = make("input", { type: "search", placeholder: "Filter rows", "aria-label": `Filter rows of ${part.caption}` });
    search.addEventListener("input", () => { state.text = search.value; update(); });
    controls.append(search);
    part.columns.forEach((column, number) => {
      const values = [...new Set(part.rows.map((row) => String(row[number] ?? "")))].filter(Boolean);
      if (!column.choose || values.length < 2 || values.length > 200) return;
      const options = [["", "all"], ...values.map((value) => [value, value])];
      controls.append(chooser(column.name, options, (value) => { state.chosen.set(number, value); update(); }));
    });
  }
  const table = make("table", {}, make("thead", {}, make("tr", {}, ...heads)), body);
  update();
  return make("div", { class: "table" },
    make("div", { class: "bar" }, make("h3", {}, part.caption), count), controls,
    make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": part.caption }, table), commandLine(part.command));
}

function heading(column, sort) {
  const name = make("span", { class: "name" }, column.name);
  const button = make("button", { type: "button", onclick: sort, title: column.meaning || null }, name, make("small", {}, column.unit));
  return make("th", { scope: "col", "aria-sort": "none", class: column.digits != null ? "number" : null }, button);
}

/* Numbers by size, text as people count ("TP 8" before "TP 16"); empty cells last either way. */
function compare(one, other, down) {
  if (one == null || one === "") return other == null || other === "" ? 0 : 1;
  if (other == null || other === "") return -1;
  const order = typeof one === "number" && typeof other === "number" ? one - other : String(one).localeCompare(String(other), "en", { numeric: true });
  return down ? -order : order;
}
