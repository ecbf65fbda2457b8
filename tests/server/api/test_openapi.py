"""The description of the API holds: what it names is accepted, what comes back is as described."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serving import running, stub_engine

from emotion_llama.config import ServeConfig
from emotion_llama.records import Prediction
from emotion_llama.server.api.app import make_app
from emotion_llama.server.api.keys import KeyRing, hash_of
from emotion_llama.server.api.schemas import _EXAMPLE, PredictionResponse
from emotion_llama.server.api.uploads import UploadFolder
from emotion_llama.server.engines import Engines

schemathesis = pytest.importorskip("schemathesis", reason="NOT CHECKED: needs schemathesis")
hypothesis = pytest.importorskip("hypothesis")

from schemathesis.specs.openapi.checks import (  # noqa: E402
    negative_data_rejection,
    positive_data_acceptance,
)

SETTINGS = ServeConfig(requests_per_minute=10**6, max_files=10**6, max_text_chars=500)
PATHS = {
    "/healthz": {"get"},
    "/readyz": {"get"},
    "/metrics": {"get"},
    "/v1/predict": {"post"},
    "/v1/files": {"get", "post"},
    "/v1/files/{file_id}": {"get", "delete"},
    "/v1/models": {"get"},
    "/v1/models/{model_id}": {"get"},
    "/v1/chat/completions": {"post"},
}
FORMS = ("/v1/predict", "/v1/files")
"""In a form everything is text: nothing has a wrong type."""
VAGUE = ("/v1/predict", "/v1/chat/completions")
"""Which words are labels, and which messages make a talk, no schema says."""
NUM_CASES = 10
"""Of each route, and of each kind: such as are described, and such as are not."""


def make(folder: Path, keys: KeyRing | None = None) -> Any:
    uploads = UploadFolder(folder, 10**6)
    engine = stub_engine(SETTINGS)
    return make_app(
        Engines(engine), SETTINGS, keys=keys, uploads=uploads, database=None, page=False
    )


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with running(make(tmp_path_factory.mktemp("openapi"))) as address:
        yield schemathesis.openapi.from_url(f"{address}/openapi.json")


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode))
@pytest.mark.parametrize(  # in order: where a route has several methods, they are a set
    ("method", "path"), sorted((m, path) for path, ms in PATHS.items() for m in ms)
)
def test_every_route_does_what_its_description_says(
    api: Any, path: str, method: str, mode: Any
) -> None:
    @hypothesis.given(api[path][method.upper()].as_strategy(generation_mode=mode))
    @hypothesis.settings(
        max_examples=NUM_CASES,
        derandomize=True,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    def check(case: Any) -> None:
        excluded = [negative_data_rejection] if path in FORMS else []
        if path in VAGUE:
            excluded.append(positive_data_acceptance)
        if "chat" in path and isinstance(case.body, dict) and mode == mode.POSITIVE:
            case.body["model"] = "stub"
        case.call_and_validate(excluded_checks=excluded)

    try:
        check()
    except hypothesis.errors.Unsatisfiable:
        assert mode == schemathesis.GenerationMode.NEGATIVE, "nothing can be sent"


def test_every_answer_is_described(tmp_path: Path) -> None:
    described = make(tmp_path).openapi()
    assert {path: set(methods) for path, methods in described["paths"].items()} == PATHS
    for path, methods in described["paths"].items():
        for operation in methods.values():
            assert operation["summary"] and operation["description"], path
            assert {"200", "400", "401", "500"} <= set(operation["responses"])
    predict = described["paths"]["/v1/predict"]["post"]["responses"]
    assert {"408", "413", "415", "422", "429", "503", "504"} <= set(predict)


def test_the_presets_that_are_served_are_named(tmp_path: Path) -> None:
    body = make(tmp_path).openapi()["paths"]["/v1/predict"]["post"]["requestBody"]["content"]
    for kind in ("multipart/form-data", "application/x-www-form-urlencoded"):
        model = body[kind]["schema"]["properties"]["model"]
        assert (model["enum"], model["default"]) == (["stub"], "stub")


def test_a_key_is_described_where_one_is_required(tmp_path: Path) -> None:
    described = make(tmp_path, KeyRing({"ann": hash_of("a")})).openapi()
    assert described["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"
    assert described["paths"]["/v1/predict"]["post"]["security"] == [{"HTTPBearer": []}]
    assert "security" not in described["paths"]["/healthz"]["get"]
    assert "securitySchemes" not in make(tmp_path).openapi()["components"]


def test_the_example_of_a_prediction_is_one() -> None:
    PredictionResponse.model_validate(_EXAMPLE)
    names = {one for one in Prediction.__dataclass_fields__}
    assert set(PredictionResponse.model_fields) == names | {"sha256", "request_id"}
