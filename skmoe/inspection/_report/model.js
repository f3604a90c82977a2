"use strict";
// The mixture: gate, experts, prediction and predictive distribution, from the panel's description.

const sum = (values) => values.reduce((total, value) => total + value, 0);
const dot = (a, b) => a.reduce((total, value, i) => total + value * b[i], 0);

function softmax(logits) {
  const largest = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp(logit - largest));
  const total = sum(powers);
  return powers.map((power) => power / total);
}

// The normal distribution function, with a relative error of 1e-7 (W. H. Press and others,
// "Numerical Recipes", 3rd edition, section 6.2.2).
const ERFC = [
  -1.26551223, 1.00002368, 0.37409196, 0.09678418, -0.18628806, 0.27886807, -1.13520398,
  1.48851587, -0.82215223, 0.17087277,
];

function normalCdf(z) {
  const x = Math.abs(z) * Math.SQRT1_2;
  const t = 1 / (1 + 0.5 * x);
  const tail = 0.5 * t * Math.exp(-x * x + ERFC.reduceRight((total, c) => total * t + c));
  return z < 0 ? tail : 1 - tail;
}

const N_BISECTIONS = 40;
const N_NEAR_ROWS = 6;

// A row of a table at a position between its rows, by polynomials of the nearest rows. Beyond its
// ends the mean goes on, and the other columns as the one in the middle.
function rowAt(table, position) {
  const last = table.length - 1;
  const inside = Math.min(Math.max(position, 0), last);
  const n = Math.min(table.length, N_NEAR_ROWS);
  const first = Math.min(Math.max(Math.floor(inside) + 1 - (n >> 1), 0), last + 1 - n);
  const near = table.slice(first, first + n);
  const weights = near.map((_, i) =>
    near.reduce((w, __, j) => (j === i ? w : (w * (inside - first - j)) / (i - j)), 1),
  );
  const row = near[0].map((_, j) => sum(near.map((values, i) => weights[i] * values[j])));
  if (inside === position || !last) {
    return row;
  }
  const edge = position < 0 ? 0 : last - 1;
  const slope = (j) => table[edge + 1][j] - table[edge][j];
  const common = slope(Math.ceil(0.5 * (row.length - 1)));
  return row.map((value, j) => value + (position - inside) * (j ? common : slope(0)));
}

// The distribution of an expert at a value of its predictor.
class Component {
  constructor(table, k, weight, x) {
    if (table.never) {
      Object.assign(this, { never: true, k, weight, isDiscrete: true, points: [], values: [] });
      return;
    }
    const predictor = table.intercept + dot(table.slopes, x);
    const position = (predictor - table.start) / table.step;
    const [mean, ...columns] = rowAt(table.table, position);
    const { values, lower, counts } = table;
    Object.assign(this, { table, k, weight, columns, values, lower, counts });
    this.mean = lower === null ? mean : Math.exp(mean);
    this.isDiscrete = counts || values.length > 0;
    this.points = values; // values of y between which scores are interpolated
    if (!values.length) {
      this.points = columns.map((u) => (lower === null ? u : lower + Math.exp(u)));
      // Differences by position in the list, which are exact for polynomials of degree four.
      this.rises = columns.map((_, k) => {
        const i = Math.min(Math.max(k, 2), columns.length - 3);
        return (8 * (columns[i + 1] - columns[i - 1]) - columns[i + 2] + columns[i - 2]) / 12;
      });
    }
  }

  // Normal score of the probability up to y, and its slope, by cubics between quantiles.
  score(y) {
    if (this.never) {
      return [-Infinity, 0];
    }
    const { table, columns, values, lower, rises } = this;
    if (values.length) {
      const n = values.filter((value) => value <= y).length;
      return [n === 0 ? -Infinity : n > columns.length ? Infinity : columns[n - 1], 0];
    }
    const at = this.counts ? Math.floor(y) : y;
    if (lower !== null && at <= lower) {
      return [-Infinity, 0];
    }
    const u = lower === null ? at : Math.log(at - lower);
    const step = table.score_step;
    const factor = step / (lower === null ? 1 : at - lower);
    let [i, end] = [0, columns.length - 1];
    if (u <= columns[i] || u >= columns[end]) {
      const edge = u <= columns[i] ? i : end;
      const ahead = (u - columns[edge]) / rises[edge];
      return [table.first_score + step * (edge + ahead), factor / rises[edge]];
    }
    while (end - i > 1) {
      const middle = (i + end) >> 1;
      [i, end] = columns[middle] <= u ? [middle, end] : [i, middle];
    }
    const width = columns[end] - columns[i];
    const t = (u - columns[i]) / width;
    const [a, b] = [width / rises[i] - 1, width / rises[end] - 1];
    const value = i + t + t * (1 - t) * (a * (1 - t) - b * t);
    const slope = 1 + a * (1 - t) * (1 - 3 * t) + b * t * (3 * t - 2);
    return [table.first_score + step * value, (factor * slope) / width];
  }

  cdf(y) {
    return normalCdf(this.score(y)[0]);
  }

  pdf(y) {
    const [score, slope] = this.score(y);
    return this.isDiscrete || !slope
      ? 0
      : (Math.exp(-0.5 * score * score) / Math.sqrt(2 * Math.PI)) * slope;
  }

  // Probability of y itself.
  pmf(y) {
    return this.isDiscrete ? this.cdf(y) - this.cdf(y - 1e-9 * (1 + Math.abs(y))) : 0;
  }
}

// A mixture of components with weights above zero.
class Distribution {
  constructor(components) {
    this.components = components.filter(({ weight }) => weight > 0);
    this.isDiscrete = this.components.every((component) => component.isDiscrete);
    this.hasCounts = this.components.some((component) => component.counts);
    const sorted = (values) => [...new Set(values)].sort((a, b) => a - b);
    this.points = sorted(this.components.flatMap(({ points }) => points));
    this.atoms = sorted(this.components.flatMap(({ values }) => values)); // apart from counts
  }

  // Weighted value of a method of the components: `cdf`, `pdf` or `pmf`.
  at(method, y) {
    return sum(this.components.map((component) => component.weight * component[method](y)));
  }

  // Probability of no event until y.
  survival(y) {
    return 1 - this.at("cdf", y);
  }

  // The smallest value whose distribution function reaches q, by bisection: over the values between
  // which scores are interpolated, and then between two of them.
  quantile(q) {
    const { points, hasCounts } = this;
    if (this.at("cdf", Infinity) < q) {
      return Infinity;
    }
    let [first, last] = [0, points.length - 1];
    while (first < last) {
      const i = (first + last) >> 1;
      [first, last] = this.at("cdf", points[i]) < q ? [i + 1, last] : [first, i];
    }
    let [low, high] = [first ? points[first - 1] : points[0] - 1, points[first]];
    if (hasCounts) {
      [low, high] = [Math.floor(low), Math.ceil(high)];
    }
    for (let i = 0; i < N_BISECTIONS; i += 1) {
      const middle = hasCounts ? Math.floor(0.5 * (low + high)) : 0.5 * (low + high);
      if (middle <= low || middle >= high) {
        break;
      }
      [low, high] = this.at("cdf", middle) < q ? [middle, high] : [low, middle];
    }
    return high;
  }
}

class Mixture {
  constructor(panel) {
    this.panel = panel;
    this.formulas = panel.formulas;
  }

  // Probability of each expert, by a softmax.
  gate(x) {
    const { slopes, intercept } = this.formulas.gate;
    return softmax(slopes.map((slope, k) => intercept[k] + dot(slope, x)));
  }

  // Everything about a row: gate, predictions of experts and mixture, interval, distribution.
  at(x) {
    return this.formulas ? this.byFormulas(x) : this.bySlices(x);
  }

  // A row that differs from the starting row in one feature at most.
  bySlices(x) {
    const { features, slices, start } = this.panel;
    const moved = x.findIndex((value, j) => value !== features[j].start);
    if (moved < 0) {
      return this.ofSlice(start, 0);
    }
    const { grid, choices } = features[moved];
    return this.ofSlice(slices[moved], (choices || grid).indexOf(x[moved]));
  }

  ofSlice(slice, i) {
    const found = { gate: slice.gate[i], experts: slice.experts[i], mean: slice.mean[i] };
    if (slice.interval) {
      const orNever = (value) => (value === null && slice.median ? Infinity : value);
      found.interval = slice.interval[i].map(orNever);
      found.median = slice.median ? orNever(slice.median[i]) : null;
      found.curve = slice.curve ? { y: slice.curve, total: slice.survival[i], parts: [] } : null;
    }
    return found;
  }

  // Numbers, and for each category whether it is that of the row.
  encoded(values) {
    return this.panel.features.flatMap(({ is_category: isCategory, choices }, j) =>
      isCategory ? choices.map((choice) => Number(choice === values[j])) : [values[j]],
    );
  }

  byFormulas(values) {
    const x = this.encoded(values);
    const gate = this.gate(x);
    const average = (values) => sum(gate.map((prob, k) => (prob ? prob * values[k] : 0)));
    if (this.panel.classes) {
      const experts = this.formulas.experts.map((f) =>
        softmax(f.slopes.map((slope, c) => f.intercept[c] + dot(slope, x))),
      );
      const mean = this.panel.classes.map((_, c) => average(experts.map((probs) => probs[c])));
      return { gate, experts, mean };
    }
    const components = this.formulas.experts.map((f, k) => new Component(f, k, gate[k], x));
    const distribution = new Distribution(components);
    const { horizon, coverage } = this.panel;
    const experts = components.map((component) =>
      horizon === null ? component.mean : 1 - component.cdf(horizon),
    );
    const tail = 0.5 * (1 - coverage);
    const [low, median, high] = [tail, 0.5, 1 - tail].map((q) => distribution.quantile(q));
    return { gate, experts, mean: average(experts), interval: [low, high], median, distribution };
  }
}
