function themeButton() {
  const themes = ["auto", "light", "dark"];
  let chosen = 0;
  const button = make("button", { type: "button", id: "theme", onclick: () => {
    chosen = (chosen + 1) % themes.length;
    document.documentElement.dataset.theme = themes[chosen];
    button.textContent = `Theme: ${themes[chosen]}`;
  } }, "Theme: auto");
  return button;
}

function sectionOf(part) {
  const missing = part.missing ? [make("p", {}, "Run this, then make the report of its folder:"), commandLine(part.missing)] : [];
  return make("section", { "aria-labelledby": part.id }, make("h2", { id: part.id }, part.title), part.lead ? make("p", { class: "quiet" }, part.lead) : null, ...missing, ...part.charts.map(chartOf), ...part.tables.map(tableOf));
}

const report = JSON.parse(document.getElementById("document").textContent);
document.getElementById("top").append(
  make("h1", {}, report.title), themeButton(), make("p", { class: "quiet" }, report.question),
  make("dl", {}, ...report.facts.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value)))),
  ...(report.notes.length ? [make("ul", {}, ...report.notes.map((note) => make("li", {}, note)))] : []),
  ...(report.command ? [commandLine(report.command)] : [make("p", { class: "quiet" }, "The command that made these results is not recorded beside them.")]),
);
document.getElementById("contents").append(...report.sections.map((part) => make("a", { href: `#${part.id}` }, part.title)));
document.getElementById("main").replaceChildren(...report.sections.map(sectionOf));
