"""Several presets in one service: names, places, states, and models that take turns."""

import asyncio
import time
from contextlib import ExitStack
from typing import Any

import pytest
from serving import stub_engine

from emotion_llama.config import ServeConfig
from emotion_llama.server.engine import BusyError, Engine, NotServingError
from emotion_llama.server.engines import Engines

SETTINGS = ServeConfig(max_waiting=2)


def pair(*, is_ready: bool = True) -> tuple[Engines, Any, Any]:
    small, large = stub_engine(SETTINGS, "small"), stub_engine(SETTINGS, "large")
    if is_ready:
        small.state = large.state = "ready"
    return Engines(small, large), small, large


def test_a_preset_is_found_by_its_name_and_the_first_without_one() -> None:
    engines, small, large = pair()
    assert engines.names == ("small", "large")
    assert engines.named("large") is large
    assert engines.named(None) is engines.named("small") is engines.default is small


@pytest.mark.parametrize("name", ["", "Small", "x" * 300, "\ud800"])
def test_an_unknown_name_is_refused_with_all_that_there_are(name: str) -> None:
    with pytest.raises(ValueError, match="which is not served; expected one of 'small', 'large'"):
        pair()[0].named(name)


def test_two_presets_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two presets with the name 'stub'"):
        Engines(stub_engine(), stub_engine())


def test_all_are_ready_or_the_service_is_not() -> None:
    engines, small, large = pair()
    assert engines.state == "ready"
    large.state = "starting"
    assert engines.state == "starting"
    small.state = "draining"
    assert engines.state == "draining"


def test_all_start_and_stop() -> None:
    engines, small, large = pair(is_ready=False)

    async def live() -> None:
        await engines.start()
        assert (small.state, large.state) == ("ready", "ready")
        await engines.stop()

    asyncio.run(live())
    assert (small.state, large.state) == ("stopped", "stopped")


def test_no_engine_takes_more_while_another_finishes() -> None:
    engines, small, large = pair(is_ready=False)

    async def live() -> None:
        await engines.start()
        with small.admitted():
            stopping = asyncio.create_task(engines.stop())
            await asyncio.sleep(0.01)
            with pytest.raises(NotServingError), large.admitted():
                pass
            assert small.state == "draining"
        await stopping

    asyncio.run(live())


def held(engines: Engines) -> dict[str, int]:
    return {name: engines.named(name).num_admitted for name in engines.names}


def test_a_place_moves_to_the_engine_that_is_asked() -> None:
    engines, small, large = pair()
    with engines.admitted() as move:
        assert held(engines) == {"small": 1, "large": 0}
        move(large)
        assert held(engines) == {"small": 0, "large": 1}
        assert engines.num_admitted == 1
    with engines.admitted() as move:
        move(small)
        assert held(engines) == {"small": 1, "large": 0}
    assert held(engines) == {"small": 0, "large": 0}


def test_a_full_preset_does_not_close_another() -> None:
    engines, small, large = pair()
    with ExitStack() as full:
        for _ in range(2):
            full.enter_context(small.admitted())
        with engines.admitted() as move:
            move(large)
        with pytest.raises(BusyError), engines.admitted() as move:
            move(small)
        assert held(engines) == {"small": 2, "large": 0}
        for _ in range(2):
            full.enter_context(large.admitted())
        with pytest.raises(BusyError), engines.admitted():
            pass
    assert held(engines) == {"small": 0, "large": 0}


def test_models_take_turns() -> None:
    engines, *both = pair(is_ready=False)
    working, most = 0, 0

    def watched(engine: Engine) -> None:
        encode = engine.predictor.encode

        def one_of_all(clips: Any) -> Any:
            nonlocal working, most
            working += 1
            most = max(most, working)
            time.sleep(0.02)  # another thread goes on, if it may
            working -= 1
            return encode(clips)

        engine.predictor.encode = one_of_all  # type: ignore[method-assign]

    async def live() -> None:
        await engines.start()
        await asyncio.gather(*(one.encode(None, "so glad") for one in both for _ in range(3)))
        await engines.stop()

    for engine in both:
        watched(engine)
    asyncio.run(live())
    assert most == 1
