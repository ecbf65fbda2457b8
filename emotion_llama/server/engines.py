"""Several engines, one for each preset -> one service: who asks names a preset, or gets the first.

Knows: names of presets, the engine of each. Does not know: how presets are loaded, HTTP, pages.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from emotion_llama.config import ServeConfig
from emotion_llama.server.engine import Engine, State


class Engines:
    """The engines of a service, by the names of their presets, in order.

    Args:
        engines: at least one, all of the same settings; the first answers where no preset is named

    Raises:
        ValueError: two presets have the same name
    """

    def __init__(self, *engines: Engine) -> None:
        self.all = engines
        self.default = engines[0]
        self._by_name: dict[str, Engine] = {}
        for engine in engines:
            name = engine.predictor.preset
            if name in self._by_name:
                msg = (
                    f"found two presets with the name {name!r}, expected another for each; give "
                    "one of them once, or change `preset` in the config.json of one"
                )
                raise ValueError(msg)
            self._by_name[name] = engine

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the presets, the default first."""
        return tuple(self._by_name)

    @property
    def settings(self) -> ServeConfig:
        """What is accepted, the same for all."""
        return self.default.settings

    @property
    def state(self) -> State:
        """Say ``ready`` where all are; else what one that is not is."""
        return next((one.state for one in self.all if one.state != "ready"), "ready")

    @property
    def num_admitted(self) -> int:
        """Requests accepted and not yet answered, of all together."""
        return sum(engine.num_admitted for engine in self.all)

    def named(self, name: str | None) -> Engine:
        """Give the engine of a preset; ``None``: the default.

        Raises:
            ValueError: there is none of this name
        """
        if name is None:
            return self.default
        if name not in self._by_name:
            offered = ", ".join(map(repr, self._by_name))
            msg = f"found the preset {name[:100]!r}, which is not served; expected one of {offered}"
            raise ValueError(msg)
        return self._by_name[name]

    @contextmanager
    def admitted(self) -> Iterator[Callable[[Engine], None]]:
        """Hold a place for a request that has not been read, so that its engine is not known.

        It is held in the engine that has most room. Once the engine is known, what is given moves
        the place there; it raises what `Engine.admitted` does.

        Raises:
            BusyError: no engine has a place
            NotServingError: not started yet, or being stopped
        """
        first = min(self.all, key=lambda engine: engine.num_admitted)
        with ExitStack() as held:
            held.enter_context(first.admitted())

            def move(engine: Engine) -> None:
                if engine is not first:
                    with held.pop_all():
                        held.enter_context(engine.admitted())

            yield move

    async def start(self) -> None:
        """Start all, one after another."""
        for engine in self.all:
            await engine.start()

    async def stop(self) -> None:
        """Stop all at once, as `Engine.stop` does."""
        await asyncio.gather(*(engine.stop() for engine in self.all))
