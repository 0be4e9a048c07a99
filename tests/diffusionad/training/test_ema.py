import copy

import pytest
import torch
from torch import nn

from diffusionad.training.ema import AveragedWeights


def module(value):
    """One weight, and batch normalisation, which has running statistics and a counter."""
    net = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
    nn.init.constant_(net[0].weight, value)
    return net


def weight(average):
    return float(average.state["0.weight"])


def test_the_average_starts_at_the_first_weights():
    assert weight(AveragedWeights(module(3.0), decay=0.9)) == 3.0


def test_the_average_stays_where_the_weights_stay():
    average = AveragedWeights(module(3.0), decay=0.99)

    for _ in range(5):
        average.update(module(3.0))

    assert weight(average) == 3.0


def test_the_weights_of_the_beginning_are_soon_forgotten():
    """The decay of update n is n / (n + 9), so of 0 the first three leave 1/10, 2/11 and 3/12."""
    average = AveragedWeights(module(1.0), decay=0.99)

    for _ in range(3):
        average.update(module(0.0))

    assert weight(average) == pytest.approx(1 / 10 * 2 / 11 * 3 / 12, rel=1e-5)


def test_the_decay_rises_no_higher_than_asked():
    average = AveragedWeights(module(1.0), decay=0.5)
    for _ in range(100):
        average.update(module(1.0))

    average.update(module(0.0))

    assert weight(average) == pytest.approx(0.5, rel=1e-6)


def test_running_statistics_are_averaged_and_counters_are_copied():
    net = module(1.0)
    average = AveragedWeights(net, decay=0.99)
    net(torch.tensor([[10.0], [30.0]]))

    average.update(net)

    assert float(average.state["1.running_mean"]) == pytest.approx(0.9 * float(net[1].running_mean), rel=1e-5)
    assert int(average.state["1.num_batches_tracked"]) == 1


def test_what_was_loaded_goes_on_as_the_one_it_was_saved_from():
    first = AveragedWeights(module(1.0), decay=0.99)
    first.update(module(0.0))
    second = AveragedWeights(module(7.0), decay=0.99)

    second.load_state_dict(copy.deepcopy(first.state_dict()))
    first.update(module(0.0))
    second.update(module(0.0))

    assert weight(second) == weight(first)


def test_what_was_loaded_does_not_share_its_weights():
    first, second = AveragedWeights(module(1.0), decay=0.99), AveragedWeights(module(7.0), decay=0.99)

    second.load_state_dict(first.state_dict())
    second.update(module(0.0))

    assert weight(first) == 1.0
