"""Logistic regression with balanced classes: convex, so the same data give the same classifier."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class LogisticRegression:
    """A linear classifier on standardised features."""

    mean: np.ndarray  # [D]
    scale: np.ndarray  # [D]
    weights: np.ndarray  # [D, C]
    bias: np.ndarray  # [C]

    def scores(self, x: np.ndarray) -> np.ndarray:
        """Return the classes' log odds [N, C] of x [N, D]."""
        return ((x - self.mean) / self.scale) @ self.weights + self.bias

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return the likeliest class [N] of x [N, D]."""
        return self.scores(x).argmax(axis=1)


def fit_logistic(x: np.ndarray, y: np.ndarray, classes: int, strength: float = 1.0) -> LogisticRegression:
    """Fit to x [N, D] and classes y [N], each class weighing the same.

    Minimises strength * (sum of weighted log losses) + |weights|^2 / 2, as scikit-learn's C and "balanced" do.
    """
    from scipy.optimize import minimize  # takes a second to import

    mean, scale = x.mean(axis=0), x.std(axis=0)
    scale = np.where(scale > 1e-12, scale, 1.0)
    z = x - mean
    z /= scale
    counts = np.bincount(y, minlength=classes)
    balance = strength * len(y) / (np.count_nonzero(counts) * np.maximum(counts, 1))[y]
    rows = np.arange(len(y))

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights, bias = flat[:-classes].reshape(-1, classes), flat[-classes:]
        scores = z @ weights  # [N, C], the largest array here: all that follows is made in its place
        scores += bias
        scores -= scores.max(axis=1, keepdims=True)
        truth = scores[rows, y]
        error = np.exp(scores, out=scores)
        totals = error.sum(axis=1, keepdims=True)
        error /= totals
        error[rows, y] -= 1.0
        error *= balance[:, None]
        value = (balance * (np.log(totals[:, 0]) - truth)).sum() + (weights**2).sum() / 2
        return value, np.concatenate([(z.T @ error + weights).ravel(), error.sum(axis=0)])

    start = np.zeros((z.shape[1] + 1) * classes)
    best = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 1000, "maxfun": 2000, "gtol": 1e-6})
    return LogisticRegression(mean, scale, best.x[:-classes].reshape(-1, classes), best.x[-classes:])


def folds(y: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return a fold [N] for each item, every class spread evenly over the folds."""
    chosen = np.zeros(len(y), dtype=np.int64)
    for value in np.unique(y):
        items = rng.permutation(np.flatnonzero(y == value))
        chosen[items] = (np.arange(len(items)) + rng.integers(count)) % count
    return chosen
