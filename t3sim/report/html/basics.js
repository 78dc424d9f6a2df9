"use strict";
const SVG = "http://www.w3.org/2000/svg";

/* Elements are made with text nodes only: nothing in the document can become markup. */
function make(tag, attributes = {}, ...children) {
  const node = tag.startsWith("svg:") ? document.createElementNS(SVG, tag.slice(4)) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child != null));
  return node;
}

function draw(parent, tag, attributes, text) {
  const node = make("svg:" + tag, attributes);
  if (text != null) node.textContent = text;
  parent.append(node);
  return node;
}

function paint(look) {
  const part = [100, 72, 48, 32, 20][Math.min(look.shade || 0, 4)];
  return part === 100 ? `var(--c${look.color % 6})` : `color-mix(in oklab, var(--c${look.color % 6}) ${part}%, var(--surface))`;
}

function format(value, digits) {
  if (value == null) return "";
  const options = { minimumFractionDigits: digits, maximumFractionDigits: digits, useGrouping: Math.abs(value) >= 10000 };
  return value.toLocaleString("en", options);
}

/* About `count` round numbers from `low` to `high`. */
function ticks(low, high, count) {
  const raw = (high - low || 1) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((each) => each * power).find((each) => each >= raw * 0.999);
  const first = Math.ceil(low / step - 1e-9);
  return Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, place) => +((first + place) * step).toPrecision(12));
}

function short(value) {
  return Math.abs(value) >= 1e4 ? format(value, 0) : String(+value.toPrecision(4));
}

function commandLine(command, makes = "") {
  if (!command) return null;
  const copy = make("button", { type: "button", onclick: () => {
    navigator.clipboard?.writeText(command).then(() => { copy.textContent = "Copied"; setTimeout(() => { copy.textContent = "Copy"; }, 1500); }, () => {});
  } }, "Copy");
  return make("div", { class: "command" }, makes ? make("span", { class: "quiet" }, makes) : null, make("code", {}, command), copy);
}

function chooser(name, options, changed) {
  const select = make("select", { onchange: () => changed(select.value) });
  for (const [value, text] of options) select.append(make("option", { value }, text));
  return make("label", {}, name, select);
}

const tip = document.getElementById("tip");
document.addEventListener("pointermove", (event) => {
  const text = event.target.closest?.("[data-tip]")?.getAttribute("data-tip");
  tip.hidden = !text;
  if (!text) return;
  tip.textContent = text;
  const { width, height } = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(4, Math.min(event.clientX + 12, innerWidth - width - 4))}px`;
  tip.style.top = `${event.clientY + height + 20 > innerHeight ? event.clientY - height - 10 : event.clientY + 16}px`;
});
