"""Optuna watches epochs of partial_fit and prunes the trials that will not win."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sksoftmax import SoftmaxClassifier

optuna = pytest.importorskip("optuna")

EPOCHS = 8


def test_pruning_saves_epochs_and_finds_a_good_alpha():
    X, y = load_digits(return_X_y=True)
    parts = train_test_split(X, y, stratify=y, random_state=0)
    X_train, X_val, y_train, y_val = parts
    models = []

    def objective(trial):
        alpha = trial.suggest_float("alpha", 1e-5, 1e2, log=True)
        clf = SoftmaxClassifier(alpha=alpha, random_state=0)
        models.append(clf)
        for epoch in range(EPOCHS):
            clf.partial_fit(X_train, y_train, classes=np.arange(10))
            accuracy = clf.score(X_val, y_val)
            trial.report(accuracy, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned
        return accuracy

    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.RandomSampler(seed=0),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=3),
    )
    study.optimize(objective, n_trials=12)

    pruned = [t.state == optuna.trial.TrialState.PRUNED for t in study.trials]
    assert any(pruned)
    epochs = np.array([clf.n_iter_ for clf in models])
    assert (epochs[pruned] < EPOCHS).any()
    assert (epochs[~np.array(pruned)] == EPOCHS).all()
    assert study.best_value > 0.95
    alphas = np.array([t.params["alpha"] for t in study.trials])
    assert np.array(pruned)[alphas > 1].all()  # the strongest penalties lose
