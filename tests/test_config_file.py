"""Settings from a file and from the command line, and what is said where they do not fit."""

from pathlib import Path

import pytest

from emotion_llama.config import ServeConfig, TrainConfig
from emotion_llama.config_file import load_settings

ROOT = Path(__file__).parents[1]
TEXT = """
start: mini
output: run
sources:
  - {kind: table, path: a.csv}
"""


def load(tmp_path: Path, *overrides: str, text: str = TEXT) -> TrainConfig:
    path = tmp_path / "run.yaml"
    path.write_text(text, "utf-8")
    return load_settings(TrainConfig, path, overrides)


def test_overrides_reach_every_place(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        "learning_rate=1e-4",
        "sources.0.path=b.csv",
        "sources.0.tasks=[emotion]",
        "sources.1.kind=dataset",
        "sources.1.path=built",
        "validation.0.kind=table",
        "validation.0.path=c.csv",
    )
    assert config.learning_rate == 1e-4
    assert [source.path for source in config.sources] == ["b.csv", "built"]
    assert config.sources[0].tasks == ("emotion",)
    assert config.validation[0].path == "c.csv"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("learning_rat=1", "learning_rat: extra inputs are not permitted, found 1; known are "),
        ("batch_size=0", "batch_size: input should be greater than or equal to 1, found 0"),
        ("sources.0.color=x", "sources.0.color: extra inputs"),
        ("sources.3.path=x", "found '3', expected a number from 0 to 1"),
        ("start.path=x", "'path' is inside a single value"),
        ("epochs", "expected name=value"),
        ("epochs=[", "expected a value in the form of YAML"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, override: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"\w") as error:
        load(tmp_path, override)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [("- a", "found list, expected names"), ("a: [", "no YAML"), ("output: x", "start: field")],
)
def test_a_file_of_another_form_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ValueError, match="run.yaml") as error:
        load(tmp_path, text=text)
    assert said in str(error.value)


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_packaged_recipe_loads_and_names_its_command(path: Path) -> None:
    load_settings(TrainConfig, path)
    first = path.read_text("utf-8").splitlines()[0]
    assert first.startswith(f"# emotion-llama train configs/{path.name}")


def test_the_published_recipes_have_the_published_numbers() -> None:
    stages = {
        name: load_settings(TrainConfig, ROOT / "configs" / f"{name}.yaml")
        for name in ("stage1_merr_coarse", "stage2_merr_fine", "stage2_recognition")
    }
    for config in stages.values():
        assert (config.epochs, config.steps_per_epoch, config.batch_size) == (30, 1000, 1)
        assert (config.warmup_steps, config.weight_decay, config.betas) == (
            1000,
            0.05,
            (0.9, 0.999),
        )
        assert (config.min_learning_rate, config.warmup_learning_rate) == (1e-6, 1e-6)
        assert (config.schedule, config.max_grad_norm, config.precision) == ("published", 0, "fp16")
    rates = {name: config.learning_rate for name, config in stages.items()}
    assert rates == {
        "stage1_merr_coarse": 1e-5,
        "stage2_merr_fine": 1e-6,
        "stage2_recognition": 1e-5,
    }
    tasks = {name: config.sources[0].tasks for name, config in stages.items()}
    assert tasks == {
        "stage1_merr_coarse": ("emotion", "reason"),
        "stage2_merr_fine": ("reason",),
        "stage2_recognition": ("emotion",),
    }


def test_settings_without_a_file_are_the_overrides() -> None:
    assert load_settings(ServeConfig, None, ["batch_size=3"]).batch_size == 3
    with pytest.raises(ValueError, match=r"settings: batch_sise: .* known are .*batch_size"):
        load_settings(ServeConfig, None, ["batch_sise=3"])
