"use strict";
// Special functions and the densities of the families, as in skmoe.distributions.

const LANCZOS = [
  0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313,
  -176.61502916214059, 12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6,
  1.5056327351493116e-7,
];
const LOG_SQRT_2PI = 0.5 * Math.log(2 * Math.PI);
const MAX_TERMS = 200000;
const TINY = 1e-300;
const EPSILON = 1e-16;

// Lanczos approximation of the log of the gamma function, for positive x.
function logGamma(x) {
  if (x < 0.5) {
    return Math.log(Math.PI / Math.sin(Math.PI * x)) - logGamma(1 - x);
  }
  if (x > 1e5) {
    return (x - 0.5) * Math.log(x) - x + LOG_SQRT_2PI + 1 / (12 * x);
  }
  let sum = LANCZOS[0];
  for (let i = 1; i < LANCZOS.length; i += 1) {
    sum += LANCZOS[i] / (x - 1 + i);
  }
  const t = x + 6.5;
  return LOG_SQRT_2PI + (x - 0.5) * Math.log(t) - t + Math.log(sum);
}

// log(gamma(a + k) / gamma(a)) without cancellation for large a.
function logGammaRatio(a, k) {
  if (a < 1e4) {
    return logGamma(a + k) - logGamma(a);
  }
  const stirling = 1 / (12 * (a + k)) - 1 / (12 * a);
  return (a + k - 0.5) * Math.log1p(k / a) + k * Math.log(a) - k + stirling;
}

// Lentz's method for continued fractions (DLMF 3.10): term(i) returns the numerator and the
// denominator of level i.
function continuedFraction(first, term) {
  let value = first || TINY;
  let c = value;
  let d = 0;
  for (let i = 1; i < MAX_TERMS; i += 1) {
    const [numerator, denominator] = term(i);
    d = denominator + numerator * d || TINY;
    c = denominator + numerator / c || TINY;
    d = 1 / d;
    const factor = c * d;
    value *= factor;
    if (Math.abs(factor - 1) < EPSILON * 4) {
      break;
    }
  }
  return value;
}

// Regularised incomplete gamma functions [P(a, x), Q(a, x)] (DLMF 8.11.4 and 8.9.2).
function incompleteGamma(a, x) {
  if (x <= 0) {
    return [0, 1];
  }
  if (x === Infinity) {
    return [1, 0];
  }
  const front = Math.exp(a * Math.log(x) - x - logGamma(a));
  if (x < a + 1) {
    let term = 1 / a;
    let sum = term;
    for (let i = 1; i < MAX_TERMS && term > sum * EPSILON; i += 1) {
      term *= x / (a + i);
      sum += term;
    }
    const lower = front * sum;
    return [lower, 1 - lower];
  }
  const fraction = continuedFraction(x + 1 - a, (i) => [-i * (i - a), x + 2 * i + 1 - a]);
  const upper = front / fraction;
  return [1 - upper, upper];
}

// Regularised incomplete beta function I_x(a, b) for x = 1 - y (DLMF 8.17.22).
function incompleteBeta(a, b, x, y) {
  if (x <= 0 || y <= 0) {
    return x <= 0 ? 0 : 1;
  }
  if (x > (a + 1) / (a + b + 2)) {
    return 1 - incompleteBeta(b, a, y, x);
  }
  const logBeta = a > b ? logGamma(b) - logGammaRatio(a, b) : logGamma(a) - logGammaRatio(b, a);
  const logX = x > 0.5 ? Math.log1p(-y) : Math.log(x);
  const logY = y > 0.5 ? Math.log1p(-x) : Math.log(y);
  const front = Math.exp(a * logX + b * logY - logBeta);
  const fraction = continuedFraction(1, (i) => {
    const m = Math.floor(i / 2);
    const n = a + 2 * m;
    if (i % 2) {
      return [(-(a + m) * (a + b + m) * x) / (n * (n + 1)), 1];
    }
    return [(m * (b - m) * x) / ((n - 1) * n), 1];
  });
  return front / fraction / a;
}

function normalCdf(z) {
  const tail = 0.5 * incompleteGamma(0.5, 0.5 * z * z)[1];
  return z < 0 ? tail : 1 - tail;
}

function studentCdf(z, df) {
  const square = z * z;
  const tail = 0.5 * incompleteBeta(df / 2, 0.5, df / (df + square), square / (df + square));
  return z < 0 ? tail : 1 - tail;
}

function logistic(x) {
  return x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x));
}

const isCount = (y) => y >= 0 && Number.isInteger(y);

// Each density has `mean`, `pdf` (of discrete ones the probability), `cdf`, a `scale`, and whether
// it is discrete. `f` holds its constants, and `at` its location, as Python wrote them.
const DENSITIES = {
  normal: {
    mean: (f, at) => at,
    scale: (f) => f.std,
    pdf: (f, at, y) => Math.exp(-0.5 * ((y - at) / f.std) ** 2 - LOG_SQRT_2PI) / f.std,
    cdf: (f, at, y) => normalCdf((y - at) / f.std),
  },
  student_t: {
    mean: (f, at) => at,
    scale: (f) => f.scale,
    pdf: (f, at, y) => {
      const z = (y - at) / f.scale;
      const constant = logGammaRatio(0.5 * f.df, 0.5) - 0.5 * Math.log(Math.PI * f.df);
      return Math.exp(constant - 0.5 * (f.df + 1) * Math.log1p((z * z) / f.df)) / f.scale;
    },
    cdf: (f, at, y) => studentCdf((y - at) / f.scale, f.df),
  },
  lognormal: {
    mean: (f, at) => Math.exp(at + 0.5 * f.log_std ** 2),
    scale: (f, at) => Math.exp(at) * Math.min(f.log_std, 1),
    pdf: (f, at, y) => {
      if (y <= 0) {
        return 0;
      }
      const z = (Math.log(y) - at) / f.log_std;
      return Math.exp(-0.5 * z * z - LOG_SQRT_2PI) / (f.log_std * y);
    },
    cdf: (f, at, y) => (y <= 0 ? 0 : normalCdf((Math.log(y) - at) / f.log_std)),
  },
  gamma: {
    mean: (f, at) => at,
    scale: (f, at) => at / Math.sqrt(f.shape),
    pdf: (f, at, y) => {
      if (y <= 0) {
        return 0;
      }
      const x = (f.shape * y) / at;
      return Math.exp(f.shape * Math.log(x) - x - logGamma(f.shape)) / y;
    },
    cdf: (f, at, y) => (y <= 0 ? 0 : incompleteGamma(f.shape, (f.shape * y) / at)[0]),
  },
  inverse_gaussian: {
    mean: (f, at) => at,
    scale: (f, at) => Math.sqrt(f.dispersion * at ** 3),
    pdf: (f, at, y) => {
      if (y <= 0) {
        return 0;
      }
      const z = (y - at) / (at * Math.sqrt(f.dispersion * y));
      return Math.exp(-0.5 * z * z - LOG_SQRT_2PI) / Math.sqrt(f.dispersion * y ** 3);
    },
    cdf: (f, at, y) => {
      if (y <= 0) {
        return 0;
      }
      const root = at * Math.sqrt(f.dispersion * y);
      const [z, far] = [(y - at) / root, (y + at) / root];
      // exp(2 / (dispersion at)) times a tail, whose factors over- and underflow far out.
      const second =
        far < 25
          ? Math.exp(2 / (f.dispersion * at)) * normalCdf(-far)
          : (Math.exp(-0.5 * z * z - LOG_SQRT_2PI) / far) * (1 - 1 / far ** 2 + 3 / far ** 4);
      return Math.min(normalCdf(z) + second, 1);
    },
  },
  poisson: {
    discrete: true,
    counts: true,
    mean: (f, at) => at,
    scale: (f, at) => Math.sqrt(at) || 1,
    pdf: (f, at, y) => (isCount(y) ? Math.exp(y * Math.log(at) - at - logGamma(y + 1)) : 0),
    cdf: (f, at, y) => (y < 0 ? 0 : incompleteGamma(Math.floor(y) + 1, at)[1]),
  },
  negative_binomial: {
    discrete: true,
    counts: true,
    mean: (f, at) => at,
    scale: (f, at) => Math.sqrt(at + f.dispersion * at * at) || 1,
    pdf: (f, at, y) => {
      if (f.dispersion === 0) {
        return DENSITIES.poisson.pdf(f, at, y);
      }
      if (!isCount(y)) {
        return 0;
      }
      const size = 1 / f.dispersion;
      const logOdds = Math.log(at) - Math.log(size);
      const logFailure = -Math.log1p(at / size);
      const choose = y ? logGammaRatio(size, y) - logGamma(y + 1) : 0;
      return Math.exp(choose + size * logFailure + y * (logOdds + logFailure));
    },
    cdf: (f, at, y) => {
      if (f.dispersion === 0) {
        return DENSITIES.poisson.cdf(f, at, y);
      }
      const size = 1 / f.dispersion;
      const total = size + at;
      return y < 0 ? 0 : incompleteBeta(size, Math.floor(y) + 1, size / total, at / total);
    },
  },
  ordinal: {
    discrete: true,
    atoms: (f) => f.values,
    mean: (f, at) => f.values.reduce((sum, v, i) => sum + v * ordinalMass(f, at, i), 0),
    scale: () => 1,
    pdf: (f, at, y) => {
      const i = f.values.indexOf(y);
      return i < 0 ? 0 : ordinalMass(f, at, i);
    },
    cdf: (f, at, y) => {
      const n = f.values.filter((value) => value <= y).length;
      return n === 0 ? 0 : upToLevel(f, at, n - 1);
    },
  },
  point_mass: {
    discrete: true,
    atoms: (f) => [f.value],
    mean: (f) => f.value,
    scale: () => 1,
    pdf: (f, at, y) => (y === f.value ? 1 : 0),
    cdf: (f, at, y) => (y >= f.value ? 1 : 0),
  },
  uniform: {
    mean: (f) => 0.5 * (f.low + f.high),
    scale: (f) => f.high - f.low,
    pdf: (f, at, y) => (y >= f.low && y <= f.high ? 1 / (f.high - f.low) : 0),
    cdf: (f, at, y) => Math.min(Math.max((y - f.low) / (f.high - f.low), 0), 1),
  },
};

// Probability of up to the value with index i.
function upToLevel(f, at, i) {
  return i >= f.thresholds.length ? 1 : logistic(f.thresholds[i] - at);
}

function ordinalMass(f, at, i) {
  return upToLevel(f, at, i) - (i ? upToLevel(f, at, i - 1) : 0);
}
