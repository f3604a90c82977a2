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
const MAX_COUNTS = 150;
const HALF_STEP = 0.45; // of a category, along an axis
const MAX_CHARACTERS = 50; // of all categories whose names are side by side
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

function chartModel(name) {
  for (const doc of Bokeh.documents) {
    const found = doc.get_model_by_name(name);
    if (found) {
      return found;
    }
  }
  return null;
}

function setData(name, data) {
  const source = chartModel(name);
  if (source) {
    source.data = data;
  }
}

const opacityOf = (prob) => 0.15 + 0.85 * prob;

function drawDensity(now, start) {
  const colours = panel.colours;
  const none = { y: [], total: [], parts: [] };
  const curve = now.curve || none;
  const atStart = start.curve || none;
  const shown = curve.parts.map((_, k) => k).filter((k) => now.gate[k] > 0);
  setData("total", { x: curve.y, y: curve.total });
  setData("total-start", { x: atStart.y, y: atStart.total });
  setData("parts", {
    xs: shown.map(() => curve.y),
    ys: shown.map((k) => curve.parts[k]),
    colour: shown.map((k) => colours[k]),
    opacity: shown.map((k) => (isSurvival ? opacityOf(now.gate[k]) : 1)),
  });
  if (isSurvival) {
    setData("mean-line", { x: [panel.horizon, panel.horizon], y: [0, 1] });
    return;
  }
  const [low, high] = now.interval;
  const inside = curve.y.map((_, i) => i).filter((i) => curve.y[i] >= low && curve.y[i] <= high);
  setData("interval-area", { x: inside.map((i) => curve.y[i]), y: inside.map((i) => curve.total[i]) });
  const highest = Math.max(...curve.total, ...atStart.total, 0);
  // Beside a density the height of a probability is its share of the height of the chart.
  const unit = now.curve ? highest : 1;
  const atoms = now.atoms || { y: [], mass: [] };
  const atomsAtStart = start.atoms || { y: [], mass: [] };
  setData("atoms", {
    x: atoms.y,
    height: atoms.mass.map((mass) => mass * unit),
    fill: atoms.y.map((y) => (y >= low && y <= high ? 0.9 : 0.35)),
  });
  setData("atoms-start", { x: atomsAtStart.y, height: atomsAtStart.mass.map((mass) => mass * unit) });
  const tallest = Math.max(highest, ...atoms.mass.map((mass) => mass * unit), 0);
  setData("mean-line", { x: [now.mean, now.mean], y: [0, tallest] });
  setData("bounds", { x0: [low], x1: [high], y: [-0.03 * tallest] });
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

function niceTicks(low, high) {
  const width = (high - low) / 5;
  const power = 10 ** Math.floor(Math.log10(width));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= width);
  const ticks = [];
  for (let i = Math.ceil(low / step); i * step <= high; i += 1) {
    ticks.push(Number((i * step).toPrecision(12)));
  }
  return ticks;
}

function drawAlong() {
  const { at, x, found } = predictAlong();
  const feature = features[along];
  const axis = chartModel("along-axis");
  axis.axis_label = chartLabel(feature.label);
  axis.ticker.ticks = feature.choices ? x : niceTicks(x[0], x[x.length - 1]);
  axis.major_label_overrides = new Map(
    feature.choices ? at.map((value, i) => [i, chartLabel(String(value))]) : [],
  );
  const nCharacters = feature.choices ? feature.choices.join("").length : 0;
  const turned = feature.choices && feature.choices.length > MAX_TURNED ? Math.PI / 2 : Math.PI / 4;
  axis.major_label_orientation = nCharacters > MAX_CHARACTERS ? turned : "horizontal";
  const classes = panel.classes;
  const lines = classes ? classes.map((_, c) => found.map(({ mean }) => mean[c])) : [];
  const shown = classes ? lines : panel.experts.map((_, k) => found.map(({ experts }) => experts[k]));
  const opacity = classes ? shown.map(() => 1) : now.gate.map(opacityOf);
  // Of categories, values are steps.
  const wide = feature.is_category ? x.flatMap((i) => [i - HALF_STEP, i + HALF_STEP]) : x;
  const steps = (values) => (feature.is_category ? values.flatMap((value) => [value, value]) : values);
  setData("along-lines", { xs: shown.map(() => wide), ys: shown.map(steps), colour: panel.colours.slice(0, shown.length), opacity });
  const here = feature.choices ? at.indexOf(state[along]) : state[along];
  if (!classes) {
    setData("along-mean", { x: wide, y: steps(found.map(({ mean }) => mean)) });
    const withBand = !isSurvival && found.every(({ interval }) => interval);
    const ends = [0, 1].map((end) => (withBand ? steps(found.map((f) => f.interval[end])) : []));
    setData("along-band", { x: withBand ? wide : [], low: ends[0], high: ends[1] });
    setData("along-now", { x: [here], y: [now.mean] });
  } else {
    setData("along-now", { x: classes.map(() => here), y: now.mean });
  }
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

// Delimiters of formulas are taken apart: Bokeh would load a script.
const chartLabel = (text) => text.replace(/\$(?=\$)|\\(?=[[(])/g, "$&\u200b");

// --- colours of the charts ---------------------------------------------------------------------

function recolour(isPrinted) {
  const style = getComputedStyle(document.documentElement);
  const ink = isPrinted ? "#1a1a1a" : style.getPropertyValue("--ink").trim();
  const rule = isPrinted ? "#dddddd" : style.getPropertyValue("--rule").trim();
  const models = Bokeh.documents.flatMap((doc) => doc.roots()).flatMap((root) => [...root.references()]);
  for (const model of models) {
    if (model.type.endsWith("Axis")) {
      model.axis_label_text_color = ink;
      model.major_label_text_color = ink;
      model.axis_line_color = rule;
      model.major_tick_line_color = rule;
    } else if (model.type === "Grid") {
      model.grid_line_color = rule;
    } else if (model.name === "ink") {
      for (const property of ["line_color", "fill_color"]) {
        if (model.glyph[property] !== undefined) {
          model.glyph[property] = { value: ink };
        }
      }
    }
  }
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
  if (typeof Bokeh === "undefined" || !chartModel("along-lines")) {
    return;
  }
  if (now.interval && (isSurvival || panel.formulas)) {
    drawDensity(now, start);
  }
  drawAlong();
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

async function drawCharts() {
  const charts = JSON.parse(byId("charts-data").textContent);
  for (const [id, item] of Object.entries(charts)) {
    await Bokeh.embed.embed_item(item, id);
  }
  const dark = matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", () => recolour(false));
  addEventListener("beforeprint", () => recolour(true));
  addEventListener("afterprint", () => recolour(false));
  recolour(false);
  update();
  document.documentElement.dataset.ready = "true";
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
update();
drawCharts();
