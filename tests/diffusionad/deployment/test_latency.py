import pytest

from diffusionad.deployment import latency
from diffusionad.deployment.latency import measure


@pytest.fixture
def clock(monkeypatch):
    """A clock that only the timed calls move; `take(s)` makes a call of s seconds, `order` says who ran."""

    class Clock:
        now = 0.0
        order = ""

        def take(self, name, *seconds):
            durations = list(seconds)

            def call():
                self.now += durations.pop(0) if len(durations) > 1 else durations[0]
                self.order += name

            return call

    fake = Clock()
    monkeypatch.setattr(latency, "perf_counter", lambda: fake.now)
    return fake


def test_a_steady_call_takes_its_time_at_every_percentile(clock):
    times = measure({"a": clock.take("a", 0.002), "b": clock.take("b", 0.25)}, rounds=5, warmup=1)

    assert times["a"] == pytest.approx((2, 2, 2, 2, 0))
    assert times["b"] == pytest.approx((250, 250, 250, 250, 0))


def test_percentiles_and_spread_are_those_of_the_rounds(clock):
    times = measure({"a": clock.take("a", *(i / 1000 for i in range(1, 102)))}, rounds=101, warmup=0)

    assert times["a"] == pytest.approx((51, 96, 100, 1, 50 / 51))


def test_warmup_rounds_do_not_count(clock):
    times = measure({"a": clock.take("a", 60, 60, 0.001)}, rounds=3, warmup=2)

    assert times["a"].ms_p99 == pytest.approx(1)


def test_rounds_are_interleaved_and_begin_with_another_call_each_time(clock):
    measure({name: clock.take(name, 0.001) for name in "abc"}, rounds=3, warmup=1)

    assert clock.order == "abcbcacababc"


@pytest.mark.parametrize(("names", "rounds", "warmup"), [("", 1, 0), ("a", 0, 0), ("a", 1, -1)])
def test_nothing_to_measure_is_refused(clock, names, rounds, warmup):
    with pytest.raises(ValueError, match="expected calls, rounds >= 1 and warmup >= 0"):
        measure({name: clock.take(name, 1) for name in names}, rounds, warmup)


def test_another_clock_may_count(clock):
    ticks = iter(range(100))

    times = measure({"a": clock.take("a", 60)}, rounds=3, warmup=0, clock=lambda: float(next(ticks)))

    assert times["a"].ms_p50 == 1000
