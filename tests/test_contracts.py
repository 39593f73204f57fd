"""Every public function of metrics, models and training against every kind of input: right, or a clear error, never a
number that is wrong. The table of contracts that refuses is the table that is gone through here."""

from __future__ import annotations

import inspect
import math
import random
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from course_utils import metrics, models, training
from course_utils.metrics import (
    aggregate,
    attributes,
    autopsy,
    disentanglement,
    distances,
    measures,
    mmd,
    paths,
    probes,
    uses,
)
from course_utils.models import classifier, discrete, networks, pca, samplers
from course_utils.models import closed_forms as reference
from course_utils.system import contracts
from course_utils.system.contracts import Binary, Images, Number, Rows, Vector, Whole
from course_utils.system.errors import CourseError
from course_utils.training import measuring

PIXELS, D = 12, 3
EXACT = {"rtol": 2e-3, "atol": 2e-3}  # half precision rounds inputs to 1e-3; a wrong scale is off by 255


class Reader(classifier.Classifier):
    """A classifier of flat images with given weights."""

    def __init__(self) -> None:
        torch.manual_seed(5)
        super().__init__(nn.Sequential(nn.Linear(PIXELS, 4), nn.Linear(4, 3)).requires_grad_(False), 1.0, (PIXELS,))


def images(n: int) -> torch.Tensor:
    """(n, PIXELS) bytes, the same beginning for every n."""
    return (torch.rand(2001, PIXELS, generator=torch.Generator().manual_seed(1)) * 255).to(torch.uint8)[:n]


def rows(n: int, seed: int = 2) -> torch.Tensor:
    """(n, D) codes that half precision holds exactly."""
    return torch.randint(-64, 64, (2001, D), generator=torch.Generator().manual_seed(seed))[:n] / 32


def labels(n: int) -> torch.Tensor:
    return torch.arange(n) % 3


def small_vae() -> models.VAE:
    torch.manual_seed(0)
    return models.VAE(PIXELS, [8], D)


VAE = small_vae()
LOSS = lambda model, x: {"loss": reference.bernoulli_nll(model(x)[0], x).mean()}  # noqa: E731


def accuracy(n: int) -> probes.Accuracy:
    return probes.Accuracy(0.5, 0.4, 0.6, labels(n) == 1)


def quantised() -> discrete.VectorQuantised:
    torch.manual_seed(0)
    return discrete.VectorQuantised(PIXELS, 2, 3, 2, lambda codes, codebook: (codes, codes.argmin(2)), (4,))


@pytest.fixture(autouse=True)
def estimates_take_no_time(monkeypatch):
    monkeypatch.setattr(measuring, "PROBE_SECONDS", 0.0)


# A right call of every function that has a contract, on n images or codes.
CALLS = {
    measures.bound: lambda n: {"model": VAE, "images": images(n)},
    measures.posterior: lambda n: {"model": VAE, "images": images(n)},
    measures.codes: lambda n: {"model": VAE, "images": images(n)},
    measures.reconstructions: lambda n: {"model": VAE, "images": images(n)},
    measures.samples: lambda n: {"model": VAE, "num_images": n, "latent_dim": D},
    measures.decoded: lambda n: {"model": VAE, "z": rows(n)},
    measures.rate_per_dimension: lambda n: {"mu": rows(n), "logvar": rows(n, 3)},
    measures.active_units: lambda n: {"mu": rows(n)},
    measures.across_image_variance: lambda n: {"images": images(n)},
    measures.importance_weighted_nll: lambda n: {"model": VAE, "images": images(n), "num_samples": 30},
    measures.binarize: lambda n: {"images": images(n)},
    measures.frechet_distance: lambda n: {"features_a": rows(n), "features_b": rows(n, 3)},
    measures.sample_quality: lambda n: {"classifier": Reader(), "generated": images(n), "real": images(n).flip(1)},
    measures.per_class: lambda n: {"values": rows(n)[:, 0], "labels": labels(n), "num_classes": 3},
    aggregate.aggregate_covariance: lambda n: {"mu": rows(n), "logvar": rows(n, 3)},
    aggregate.aggregate_variance: lambda n: {"mu": rows(n), "logvar": rows(n, 3)},
    aggregate.mutual_information: lambda n: {"mu": rows(n), "logvar": rows(n, 3), "num_draws": 20},
    aggregate.distance_to_prior: lambda n: {"z": rows(min(n, 300)), "num_matching": 2},
    aggregate.sample: lambda n: {"mu": rows(n), "logvar": rows(n, 3)},
    distances.sliced_wasserstein: lambda n: {"x": rows(n), "y": rows(n, 3)},
    distances.wasserstein: lambda n: {"x": rows(min(n, 50)), "y": rows(min(n, 50), 3)},
    distances.precision_recall: lambda n: {"generated": rows(n), "real": rows(n, 3), "neighbours": 1},
    probes.linear_probe: lambda n: {
        "train_codes": rows(n),
        "train_labels": labels(n),
        "test_codes": rows(n, 3),
        "test_labels": labels(n),
    },
    probes.nearest_neighbours: lambda n: {
        "train_codes": rows(n),
        "train_labels": labels(n),
        "test_codes": rows(n, 3),
        "test_labels": labels(n),
        "neighbours": 1,
    },
    probes.bootstrap_mean: lambda n: {"values": rows(n)[:, 0]},
    paths.fit_mixture: lambda n: {"codes": rows(n), "num_components": 2},
    paths.log_density: lambda n: {"mixture": MIXTURE, "codes": rows(n)},
    paths.density_rank: lambda n: {"log_densities": rows(n)[:, 0], "of_real": rows(n, 3)[:, 0]},
    paths.readings: lambda n: {"classifier": Reader(), "images": images(n)},
    paths.length: lambda n: {"images": images(n)},
    attributes.held_out_scores: lambda n: {"z": rows(n), "attributes": (rows(n, 4) > 0).float(), "folds": 2},
    attributes.roc_auc: lambda n: {"scores": rows(n)[:, 0], "positive": labels(n) == 1},
    attributes.attribute_intervals: lambda n: {"scores": rows(min(n, 20)), "attributes": rows(min(n, 20), 4) > 0},
    attributes.auc_over_classes: lambda n: {
        "scores": rows(min(n, 20)),
        "attributes": torch.eye(3)[labels(min(n, 20))],
        "groups": labels(min(n, 20)),
        "draws": 1,
        "seed": 0,  # all three classes are drawn
    },
    attributes.permuted_chance: lambda n: {
        "z": rows(min(n, 20)),
        "binary": torch.eye(3),
        "labels": labels(min(n, 20)),
        "permutations": 2,
        "folds": 2,
    },
    attributes.attribute_direction: lambda n: {"z": rows(n), "attribute": labels(n) == 1},
    attributes.nearest: lambda n: {"z": rows(n), "query": rows(n, 3) + 1 / 128, "k": 1},
    attributes.zero_shot: lambda n: {"scores": rows(n), "signatures": torch.eye(D)},
    disentanglement.mutual_information_gap: lambda n: {
        "codes": rows(n),
        "factors": rows(n, 3),
        "shuffles": 1,
    },
    mmd.mmd_squared: lambda n: {"x": rows(n), "y": rows(n, 3), "bandwidths": [1.0, 2.0]},
    mmd.mmd_squared_to_standard_normal: lambda n: {"z": rows(n), "bandwidths": 1.0},
    mmd.median_bandwidth: lambda n: {"z": rows(n)},
    mmd.expected_kernel: lambda n: {"z": rows(n), "bandwidths": 1.0},
    mmd.expected_kernel_within: lambda n: {"dim": D, "bandwidths": 1.0},
    mmd.prior_bandwidths: lambda n: {"dim": D},
    autopsy.copied_bandwidth: lambda n: {"dim": D},
    autopsy.expectations: lambda n: {"dim": D, "bandwidths": 1.0, "num_codes": 2, "num_prior": 2},
    autopsy.examine: lambda n: {"dim": D, "bandwidths": 1.0, "num_codes": 2, "num_prior": 2, "num_draws": 2},
    uses.auc: lambda n: {"usual": rows(n)[:, 0], "odd": rows(n, 3)[:, 0]},
    uses.nearest: lambda n: {"images": rows(n), "train": rows(n, 3) + 1 / 128, "mask": torch.tensor([1, 0, 1])},
    uses.GaussianImages.project: lambda n: {"self": GAUSSIAN_IMAGES, "images": rows(n), "num_axes": 1},
    uses.GaussianImages.clean: lambda n: {"self": GAUSSIAN_IMAGES, "noisy": rows(n), "noise_std": 0.5},
    uses.GaussianImages.fill: lambda n: {
        "self": GAUSSIAN_IMAGES,
        "images": rows(n),
        "mask": torch.tensor([1, 0, 1]),
        "ridge": 0.1,
    },
    uses.projected: lambda n: {"model": VAE, "images": images(n).float() / 255},
    uses.scores: lambda n: {
        "model": VAE,
        "images": images(n),
        "score": lambda logits, x: reference.bernoulli_nll(logits, x),
        "mixture": FITTED,
    },
    measures.pareto_k: lambda n: {"log_weights": rows(n + 25)},
    measures.quality_beside: lambda n: {
        "classifier": Reader(),
        "generated": images(n),
        "real_features": Reader().features(images(40)),
    },
    measures.quality_by_features: lambda n: {
        "classifier": Reader(),
        "features": Reader().features(images(n)),
        "real_features": Reader().features(images(40)),
    },
    probes.difference: lambda n: {"a": accuracy(n), "b": accuracy(n)},
    samplers.Sampler.fit: lambda n: {"self": samplers.Gaussian(), "codes": rows(n)},
    samplers.Sampler.sample: lambda n: {"self": FITTED, "num_codes": n},
    samplers.Sampler.log_density: lambda n: {"self": FITTED, "codes": rows(n)},
    samplers.aggregate_codes: lambda n: {"model": VAE, "images": images(n)},
    discrete.IndexPrior.sample: lambda n: {"self": discrete.IndexPrior(2, 3, 4), "num_images": n},
    discrete.VectorQuantised.start_from: lambda n: {"self": quantised(), "x": images(n).float() / 255},
    discrete.perplexity: lambda n: {"index": labels(n), "num_entries": 3},
    models.pca: lambda n: {"images": images(n), "latent_dim": 1},
    models.corrected: lambda n: {
        "linear": models.pca(images(20), 2),
        "encoder": nn.Linear(PIXELS, 2),
        "decoder": nn.Linear(2, PIXELS),
        "more": 0,
    },
    models.conv_autoencoder: lambda n: {"latent_dim": 2},
    models.conv_networks: lambda n: {"channels": 3, "code_width": 4, "latent_dim": 4},
    training.estimate_seconds: lambda n: {
        "model": small_vae(),
        "loss_function": LOSS,
        "images": images(n),
        "test_images": images(n),
        "epochs": 1,
    },
    training.evaluate: lambda n: {"model": VAE, "loss_function": LOSS, "images": images(n)},
    training.fit: lambda n: {
        "model": small_vae(),
        "loss_function": LOSS,
        "images": images(n),
        "test_images": images(n),
        "validation_images": images(n),
        "epochs": 1,
        "seed": 0,
        "batch_size": 500,
        "progress": False,
    },
}
GAUSSIAN_IMAGES = uses.GaussianImages(rows(200))
FITTED = samplers.Mixture(2).fit(rows(200))
MIXTURE = paths.fit_mixture(rows(200), 2)
ORDINARY = 40
OWN_LIKELIHOOD = (measures.bound, measures.importance_weighted_nll)  # floats of any range with another likelihood alone
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
NAMES = {function: f"{function.__module__}.{function.__qualname__}".removeprefix("course_utils.") for function in CALLS}


def contract_of(function) -> contracts.Contract:
    return contracts.CONTRACTS[f"{function.__module__}.{function.__qualname__}"]


def ask(function, arguments: dict):
    """What the function returns, as a list of tensors; torch's generator is at the same place each time."""
    torch.manual_seed(0)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = function(**arguments)
    if function is training.estimate_seconds:
        found = float(found >= 0)  # a time is another each time
    return leaves(found), [str(warning.message) for warning in said]


def leaves(found) -> list[torch.Tensor]:
    if isinstance(found, torch.Tensor):
        return [found.double()] if found.dtype != torch.bool else [found.long().double()]
    if isinstance(found, (int, float)):
        return [torch.tensor(float(found), dtype=torch.float64)]
    if isinstance(found, dict):
        return [leaf for value in found.values() for leaf in leaves(value)]
    if isinstance(found, (tuple, list)):
        return [leaf for part in found for leaf in leaves(part)]
    if isinstance(found, nn.Module):
        return []
    if isinstance(found, training.Run):
        return [torch.tensor([record["test_loss"] for record in found.history], dtype=torch.float64)]
    fields = getattr(found, "__dict__", {})
    return [
        leaf
        for key, value in fields.items()
        if key in ("value", "low", "high", "means_")
        for leaf in leaves(torch.as_tensor(value))
    ]


def same(a: list[torch.Tensor], b: list[torch.Tensor], **tolerance) -> bool:
    return len(a) == len(b) and all(
        torch.allclose(x, y, equal_nan=True, **tolerance) for x, y in zip(a, b, strict=True)
    )


def refused(function, arguments: dict, name: str | None) -> bool:
    """Whether it is refused, in one sentence that names the argument and says what was expected or what mends it."""
    try:
        ask(function, arguments)
    except (ValueError, TypeError, CourseError) as error:
        text = str(error)
        assert "\n" not in text and "mat1" not in text and len(text) < 400, text
        assert name is None or name in text, text
        return True
    return False


def of_kind(*kinds):
    """(function, argument) for every argument of these kinds."""
    found = [(f, name) for f in CALLS for name, kind in contract_of(f).kinds.items() if isinstance(kind, kinds)]
    return pytest.mark.parametrize(("function", "name"), found, ids=[f"{NAMES[f]}-{name}" for f, name in found])


OPEN = {  # public and without a contract, as something else refuses
    "closed_forms": set(vars(reference)),  # called at every step of every training: shapes and types, below
    "networks": {"explaining", "weights_dtype", "evaluating", "mlp"},
    "samplers": {"make"},
    "mmd": {"as_floats"},
}


def test_every_public_function_that_takes_tensors_or_numbers_has_a_contract():
    modules = (aggregate, attributes, autopsy, disentanglement, distances, measures, mmd, paths, probes, uses)
    for module in (*modules, reference, discrete, networks, pca, samplers):
        short = module.__name__.rpartition(".")[2]
        public = {name: f for name, f in vars(module).items() if inspect.isfunction(f) and not name.startswith("_")}
        without = {name for name, f in public.items() if f.__module__ == module.__name__ and f not in CALLS}
        assert without <= OPEN.get(short, set()), (short, without)
    known = {f"{f.__module__}.{f.__qualname__}" for f in CALLS}
    assert set(contracts.CONTRACTS) == known, "a right call of it stands in CALLS"


@of_kind(Images)
def test_images_in_every_type_give_the_same_and_every_other_range_is_refused(function, name):
    """Nothing random: same drawings each time."""
    arguments = CALLS[function](ORDINARY)
    scaled = arguments[name].double() / 255
    expected, _ = ask(function, arguments)
    for dtype in DTYPES:
        found, _ = ask(function, CALLS[function](ORDINARY) | {name: scaled.to(dtype)})
        if function is measures.binarize:
            share = (found[0] != expected[0]).double().mean()
            assert share < 0.02, "rounding moves a pixel across its threshold now and then"
        elif function is measures.importance_weighted_nll:
            assert same(found[:4], expected[:4], **EXACT), "the tail of thirty draws turns on single weights"
        elif function is training.fit and dtype in contracts.HALVES:
            assert same(found, expected, rtol=0.05, atol=0.1)
        else:
            assert same(found, expected, **EXACT), dtype
    within = contract_of(function).kinds[name].within or function in OWN_LIKELIHOOD
    wrong = [scaled * 255, scaled * 2 - 1, scaled + 0.01, scaled / -255] if within else []
    wrong += [scaled.index_fill(0, torch.tensor([7]), value) for value in (math.nan, math.inf, -math.inf)]
    for x in wrong:
        for dtype in DTYPES:
            assert refused(function, CALLS[function](ORDINARY) | {name: x.to(dtype)}, name), (x.min(), x.max(), dtype)
    others = [scaled.numpy(), scaled.tolist(), None, 3, scaled[0], scaled[:0], (scaled * 9).long(), scaled > 0.5]
    others += [scaled.to(torch.complex64), scaled.float().to("meta"), scaled[:, :0]]
    for x in others:
        optional = x is None and inspect.signature(function).parameters[name].default is None
        assert optional or refused(function, CALLS[function](ORDINARY) | {name: x}, name), x


@of_kind(Rows)
def test_codes_in_every_precision_give_the_same_and_nothing_else_is_taken(function, name):
    """Nothing random."""
    arguments = CALLS[function](ORDINARY)
    expected, _ = ask(function, arguments)
    given = arguments[name]
    for dtype in DTYPES:
        assert same(ask(function, arguments | {name: given.to(dtype)})[0], expected, **EXACT), dtype
    for x in (
        given.numpy(),
        given.tolist(),
        None,
        given[0],
        given.long(),
        given > 0,
        given[:, :0],
        given[:0],
        given[None],
        given.to("meta"),
    ):
        assert refused(function, arguments | {name: x}, name), x
    for value in (math.nan, math.inf, -math.inf):
        broken = given.clone()
        broken[5, 1] = value
        try:
            found, said = ask(function, arguments | {name: broken})
        except ValueError as error:
            assert name in str(error)
            continue
        if contract_of(function).kinds[name].finite:
            assert (
                found
                and all(part.isnan().all() for part in found if part.numel())
                and any(name in text for text in said)
            )
        elif math.isnan(value) and function not in (attributes.attribute_intervals, attributes.zero_shot):
            assert any(part.isnan().any() for part in found), "what is nan stays nan"


@of_kind(Vector)
def test_vectors_are_taken_whatever_their_type_and_nan_is_never_a_number(function, name):
    arguments = CALLS[function](ORDINARY)
    given = arguments.get(name)
    if given is None:
        given = labels(ORDINARY)
        arguments |= {name: given}
    if function is attributes.attribute_intervals:
        arguments |= {name: labels(20)}
        given = arguments[name]
    expected, _ = ask(function, arguments)
    types = (
        (torch.int32, torch.int64, torch.uint8, torch.float64) if contract_of(function).kinds[name].whole else DTYPES
    )
    for dtype in types:
        assert same(ask(function, arguments | {name: given.to(dtype)})[0], expected, **EXACT), dtype
    for x in (given.numpy(), given[None], given[0], given.to("meta"), given[:-1]):
        if (
            name not in ("of_real", "log_densities", "values", "usual", "odd")
            or not isinstance(x, torch.Tensor)
            or x.ndim != 1
            or x.is_meta
        ):
            assert refused(function, arguments | {name: x}, None), x
    broken = given.double()
    broken[3] = math.nan
    try:
        found, _ = ask(function, arguments | {name: broken})
    except ValueError as error:
        assert name in str(error)
    else:
        assert any(part.isnan().any() for part in found)


@of_kind(Binary)
def test_attributes_are_0_and_1_of_any_type(function, name):
    arguments = CALLS[function](ORDINARY)
    expected, _ = ask(function, arguments)
    given = arguments[name]
    for dtype in (torch.bool, torch.int64, torch.uint8, *DTYPES):
        assert same(ask(function, arguments | {name: given.to(dtype)})[0], expected, **EXACT), dtype
    for x in (
        given.float() * 2 - 1,
        given.float() / 2,
        given.float() * 255,
        given.float() * math.nan,
        given[..., None],
    ):
        assert refused(function, arguments | {name: x}, name), x


@of_kind(Whole, Number)
def test_numbers_of_numpy_count_and_those_out_of_range_are_refused(function, name):
    kind, arguments = contract_of(function).kinds[name], CALLS[function](ORDINARY)
    default = inspect.signature(function).parameters[name].default
    usual = arguments.get(name, default)
    usual = 1 if usual is None else usual
    expected, _ = ask(function, arguments | {name: usual})
    for make in (np.int64, np.int32) if isinstance(kind, Whole) else (np.float64, float):
        assert same(ask(function, CALLS[function](ORDINARY) | {name: make(usual)})[0], expected, **EXACT)
    wrong = [math.nan, math.inf, "2", [2], True, -1]
    wrong += [1.5, kind.least - 1] if isinstance(kind, Whole) else []
    for value in wrong:
        assert refused(function, CALLS[function](ORDINARY) | {name: value}, name), value


COUNTS = (0, 1, 2, 3, 4, 5, 7, 10, 31, 99, 100, 101, 499, 500, 501, 999, 1000, 1001, 1999, 2000, 2001)


@pytest.mark.parametrize("function", CALLS, ids=NAMES.get)
def test_any_number_of_images_gives_numbers_or_a_clear_error(function):
    """What is returned is as long as what was given, and finite from ten images on."""
    for n in (
        COUNTS if function not in (attributes.held_out_scores, paths.fit_mixture, probes.linear_probe) else COUNTS[:12]
    ):
        try:
            found, said = ask(function, CALLS[function](n))
        except (ValueError, TypeError, CourseError) as error:
            assert n < 10 and "\n" not in str(error), (n, error)
            continue
        assert n < 10 or not any(part.isnan().any() for part in found), (n, said)


@pytest.mark.parametrize("kind", ["ae", "vae", "mmd-ae", "mmd-vae", "infovae", "wasserstein"])
def test_no_number_of_test_images_ends_a_training_after_an_epoch(kind):
    """With either part: trained to its end, or refused before the first step."""
    from course_utils.training import recipes

    for n in (1, 2, 3, 100, 999, 1000, 1001, 1002, 2000, 2001):
        for train, test in ((images(40), images(n)), (images(n), images(40))):
            torch.manual_seed(0)
            model, loss, critic = recipes.prepare(
                recipes.Recipe(kind, 2, (4,), critic_dims=(4,), critic_steps=1), train
            )
            seen = []
            try:
                run = training.fit(
                    model,
                    loss,
                    train,
                    epochs=1,
                    critic=critic,
                    test_images=test,
                    batch_size=500,
                    seed=0,
                    progress=False,
                    on_epoch=seen.append,
                )
            except (ValueError, CourseError) as error:
                assert n == 1 and not seen and "\n" not in str(error)
            else:
                assert run.stopped is None and math.isfinite(run.history[-1]["test_loss"])


def test_a_picture_for_linear_layers_says_flatten_and_the_reverse():
    """For measures and for training."""
    pictures, flat = torch.rand(5, 1, 28, 28), torch.rand(5, 784)
    for model, x, cure in (
        (models.VAE(784, [8], 2), pictures, "images.flatten(1)"),
        (models.conv_autoencoder(2), flat, "images.unflatten(1, (1, 28, 28))"),
    ):
        for call in (
            lambda m=model, x=x: metrics.codes(m, x),
            lambda m=model, x=x: training.fit(m, lambda m, x: {"loss": m(x)[0].mean()}, x, epochs=1, progress=False),
        ):
            with pytest.raises(ValueError) as caught:
                call()
            assert cure in str(caught.value)
    with pytest.raises(ValueError, match=r"codes are \(5, 3\); the model's first layer takes \(N, 2\)"):
        metrics.decoded(models.VAE(784, [8], 2), torch.rand(5, 3))


def test_measures_are_taken_in_evaluation_mode_and_leave_the_mode():
    model = models.VAE(PIXELS, [8], D)
    model.encoder.insert(1, nn.Dropout(0.5))
    model.train()
    assert torch.equal(metrics.codes(model, images(20)), metrics.codes(model, images(20))) and model.training


def test_a_distance_of_a_thing_to_itself_is_0():
    for seed in range(5):
        x = torch.randn(30, 4, generator=torch.Generator().manual_seed(seed)) * 10**seed
        assert metrics.frechet_distance(x, x) == metrics.sliced_wasserstein(x, x) == metrics.wasserstein(x, x) == 0
        assert metrics.frechet_distance(x, x.flip(0)) >= 0 and float(mmd.mmd_squared(x, x, 1.0, biased=True)) >= -1e-6


DRAWS = {  # from torch's generator: what is drawn anew at each call, and what builds or trains networks
    measures.bound,
    measures.importance_weighted_nll,
    models.pca,
    models.conv_autoencoder,
    models.conv_networks,
    training.fit,
}


@pytest.mark.parametrize("function", [f for f in CALLS if f not in DRAWS], ids=NAMES.get)
def test_measuring_takes_nothing_from_the_random_numbers_of_others(function):
    """Of torch, NumPy and Python; nothing random: any drawing moves a generator."""
    arguments = CALLS[function](ORDINARY)

    def state():
        numpy = np.random.get_state()
        return torch.get_rng_state().tolist(), list(numpy[1]), numpy[2:], random.getstate()

    before = state()
    function(**arguments)
    assert state() == before
