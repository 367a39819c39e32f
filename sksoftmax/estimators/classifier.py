"""SoftmaxClassifier: its parameters, and ``fit`` and ``partial_fit`` as a few steps each.

The steps are those of ``Fit`` in the module ``fit``, and ``prediction`` reads the result. This
module must not know what a step does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from numbers import Integral
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags
from sklearn.utils.metaestimators import available_if

from sksoftmax._scikit_learn import HasMethods, Interval, StrOptions, _fit_context
from sksoftmax.backend.contract import Backend
from sksoftmax.data.arrays import SUPPORTED
from sksoftmax.estimators.attributes import unchanged_on_error
from sksoftmax.estimators.constraints import FloatInterval, takes_chunks
from sksoftmax.estimators.fit import Fit, overflow_is_found_later
from sksoftmax.estimators.optimality import Optimality
from sksoftmax.estimators.persistence import Persistence
from sksoftmax.estimators.prediction import SoftmaxPrediction
from sksoftmax.training.callbacks import CallbackSupportMixin
from sksoftmax.training.checkpoint import Checkpoint
from sksoftmax.training.settings import PLANNED


class SoftmaxClassifier(
    SoftmaxPrediction,
    Optimality,
    Persistence,
    CallbackSupportMixin,  # type: ignore[misc]
    ClassifierMixin,  # type: ignore[misc]
    BaseEstimator,  # type: ignore[misc]
):
    r"""Softmax regression (multinomial logistic regression) trained by minibatch SGD.

    Minimises, over the weights W and intercepts b,

    .. math::

        \frac{1}{N} \sum_i w_i\, \mathrm{CE}(\mathrm{softmax}(W x_i + b), y_i)
        + \alpha \sum_{kj} \Bigl( \frac{1 - \rho}{2} (\sigma_j W_{kj})^2
        + \rho \left| \sigma_j W_{kj} \right| \Bigr)

    with :math:`w_i` the weight of row i (mean 1), :math:`\sigma_j` the standard deviation
    of feature j and :math:`\rho` the `l1_ratio`. Features need no scaling and the step size no
    tuning: steps are taken in standardised coordinates, find their own size by the way they
    have come over the gradients they have met [1]_, [2]_, and are averaged [3]_. ``coef_`` and
    ``intercept_`` are in the units of X, which is never copied. With two classes the penalty
    is that of the one row of ``coef_``, as in binary logistic regression.

    Parameters
    ----------
    alpha : "auto" or float, default="auto"
        Strength of the penalty, at least 0, per weighted mean of the loss: a number means
        the same for any number of rows. `LogisticRegression` on standardised features has the
        same optimum for ``C = 1 / (alpha * n_samples)``, with weights their sum in place of
        `n_samples`. "auto" is its default, C = 1: one over the sum of the weights, in a stream
        of those so far, but at least 1e-4; see `alpha_`. The intercept is not penalised.
        Search it where features or classes are many beside the rows, or features say little:
        see `SoftmaxClassifierCV`.
    l1_ratio : float, default=0
        Share of the absolute penalty, in [0, 1]: 0 is ridge, 1 lasso, between is the elastic
        net [6]_. If positive, steps are proximal [7]_ and `coef_` has exact zeros.
    fit_intercept : bool, default=True
        Whether to fit an intercept for each class.
    batch_size : "auto" or int, default="auto"
        Rows a step. "auto" takes about 32 steps an epoch, by batches of 64 to 256 rows that
        are a power of 2; 64 rows or fewer are one batch. Where all rows fit in one batch, an
        epoch is one exact step. Larger ones use the processor better, smaller ones take more
        steps an epoch.
    max_iter : int, default=1000
        Most epochs (passes over the rows) of one call to `fit`; `tol` ends most fits long
        before. An iteration over all rows counts as an epoch.
    tol : float or None, default=3e-3
        `fit` stops when the second half of its epochs has lowered the objective, or the
        validation loss under `early_stopping`, by no more than `tol` times the loss of the
        class frequencies, or times five times what has been gained on that, where this is
        less: about as much is then still to be gained. After more than a hundred epochs it is
        more, in proportion. Once iterations over all rows have taken over, `fit` also stops
        when what is still to be gained, by second derivatives or the bound of `dual_gap`, is no
        more than three tenths of that, nor than 3% of the objective; before, it does not where
        nothing has been gained, or the loss has risen again. None runs all `max_iter` epochs.
        The default suits accuracy; for coefficients at the optimum take ``optimizer="lbfgs"``
        and 1e-6: there `fit` stops when `dual_gap` is no more than `tol` times the loss of the
        class frequencies.
    n_iter_no_change : int, default=2
        Epochs in which nothing is gained after which to stop, where half of the epochs are
        fewer; they are always as many as 20 steps take.
    early_stopping : bool, default=False
        Whether `fit` stops on, and keeps the best epoch by, the loss on rows that it does not
        train on: the `X_val` given to it, or else a share of the rows of X. The model kept,
        optimiser included, is that of the epoch of lowest validation loss, however the fit
        ended. Where no class has two rows, `fit` warns and stops on the objective.
    validation_fraction : float, default=0.1
        Share of the rows of positive weight to hold out, in (0, 1): rounded up, at least as
        many as there are classes, in proportion to the rows of each class, one of which
        always stays in training. Ignored without `early_stopping`, or where `X_val` is given.
    learning_rate : "auto" or float, default="auto"
        Step size in standardised coordinates. "auto" finds it at each step: the largest
        distance from zero that the average has come to, over the norms of the gradients so
        far, each weighted by the distance at which it was taken [1]_, [2]_; gradients are taken
        near the average, which predicts [3]_. `momentum`, `nesterov` and `average` are then
        ignored. For "adam", "auto" is 0.01.
    schedule : {"constant", "invscaling", "adaptive", "linear", "cosine"}, default="constant"
        What the step size is multiplied by. "invscaling" divides it by the square root of the
        number of the epoch. "adaptive" divides it by 5 wherever the fit would stop, which it
        does once it has divided by over a thousand. "linear" and "cosine" [5]_ fall to zero
        over all `max_iter` epochs of a fit, whatever `tol` (under `early_stopping` the best
        of them is kept all the same); `partial_fit` refuses them.
    optimizer : {"auto", "sgd", "adam", "lbfgs"}, default="auto"
        "auto" takes the steps of SGD. A fit that has not stopped after one to four epochs goes
        on by L-BFGS [9]_, which takes all rows in each iteration, in float64. With more than
        500 weights, or an absolute penalty, this comes after 12 epochs, or 12 for each 32 steps
        of an epoch, and twice as many on sparse rows; or after 2 of them that have gained less
        than a fifth of the loss of the class frequencies. A plateau within five epochs is left
        to iterations too, unless `tol` is above 5e-3. Who asks for epochs or for steps of a
        size is given steps alone: with ``tol=None``, held-out rows, a `schedule` or a given
        `learning_rate`, and in `partial_fit`. "sgd" never has iterations, and momentum where
        `learning_rate` is given; "adam" has the steps of Adam [4]_ in standardised coordinates.
        "lbfgs" goes to the optimum, to a certified `tol`, after a few epochs of SGD where their
        steps are no tiny ones; there is then no `partial_fit` and no `early_stopping`.
    momentum : float, default=0.9
        Momentum of SGD with a given `learning_rate`, in [0, 1).
    nesterov : bool, default=False
        Whether that momentum is Nesterov's rather than the heavy ball's.
    beta_1, beta_2 : float, default=0.9, 0.999
        Decay rates of Adam's first and second moment, in [0, 1); the defaults are those
        of [4]_, as is that of `epsilon`.
    epsilon : float, default=1e-8
        What Adam adds to the deviation of the gradient, for stability; positive.
    average : bool, default=True
        Whether to predict from the average of the iterates by polynomial decay [8]_ rather
        than from the last one, where `learning_rate` is given, or `optimizer` is "adam". Full
        batches have no noise and are then never averaged.
    standardize : bool, default=True
        Whether penalty and steps see standardised features. If False, both see X as it is,
        as in textbooks and `LogisticRegression`.
    shuffle : bool or "blocks", default=True
        Whether to take the rows in a new random order each epoch. "blocks" reads dense X in
        blocks of about 2 MiB in random order, and shuffles the rows of 128 MiB of blocks at a
        time: for memory maps larger than memory. HDF5, zarr and dask arrays are read in that
        way whenever they are shuffled.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, at least 0, multiplied with ``sample_weight``. "balanced"
        weights each class inversely to its weighted frequency. Classes not in a dict weigh 1.
        Rows of a class that weighs 0 have no influence; it keeps a place in `classes_`, and
        next to no probability.
    warm_start : bool, default=False
        Whether `fit` goes on from the model that the last call kept, optimiser included unless
        the penalty or the rows are others: iterations over all rows, or where there are none
        steps that start anew, then go on from that model. Its epochs after the best one are
        then forgotten, as if it had ended there. The rows held out are the same again, and the
        model gone on from counts among the epochs to choose from.
    random_state : int, RandomState instance or None, default=None
        Source of the one random number from which all orders of a fit, and the rows that it
        holds out, follow. The same
        `random_state` gives bit-identical results on one machine, backend and number of
        threads of the BLAS.
    n_jobs : int or None, default=None
        Threads in which the Numba backend trains dense rows by SGD without an absolute
        penalty, to the same bits as in one: at most one for each 64 rows of a batch, and 16.
        None means 1 unless in a `joblib.parallel_config` context, -1 all processors. Other
        backends, "adam", `l1_ratio`, sparse rows, 65,536 weights or more, and epochs of less
        than about a millisecond ignore it; where they call a BLAS, its threads are its own.
    backend : str or Backend, default="auto"
        Who runs the epochs: a name that `list_backends` lists, "auto" for the fastest
        installed CPU backend, or where X is on a GPU one of its own, or a backend object.
    verbose : int, default=0
        1 prints a header with the rows and what "auto" stands for, a line an epoch with its
        loss, validation loss and seconds, and why the fit has ended. 2 adds the seconds spent
        in the backend, as apart from orders, evaluation and callbacks. Where an epoch has to
        wait for Numba to compile, a line before it says how long, and its seconds leave that
        out.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels, sorted.
    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features)
        Weights in the units of X, float32 or float64; one row for two classes.
    intercept_ : ndarray of shape (1,) or (n_classes,)
        Intercepts.
    n_iter_ : int
        Epochs run: the length of `loss_curve_`. Those that `warm_start` and `partial_fit` went
        on from are included.
    alpha_ : float
        The strength of the penalty that was used.
    t_ : int
        Steps that led to the model kept, since the objective was last another one. Iterations
        over all rows have a line search in place of steps, and do not count.
    loss_curve_ : list of float
        The objective of each epoch, each batch measured before its own step. With "auto" steps
        it is above that of the model kept, near which their gradients are taken, by what
        noise adds: the less, the longer the fit runs. Of an iteration it is exact.
    validation_loss_curve_ : list of float, or None
        Weighted mean cross-entropy on the validation rows after each epoch, by the weights
        that predict and without the penalty; NaN for epochs without validation rows. None,
        like the next three, if no epoch had any.
    validation_scores_ : list of float, or None
        Accuracy on the validation rows, weighted alike.
    best_loss_ : float or None
        The lowest validation loss.
    best_iter_ : int or None
        Its epoch, counted from 1: the one that a `fit` with validation rows keeps, where
        `partial_fit` keeps the last one.
    step_size_ : float
        The given step size, or the last one that "auto" found, before `schedule` changes it; 0
        where there was none.
    mean_ : ndarray of shape (n_features,)
        Weighted means of the features; zeros if `standardize` is False.
    scale_ : ndarray of shape (n_features,)
        Weighted standard deviations; 1 for constant features or if `standardize` is False.
    n_samples_seen_ : int
        Rows of positive weight in `mean_` and `scale_`, those held out not among them.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, where X has string names.
    backend_ : str
        Name of the backend that ran.

    See Also
    --------
    sklearn.linear_model.LogisticRegression : The same model by full-batch solvers.
    sklearn.linear_model.SGDClassifier : Linear models by single-row SGD, one-versus-rest.

    Notes
    -----
    Arithmetic is in float32 for float32, float16 and integers of at most 16 bits, else in
    float64; statistics are added up in float64. ``X.astype(np.float32)`` makes a fit of
    float64 rows about a third shorter, that copy included. X is read where it lies: rows
    in Fortran order, as DataFrames of one dtype have them, are gathered number by number and
    make an epoch several times slower, and ``np.ascontiguousarray(X)`` trades memory for that
    time. Rows of weight zero have no influence at all, and rows held out none but through the
    validation loss: neither on statistics nor on "balanced" class weights. With full batches,
    weight k equals k copies of a row; beyond, in expectation.

    Sparse X takes the steps of the same rows dense, centred without storing a zero. A step of
    SGD costs the stored elements of its batch times the classes, whatever the number of
    features: what it would have done to the other features is made up for, exactly, when they
    are next touched. Exceptions cost n_features times n_classes a step: `l1_ratio`, but for a
    given `learning_rate` with ``momentum=0``; `nesterov`; and "adam". A given `learning_rate`
    leaves sparse X uncentred: columns far from zero are then hardly learnt. An epoch goes over
    all weights two or three times, and so does each call of `partial_fit`.

    Arrays of other libraries (CuPy, PyTorch) are taken where
    ``sklearn.config_context(array_api_dispatch=True)`` says so, from scikit-learn 1.9 on.
    `coef_`, `intercept_`, `mean_`, `scale_` and what is predicted then live with X, in its
    namespace and on its device, and `classes_` with y; predicting on X that lives elsewhere
    raises ValueError. Pickles hold NumPy arrays all the same.

    Minibatch noise moves weights off zero, so that `coef_` is as sparse as the optimum only
    near it: by L-BFGS, after full batches, or with small steps.

    From scikit-learn 1.9 on, `set_callbacks` takes its callbacks, such as `ProgressBar`. A
    `fit` has one task an epoch, ends after the one where a callback returns True, and hands
    callbacks the estimator as it would be if the fit ended there.

    References
    ----------
    .. [1] Ivgi, Hinder and Carmon, "DoG is SGD's best friend: a parameter-free dynamic step
       size schedule", ICML 2023.
    .. [2] Khaled, Mishchenko and Jin, "DoWG unleashed: an efficient universal parameter-free
       gradient descent method", NeurIPS 2023.
    .. [3] Defazio et al., "The road less scheduled", NeurIPS 2024.
    .. [4] Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015.
    .. [5] Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts",
       ICLR 2017.
    .. [6] Zou and Hastie, "Regularization and variable selection via the elastic net", Journal
       of the Royal Statistical Society B 67, 2005.
    .. [7] Duchi and Singer, "Efficient online and batch learning using forward backward
       splitting", JMLR 10, 2009.
    .. [8] Shamir and Zhang, "Stochastic gradient descent for non-smooth optimization:
       convergence results and optimal averaging schemes", ICML 2013.
    .. [9] Byrd, Lu, Nocedal and Zhu, "A limited memory algorithm for bound constrained
       optimization", SIAM Journal on Scientific Computing 16, 1995.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sksoftmax import SoftmaxClassifier
    >>> X, y = load_wine(return_X_y=True)
    >>> clf = SoftmaxClassifier(random_state=0).fit(X, y)
    >>> print(f"{clf.score(X, y):.0%} of the wines after {clf.n_iter_} epochs")
    100% of the wines after 8 epochs

    With a tenth of the rows held out, and the best epoch by them kept:

    >>> clf = SoftmaxClassifier(early_stopping=True, random_state=0).fit(X, y)
    >>> print(f"epoch {clf.best_iter_}, held-out loss {clf.best_loss_:.2f}")
    epoch 12, held-out loss 0.02

    The optimum, to a millionth of what there is to gain:

    >>> clf = SoftmaxClassifier(optimizer="lbfgs", tol=1e-6, random_state=0).fit(X, y)
    >>> print(f"at most {clf.dual_gap(X, y):.5f} above the least objective")
    at most 0.00000 above the least objective
    """

    _parameter_constraints: dict[str, list[Any]] = {
        "alpha": [StrOptions({"auto"}), FloatInterval(0, None, closed="left")],
        "l1_ratio": [FloatInterval(0, 1, closed="both")],
        "fit_intercept": ["boolean"],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [FloatInterval(0, None, closed="left"), None],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [FloatInterval(0, 1, closed="neither")],
        "learning_rate": [StrOptions({"auto"}), FloatInterval(0, None, closed="neither")],
        "schedule": [StrOptions({"constant", "invscaling", "adaptive", "linear", "cosine"})],
        "optimizer": [StrOptions({"auto", "sgd", "adam", "lbfgs"})],
        "momentum": [FloatInterval(0, 1, closed="left")],
        "nesterov": ["boolean"],
        "beta_1": [FloatInterval(0, 1, closed="left")],
        "beta_2": [FloatInterval(0, 1, closed="left")],
        "epsilon": [FloatInterval(0, None, closed="neither")],
        "average": ["boolean"],
        "standardize": ["boolean"],
        "shuffle": ["boolean", StrOptions({"blocks"})],
        "class_weight": [StrOptions({"balanced"}), dict, None],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "n_jobs": [Integral, None],
        "backend": [str, HasMethods(["place", "to_numpy", "supports", "trainer"])],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        *,
        alpha: float | str = "auto",
        l1_ratio: float = 0,
        fit_intercept: bool = True,
        batch_size: int | str = "auto",
        max_iter: int = 1000,
        tol: float | None = 3e-3,
        n_iter_no_change: int = 2,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        learning_rate: float | str = "auto",
        schedule: str = "constant",
        optimizer: str = "auto",
        momentum: float = 0.9,
        nesterov: bool = False,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        average: bool = True,
        standardize: bool = True,
        shuffle: bool | str = True,
        class_weight: dict[Any, float] | str | None = None,
        warm_start: bool = False,
        random_state: int | np.random.RandomState | None = None,
        n_jobs: int | None = None,
        backend: str | Backend = "auto",
        verbose: int = 0,
    ):
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.optimizer = optimizer
        self.momentum = momentum
        self.nesterov = nesterov
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.average = average
        self.standardize = standardize
        self.shuffle = shuffle
        self.class_weight = class_weight
        self.warm_start = warm_start
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.backend = backend
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        X_val: ArrayLike | None = None,
        y_val: ArrayLike | None = None,
        sample_weight_val: ArrayLike | None = None,
    ) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Rows of any real dtype; read, never written to. Sparse formats other than CSR are
            converted to it once. HDF5, zarr and dask arrays are read in blocks, and so are
            others under ``shuffle="blocks"``.
        y : array-like of shape (n_samples,)
            Labels: integers or strings, at least two different ones.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights; None for equal ones. Only their ratios matter, but for
            ``alpha="auto"``, for which their sum is the number of rows.
        X_val : array-like of shape (n_val, n_features), default=None
            Rows to validate on under `early_stopping`, instead of a share of X.
            ``Pipeline(..., transform_input=["X_val"])`` transforms them as it does X.
        y_val : array-like of shape (n_val,), default=None
            Their labels, from those of y.
        sample_weight_val : array-like of shape (n_val,), default=None
            Their non-negative weights, multiplied with those of the classes.

        Returns
        -------
        SoftmaxClassifier
            The fitted estimator.

        Raises
        ------
        ValueError
            If X, y, the weights or a parameter are invalid, the steps diverge, or validation
            data are incomplete, do not match X and y, or come without `early_stopping`, or the
            backend is unknown or cannot train this. After any error, a model fitted before is
            left as it was.
        ImportError
            If the library of the backend is missing: the message says how to install it.

        Warns
        -----
        ConvergenceWarning
            If `max_iter` epochs were too few for `tol`, L-BFGS has come no nearer, or the
            objective has ended above that of the class frequencies.
        UserWarning
            If `early_stopping` could hold out no row.

        Examples
        --------
        >>> from sksoftmax import SoftmaxClassifier
        >>> clf = SoftmaxClassifier().fit([[0], [1], [2], [3]], ["a", "a", "b", "b"])
        >>> clf.predict([[-1], [4]]).tolist()
        ['a', 'b']
        """
        context = self._init_callback_context(max_subtasks=self.max_iter)
        with self._unchanged_on_error():
            fit = self._new_fit(self._resumable() if self.warm_start else None)
            fit.check(
                X,
                y,
                sample_weight,
                X_val=X_val,
                y_val=y_val,
                sample_weight_val=sample_weight_val,
            )
            fit.begin(context)
            fit.start()
            fit.train()
            fit.finish()
        return self

    @available_if(takes_chunks)  # type: ignore[untyped-decorator]
    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def partial_fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        X_val: ArrayLike | None = None,
        y_val: ArrayLike | None = None,
        sample_weight_val: ArrayLike | None = None,
    ) -> Self:
        """Run one epoch over a chunk of a stream, by SGD or "adam".

        Means, scales and the step size follow all chunks so far. Nothing is held out, and
        the model is always that of the last chunk: where `X_val` is given, the validation
        loss is noted, and stopping, or keeping a copy when ``best_iter_ == n_iter_``, is up
        to the caller.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Rows of the chunk: one or many, of one class or several.
        y : array-like of shape (n_samples,)
            Labels.
        classes : array-like of shape (n_classes,), default=None
            All labels that the stream may hold. Needed in the first call only.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights, in the same unit in every chunk.
        X_val : array-like of shape (n_val, n_features), default=None
            Rows to validate on, whatever `early_stopping`.
        y_val : array-like of shape (n_val,), default=None
            Their labels, from `classes`.
        sample_weight_val : array-like of shape (n_val,), default=None
            Their non-negative weights, multiplied with those of the classes.

        Returns
        -------
        SoftmaxClassifier
            The fitted estimator.

        Raises
        ------
        ValueError
            If `classes` is missing or has changed, `class_weight` is "balanced", X, y, the
            weights or a parameter are invalid, or validation data are incomplete or do not
            match. The model is then left as it was.

        Examples
        --------
        >>> from sksoftmax import SoftmaxClassifier
        >>> clf = SoftmaxClassifier(random_state=0)
        >>> for _ in range(20):
        ...     clf = clf.partial_fit([[0], [1]], [0, 1], classes=[0, 1])
        ...     clf = clf.partial_fit([[2], [3]], [1, 1])
        >>> clf.predict([[0], [3]]).tolist()
        [0, 1]
        """
        with self._unchanged_on_error():
            self._validate_params()  # the decorator skips it once fitted
            if self.class_weight == "balanced":
                raise ValueError(
                    "class_weight 'balanced' is not supported for partial_fit. In order to use"
                    " 'balanced' weights, use compute_class_weight('balanced', classes=classes,"
                    " y=y). In place of y you can use a large enough sample of the full"
                    " training set target to properly estimate the class frequency"
                    " distributions. Pass the resulting weights as the class_weight parameter."
                )
            if self.schedule in PLANNED:
                raise ValueError(
                    f"schedule={self.schedule!r} falls to zero at the end of a fit, and a"
                    " stream has none. Use schedule='constant', 'invscaling' or 'adaptive'."
                )
            fit = self._new_fit(self._resumable(), is_stream=True)
            fit.check(
                X,
                y,
                sample_weight,
                classes,
                X_val=X_val,
                y_val=y_val,
                sample_weight_val=sample_weight_val,
            )
            fit.start()
            fit.train()
            fit.finish()
        return self

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self.shuffle != "blocks"
        tags.array_api_support = SUPPORTED
        return tags

    # scikit-learn reads the signature anew whenever it asks for parameters, which takes longer
    # than a small epoch: a search asks four times for each of its fits.
    @classmethod
    @cache
    def _get_param_names(cls) -> list[str]:
        names: list[str] = super()._get_param_names()
        return names

    def _new_fit(self, resume: Checkpoint | None, *, is_stream: bool = False) -> Fit:
        """The steps of a fit."""
        return Fit(self, resume, is_stream=is_stream)

    @contextmanager
    def _unchanged_on_error(self) -> Iterator[None]:
        """Put every attribute back as it was if anything is raised, an interrupt included."""
        with unchanged_on_error(self), overflow_is_found_later():
            yield
