"""Rule tables: the published rows, three-valued reading, shares, margin, abstention, errors."""

import re
from itertools import combinations
from pathlib import Path

import pytest

from emotion_llama.merr.records import FaceMeasures, UnitReading
from emotion_llama.merr.rules import PACKAGED, Rule, judge, load_rules
from emotion_llama.records import AuScale

ROOT = Path(__file__).resolve().parents[2]

PUBLISHED = {
    "happy": ({6, 12, 14}, 1),
    "angry": ({4, 5, 7, 10, 17, 23}, 1),
    "sad": ({1, 4, 14, 15}, 1),
    "worried": ({20, 28}, 1),
    "surprise": ({1, 2, 5, 26}, 1),
    "fear": ({1, 2, 4, 5, 7, 20, 26}, 5),
    "contempt": ({10, 12, 15, 17}, 4),
    "doubt": ({25}, 1),
}
OPENFACE = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 28)


def au(number: int) -> str:
    return f"AU{number:02d}"


def face(
    present: dict[int, float | None] | None = None,
    unknown: tuple[int, ...] = (),
    measured: tuple[int, ...] = OPENFACE,
    *,
    talking: bool | None = False,
    scale: AuScale | None = "0-5",
) -> FaceMeasures:
    """A face with the measured units absent, but those given present (with an intensity)."""
    present = present or {}
    units = []
    for number in sorted({*measured, *present, *unknown}):
        if number in unknown:
            units.append(UnitReading(au(number), None, None, 0.0))
        elif number in present:
            units.append(UnitReading(au(number), present[number], True, 1.0))
        else:
            units.append(UnitReading(au(number), 0.0, False, 1.0))
    return FaceMeasures(
        tuple(units), scale, "clip", 3, 0.12, 1.0, "all", 50, 1.0, 0.9, talking=talking
    )


def rule(table: str, label: str) -> Rule:
    return next(rule for rule in load_rules(table).rules if rule.label == label)


def test_the_published_table_has_exactly_the_published_rows() -> None:
    table = load_rules("merr")
    found = {
        one.label: ({int(unit[2:]) for unit in one.variants[0].units}, one.variants[0].min_hits)
        for one in table.rules
        if one.origin == "published"
    }
    assert found == PUBLISHED
    assert all(len(one.variants) == 1 for one in table.rules if one.origin == "published")
    assert all(not v.optional and not v.at_least for one in table.rules for v in one.variants)
    assert [one.label for one in table.rules if one.origin == "own"] == ["neutral"]
    assert table.speech_units == "count"


@pytest.mark.parametrize("label", PUBLISHED)
def test_a_published_rule_fires_from_its_needed_hits_and_not_below(label: str) -> None:
    table = load_rules("merr")
    units, needed = PUBLISHED[label]
    for chosen in combinations(sorted(units), needed):
        verdict = judge(face(dict.fromkeys(chosen, 2.0)), table, label)
        assert verdict.agreement == "agrees"
        assert verdict.fired[label] == tuple(map(au, chosen))
    for chosen in combinations(sorted(units), needed - 1):
        verdict = judge(face(dict.fromkeys(chosen, 2.0)), table, label)
        assert verdict.agreement == "disagrees"
        assert label not in verdict.distribution


def test_what_was_not_measured_is_unknown_and_never_absent() -> None:
    table = load_rules("merr")
    without_28 = tuple(number for number in OPENFACE if number != 28)
    assert judge(face(measured=without_28), table, "worried").agreement == "abstains"
    assert judge(face(unknown=(28,)), table, "worried").agreement == "abstains"
    assert "worried" in judge(face(unknown=(28,)), table).unknown
    assert judge(face(), table, "worried").agreement == "disagrees"
    # one hit is enough, whatever the other unit is
    assert judge(face({20: 1.0}, unknown=(28,)), table, "worried").agreement == "agrees"


def test_a_rule_that_the_unknown_units_cannot_save_disagrees() -> None:
    table = load_rules("merr")
    four, all_but_one = {1: 2.0, 2: 2.0, 4: 2.0, 5: 2.0}, {1: 2.0, 2: 2.0, 4: 2.0}
    assert judge(face(four, unknown=(7,)), table, "fear").agreement == "abstains"
    assert judge(face(all_but_one, unknown=(7,)), table, "fear").agreement == "disagrees"


def test_a_label_without_a_row_is_unmapped_with_or_without_a_face() -> None:
    table = load_rules("merr")
    assert judge(face({9: 4.0}), table, "disgust").agreement == "unmapped"
    assert judge(None, table, "disgust").agreement == "unmapped"
    assert judge(face({20: 2.0}), load_rules("facs"), "worried").agreement == "unmapped"
    assert judge(face({9: 4.0}), load_rules("facs"), "disgust").agreement == "agrees"


def test_other_forms_of_a_label_are_understood() -> None:
    assert judge(face({6: 2.0, 12: 2.0}), load_rules("merr"), "Happiness").agreement == "agrees"


def test_without_a_face_or_a_measured_unit_it_abstains_and_says_why() -> None:
    table = load_rules("merr")
    nobody = judge(None, table, "happy")
    assert (nobody.abstains, nobody.distribution, nobody.margin) == (True, {}, None)
    assert nobody.why == "no face was measured"
    assert nobody.agreement == "abstains"
    assert nobody.unknown == table.labels
    blank = judge(face(measured=(), unknown=(6, 12)), table, "happy")
    assert blank.agreement == "abstains"
    assert "no action unit was measured" in str(blank.why)


def test_where_nothing_fires_it_abstains_and_names_what_was_not_decided() -> None:
    verdict = judge(face({9: 3.0}, unknown=(28,)), load_rules("merr"), "sad")
    assert verdict.abstains
    assert verdict.agreement == "disagrees", "the label's own rule was decided"
    assert str(verdict.why).startswith("no rule fired; not decided")
    assert "worried" in str(verdict.why)


@pytest.mark.parametrize("table", PACKAGED)
def test_neutral_has_its_own_rule_and_is_no_default(table: str) -> None:
    rules = load_rules(table)
    assert rule(table, "neutral").origin == "own"
    assert judge(face(), rules, "neutral").agreement == "agrees"
    assert judge(face({9: 1.0}), rules, "neutral").agreement == "disagrees"
    # 7 of 18 units: too little to say that nothing moves
    assert judge(face(measured=OPENFACE[:7]), rules, "neutral").agreement == "abstains"
    assert "neutral" not in judge(None, rules).distribution


def test_a_blink_or_a_talking_mouth_is_not_the_end_of_neutral() -> None:
    rules = load_rules("facs")
    assert judge(face({45: 4.0}), rules, "neutral").agreement == "agrees"
    assert judge(face({25: 3.0, 26: 2.0}, talking=True), rules, "neutral").agreement == "agrees"
    assert judge(face({25: 3.0}, talking=False), rules, "neutral").agreement == "disagrees"


def test_talking_lips_and_jaw_count_in_one_table_and_are_unknown_in_the_other() -> None:
    parted = face({25: 3.0}, talking=True)
    assert judge(parted, load_rules("merr"), "doubt").agreement == "agrees"
    dropped = {5: 2.0, 26: 3.0}
    facs = load_rules("facs")
    assert judge(face(dropped, talking=False), facs, "surprise").agreement == "agrees"
    for talking in (True, None):
        verdict = judge(face(dropped, talking=talking), facs, "surprise")
        assert verdict.agreement == "abstains"
        assert "surprise" in verdict.unknown


def test_shares_add_up_and_the_margin_is_between_the_first_two() -> None:
    verdict = judge(face({1: 1.5, 2: 3.0, 4: 2.0, 12: 1.0, 25: 2.5}), load_rules("merr"))
    shares = list(verdict.distribution.values())
    assert len(shares) > 2
    assert sum(shares) == pytest.approx(1.0, abs=1e-5)
    assert shares == sorted(shares, reverse=True)
    assert verdict.margin == pytest.approx(shares[0] - shares[1], abs=1e-5)
    assert not verdict.abstains
    assert verdict.why is None


def test_one_rule_alone_has_the_whole_share_and_margin() -> None:
    verdict = judge(face({20: 1.2}), load_rules("merr"))
    assert (verdict.distribution, verdict.margin) == ({"worried": 1.0}, 1.0)


def test_the_score_is_what_the_documentation_says() -> None:
    # worried: seen .8/2, explains .8 of .8+.4; doubt: seen .4/1, explains .4 of 1.2
    verdict = judge(face({20: 4.0, 25: 2.0}), load_rules("merr"))
    worried, doubt = 0.4 * 0.8 / 1.2, 0.4 * 0.4 / 1.2
    assert verdict.distribution["worried"] == pytest.approx(worried / (worried + doubt), abs=1e-5)


def test_a_unit_by_flag_alone_counts_as_just_present() -> None:
    flagged = judge(face({28: None, 25: 1.0}), load_rules("merr"))
    valued = judge(face({28: 1.0, 25: 1.0}), load_rules("merr"))
    assert flagged.distribution == valued.distribution
    published = judge(face({28: None, 25: None}, scale=None), load_rules("merr"))
    assert published.distribution == valued.distribution


@pytest.mark.parametrize(
    ("label", "present"),
    [
        ("happy", (6, 12)),
        ("sad", (1, 4, 15)),
        ("surprise", (1, 2, 5, 26)),
        ("surprise", (5, 26)),
        ("surprise", (1, 2, 5)),
        ("surprise", (1, 2, 27)),
        ("fear", (1, 2, 4, 5, 7, 20, 26)),
        ("fear", (1, 2, 4, 5)),
        ("angry", (4, 5, 7, 23)),
        ("angry", (4, 5, 7, 24)),
        ("angry", (4, 7, 23, 10)),
        ("disgust", (9,)),
        ("disgust", (10, 17)),
    ],
)
def test_prototypes_of_the_coding_system_come_first(label: str, present: tuple[int, ...]) -> None:
    verdict = judge(face(dict.fromkeys(present, 3.0)), load_rules("facs"), label)
    assert verdict.agreement == "agrees"
    assert next(iter(verdict.distribution)) == label
    assert verdict.margin is not None
    assert verdict.margin > 0


@pytest.mark.parametrize("present", [(12,), (1, 4), (4, 7), (5,), (12, 14)])
def test_half_a_prototype_is_none(present: tuple[int, ...]) -> None:
    verdict = judge(
        face(dict.fromkeys(present, 3.0), measured=tuple(range(1, 29))), load_rules("facs")
    )
    assert verdict.abstains


def test_optional_units_raise_the_share() -> None:
    facs = load_rules("facs")
    bare = judge(face({9: 3.0, 6: 3.0, 12: 3.0}), facs).distribution["disgust"]
    more = judge(face({9: 3.0, 15: 3.0, 6: 3.0, 12: 3.0}), facs).distribution["disgust"]
    assert more > bare


def test_an_extreme_upper_lid_is_asked_for_by_intensity() -> None:
    facs = load_rules("facs")
    assert judge(face({1: 3.0, 2: 3.0, 5: 4.6}), facs, "fear").agreement == "agrees"
    assert judge(face({1: 3.0, 2: 3.0, 5: 4.4}), facs, "fear").agreement == "disagrees"
    assert judge(face({1: 3.0, 2: 3.0, 5: None}), facs, "fear").agreement == "abstains"
    likely = face({1: 0.9, 2: 0.9, 5: 0.9}, scale="probability")
    assert judge(likely, facs, "fear").agreement == "abstains", "a probability is no intensity"


def test_one_sided_contempt_is_never_decided() -> None:
    for present in ({}, {12: 3.0, 14: 3.0}):
        verdict = judge(face(present), load_rules("facs"), "contempt")
        assert verdict.agreement == "abstains"
        assert "contempt" in verdict.unknown


def test_every_rule_of_the_packaged_tables_names_its_source() -> None:
    assert all(one.source for name in PACKAGED for one in load_rules(name).rules)


def test_the_version_follows_the_content(tmp_path: Path) -> None:
    text = (ROOT / "emotion_llama/merr/tables/merr.yaml").read_text("utf-8")
    same, other = tmp_path / "same.yaml", tmp_path / "other.yaml"
    same.write_text("# a remark\n" + text, "utf-8")
    other.write_text(text.replace("min_hits: 5", "min_hits: 4"), "utf-8")
    assert load_rules(same).version == load_rules("merr").version
    assert load_rules(other).version != load_rules("merr").version


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("min_hits: 5", "min_hits: 8", "rule 'fear', variants.0: expected min_hits of 1 to 7.*8"),
        ("min_hits: 5", "min_hits: five", "rule 'fear', variants.0.min_hits: found 'five'"),
        ("[AU25]", "[AU25, smile]", "rule 'doubt', variants.0.units.1: found 'smile'"),
        ("[AU25]", "[AU25, AU25]", "rule 'doubt', variants.0: expected every unit once"),
        ("[AU25]", "[AU45]", "rule 'doubt', variants.0: expected no blink"),
        ("still: 0.5", "variants: []", "rule 'neutral': expected either variants or still"),
        ("still: 0.5", "still: 2", "rule 'neutral', still: found 2"),
        ("- label: doubt", "- label: sad", "expected one rule a label, found more for sad"),
        ("speech_units: count", "speech_units: maybe", "speech_units: found 'maybe'"),
        ("origin: own", "origin: own\n    treshold: 1", "rule 'neutral', treshold: found 1"),
        ("\nrules:", "\nrules: [", "found no YAML"),
    ],
)
def test_an_error_names_file_rule_value_and_wish(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    text = (ROOT / "emotion_llama/merr/tables/merr.yaml").read_text("utf-8")
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace(old, new, 1), "utf-8")
    with pytest.raises(ValueError, match=rf"mine\.yaml: .*{message}"):
        load_rules(path)


def test_a_table_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(ValueError, match="emfacs: found no such rule table; expected merr, mer-f"):
        load_rules("emfacs")


def test_the_documentation_shows_the_rules_that_are_used() -> None:
    text = (ROOT / "docs/rules.md").read_text("utf-8")
    sections = dict(
        zip(("merr", "facs"), re.split(r"^## The table `", text, flags=re.M)[1:], strict=True)
    )
    for name, section in sections.items():
        rows = {
            cells[0]: line
            for line in section.splitlines()
            if line.startswith("| ") and (cells := [c.strip() for c in line.split("|")[1:-1]])
        }
        for one in load_rules(name).rules:
            row = rows[one.label]
            for variant in one.variants:
                numbers = "+".join(str(int(unit[2:])) for unit in variant.units)
                hits = f"{variant.min_hits} of {len(variant.units)}"
                assert re.search(rf"(?<![\d+]){re.escape(numbers)}(?![\d+])", row), (name, row)
                assert hits in row or name == "facs", row
                extra = ", ".join(str(int(unit[2:])) for unit in variant.optional)
                assert extra in row, (name, row)


def test_the_table_of_mer_factory_asks_for_half_of_each_set() -> None:
    table = load_rules("mer-factory")
    asked = {
        rule.label: (len(rule.variants[0].units), rule.variants[0].min_hits)
        for rule in table.rules
        if rule.variants
    }
    assert set(asked) == {
        *("happy", "angry", "sad", "worried", "surprise", "fear", "contempt", "disgust")
    }
    assert all(hits == (units + 1) // 2 for units, hits in asked.values())
