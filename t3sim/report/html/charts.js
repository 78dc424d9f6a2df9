const SYMBOLS = ["circle", "square", "triangle", "diamond", "circle", "square"];

/* A figure: a choice of views, a legend that switches series on and off, and a plot drawn anew for every width. */
function chartOf(part) {
  const hidden = new Set();
  const plot = make("div", { class: "plot" });
  const legend = make("div", { class: "legend", role: "group", "aria-label": "Series shown" });
  const command = make("div");
  let view = part.views[0];

  function redraw() {
    const width = Math.max(240, plot.clientWidth);
    const canvas = make("svg:svg", { role: "img", "aria-label": `${part.title}: ${view.label}. The same numbers are in the tables below.` });
    const shown = { ...view, series: (view.series || []).filter((line) => !hidden.has(line.name)) };
    const height = DRAW[part.kind](canvas, shown, width);
    canvas.setAttribute("viewBox", `0 0 ${width} ${height}`);
    canvas.setAttribute("height", height);
    plot.replaceChildren(canvas);
  }

  function choose(number) {
    view = part.views[number];
    hidden.clear();
    legend.replaceChildren(...(view.series || []).map((line) => {
      const button = make("button", { type: "button", "aria-pressed": "true" }, swatch(part.kind, line), line.name);
      button.addEventListener("click", () => {
        if (!hidden.delete(line.name)) hidden.add(line.name);
        button.setAttribute("aria-pressed", String(!hidden.has(line.name)));
        redraw();
      });
      return button;
    }));
    const lines = [commandLine(view.command, "numbers"), commandLine(part.command, view.command ? "run" : "")];
    command.replaceChildren(...lines.filter(Boolean));
    if (plot.isConnected) redraw();
  }

  const options = part.views.map((each, number) => [number, each.label]);
  const controls = options.length > 1 ? chooser("Show", options, choose) : null;
  choose(0);
  let drawnAt = 0;
  new ResizeObserver(() => {
    if (plot.clientWidth !== drawnAt) { drawnAt = plot.clientWidth; redraw(); }
  }).observe(plot);
  return make("figure", {}, make("div", { class: "bar" }, make("h3", {}, part.title), controls), legend, plot, part.note ? make("p", { class: "quiet" }, part.note) : null, command);
}

function swatch(kind, line) {
  const icon = make("svg:svg", { width: 12, height: 12, viewBox: "-6 -6 12 12", "aria-hidden": "true" });
  if (kind === "stack") draw(icon, "rect", { x: -5, y: -5, width: 10, height: 10, rx: 2, style: `fill:${paint(line)};stroke:var(--quiet);stroke-width:.5` });
  else mark(icon, line, 0, 0, 4.5);
  return icon;
}

function mark(parent, line, x, y, size, text) {
  const style = line.hollow ? `fill:var(--surface);stroke:${paint(line)};stroke-width:2` : `fill:${paint(line)};stroke:var(--surface);stroke-width:1`;
  const symbol = SYMBOLS[line.color % SYMBOLS.length];
  const s = size;
  const shapes = {
    circle: () => draw(parent, "circle", { cx: x, cy: y, r: s, style }),
    square: () => draw(parent, "rect", { x: x - s * 0.9, y: y - s * 0.9, width: s * 1.8, height: s * 1.8, style }),
    triangle: () => draw(parent, "path", { d: `M${x} ${y - s * 1.15}L${x + s * 1.1} ${y + s * 0.85}H${x - s * 1.1}Z`, style }),
    diamond: () => draw(parent, "path", { d: `M${x} ${y - s * 1.25}L${x + s * 1.25} ${y}L${x} ${y + s * 1.25}L${x - s * 1.25} ${y}Z`, style }),
  };
  const node = shapes[symbol]();
  if (text) node.setAttribute("data-tip", text);
}

/* Width that labels need, in px, up to a share of the whole; `cut` shortens what is longer. */
const pen = document.createElement("canvas").getContext("2d");
function measure(text) {
  pen.font = `12px ${getComputedStyle(document.body).fontFamily}`;
  return pen.measureText(text).width;
}
function gutter(labels, width) {
  return Math.min(Math.max(...labels.map(measure), 20), width * 0.42) + 10;
}
function cut(text, room) {
  if (measure(text) <= room) return text;
  let kept = text.length;
  while (kept > 1 && measure(`${text.slice(0, kept)}…`) > room) kept -= 1;
  return `${text.slice(0, kept)}…`;
}

/* A scale of the numbers across the plot, with grid lines from `top` to `bottom`; gives the function to px. */
function across(canvas, [low, high], left, right, top, bottom, name) {
  const toPx = (value) => left + ((value - low) / (high - low || 1)) * (right - left);
  for (const tick of ticks(low, high, Math.max(2, Math.floor((right - left) / 80)))) {
    draw(canvas, "line", { class: "grid", x1: toPx(tick), x2: toPx(tick), y1: top, y2: bottom });
    draw(canvas, "text", { class: "quiet", x: toPx(tick), y: bottom + 16, "text-anchor": "middle" }, short(tick));
  }
  draw(canvas, "text", { class: "quiet", x: (left + right) / 2, y: bottom + 34, "text-anchor": "middle" }, name);
  return toPx;
}

function extent(values, ...always) {
  const all = [...values.filter((value) => value != null), ...always];
  if (!all.length) return [0, 1];
  const [low, high] = [Math.min(...all), Math.max(...all)];
  const room = (high - low || Math.abs(high) || 1) * 0.05;
  return [low >= 0 && low - room < 0 ? 0 : low - room, high + room];
}

function rowLabels(canvas, groups, left, top, step) {
  groups.forEach((name, row) => {
    const text = draw(canvas, "text", { x: left - 10, y: top + row * step + step / 2 + 4, "text-anchor": "end" }, cut(name, left - 10));
    text.setAttribute("data-tip", name);
  });
}

function dots(canvas, view, width) {
  const [step, top] = [24, 6];
  const left = gutter(view.groups, width);
  const bottom = top + view.groups.length * step;
  const values = view.series.flatMap((line) => line.values);
  const toPx = across(canvas, extent(values, ...(view.reference != null ? [view.reference] : [])), left, width - 12, top, bottom, view.axis);
  if (view.reference != null) draw(canvas, "line", { class: "rule", x1: toPx(view.reference), x2: toPx(view.reference), y1: top, y2: bottom, "stroke-dasharray": "4 3" });
  rowLabels(canvas, view.groups, left, top, step);
  view.groups.forEach((name, row) => {
    const y = top + row * step + step / 2;
    const here = view.series.map((line) => line.values[row]).filter((value) => value != null).map(toPx);
    draw(canvas, "line", { class: view.join ? "rule" : "grid", x1: view.join ? Math.min(...here, width) : left, x2: view.join ? Math.max(...here, 0) : width - 12, y1: y, y2: y });
    /* Hollow marks are larger and lie below, so that what is on the same spot shows inside them. */
    for (const line of [...view.series].sort((one, other) => other.hollow - one.hollow)) {
      const value = line.values[row];
      if (value != null) mark(canvas, line, toPx(value), y, line.hollow ? 6.5 : 4.5, `${name}\n${line.name}: ${short(value)}`);
    }
  });
  return bottom + 42;
}

function stack(canvas, view, width) {
  const [step, top] = [30, 6];
  const left = gutter(view.groups, width);
  const bottom = top + view.groups.length * step;
  const sums = view.groups.map((_, row) => view.series.map((line) => line.values[row] || 0));
  const ends = sums.flatMap((values) => [values.filter((value) => value > 0), values.filter((value) => value < 0)].map((side) => side.reduce((sum, value) => sum + value, 0)));
  const toPx = across(canvas, [Math.min(0, ...ends), Math.max(0, ...ends) * 1.02 || 1], left, width - 52, top, bottom, view.axis);
  rowLabels(canvas, view.groups, left, top, step);
  sums.forEach((values, row) => {
    const y = top + row * step + 4;
    let [right, wrong] = [0, 0];
    view.series.forEach((line, number) => {
      const value = values[number];
      if (!value) return;
      const from = value > 0 ? right : wrong;
      if (value > 0) right += value; else wrong += value;
      const [x1, x2] = [toPx(from), toPx(from + value)].sort((one, other) => one - other);
      draw(canvas, "rect", { x: x1, y, width: Math.max(0.5, x2 - x1), height: step - 8, style: `fill:${paint(line)};stroke:var(--surface);stroke-width:1`, "data-tip": `${view.groups[row]}\n${line.name}: ${short(value)}` });
    });
    const total = values.reduce((sum, value) => sum + value, 0);
    draw(canvas, "text", { x: toPx(right) + 6, y: y + step / 2 }, short(+total.toFixed(1)));
  });
  return bottom + 42;
}

function lines(canvas, view, width) {
  const [top, height, left] = [12, 260, 56];
  const bottom = top + height;
  const values = extent(view.series.flatMap((line) => line.values));
  const log = view.xs.every((x) => x > 0) && Math.max(...view.xs) / Math.min(...view.xs) >= 8;
  const place = log ? Math.log : (x) => x;
  const [low, high] = [Math.min(...view.xs.map(place)), Math.max(...view.xs.map(place))];
  const toX = (x) => left + ((place(x) - low) / (high - low || 1)) * (width - left - 24);
  const toY = (y) => bottom - ((y - values[0]) / (values[1] - values[0])) * height;
  for (const tick of ticks(...values, 5)) {
    draw(canvas, "line", { class: "grid", x1: left, x2: width - 12, y1: toY(tick), y2: toY(tick) });
    draw(canvas, "text", { class: "quiet", x: left - 8, y: toY(tick) + 4, "text-anchor": "end" }, short(tick));
  }
  let free = -Infinity;
  for (const x of [...new Set(view.xs)].sort((one, other) => one - other)) {
    if (toX(x) - free < 44) continue;
    free = toX(x);
    draw(canvas, "line", { class: "rule", x1: free, x2: free, y1: bottom, y2: bottom + 4 });
    draw(canvas, "text", { class: "quiet", x: free, y: bottom + 18, "text-anchor": "middle" }, short(x));
  }
  draw(canvas, "text", { class: "quiet", x: left, y: top - 2 }, view.axis);
  draw(canvas, "text", { class: "quiet", x: (left + width) / 2, y: bottom + 36, "text-anchor": "middle" }, view.x_axis + (log ? ", log scale" : ""));
  for (const line of view.series) {
    const points = line.values.map((y, number) => [view.xs[number], y]).filter(([, y]) => y != null).sort((one, other) => one[0] - other[0]);
    draw(canvas, "path", { d: points.map(([x, y], number) => `${number ? "L" : "M"}${toX(x)} ${toY(y)}`).join(""), style: `fill:none;stroke:${paint(line)};stroke-width:2` });
    for (const [x, y] of points) mark(canvas, line, toX(x), toY(y), 4.5, `${line.name}\n${view.x_axis}: ${short(x)}\n${view.axis}: ${short(y)}`);
  }
  return bottom + 44;
}

function timeline(canvas, view, width) {
  const [step, area] = [26, 72];
  const left = gutter([...view.tracks.map((track) => track.name), ...view.counters.map((counter) => counter.name)], width);
  const top = 6;
  let bottom = top + view.tracks.length * step;
  const places = view.counters.map((counter) => {
    const names = placed(counter.layers.map((layer) => layer.name), width - 12 - left);
    const place = { names, top: bottom + 8, area: bottom + 12 + names.rows * 16 };
    bottom = place.area + area;
    return place;
  });
  const toPx = across(canvas, [0, view.end], left, width - 12, top, bottom, view.axis);
  rowLabels(canvas, view.tracks.map((track) => track.name), left, top, step);
  view.tracks.forEach((track, row) => {
    for (const [start, end] of track.spans) {
      draw(canvas, "rect", { x: toPx(start), y: top + row * step + 5, width: Math.max(1, toPx(end) - toPx(start)), height: step - 10, rx: 2, style: `fill:${paint(track)}`, "data-tip": `${track.name}\n${format(start, 1)} to ${format(end, 1)} us` });
    }
  });
  view.counters.forEach((counter, number) => counterArea(canvas, counter, view.end, toPx, left, places[number], area));
  return bottom + 42;
}

/* Places for names in rows that fit `room`: [x, row] of each. */
function placed(names, room) {
  let [x, row] = [0, 0];
  const at = names.map((name) => {
    const wide = measure(name) + 24;
    if (x && x + wide - 12 > room) [x, row] = [0, row + 1];
    x += wide;
    return [x - wide, row];
  });
  return { at, rows: row + 1 };
}

/* A counter as areas on one another, one a series, with its largest value on the left. */
function counterArea(canvas, counter, end, toPx, left, place, height) {
  const top = place.area;
  draw(canvas, "text", { x: left - 10, y: top + height / 2 - 2, "text-anchor": "end" }, counter.name);
  draw(canvas, "text", { class: "quiet", x: left - 10, y: top + height / 2 + 14, "text-anchor": "end" }, `peak ${short(counter.peak)}`);
  const base = counter.layers.length ? counter.layers[0].values.map(() => 0) : [];
  const toY = (value) => top + height - (value / counter.peak) * height;
  counter.layers.forEach((layer, number) => {
    const look = { color: number, shade: 0 };
    const up = layer.values.map((value, bin) => base[bin] + value);
    const toX = (bin) => toPx((bin / up.length) * end);
    const there = up.map((value, bin) => `L${toX(bin)} ${toY(value)}L${toX(bin + 1)} ${toY(value)}`).join("");
    const back = base.map((value, bin) => `L${toX(bin + 1)} ${toY(value)}L${toX(bin)} ${toY(value)}`).reverse().join("");
    draw(canvas, "path", { d: `M${toX(0)} ${toY(base[0])}${there}${back}Z`, style: `fill:${paint(look)}`, "data-tip": `${counter.name}\n${layer.name}` });
    up.forEach((value, bin) => { base[bin] = value; });
    const [x, row] = place.names.at[number];
    draw(canvas, "rect", { x: left + x, y: place.top + row * 16, width: 8, height: 8, rx: 2, style: `fill:${paint(look)}` });
    draw(canvas, "text", { class: "quiet", x: left + x + 12, y: place.top + row * 16 + 8 }, layer.name);
  });
}

const DRAW = { dots, stack, lines, timeline };
