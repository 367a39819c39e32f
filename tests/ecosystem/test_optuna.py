"""Optuna watches epochs of partial_fit and prunes the trials that will not win."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sksoftmax import SoftmaxClassifier

optuna = pytest.importorskip("optuna")

EPOCHS = 8
ALPHAS = [1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0]


def study_of_alpha(objective, pruner):
    sampler = optuna.samplers.GridSampler({"alpha": ALPHAS}, seed=0)
    study = optuna.create_study(direction="maximize", sampler=sampler, pruner=pruner)
    study.optimize(objective)
    return study


def test_pruning_saves_epochs_and_keeps_the_winner():
    X, y = load_digits(return_X_y=True)
    parts = train_test_split(X, y, stratify=y, random_state=0)
    X_train, X_val, y_train, y_val = parts
    epochs = []

    def objective(trial):
        alpha = trial.suggest_float("alpha", 1e-5, 1e3, log=True)
        clf = SoftmaxClassifier(alpha=alpha, random_state=0)
        for epoch in range(EPOCHS):
            clf.partial_fit(X_train, y_train, classes=np.arange(10))
            accuracy = clf.score(X_val, y_val)
            trial.report(accuracy, epoch)
            if trial.should_prune():
                epochs.append(clf.n_iter_)
                raise optuna.TrialPruned
        return accuracy

    full = study_of_alpha(objective, optuna.pruners.NopPruner())
    assert epochs == []
    pruned = study_of_alpha(objective, optuna.pruners.MedianPruner(n_startup_trials=2))
    assert len(epochs) > 1
    assert max(epochs) < EPOCHS
    assert pruned.best_params == full.best_params
    assert 1e-3 <= full.best_params["alpha"] <= 1e-2
    assert pruned.best_value == full.best_value > 0.96
