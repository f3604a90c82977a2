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

// Probabilities of the most probable experts only; of equal ones the first are kept.
function keepTopK(logits, topK) {
  if (topK === null || topK >= logits.length) {
    return logits;
  }
  const order = logits.map((_, k) => k).sort((a, b) => logits[b] - logits[a] || a - b);
  const kept = new Set(order.slice(0, topK));
  return logits.map((logit, k) => (kept.has(k) ? logit : -Infinity));
}

class Mixture {
  constructor(panel) {
    this.panel = panel;
    this.formulas = panel.formulas;
  }

  // Probability of each expert: a softmax, or of an average of starts one for each start.
  gate(x) {
    const { slopes, intercept, n_starts: nStarts, top_k: topK } = this.formulas.gate;
    const logits = slopes.map((slope, k) => intercept[k] + dot(slope, x));
    const size = logits.length / nStarts;
    const probs = [];
    for (let start = 0; start < logits.length; start += size) {
      const ofStart = softmax(keepTopK(logits.slice(start, start + size), topK));
      probs.push(...ofStart.map((prob) => prob / nStarts));
    }
    return probs;
  }

  // Location of the density of each expert.
  locations(x) {
    return this.formulas.experts.map((f) => {
      if (f.link === undefined) {
        return 0;
      }
      const predictor = f.intercept + dot(f.slopes, x);
      return f.link === "log" ? Math.exp(predictor) : predictor;
    });
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
      found.interval = slice.interval[i];
      found.curve = slice.curve ? { y: slice.curve, total: slice.density[i], parts: [] } : null;
      found.atoms = slice.atoms ? { y: slice.atoms, mass: slice.mass[i] } : null;
    }
    return found;
  }

  byFormulas(x) {
    const gate = this.gate(x);
    const average = (values) => sum(gate.map((prob, k) => (prob ? prob * values[k] : 0)));
    if (this.panel.classes) {
      const experts = this.formulas.experts.map((f) =>
        softmax(f.slopes.map((slope, c) => f.intercept[c] + dot(slope, x))),
      );
      const mean = this.panel.classes.map((_, c) => average(experts.map((probs) => probs[c])));
      return { gate, experts, mean };
    }
    const locations = this.locations(x);
    const distribution = new Distribution(this.formulas.experts, gate, locations);
    const experts = this.formulas.experts.map((f, k) =>
      DENSITIES[f.density].mean(f, locations[k]),
    );
    const tail = 0.5 * (1 - this.panel.coverage);
    const interval = [distribution.quantile(tail), distribution.quantile(1 - tail)];
    return { gate, experts, mean: average(experts), interval, distribution };
  }
}

// A mixture of densities with given weights and locations.
class Distribution {
  constructor(formulas, weights, locations) {
    this.components = formulas
      .map((f, k) => ({ f, k, weight: weights[k], at: locations[k], family: DENSITIES[f.density] }))
      .filter((component) => component.weight > 0);
    this.isDiscrete = this.components.every((component) => component.family.discrete);
    this.hasCounts = this.components.some((component) => component.family.counts);
  }

  // Values with positive probability, apart from counts.
  get atoms() {
    const found = this.components.flatMap(({ f, family }) => (family.atoms ? family.atoms(f) : []));
    return [...new Set(found)].sort((a, b) => a - b);
  }

  cdf(y) {
    return sum(this.components.map(({ f, weight, at, family }) => weight * family.cdf(f, at, y)));
  }

  // Weighted densities of the continuous components, or probabilities of the discrete ones.
  parts(y, discrete) {
    return this.components
      .filter(({ family }) => Boolean(family.discrete) === discrete)
      .map(({ f, k, weight, at, family }) => [k, weight * family.pdf(f, at, y)]);
  }

  pdf(y) {
    return sum(this.parts(y, false).map(([, value]) => value));
  }

  pmf(y) {
    return sum(this.parts(y, true).map(([, value]) => value));
  }

  // The smallest value whose distribution function reaches q, by bisection.
  quantile(q) {
    if (this.isDiscrete && !this.hasCounts) {
      const { atoms } = this;
      return atoms.find((y) => this.cdf(y) >= q - 1e-12) ?? atoms[atoms.length - 1];
    }
    const centres = this.components.map(({ f, at, family }) => family.mean(f, at));
    const scales = this.components.map(({ f, at, family }) => family.scale(f, at));
    let step = Math.max(...scales.filter(Number.isFinite), 1e-9);
    let low = Math.min(...centres.filter(Number.isFinite)) - step;
    while (this.cdf(low) >= q) {
      low -= step;
      step *= 2;
    }
    let high = Math.max(...centres.filter(Number.isFinite)) + step;
    while (this.cdf(high) < q) {
      high += step;
      step *= 2;
    }
    return this.isDiscrete ? this.bisectCounts(q, low, high) : this.bisect(q, low, high);
  }

  bisect(q, low, high) {
    const smallest = 1e-15 * (high - low);
    for (;;) {
      const middle = 0.5 * (low + high);
      const width = high - low;
      if (middle <= low || middle >= high || width < smallest) {
        const atom = this.atoms.find((y) => Math.abs(y - high) <= 2 * width + 1e-12);
        return atom ?? high;
      }
      if (this.cdf(middle) < q) {
        low = middle;
      } else {
        high = middle;
      }
    }
  }

  bisectCounts(q, low, high) {
    let below = Math.max(Math.floor(low), -1);
    let reached = Math.ceil(high);
    while (reached - below > 1) {
      const middle = Math.floor(0.5 * (below + reached));
      if (this.cdf(middle) < q) {
        below = middle;
      } else {
        reached = middle;
      }
    }
    return reached;
  }
}

