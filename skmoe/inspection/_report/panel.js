"use strict";
// The panel: controls, tables and charts that follow them.

const panel = JSON.parse(document.getElementById("panel-data").textContent);
const mixture = new Mixture(panel);
const features = panel.features;
const groups = panel.experts.length > 1 ? panel.experts : []; // a single expert is no group
const state = features.map((feature) => feature.start);
const byId = (id) => document.getElementById(id);
let along = 0; // the feature of the chart of a slice

const N_CURVE_POINTS = 201;
const N_SLIDER_STEPS = 200; // about
const MAX_COUNTS = 150;
const HALF_STEP = 0.45; // of a category, along an axis
const MAX_TURNED = 12; // of categories whose names are turned by less than a right angle

function formatted(value) {
  if (value === null || value === undefined || Number.isNaN(value)) {
    return "\u2013";
  }
  if (value === Infinity) {
    return "\u221e";
  }
  if (Number.isInteger(value) && Math.abs(value) < 1e6) {
    return String(value);
  }
  const size = Math.abs(value);
  if (value !== 0 && (size < 1e-3 || size >= 1e6)) {
    return value.toExponential(2);
  }
  const digits = size >= 1000 ? 0 : Math.max(0, 3 - Math.floor(Math.log10(size)));
  return value.toFixed(digits);
}

const percent = (value) => `${(100 * value).toFixed(1)} %`;
const isSurvival = panel.horizon !== null;
const prediction = isSurvival ? percent : formatted; // as text
const signed = (value, text) =>
  Number.isNaN(value) ? "\u2013" : value >= 0 ? `+${text(value)}` : `\u2212${text(-value)}`;

// --- evaluation --------------------------------------------------------------------------------

// What the page shows about a row of values.
function evaluate(values) {
  const found = mixture.at(values);
  return found.distribution ? { ...found, ...curves(found) } : found;
}

// Density over a grid of y, denser around each component, and probabilities of single values.
function curves({ distribution, interval }) {
  if (isSurvival) {
    return { curve: survivalCurve(distribution), atoms: null };
  }
  const [low, high] = panel.shown_range;
  const left = Math.min(low, interval[0]);
  const right = Math.max(high, interval[1]);
  const found = { curve: null, atoms: null };
  const { components, isDiscrete, hasCounts } = distribution;
  if (!isDiscrete) {
    const step = (right - left) / (N_CURVE_POINTS - 1);
    const even = Array.from({ length: N_CURVE_POINTS }, (_, i) => left + step * i);
    const own = components.flatMap(({ points }) => points).filter((y) => y > left && y < right);
    const y = [...new Set([...even, ...own])].sort((a, b) => a - b);
    const parts = panel.experts.map(() => y.map(() => 0));
    for (const component of components) {
      parts[component.k] = y.map((point) => component.weight * component.pdf(point));
    }
    found.curve = { y, total: y.map((_, i) => sum(parts.map((part) => part[i]))), parts };
  }
  const atoms = new Set(distribution.atoms);
  if (hasCounts) {
    const last = Math.min(right, MAX_COUNTS + Math.max(0, Math.floor(left)));
    for (let y = Math.max(0, Math.floor(left)); y <= last; y += 1) {
      atoms.add(y);
    }
  }
  if (atoms.size) {
    const y = [...atoms].sort((a, b) => a - b);
    found.atoms = { y, mass: y.map((value) => distribution.at("pmf", value)) };
  }
  return found;
}

// Probabilities of no event until each time, also of each expert.
function survivalCurve(distribution) {
  const [low, high] = panel.shown_range;
  const y = Array.from({ length: N_CURVE_POINTS }, (_, i) => low + ((high - low) * i) / (N_CURVE_POINTS - 1));
  const parts = panel.experts.map(() => []);
  for (const component of distribution.components) {
    parts[component.k] = y.map((time) => 1 - component.cdf(time));
  }
  return { y, total: y.map((time) => distribution.survival(time)), parts };
}

// --- tables ------------------------------------------------------------------------------------

// Texts of the cells of a row; the first one may be a probability, which is drawn as a bar.
function setCells(row, texts, prob = 0) {
  texts.forEach((text, i) => {
    const cell = row.cells[i + 1];
    if (cell.textContent !== text) {
      cell.textContent = text;
    }
  });
  row.cells[1].style.setProperty("--share", `${100 * prob}%`);
}

function fillBody(body, rows) {
  body.replaceChildren(
    ...rows.map((texts) => {
      const row = document.createElement("tr");
      texts.forEach((text, i) => {
        const cell = document.createElement(i ? "td" : "th");
        if (!i) {
          cell.scope = "row";
        }
        cell.textContent = text;
        row.append(cell);
      });
      return row;
    }),
  );
}

function fillTables(now, start) {
  const classes = panel.classes;
  groups.forEach((_, k) => {
    const texts = [percent(now.gate[k]), percent(start.gate[k])];
    if (!classes) {
      texts.push(prediction(now.experts[k]), prediction(start.experts[k]));
    }
    setCells(byId(`expert-${k}`), texts, now.gate[k]);
  });
  if (classes) {
    classes.forEach((_, c) => {
      const change = signed(now.mean[c] - start.mean[c], percent);
      const ofExperts = groups.map((_, k) => percent(now.experts[k][c]));
      const texts = [percent(now.mean[c]), percent(start.mean[c]), change, ...ofExperts];
      setCells(byId(`class-${c}`), texts, now.mean[c]);
    });
    return;
  }
  const change = signed(now.mean - start.mean, prediction);
  setCells(byId("prediction"), [prediction(now.mean), prediction(start.mean), change]);
  if (isSurvival) {
    const later = signed(now.median - start.median, formatted);
    setCells(byId("median"), [formatted(now.median), formatted(start.median), later]);
    for (const place of document.querySelectorAll(".horizon")) {
      place.textContent = formatted(panel.horizon);
    }
  }
  if (now.interval) {
    const text = ({ interval }) => `${formatted(interval[0])} to ${formatted(interval[1])}`;
    const width = ({ interval }) => interval[1] - interval[0];
    const wider = signed(width(now) - width(start), formatted);
    setCells(byId("interval"), [text(now), text(start), `width ${wider}`]);
    byId("mean-note").hidden = isSurvival || now.mean >= now.interval[0] && now.mean <= now.interval[1];
  }
  const masses = now.atoms ? now.atoms.y.map((y, i) => [formatted(y), percent(now.atoms.mass[i])]) : [];
  byId("masses").hidden = !masses.length;
  fillBody(byId("masses-body"), masses.slice(0, 30));
}

function announce(now, start) {
  const k = now.gate.indexOf(Math.max(...now.gate));
  const notes = groups.length ? [`Most probable group: ${groups[k]}, ${percent(now.gate[k])}.`] : [];
  const outside = features.filter((_, j) => isOutside(j)).map(({ label }) => label);
  if (outside.length) {
    notes.push(`Outside of the rows of this report: ${outside.join(", ")}.`);
  }
  let text;
  if (panel.classes) {
    const c = now.mean.indexOf(Math.max(...now.mean));
    text = `Most probable class: ${panel.classes[c]}, ${percent(now.mean[c])}.`;
  } else {
    const change = signed(now.mean - start.mean, prediction);
    const name = isSurvival ? `probability of no event until ${formatted(panel.horizon)}` : panel.target;
    text = `Predicted ${name}: ${prediction(now.mean)}, ${change} against the start.`;
    if (now.interval) {
      const [low, high] = now.interval.map(formatted);
      text += ` ${100 * panel.coverage} % interval: ${low} to ${high}.`;
    }
  }
  const status = byId("status");
  const whole = [text, ...notes].join(" ");
  if (status.textContent !== whole) {
    status.textContent = whole;
  }
}

// --- charts ------------------------------------------------------------------------------------

const CHART_HEIGHT = 270;
const CHARACTER = 7; // width of a character, about
const MAX_LABEL = 24; // characters of the name of a category

function svg(name, attributes, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) {
    node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

const shortened = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}\u2026` : text);
const extent = (values) => [Math.min(...values), Math.max(...values)];

function padded([low, high]) {
  const margin = 0.06 * (high - low) || 0.5 * Math.abs(high) || 1;
  return [low - margin, high + margin];
}

// A path through the points that are numbers.
function pathOf(x, y, toX, toY) {
  let pen = "M";
  return x
    .map((value, i) => {
      const isDrawn = Number.isFinite(value) && Number.isFinite(y[i]);
      const step = isDrawn ? `${pen}${toX(value).toFixed(2)} ${toY(y[i]).toFixed(2)}` : "";
      pen = isDrawn ? "L" : "M";
      return step;
    })
    .join("");
}

// What stands for a mark: an area between `low` and y, lines, stems from zero, or points.
function nodesOf({ kind, x, y, low, colour, opacity, dash, width }, toX, toY) {
  const style = { class: colour ? "mark" : "mark ink", "stroke-width": width || 2 };
  if (colour) {
    style.stroke = colour;
  }
  if (dash) {
    style["stroke-dasharray"] = dash;
  }
  if (kind === "area") {
    const corners = [...x, ...[...x].reverse()];
    return [svg("path", { class: "shade", d: pathOf(corners, [...y, ...[...low].reverse()], toX, toY) })];
  }
  if (kind === "stems") {
    const stem = (at, i) => pathOf([at, at], [0, y[i]], toX, toY);
    return x.map((at, i) => svg("path", { ...style, d: stem(at, i), "stroke-opacity": opacity[i] }));
  }
  if (kind === "points") {
    const size = width || 5;
    const diamond = (at, i) => `M${toX(at)} ${toY(y[i]) - size}l${size} ${size}l${-size} ${size}l${-size} ${-size}z`;
    return x.map((at, i) => svg("path", { class: "mark ink point", d: diamond(at, i) }));
  }
  return [svg("path", { ...style, d: pathOf(x, y, toX, toY), "stroke-opacity": opacity ?? 1 })];
}

// Marks over axes that hold them. Categories have names instead of numbers.
function drawChart(id, marks, { xLabel, yLabel, yRange = null, categories = null }) {
  const shown = marks.filter(({ x }) => x.length);
  const numbers = (...keys) =>
    shown.flatMap((mark) => keys.flatMap((key) => mark[key] || [])).filter(Number.isFinite);
  const width = byId(id).clientWidth || 640;
  const [left, right] = padded(extent(numbers("x")));
  const zero = shown.some(({ kind }) => kind === "stems") ? [0] : [];
  const [bottom, top] = yRange || padded(extent([...numbers("y", "low"), ...zero]));
  const textOf = (value) => String(Number(value.toPrecision(6)));
  const yTicks = niceTicks(bottom, top);
  const xTicks = categories ? categories.map((_, i) => i) : niceTicks(left, right);
  const names = categories ? categories.map((name) => shortened(String(name), MAX_LABEL)) : xTicks.map(textOf);
  const longest = Math.max(...names.map(({ length }) => length), 0);
  const isTurned = categories !== null && longest * CHARACTER > (width - 80) / names.length;
  const angle = !isTurned ? 0 : names.length > MAX_TURNED ? 90 : 45;
  const below = 10 + (isTurned ? longest * CHARACTER * Math.sin((angle * Math.PI) / 180) : 10) + 20;
  const beside = 28 + CHARACTER * Math.max(...yTicks.map((tick) => textOf(tick).length), 0);
  const height = CHART_HEIGHT + (isTurned ? below - 40 : 0);
  const toX = (x) => beside + ((x - left) / (right - left)) * (width - beside - 14);
  const toY = (y) => height - below - ((y - bottom) / (top - bottom)) * (height - below - 8);
  const root = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}` });
  for (const tick of yTicks) {
    root.append(svg("path", { class: "rule", d: `M${beside} ${toY(tick)}H${width - 14}` }));
    root.append(svg("text", { x: beside - 5, y: toY(tick) + 4, "text-anchor": "end" }, textOf(tick)));
  }
  xTicks.forEach((tick, i) => {
    const at = { x: toX(tick), y: height - below + 15 };
    const turned = { transform: `rotate(${-angle} ${at.x} ${at.y})`, "text-anchor": "end" };
    root.append(svg("path", { class: "rule", d: `M${at.x} 8V${height - below}` }));
    root.append(svg("text", { ...at, "text-anchor": "middle", ...(angle ? turned : {}) }, names[i]));
  });
  const middle = { x: (beside + width) / 2, y: height - 5, "text-anchor": "middle" };
  root.append(svg("text", middle, shortened(xLabel, Math.floor((width - beside) / CHARACTER))));
  const upright = { x: 12, y: (height - below) / 2, "text-anchor": "middle" };
  upright.transform = `rotate(-90 ${upright.x} ${upright.y})`;
  root.append(svg("text", upright, shortened(yLabel, Math.floor((height - below) / CHARACTER))));
  root.append(...shown.flatMap((mark) => nodesOf(mark, toX, toY)));
  byId(id).replaceChildren(root);
}

const opacityOf = (prob) => 0.15 + 0.85 * prob;

function drawDensity(now, start) {
  const none = { y: [], total: [], parts: [] };
  const curve = now.curve || none;
  const atStart = start.curve || none;
  const parts = curve.parts
    .map((y, k) => ({ x: curve.y, y, colour: panel.colours[k], prob: now.gate[k] }))
    .filter(({ prob }) => prob > 0)
    .map((part) => ({ ...part, opacity: isSurvival ? opacityOf(part.prob) : 1 }));
  const lines = [
    ...parts,
    { x: atStart.y, y: atStart.total, dash: "2 3" },
    { x: curve.y, y: curve.total },
  ];
  if (isSurvival) {
    const mark = { x: [panel.horizon, panel.horizon], y: [0, 1], dash: "7 4" };
    const axes = { xLabel: panel.target, yLabel: "Probability of no event", yRange: [-0.02, 1.02] };
    drawChart("density-chart", [...lines, mark], axes);
    return;
  }
  const [low, high] = now.interval;
  const inside = curve.y.map((_, i) => i).filter((i) => curve.y[i] >= low && curve.y[i] <= high);
  const area = { kind: "area", x: inside.map((i) => curve.y[i]), y: inside.map((i) => curve.total[i]) };
  area.low = area.x.map(() => 0);
  const highest = Math.max(...curve.total, ...atStart.total, 0);
  // Beside a density the height of a probability is its share of the height of the chart.
  const unit = now.curve ? highest : 1;
  const atoms = now.atoms || { y: [], mass: [] };
  const atomsAtStart = start.atoms || { y: [], mass: [] };
  const heights = atoms.mass.map((mass) => mass * unit);
  const tallest = Math.max(highest, ...heights, 0);
  const opacity = atoms.y.map((y) => (y >= low && y <= high ? 0.9 : 0.35));
  const marks = [
    area,
    ...lines,
    { x: [now.mean, now.mean], y: [0, tallest], dash: "7 4" },
    { kind: "stems", x: atoms.y, y: heights, opacity, colour: panel.colours[0], width: 5 },
    { kind: "points", x: atomsAtStart.y, y: atomsAtStart.mass.map((mass) => mass * unit) },
    { x: [low, high], y: [-0.03 * tallest, -0.03 * tallest], width: 4 },
  ];
  drawChart("density-chart", marks, { xLabel: panel.target, yLabel: "Density or probability" });
}

// Predictions along a feature, the others where they are now.
function predictAlong() {
  const feature = features[along];
  const at = feature.choices || feature.grid;
  const others = panel.formulas ? state : features.map((other) => other.start);
  const found = at.map((value, i) => {
    if (!panel.formulas) {
      return mixture.ofSlice(panel.slices[along], i);
    }
    return mixture.at(others.map((other, j) => (j === along ? value : other)));
  });
  return { at, x: feature.choices ? at.map((_, i) => i) : at, found };
}

// 1, 2 or 5 times a power of ten, for about so many steps.
function niceStep(low, high, nSteps) {
  const width = (high - low) / nSteps;
  const power = 10 ** Math.floor(Math.log10(width));
  return [1, 2, 5, 10].map((m) => m * power).find((s) => s >= width);
}

function niceTicks(low, high) {
  const step = niceStep(low, high, 5);
  const ticks = [];
  for (let i = Math.ceil(low / step); i * step <= high; i += 1) {
    ticks.push(Number((i * step).toPrecision(12)));
  }
  return ticks;
}

function drawAlong() {
  const { at, x, found } = predictAlong();
  const feature = features[along];
  const classes = panel.classes;
  const curves = classes
    ? classes.map((_, c) => found.map(({ mean }) => mean[c]))
    : panel.experts.map((_, k) => found.map(({ experts }) => experts[k]));
  // Of categories, values are steps.
  const wide = feature.is_category ? x.flatMap((i) => [i - HALF_STEP, i + HALF_STEP]) : x;
  const steps = (values) => (feature.is_category ? values.flatMap((value) => [value, value]) : values);
  const lines = curves.map((values, k) => {
    const opacity = classes ? 1 : opacityOf(now.gate[k]);
    return { x: wide, y: steps(values), colour: panel.colours[k], opacity, width: 2.5 };
  });
  const here = feature.choices ? at.indexOf(state[along]) : state[along];
  const marks = [...lines, { kind: "points", x: [now.mean].flat().map(() => here), y: [now.mean].flat() }];
  if (!classes) {
    marks.splice(lines.length, 0, { x: wide, y: steps(found.map(({ mean }) => mean)), dash: "7 4" });
    if (!isSurvival && found.every(({ interval }) => interval)) {
      const [low, y] = [0, 1].map((end) => steps(found.map(({ interval }) => interval[end])));
      marks.unshift({ kind: "area", x: wide, low, y });
    }
  }
  const yLabel = classes ? "Probability of the class" : isSurvival ? "Probability of no event" : panel.target;
  const axes = { xLabel: feature.label, yLabel, yRange: isSurvival ? [-0.02, 1.02] : null };
  drawChart("along-chart", marks, { ...axes, categories: feature.choices || null });
  fillAlongTable(at, found);
}

function fillAlongTable(at, found) {
  const every = Math.max(1, Math.ceil(at.length / 12));
  const rows = at
    .map((value, i) => [value, found[i]])
    .filter((_, i) => i % every === 0 || i === at.length - 1)
    .map(([value, { mean, interval, median }]) => [
      typeof value === "number" ? formatted(value) : value,
      ...(panel.classes ? mean.map(percent) : [prediction(mean)]),
      ...(isSurvival ? [median] : interval || []).map(formatted),
    ]);
  byId("along-feature").textContent = features[along].label;
  fillBody(byId("along-body"), rows);
}

// --- controls ----------------------------------------------------------------------------------

let start = evaluate(state);
let now = start;
let announcement = null;

function update() {
  now = evaluate(state);
  fillTables(now, start);
  clearTimeout(announcement);
  announcement = setTimeout(() => announce(now, start), 250);
  if (byId("density-chart")) {
    drawDensity(now, start);
  }
  if (features.length) {
    drawAlong();
  }
}

// Whether a number is beyond its range in the rows of the report.
function isOutside(j) {
  const { low, high } = features[j];
  return state[j] < low || state[j] > high;
}

function showControl(j) {
  const feature = features[j];
  const value = state[j];
  const control = byId(`feature-${j}`);
  if (feature.choices) {
    control.value = value === null ? "" : String(feature.choices.indexOf(value));
  } else if (panel.formulas) {
    control.value = value;
    const exact = byId(`exact-${j}`);
    if (document.activeElement !== exact) {
      exact.value = Number(value.toPrecision(6));
    }
    byId(`outside-${j}`).hidden = !isOutside(j);
  } else {
    control.value = value === null ? 0 : feature.grid.indexOf(value);
    byId(`value-${j}`).textContent = value === null ? "missing" : formatted(value);
  }
  if (control.type === "range") {
    control.setAttribute("aria-valuetext", value === null ? "missing" : formatted(value));
  }
}

function setFeature(j, value) {
  if (!panel.formulas) {
    // Slices go through the starting row: the other features return to it.
    features.forEach((feature, i) => {
      state[i] = feature.start;
      showControl(i);
    });
  }
  state[j] = value;
  along = j;
  byId("along").value = String(j);
  showControl(j);
  update();
}

function reset() {
  features.forEach((feature, j) => {
    state[j] = feature.start;
    showControl(j);
  });
  update();
}

function bind(feature, j) {
  const control = byId(`feature-${j}`);
  if (feature.choices) {
    control.addEventListener("change", () => {
      setFeature(j, control.value === "" ? null : feature.choices[Number(control.value)]);
    });
  } else if (panel.formulas) {
    control.step = feature.is_integer ? 1 : niceStep(feature.low, feature.high, N_SLIDER_STEPS);
    control.addEventListener("input", () => setFeature(j, Number(control.value)));
    const exact = byId(`exact-${j}`);
    exact.addEventListener("input", () => {
      if (exact.value !== "" && Number.isFinite(Number(exact.value))) {
        setFeature(j, Number(exact.value));
      }
    });
  } else {
    control.addEventListener("input", () => setFeature(j, feature.grid[Number(control.value)]));
  }
  showControl(j);
}

features.forEach(bind);
if (byId("horizon")) {
  byId("horizon").value = panel.horizon;
  byId("horizon").addEventListener("input", ({ target }) => {
    if (target.value !== "" && Number.isFinite(Number(target.value))) {
      panel.horizon = Number(target.value);
      start = evaluate(features.map((feature) => feature.start));
      update();
    }
  });
}
byId("reset").addEventListener("click", reset);
byId("along").addEventListener("change", (event) => {
  along = Number(event.target.value);
  update();
});
addEventListener("resize", update);
update();
document.documentElement.dataset.ready = "true";
