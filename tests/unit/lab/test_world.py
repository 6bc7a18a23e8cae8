"""World documents: what is read, and what is refused with a path and a hint."""

from __future__ import annotations

import pytest

from beacon.errors import DocumentError, ExitCode, InputError
from beacon.lab.draw import Draws
from beacon.lab.world import Latency, built_in_worlds, parse_world, read_world

HEAD = "schema: beacon.world/v1\nname: test\n"


def refusal_of(text: str) -> str:
    with pytest.raises(DocumentError) as caught:
        parse_world(HEAD + text, "world.yaml")
    return caught.value.explain()


def test_the_built_in_worlds_can_be_read_under_their_names():
    assert set(built_in_worlds()) == {"default", "null", "instant", "slow", "stormy"}
    for name in built_in_worlds():
        assert read_world(name).name == name


def test_a_world_in_a_file_is_read(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(HEAD + "rules: [{latency: 20ms}]\n")

    assert read_world(str(path)).rules[0].latency.constant == pytest.approx(0.02)


def test_an_unknown_world_is_refused_with_the_nearest_name():
    with pytest.raises(InputError) as caught:
        read_world("stormi")

    assert "did you mean 'stormy'" in caught.value.explain()
    assert caught.value.exit_code == ExitCode.BAD_INPUT


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "world.yaml"
    path.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(InputError, match="cannot read the world"):
        read_world(str(path))


def test_regions_of_a_rule_are_canonical():
    world = parse_world(HEAD + "rules: [{when: {regions: [asia-pacific, US]}}]", "w")

    assert world.rules[0].when.regions == ("apac", "us")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rules: [{latencyy: 20ms}]", "unknown key 'latencyy'"),
        ("rules: [{latency: fast}]", "not a duration: 'fast'"),
        ("rules: [{latency: {uniform: [900ms, 300ms]}}]", "the smaller and the greater bound"),
        ("rules: [{latency: {constant: 1s, uniform: [1s, 2s]}}]", "exactly one of"),
        ("rules: [{latency: {}}]", "exactly one of"),
        ("rules: [{answers: {refusal: 0.7, evasive: 0.6}}]", "add up to 1.3"),
        ("rules: [{answers: {refusal: 1.2}}]", "refusal"),
        ("rules: [{faults: [{kind: explode}]}]", "explode"),
        ("rules: [{faults: [{kind: reset, status: 500}]}]", "belongs to faults of kind error"),
        ("rules: [{limit: {burst: 3}}]", "requests_per_second, concurrency, or both"),
        ("rules: [{limit: {concurrency: 2, burst: 3}}]", "burst goes with requests_per_second"),
        ("rules: [{when: {categories: [x]}, cold_start: {seconds: 2s}}]", "cannot depend on the question"),
        ("rules: [{when: {models: [mistral-7]}}]", "unknown model 'mistral-7'"),
        ("rules: [{when: {regions: ['?']}}]", "cannot be a region name"),
        ("models: {a: x, b: x}", "the same name at the provider"),
    ],
)
def test_a_fault_of_a_world_is_told(text, said):
    assert said in refusal_of(text)


def test_an_unknown_model_is_refused_with_the_nearest():
    assert "did you mean 'mistral-7b'" in refusal_of("rules: [{when: {models: [mistral-7]}}]")


def drawn(latency: Latency) -> list[float]:
    return [latency.draw(Draws("latency", n)) for n in range(4000)]


def test_latencies_follow_their_distribution():
    uniform = drawn(Latency(uniform=(0.3, 0.9)))
    lognormal = sorted(drawn(Latency.model_validate({"lognormal": {"median": "200ms", "sigma": 0.35, "max": "400ms"}})))

    assert drawn(Latency(constant=0.05)) == [0.05] * 4000
    assert 0.3 <= min(uniform) < 0.31
    assert 0.89 < max(uniform) <= 0.9
    assert sum(uniform) / 4000 == pytest.approx(0.6, abs=0.02)
    assert lognormal[2000] == pytest.approx(0.2, rel=0.05)
    assert lognormal[-1] == 0.4
