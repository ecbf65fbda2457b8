import math

import pytest
import torch

from emotion_llama.training import PublishedSchedule

RECIPE = PublishedSchedule(1e-5, 1e-6, 1e-6, warmup_steps=1000)
TOTAL = 30 * 1000


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, 1e-6),
        (500, 5.5e-6),
        (999, 1e-6 + 9e-6 * 0.999),
        # the cosine counts from step 0: at the end of the warm-up it has fallen already
        (1000, 1e-6 + 9e-6 * 0.5 * (1 + math.cos(math.pi / 30))),
        (15000, 5.5e-6),
        (TOTAL, 1e-6),
    ],
)
def test_published_rates(step: int, expected: float) -> None:
    assert RECIPE.rate(step, TOTAL) == pytest.approx(expected, rel=1e-12)


def test_the_end_of_the_warm_up_is_a_jump_down() -> None:
    # 9.975e-6 and not 1e-5, as a cosine shifted by the warm-up would have it
    assert RECIPE.rate(1000, TOTAL) == pytest.approx(9.97535e-6, rel=1e-5)
    assert RECIPE.rate(999, TOTAL) > RECIPE.rate(1000, TOTAL)


def test_a_warm_up_longer_than_an_epoch_is_not_begun_anew() -> None:
    long = PublishedSchedule(1e-5, 1e-6, 1e-6, warmup_steps=2500)  # epochs of 1000 steps
    rates = [long.rate(step, TOTAL) for step in range(2500)]
    assert rates == sorted(rates)
    assert long.rate(1000, TOTAL) == pytest.approx(1e-6 + 9e-6 * 0.4)


def test_equal_rates_are_constant_and_no_warm_up_starts_at_the_rate() -> None:
    stage_2 = PublishedSchedule(1e-6, 1e-6, 1e-6, warmup_steps=1000)
    assert {stage_2.rate(step, TOTAL) for step in range(0, TOTAL, 777)} == {1e-6}
    assert PublishedSchedule(1e-5, 1e-6, 0.0, warmup_steps=0).rate(0, TOTAL) == 1e-5


def test_an_optimiser_follows_it_and_goes_on_after_a_stop() -> None:
    def optimizer() -> torch.optim.Optimizer:
        return torch.optim.AdamW([torch.nn.Parameter(torch.ones(2))], lr=1e-5)

    followed = optimizer()
    scheduler = RECIPE.attach(followed, 4000)
    for step in range(1500):
        assert followed.param_groups[0]["lr"] == pytest.approx(RECIPE.rate(step, 4000), rel=1e-12)
        followed.step()
        scheduler.step()
    resumed = optimizer()
    second = RECIPE.attach(resumed, 4000)
    resumed.load_state_dict(followed.state_dict())
    second.load_state_dict(scheduler.state_dict())
    resumed.step()
    second.step()
    assert resumed.param_groups[0]["lr"] == pytest.approx(RECIPE.rate(1501, 4000), rel=1e-12)
