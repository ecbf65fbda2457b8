"""What documents say of settings is what the settings are."""

from pathlib import Path

from emotion_llama.config import ServeConfig

DOCS = Path(__file__).resolve().parents[1] / "docs"


def test_the_limits_of_the_service_are_documented() -> None:
    text = (DOCS / "serving.md").read_text("utf-8")
    for name, field in ServeConfig.model_fields.items():
        words = " ".join(str(field.description).split())
        default = field.default or "none"
        shown = default if isinstance(default, str) else f"{default:g}"
        assert f"| `{name}` | {shown} | {words} |" in text
