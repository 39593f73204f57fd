"""Held-out ROC AUC of a linear probe for each attribute."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_predict, cross_val_score, train_test_split
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from .entries import Bank

BANK = Bank("attribute_scores")


def logistic():
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))


def arrays(z, attributes):
    return z.detach().cpu().numpy(), attributes.cpu().numpy().astype(int)


def columns(z, attributes, score):
    """One score a column, nan where it is constant."""
    z, attributes = arrays(z, attributes)
    return np.array([score(z, y) if 0 < y.mean() < 1 else np.nan for y in attributes.T])


def folds():
    return StratifiedKFold(5, shuffle=True)


def confidence(z, y, probe=None, cv=None, method="decision_function"):
    return cross_val_predict(logistic() if probe is None else probe, z, y, cv=cv or folds(), method=method)


def pooled(z, y, probe=None, cv=None):
    return roc_auc_score(y, confidence(z, y, probe, cv))


def plain(z, y):
    """The same score of a ridge regression by hand: for mistakes that lie elsewhere than in the probe, which most of
    the time of a check goes into."""
    z, y = np.asarray(z, float), np.asarray(y)
    fold = np.empty(len(y), int)
    for rows in (np.flatnonzero(y), np.flatnonzero(1 - y)):
        fold[np.random.permutation(rows)] = np.arange(len(rows)) % 5
    alike, held_out = z @ z.T + 100.0, np.empty(len(y))  # 100: an intercept that is hardly penalised
    for k in range(5):
        test, train = fold == k, fold != k
        ridge = alike[np.ix_(train, train)] + 0.1 * np.eye(train.sum())
        held_out[test] = alike[np.ix_(test, train)] @ np.linalg.solve(ridge, 2.0 * y[train] - 1)
    above = held_out[y == 1][:, None] - held_out[y == 0]
    return float(((above > 0) + 0.5 * (above == 0)).mean())


def fit_all(z, y):
    return logistic().fit(z, y).decision_function(z)


def hard(z, y):
    return roc_auc_score(y, cross_val_predict(logistic(), z, y, cv=folds()))


def shuffled_predictions(z, y):
    out = []
    for train, test in folds().split(z, y):
        out.append(logistic().fit(z[train], y[train]).decision_function(z[test]))
    return roc_auc_score(y, np.concatenate(out))


def scored_on_training_folds(z, y):
    return np.mean(
        [
            roc_auc_score(y[train], logistic().fit(z[train], y[train]).decision_function(z[train]))
            for train, _ in folds().split(z, y)
        ]
    )


def selected_first(z, y):
    probe = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.01).fit(z, y)
    return pooled(probe.decision_function(z)[:, None], y)


def selected_dimensions(z, y):
    return pooled(SelectKBest(k=min(5, z.shape[1])).fit_transform(z, y), y)


def single_split(z, y, share):
    train, test, known, asked = train_test_split(z, y, test_size=share, stratify=y)
    return roc_auc_score(asked, logistic().fit(train, known).decision_function(test))


def five_splits(z, y):
    return np.mean([single_split(z, y, 0.2) for _ in range(5)])


def balanced():
    return make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000))


def hard_balanced(z, y):
    return roc_auc_score(y, cross_val_predict(balanced(), z, y, cv=folds()))


def no_intercept(z, y):
    return pooled(z, y, LogisticRegression(fit_intercept=False, max_iter=1000))


VARIES = {
    "neighbours": "near enough to a line that two laws about lines see it in most draws only",
    "misaligned": "scores that are luck",
    "bayes": "near enough to a line that the law of held-out codes passes it in most draws only",
    "whole_numbers": "a rounded 1/2 is 0 or 1",
    "five_splits": "how often one picture is in five random splits is luck",
}
for name, about, cause, score in (
    (
        "training",
        "fitted and scored on everything",
        "scored_on_training_codes",
        lambda z, y: roc_auc_score(y, fit_all(z, y)),
    ),
    (
        "training_folds",
        "the training part of each fold is scored",
        "scored_on_training_codes",
        scored_on_training_folds,
    ),
    ("leak", "a direction found with all labels, then cross-validated", "scored_on_training_codes", selected_first),
    (
        "selected_dimensions",
        "the best dimensions by all labels, then cross-validated",
        "selected_before_folds",
        selected_dimensions,
    ),
    ("accuracy", "accuracy", "accuracy", lambda z, y: cross_val_score(logistic(), z, y, cv=folds()).mean()),
    ("hard", "AUC of predicted labels", "hard_predictions", hard),
    (
        "balanced",
        "balanced accuracy",
        "hard_predictions",
        lambda z, y: cross_val_score(logistic(), z, y, cv=folds(), scoring="balanced_accuracy").mean(),
    ),
    ("hard_balanced", "AUC of labels that a balanced probe predicts", "hard_predictions", hard_balanced),
    (
        "balanced_of_balanced",
        "balanced accuracy of a balanced probe",
        "hard_predictions",
        lambda z, y: cross_val_score(balanced(), z, y, cv=folds(), scoring="balanced_accuracy").mean(),
    ),
    (
        "inverted",
        "predict_proba[:, 0]",
        "inverted",
        lambda z, y: roc_auc_score(y, confidence(z, y, method="predict_proba")[:, 0]),
    ),
    ("folded", "max(auc, 1 - auc)", "folded_at_one_half", lambda z, y: max(plain(z, y), 1 - plain(z, y))),
    ("cut", "at least 1/2", "folded_at_one_half", lambda z, y: max(0.5, plain(z, y))),
    ("gini", "2 AUC - 1", "gini", lambda z, y: 2 * plain(z, y) - 1),
    ("percent", "per cent", "percent", lambda z, y: 100 * plain(z, y)),
    ("precision", "average precision", None, lambda z, y: average_precision_score(y, confidence(z, y))),
    ("misaligned", "predictions in the order of the folds", None, shuffled_predictions),
    ("one_dimension", "only the first dimension is read", None, lambda z, y: plain(z[:, :1], y)),
    (
        "neighbours",
        "nearest neighbours",
        "not_linear",
        lambda z, y: roc_auc_score(y, confidence(z, y, KNeighborsClassifier(5), method="predict_proba")[:, 1]),
    ),
    (
        "bayes",
        "naive Bayes with a variance for each class",
        "not_linear",
        lambda z, y: roc_auc_score(y, confidence(z, y, GaussianNB(), method="predict_proba")[:, 1]),
    ),
    (
        "tree",
        "decision tree",
        "not_linear",
        lambda z, y: roc_auc_score(
            y, confidence(z, y, DecisionTreeClassifier(min_samples_leaf=3), method="predict_proba")[:, 1]
        ),
    ),
    (
        "blocks",
        "folds of neighbouring rows",
        "folds_not_stratified",
        lambda z, y: np.mean(
            [
                roc_auc_score(y[test], logistic().fit(z[train], y[train]).decision_function(z[test]))
                for train, test in KFold(5).split(z)
            ]
        ),
    ),
    (
        "first_rows",
        "trained on the first four fifths",
        "folds_not_stratified|pictures_left_out",
        lambda z, y: roc_auc_score(
            y[-len(y) // 5 :], logistic().fit(z[: -len(y) // 5], y[: -len(y) // 5]).decision_function(z[-len(y) // 5 :])
        ),
    ),
    ("single_split", "one split, a fifth is scored", "pictures_left_out|", lambda z, y: single_split(z, y, 0.2)),
    ("half_split", "one split in halves", "pictures_left_out|", lambda z, y: single_split(z, y, 0.5)),
    ("five_splits", "five random splits, averaged", "pictures_left_out|", five_splits),
    ("no_intercept", "no intercept", None, no_intercept),
    ("guess", "1/2", "same_for_all", lambda z, y: 0.5),
    ("best", "1", "same_for_all", lambda z, y: 1.0),
):
    BANK.formula(
        name, about, lambda z, attributes, score=score: columns(z, attributes, score), cause, VARIES.get(name, "")
    )

for name, about, cause, f in (
    ("mean", "one number", "averaged", lambda z, a: float(np.nanmean(columns(z, a, plain)))),
    ("first_only", "the first column's number", "averaged", lambda z, a: columns(z, a[:, :1], plain)[0]),
    (
        "array_of_mean",
        "one number in an array",
        "averaged|",
        lambda z, a: np.array([np.nanmean(columns(z, a, plain))]),
    ),
    (
        "whole_list",
        "a Python list of whole numbers",
        "same_for_all",
        lambda z, a: [0 if y.min() == y.max() else 1 for y in a.T],
    ),
    ("column_array", "(A, 1)", "extra_axis", lambda z, a: columns(z, a, plain)[:, None]),
    ("reversed", "in another order", "other_order|", lambda z, a: columns(z, a, plain)[::-1]),
    ("sorted", "sorted", "other_order|one_value_forgotten|", lambda z, a: np.sort(columns(z, a, plain))),
    (
        "half_if_constant",
        "1/2 for constant columns",
        "constant_not_nan",
        lambda z, a: np.nan_to_num(columns(z, a, plain), nan=0.5),
    ),
    (
        "zero_if_constant",
        "0 for constant columns",
        "constant_not_nan",
        lambda z, a: np.nan_to_num(columns(z, a, plain)),
    ),
    (
        "fails_if_constant",
        "constant columns are not caught",
        "constant_raises",
        lambda z, a: np.array([pooled(arrays(z, a)[0], y) for y in arrays(z, a)[1].T]),
    ),
    (
        "only_zeros",
        "only columns of 0 are caught",
        "one_value_forgotten",
        lambda z, a: np.array(
            [np.nan if y.sum() == 0 else plain(arrays(z, a)[0], y) if y.mean() < 1 else 1.0 for y in arrays(z, a)[1].T]
        ),
    ),
    (
        "drops_constant",
        "constant columns left out",
        "constant_dropped|averaged",
        lambda z, a: columns(z, a, plain)[[0 < float(y.float().mean()) < 1 for y in a.T]],
    ),
    ("nothing", "nothing returned", "returns_none", lambda z, a: None),
    ("seeds", "seeds NumPy", "reseeds", lambda z, a: (np.random.seed(0), columns(z, a, plain))[1]),
    (
        "whole_numbers",
        "rounded to whole numbers",
        "constant_not_nan|same_for_all",
        lambda z, a: np.nan_to_num(columns(z, a, plain)).round().astype(int),
    ),
):
    BANK.formula(name, about, f, cause)


@BANK.wrong("centres z in place", "changes_arguments")
def in_place(z, attributes):
    z -= z.mean(0)
    return columns(z, attributes, plain)


@BANK.right("pooled scores of logistic regression")
def logistic_pooled(z, attributes):
    return columns(z, attributes, pooled)


@BANK.right("average over the folds, no shuffling, probabilities")
def averaged_over_folds(z, attributes):
    scores = []
    for column in attributes.T.cpu().numpy():
        constant = column.min() == column.max()
        scores.append(
            float("nan")
            if constant
            else cross_val_score(LogisticRegression(), z.cpu().numpy(), column, cv=5, scoring="roc_auc").mean()
        )
    return np.array(scores)


@BANK.right("ridge classifier")
def ridge(z, attributes):
    return columns(z, attributes, lambda z, y: pooled(z, y, RidgeClassifier()))


@BANK.right("linear discriminant analysis")
def discriminant(z, attributes):
    return columns(z, attributes, lambda z, y: pooled(z, y, LinearDiscriminantAnalysis()))


@BANK.right("linear SVM, balanced classes, float32")
def svm(z, attributes):
    return columns(
        z, attributes, lambda z, y: pooled(z, y, make_pipeline(StandardScaler(), LinearSVC(class_weight="balanced")))
    ).astype(np.float32)


@BANK.right("by hand: least squares in torch, a tensor returned")
def least_squares(z, attributes):
    z = torch.cat([z.double(), torch.ones(len(z), 1, device=z.device)], 1).cpu()
    scores = torch.full((attributes.shape[1],), float("nan"))
    for index, column in enumerate(attributes.double().cpu().T):
        positives, negatives = column.nonzero()[:, 0], (1 - column).nonzero()[:, 0]
        if len(positives) == 0 or len(negatives) == 0:
            continue
        fold = torch.empty(len(z), dtype=torch.long)
        for rows in (positives, negatives):
            fold[rows[torch.randperm(len(rows))]] = torch.arange(len(rows)) % 5
        held_out = torch.empty(len(z), dtype=torch.float64)
        for k in range(5):
            x, y = z[fold != k], column[fold != k]
            held_out[fold == k] = z[fold == k] @ torch.linalg.solve(x.T @ x + 1e-3 * torch.eye(z.shape[1]), x.T @ y)
        above = held_out[positives][:, None] - held_out[negatives][None]
        scores[index] = ((above > 0).double() + 0.5 * (above == 0)).mean()
    return scores


@BANK.right("ten folds, weak regularisation")
def ten_folds(z, attributes):
    return columns(
        z,
        attributes,
        lambda z, y: pooled(
            z, y, LogisticRegression(C=100, max_iter=2000), StratifiedKFold(min(10, int(min(y.sum(), (1 - y).sum()))))
        ),
    )


@BANK.right("a selection of dimensions inside the folds")
def selection(z, attributes):
    return columns(
        z,
        attributes,
        lambda z, y: pooled(
            z, y, make_pipeline(StandardScaler(), SelectKBest(k="all"), LogisticRegression(max_iter=1000))
        ),
    )


@BANK.right("strongly regularised")
def regularised(z, attributes):
    return columns(
        z, attributes, lambda z, y: pooled(z, y, make_pipeline(StandardScaler(), LogisticRegression(C=0.01)))
    )


@BANK.right("very strongly regularised, codes as they are")
def very_regularised(z, attributes):
    return columns(z, attributes, lambda z, y: pooled(z, y, LogisticRegression(C=0.001)))


@BANK.right("linear SVM, classes as frequent as they are")
def hinge(z, attributes):
    return columns(z, attributes, lambda z, y: pooled(z, y, SVC(kernel="linear")))


@BANK.right("a Python list, as it grows in a loop")
def a_list(z, attributes):
    scores = []
    for column in attributes.T:
        scores.append(float("nan") if column.min() == column.max() else pooled(*arrays(z, column)))
    return scores


@BANK.right("processes that work side by side, n_jobs=-1")
def workers(z, attributes):
    return columns(
        z,
        attributes,
        lambda z, y: roc_auc_score(
            y, cross_val_predict(logistic(), z, y, cv=folds(), n_jobs=-1, method="decision_function")
        ),
    )
