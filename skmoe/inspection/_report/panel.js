"use strict";
// The panel: controls, tables and charts that follow them.

const panel = JSON.parse(document.getElementById("panel-data").textContent);
const mixture = new Mixture(panel);
const features = panel.features;
const groups = panel.experts.length > 1 ? panel.experts : []; // a single expert is no group
const state = features.map((feature) => feature.start);
let along = 0; // the feature of the chart of a slice

const N_CURVE_POINTS = 201;
const MAX_COUNTS = 150;
const HALF_STEP = 0.45; // of a category, along an axis

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

function setCells(row, texts) {
  texts.forEach((text, i) => {
    const cell = row.cells[i + 1];
    if (cell.textContent !== text) {
      cell.textContent = text;
    }
  });
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
    setCells(byId(`expert-${k}`), texts);
  });
  if (classes) {
    classes.forEach((_, c) => {
      const change = signed(now.mean[c] - start.mean[c], percent);
      const ofExperts = groups.map((_, k) => percent(now.experts[k][c]));
      setCells(byId(`class-${c}`), [
        percent(now.mean[c]), percent(start.mean[c]), change, ...ofExperts,
      ]);
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
    notes.push(`Outside of the rows of the fit: ${outside.join(", ")}.`);
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

const opacityOf = (prob) => 0.15 + 0.85 * prob;
const yLabel = isSurvival ? "Probability of no event" : panel.classes ? "Probability of the class" : panel.target;
const DOTTED = { class: "ink", "stroke-dasharray": "2 4" };
const DASHED = { class: "ink", "stroke-dasharray": "6 6" };

function drawDensity(now, start) {
  const none = { y: [], total: [], parts: [] };
  const [curve, atStart] = [now.curve || none, start.curve || none];
  const [atoms, atomsAtStart] = [now, start].map((at) => at.atoms || { y: [], mass: [] });
  const [low, high] = now.interval;
  const highest = Math.max(...curve.total, ...atStart.total, 0);
  // Beside a density the height of a probability is its share of the height of the chart.
  const unit = now.curve ? highest : 1;
  const tallest = isSurvival ? 1 : Math.max(highest, ...atoms.mass.map((mass) => mass * unit));
  const labels = { xLabel: panel.target, yLabel: isSurvival ? yLabel : "Density or probability" };
  const center = isSurvival ? panel.horizon : now.mean;
  const xs = [curve.y, atStart.y, atoms.y, atomsAtStart.y, isSurvival ? [] : now.interval, [center]];
  const heights = isSurvival ? axisBetween(-0.02, 1.02) : axisOf([-0.03 * tallest, tallest]);
  const chart = new Chart("density-chart", axisOf(...xs), heights, labels);
  if (!isSurvival) {
    const inside = curve.y.map((_, i) => i).filter((i) => curve.y[i] >= low && curve.y[i] <= high);
    const of = (values) => inside.map((i) => values[i]);
    chart.area(of(curve.y), of(curve.y).map(() => 0), of(curve.total));
  }
  curve.parts.forEach((part, k) => {
    if (now.gate[k] > 0) {
      const opacity = isSurvival ? opacityOf(now.gate[k]) : 1;
      chart.line(curve.y, part, { stroke: panel.colours[k], opacity });
    }
  });
  chart.line(curve.y, curve.total, { class: "ink total" });
  chart.line(atStart.y, atStart.total, DOTTED);
  atoms.y.forEach((y, i) => {
    const opacity = y >= low && y <= high ? 0.9 : 0.35;
    chart.column(y, atoms.mass[i] * unit, { stroke: panel.colours[0], opacity });
  });
  atomsAtStart.y.forEach((y, i) => chart.diamond(y, atomsAtStart.mass[i] * unit, 4));
  chart.line([center, center], [0, tallest], DASHED);
  if (!isSurvival) {
    chart.line([low, high], [-0.03 * tallest, -0.03 * tallest], { class: "ink", "stroke-width": 4 });
  }
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

function drawAlong() {
  const { at, x, found } = predictAlong();
  const feature = features[along];
  const classes = panel.classes;
  const shown = (classes || panel.experts).map((_, k) => found.map((f) => (classes ? f.mean : f.experts)[k]));
  const means = classes ? [] : found.map(({ mean }) => mean);
  const withBand = !classes && !isSurvival && found.every(({ interval }) => interval);
  const [low, high] = [0, 1].map((end) => (withBand ? found.map((f) => f.interval[end]) : []));
  // Of categories, values are steps.
  const steps = (values) => (feature.is_category ? values.flatMap((value) => [value, value]) : values);
  const wide = feature.is_category ? x.flatMap((i) => [i - HALF_STEP, i + HALF_STEP]) : x;
  const heights = isSurvival ? axisBetween(-0.02, 1.02) : axisOf(shown, means, low, high, [now.mean].flat());
  const values = feature.choices ? axisOfNames(at) : axisOf(x);
  const chart = new Chart("along-chart", values, heights, { xLabel: feature.label, yLabel });
  if (withBand) {
    chart.area(wide, steps(low), steps(high));
  }
  shown.forEach((line, k) => {
    const opacity = classes ? 1 : opacityOf(now.gate[k]);
    chart.line(wide, steps(line), { stroke: panel.colours[k], opacity, "stroke-width": 2.5 });
  });
  const here = feature.choices ? at.indexOf(state[along]) : state[along];
  chart.line(classes ? [] : wide, steps(means), DASHED);
  for (const mean of [now.mean].flat()) {
    if (here !== null && here !== -1 && Number.isFinite(mean)) {
      chart.dot(here, mean);
    }
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

// --- controls ----------------------------------------------------------------------------------

let start = evaluate(state);
let now = start;
let announcement = null;

function update() {
  now = evaluate(state);
  fillTables(now, start);
  clearTimeout(announcement);
  announcement = setTimeout(() => announce(now, start), 250);
  draw();
}

function draw() {
  if (groups.length) {
    drawBars("gate-chart", groups, panel.colours, now.gate, start.gate);
  }
  if (panel.classes) {
    drawBars("classes-chart", panel.classes, panel.colours, now.mean, start.mean);
  } else if (now.interval) {
    drawDensity(now, start);
  }
  if (features.length) {
    drawAlong();
  }
}

// Whether a number is beyond the range of the fit.
function isOutside(j) {
  const { low, high, tolerance } = features[j];
  return typeof tolerance === "number" && (state[j] < low - tolerance || state[j] > high + tolerance);
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
addEventListener("resize", draw);
update();
document.documentElement.dataset.ready = "true";
