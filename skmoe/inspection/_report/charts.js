"use strict";
// Charts: axes, areas, lines, bars and marks as SVG, in the colours of the page.

const byId = (id) => document.getElementById(id);

const CHART_HEIGHT = 270;
const TOP = 8;
const RIGHT = 14;
const CHARACTER = 6.4; // mean width of a character, in pixels
const LINE = 18; // height of a line of text
const MAX_TURNED_HEIGHT = 120; // of names that are turned
const MAX_CHARACTERS = 50; // of all categories whose names are side by side
const MAX_TURNED = 12; // of categories whose names are turned by less than a right angle

function element(parent, name, attributes, text = "") {
  const found = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) {
    found.setAttribute(key, value);
  }
  found.textContent = text;
  parent.append(found);
  return found;
}

function niceTicks(low, high) {
  const width = (high - low) / 7;
  const power = 10 ** Math.floor(Math.log10(width));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= width);
  const ticks = [];
  for (let i = Math.ceil(low / step); i * step <= high; i += 1) {
    ticks.push(Number((i * step).toPrecision(12)));
  }
  return ticks;
}

function tickText(value) {
  const size = Math.abs(value);
  const text = value !== 0 && (size < 1e-5 || size >= 1e6) ? value.toExponential() : String(value);
  return text.replace("-", "\u2212");
}

// An axis between two numbers.
const axisBetween = (low, high) => ({
  range: [low, high],
  ticks: niceTicks(low, high).map((at) => [at, tickText(at)]),
});

// An axis with all numbers of lists that are finite, and a margin.
function axisOf(...lists) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of lists.flat(2)) {
    if (Number.isFinite(value)) {
      [low, high] = [Math.min(low, value), Math.max(high, value)];
    }
  }
  if (low > high) {
    [low, high] = [0, 1];
  }
  const margin = 0.05 * (high - low) || Math.abs(high) || 1;
  return axisBetween(low - margin, high + margin);
}

// An axis with names at the numbers from 0 on.
const axisOfNames = (names) => ({
  ofNames: true,
  range: [-0.5, names.length - 0.5],
  ticks: names.map((name, i) => [i, String(name)]),
});

// The angle by which names are turned, so that they do not meet.
function angleOf({ ticks }) {
  const n = ticks.map(([, text]) => text).join("").length;
  return n <= MAX_CHARACTERS ? 0 : ticks.length > MAX_TURNED ? 90 : 45;
}

// An empty chart in an element of the page. Names of axes may be empty.
class Chart {
  constructor(id, x, y, { xLabel = "", yLabel = "", height = CHART_HEIGHT } = {}) {
    const holder = byId(id);
    const width = Math.max(holder.clientWidth, 240);
    const widest = ({ ticks }) => CHARACTER * Math.max(0, ...ticks.map(([, text]) => text.length));
    const angle = angleOf(x);
    const turned = angle ? Math.min(widest(x) * Math.sin((angle * Math.PI) / 180), MAX_TURNED_HEIGHT) : 0;
    const left = Math.min(widest(y), 0.4 * width) + 12 + (yLabel ? LINE : 0);
    const bottom = height - LINE - turned - (xLabel ? LINE : 0) - 4;
    const scale = ([low, high], from, to) => (value) => from + ((value - low) / (high - low)) * (to - from);
    this.x = scale(x.range, left, width - RIGHT);
    this.y = scale(y.range, bottom, TOP);
    holder.replaceChildren();
    this.svg = element(holder, "svg", { viewBox: `0 0 ${width} ${height}` });
    for (const [at, text] of x.ticks) {
      const [px, py] = [this.x(at), bottom + 14];
      this.segment(px, TOP, px, bottom, { class: x.ofNames ? "tick" : "grid" });
      const turn = angle ? { transform: `rotate(${-angle} ${px} ${py})`, "text-anchor": "end" } : {};
      this.text(px, py, text, { "text-anchor": "middle", ...turn }, MAX_TURNED_HEIGHT);
    }
    for (const [at, text] of y.ticks) {
      this.segment(left, this.y(at), width - RIGHT, this.y(at), { class: y.ofNames ? "tick" : "grid" });
      this.text(left - 6, this.y(at) + 4, text, { "text-anchor": "end" }, 0.4 * width);
    }
    this.segment(left, bottom, width - RIGHT, bottom, { class: "axis" });
    this.segment(left, TOP, left, bottom, { class: "axis" });
    const middle = 0.5 * (TOP + bottom);
    const upright = { "text-anchor": "middle", transform: `rotate(-90 ${LINE - 6} ${middle})` };
    this.text(0.5 * (left + width - RIGHT), height - 4, xLabel, { "text-anchor": "middle" }, width - left);
    this.text(LINE - 6, middle, yLabel, upright, bottom - TOP);
  }

  // A text that is cut where it is too wide.
  text(x, y, text, attributes, width) {
    const most = Math.max(Math.floor(width / CHARACTER), 4);
    const shown = text.length > most + 1 ? `${text.slice(0, most - 1)}\u2026` : text;
    element(this.svg, "text", { x, y, ...attributes }, shown);
  }

  // A segment between points of the picture.
  segment(x1, y1, x2, y2, attributes) {
    element(this.svg, "line", { x1, y1, x2, y2, ...attributes });
  }

  // A line through points, with gaps where there is no number.
  line(xs, ys, attributes) {
    let d = "";
    let isOpen = false;
    xs.forEach((x, i) => {
      const isKnown = Number.isFinite(x) && Number.isFinite(ys[i]);
      d += isKnown ? `${isOpen ? "L" : "M"}${this.x(x).toFixed(2)} ${this.y(ys[i]).toFixed(2)}` : "";
      isOpen = isKnown;
    });
    element(this.svg, "path", { d, fill: "none", "stroke-width": 2, ...attributes });
  }

  // The area between two lines.
  area(xs, low, high) {
    const points = [...xs.map((x, i) => [x, low[i]]), ...xs.map((x, i) => [x, high[i]]).reverse()];
    const known = points.filter((point) => point.every(Number.isFinite));
    const d = known.map(([x, y]) => `${this.x(x).toFixed(2)},${this.y(y).toFixed(2)}`).join(" ");
    element(this.svg, "polygon", { points: d, class: "shade" });
  }

  // A column on zero.
  column(x, height, attributes) {
    this.segment(this.x(x), this.y(0), this.x(x), this.y(height), { "stroke-width": 5, ...attributes });
  }

  diamond(x, y, size) {
    const d = `M${this.x(x)} ${this.y(y) - size}l${0.7 * size} ${size}l${-0.7 * size} ${size}l${-0.7 * size} ${-size}z`;
    element(this.svg, "path", { d, class: "mark" });
  }

  dot(x, y) {
    element(this.svg, "circle", { cx: this.x(x), cy: this.y(y), r: 5, class: "mark" });
  }
}

// Bars of probabilities from the top to the bottom, with diamonds at those of the starting row.
function drawBars(id, names, colours, now, start) {
  const downward = axisOfNames(names);
  downward.range.reverse();
  const chart = new Chart(id, axisBetween(0, 1), downward, { height: 30 * names.length + 40 });
  now.forEach((prob, k) => {
    const [y, end] = [chart.y(k), chart.x(prob)];
    const bar = { x: chart.x(0), y: y - 10.5, width: end - chart.x(0), height: 21, class: "bar" };
    element(chart.svg, "rect", { ...bar, fill: colours[k] });
    chart.diamond(start[k], k, 6);
  });
}
