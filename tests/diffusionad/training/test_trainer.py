import io

import pytest
import torch
from pydantic import ValidationError

from diffusionad.training.trainer import Batch, Trainer, TrainingConfig, learning_rate_factor, uses_bf16
from toys.detectors import describe_detector, read_config

CONFIG = TrainingConfig(
    seed=0,
    steps=30,
    batch_size=4,
    accumulate=1,
    flip_horizontal=False,
    flip_vertical=False,
    warmup_fraction=0.1,
    final_learning_rate_fraction=0.1,
    ema_decay=0.99,
    gradient_clip=1.0,
    precision="fp32",
    validate_every=10,
)
MODES = ("iterative", "ddim", "one_step", "norm_guided")


def trainer(section, config=CONFIG):
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        model = describe_detector(read_config(section), (32, 32)).build()
        (phase,) = model.phases
        return Trainer(model, phase, config)


@pytest.fixture
def batch():
    """Four images in one grey each, two of them with a white square."""
    images = torch.linspace(0.2, 0.6, 4).reshape(4, 1, 1, 1).repeat(1, 3, 32, 32)
    mask = torch.zeros(4, 1, 32, 32)
    mask[2:, :, 8:20, 8:20] = 1
    return Batch(torch.where(mask.bool(), 1.0, images), mask, torch.tensor([True, True, False, False]))


def content(state):
    """A state with the bytes of every tensor in its place, so that == compares all of it."""
    if isinstance(state, torch.Tensor):
        return state.dtype, state.shape, state.contiguous().numpy().tobytes()
    if isinstance(state, dict):
        return {key: content(value) for key, value in state.items()}
    return [content(value) for value in state] if isinstance(state, list) else state


def parameters(module):
    return {name: value.clone() for name, value in module.named_parameters()}


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_a_training_that_was_stopped_ends_as_one_that_was_not(tiny_model, batch, dropout):
    section = tiny_model | {"unet": tiny_model["unet"] | {"dropout": dropout}}
    whole, first, second = (trainer(section) for _ in range(3))

    for _ in range(6):
        whole.train_step(batch)
    for _ in range(3):
        first.train_step(batch)
    torch.rand(5)  # whatever else draws between the two
    killed = io.BytesIO()
    torch.save(first.state_dict(), killed)
    killed.seek(0)
    second.load_state_dict(torch.load(killed, weights_only=True))
    for _ in range(3):
        second.train_step(batch)

    assert second.step == 6
    assert content(second.state_dict()) == content(whole.state_dict())
    assert content(second.averaged_model().state_dict()) == content(whole.averaged_model().state_dict())


def test_training_leaves_the_global_generator_as_it_was(tiny_model, batch):
    before = torch.get_rng_state()

    trainer(tiny_model).train_step(batch)

    assert torch.equal(torch.get_rng_state(), before)


def test_every_step_draws_anew(tiny_model, batch):
    """A fresh net predicts no noise at all, so the loss is the power of what was drawn."""
    one = trainer(tiny_model | {"learning_rates": {"reconstructor": 1e-12, "segmenter": 1e-12}})

    first, second = (float(one.train_step(batch)["noise"]) for _ in range(2))

    assert abs(first - second) > 1e-3


def test_another_seed_trains_another_model(tiny_model, batch):
    trainers = [trainer(tiny_model, CONFIG.model_copy(update={"seed": seed})) for seed in (0, 1)]

    noise = [float(one.train_step(batch)["noise"]) for one in trainers]

    assert noise[0] != noise[1]


@pytest.mark.parametrize("prediction", ["epsilon", "x_0"])
def test_the_loss_falls(tiny_model, batch, prediction):
    one = trainer(tiny_model | {"prediction": prediction, "loss": tiny_model["loss"] | {"snr_limit": 5.0}})

    totals = [float(one.train_step(batch)["total"]) for _ in range(30)]

    assert sum(totals[-5:]) < 0.8 * sum(totals[:5])


@pytest.mark.parametrize("mode", MODES)
def test_a_step_of_every_mode_moves_both_networks(tiny_model, batch, mode):
    one = trainer(tiny_model | {"mode": mode})
    before = parameters(one.model)

    losses = one.train_step(batch)

    moved = {
        name.split(".")[0] for name, value in parameters(one.model).items() if not torch.equal(value, before[name])
    }
    assert moved == {"reconstructor", "segmenter"}
    assert all(loss.isfinite() and not loss.requires_grad for loss in losses.values())


def test_the_averaged_model_is_a_copy_in_evaluation_mode(tiny_model, batch):
    one = trainer(tiny_model)
    one.train_step(batch)

    averaged = one.averaged_model()
    held = parameters(averaged)
    one.train_step(batch)

    assert not averaged.training
    assert one.model.training
    assert all(torch.equal(value, held[name]) for name, value in averaged.named_parameters())
    assert any(not torch.equal(value, held[name]) for name, value in one.averaged_model().named_parameters())


def test_a_loss_that_is_not_finite_stops_before_the_weights_move(tiny_model, batch):
    one = trainer(tiny_model)
    one.train_step(batch)
    before, average = parameters(one.model), {name: value.clone() for name, value in one.average.state.items()}

    with pytest.raises(
        FloatingPointError, match=r"step 1: the loss or its gradient is not finite \(total nan.*lower the"
    ):
        one.train_step(batch._replace(images=torch.full_like(batch.images, torch.nan)))

    assert all(torch.equal(value, before[name]) for name, value in one.model.named_parameters())
    assert all(torch.equal(value, average[name]) for name, value in one.average.state.items())
    assert one.step == 1


def test_a_gradient_that_is_not_finite_stops_before_the_weights_move(tiny_model, batch):
    one = trainer(tiny_model)
    before = parameters(one.model)
    one.model.segmenter.last.bias.register_hook(lambda gradient: gradient * torch.inf)

    with pytest.raises(FloatingPointError, match=r"step 0: .* gradient (inf|nan)"):
        one.train_step(batch)

    assert all(torch.equal(value, before[name]) for name, value in one.model.named_parameters())


def test_the_gradient_of_both_networks_together_is_clipped(tiny_model, batch):
    clipped = trainer(tiny_model, CONFIG.model_copy(update={"gradient_clip": 1e-3}))

    clipped.train_step(batch)

    square = sum(float(weight.grad.square().sum()) for weight in clipped.model.parameters() if weight.grad is not None)
    assert square**0.5 == pytest.approx(1e-3, rel=1e-2)


def test_each_network_has_its_own_learning_rate(tiny_model, batch):
    one = trainer(tiny_model)

    one.train_step(batch)

    factor = learning_rate_factor(CONFIG, 0)
    assert [group["lr"] for group in one.optimiser.param_groups] == [5e-3 * factor, 2e-3 * factor]


def test_the_learning_rate_rises_to_the_full_one_and_falls_to_the_last():
    config = CONFIG.model_copy(update={"steps": 100, "warmup_fraction": 0.2, "final_learning_rate_fraction": 0.05})

    factors = [learning_rate_factor(config, step) for step in range(101)]

    assert 0 < factors[0] < 0.1
    assert factors[20] == 1
    assert factors[100] == pytest.approx(0.05)
    assert factors[:21] == sorted(factors[:21])
    assert factors[20:] == sorted(factors[20:], reverse=True)
    assert factors[60] == pytest.approx((1 + 0.05) / 2)


def test_without_warmup_and_with_a_last_share_of_one_the_learning_rate_is_constant():
    config = CONFIG.model_copy(update={"warmup_fraction": 0.0, "final_learning_rate_fraction": 1.0})

    assert {learning_rate_factor(config, step) for step in range(31)} == {1.0}


@pytest.mark.parametrize(("precision", "expected"), [("fp32", False), ("bf16", True)])
def test_a_named_precision_is_taken(precision, expected):
    assert uses_bf16(precision, torch.device("cpu")) is expected


def test_training_in_bf16_gives_finite_losses_and_float32_weights(tiny_model, batch):
    one = trainer(tiny_model, CONFIG.model_copy(update={"precision": "bf16"}))

    losses = one.train_step(batch)

    assert losses["total"].isfinite()
    assert {value.dtype for value in one.model.parameters()} == {torch.float32}


def test_a_batch_in_parts_moves_the_denoiser_as_the_whole_does(tiny_model, batch):
    """Where the segmenter does not reach it: that one normalises by the statistics of each part."""
    free = CONFIG.model_copy(update={"gradient_clip": 1e9})
    section = tiny_model | {"reconstruction_dropout": 1.0}
    whole, parts = trainer(section, free), trainer(section, free.model_copy(update={"accumulate": 2}))

    losses = [one.train_step(batch) for one in (whole, parts)]

    assert float(losses[1]["noise"]) == pytest.approx(float(losses[0]["noise"]), rel=1e-5)
    for one, other in zip(parts.model.reconstructor.parameters(), whole.model.reconstructor.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)


def test_a_batch_that_cannot_be_halved_in_each_part_is_refused():
    with pytest.raises(ValidationError, match=r"training.batch_size = 4 cannot be accumulated from 4 parts"):
        TrainingConfig.model_validate(CONFIG.model_dump() | {"accumulate": 4})


def test_checkpointing_keeps_less_and_learns_the_same(tiny_model, batch):
    kept = []

    def keep(tensor):
        kept[-1] += tensor.nbytes
        return tensor

    trained = []
    for checkpointing in (False, True):
        kept.append(0)
        trained.append(trainer(tiny_model | {"checkpointing": checkpointing}))
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            trained[-1].train_step(batch)

    plain, thrifty = (parameters(one.model) for one in trained)
    assert kept[1] < 0.8 * kept[0]
    assert all(torch.equal(plain[name], thrifty[name]) for name in plain)


def test_what_no_loss_looks_at_is_not_denoised_and_nothing_else_changes(tiny_model, batch):
    one = trainer(tiny_model | {"reconstruction_dropout": 0.5})
    draws = one.phase.draw(4, torch.Generator().manual_seed(0)) | {
        "dropout_mask": torch.tensor([True, False, True, False])
    }
    seen, losses, gradients = [], [], []
    one.model.reconstructor.register_forward_pre_hook(lambda _module, given: seen.append(len(given[0])))

    for needed in (torch.ones(4, dtype=torch.bool), batch.is_normal | ~draws["dropout_mask"]):
        one.model.zero_grad()
        loss = one.phase.losses(one.model(batch.images, draws, needed), draws, batch.mask, batch.is_normal)
        loss["total"].backward()
        losses.append(loss)
        gradients.append([parameter.grad.clone() for parameter in one.model.parameters()])

    assert seen == [8, 6]
    torch.testing.assert_close(losses[0], losses[1], atol=1e-6, rtol=0)
    for before, after in zip(*gradients, strict=True):
        torch.testing.assert_close(before, after, atol=1e-5, rtol=1e-4)
