"""What documents say of settings is what the settings are."""

from pathlib import Path

from emotion_llama.config import ServeConfig

DOCS = Path(__file__).resolve().parents[1] / "docs"


def test_the_limits_of_the_service_are_documented() -> None:
    text = (DOCS / "serving.md").read_text("utf-8")
    for name, field in ServeConfig.model_fields.items():
        words = " ".join(str(field.description).split())
        assert f"| `{name}` | {field.default:g} | {words} |" in text
