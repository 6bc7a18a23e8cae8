"""The fleet file: what it may hold, and what a person is told who breaks a rule."""

from typing import Any

import pytest

from beacon.domain.fleet import Cost, Fleet, Provider, parse_fleet
from beacon.errors import DocumentError, InputError

CONTRACT = """
schema: beacon.fleet/v1
providers:
  - name: us-east-a
    region: us
    transport: openai
    url: http://127.0.0.1:9101/v1
    api_key_env: US_EAST_KEY
    models: {llama3.2-1b: meta-llama/Llama-3.2-1B-Instruct}
    echoes: {llama3.2-1b: [llama-3.2-1b-instruct-2409]}
    concurrency: 32
    region_header: X-Region
    upstream_header: X-Upstream
    cold_start: 360s
    keep_warm: prewarm
    cost: {input_per_mtok: 0.10, output_per_mtok: 0.20, warm_per_hour: 0.863}
    simulated: false
"""

PROVIDER: dict[str, Any] = {
    "name": "a",
    "region": "us",
    "transport": "openai",
    "url": "http://localhost:9101/v1",
    "models": {"m": "vendor/m"},
}


def read(*providers: dict[str, Any], **top: Any) -> Fleet:
    return Fleet.model_validate({"schema": "beacon.fleet/v1", "providers": providers, **top})


def faults_of(text: str) -> dict[str | None, InputError]:
    with pytest.raises(DocumentError) as caught:
        parse_fleet(text, "fleet.yaml")
    return {fault.where: fault for fault in caught.value.faults}


def with_provider(**changes: str) -> str:
    """A fleet file with one provider; a field set to an empty text is left out."""
    fields = {
        "name": "a",
        "region": "us",
        "transport": "openai",
        "url": "http://localhost:9101/v1",
        "models": "[m]",
        **changes,
    }
    lines = [f"    {key}: {value}" for key, value in fields.items() if value]
    return "schema: beacon.fleet/v1\nproviders:\n  -\n" + "\n".join(lines)


def test_the_example_of_the_contract_is_read() -> None:
    (provider,) = parse_fleet(CONTRACT, "fleet.yaml").providers
    assert provider.cold_start == 360
    assert provider.models == {"llama3.2-1b": "meta-llama/Llama-3.2-1B-Instruct"}
    assert provider.cost.warm_per_hour == 0.863
    assert not provider.replayed


def test_what_is_not_written_is_unknown_or_off() -> None:
    (provider,) = read(PROVIDER).providers
    assert provider.cost.input_per_mtok is None
    assert (provider.keep_warm, provider.cold_start, provider.simulated) == ("never", 0, False)


def test_a_list_of_models_means_that_the_provider_uses_the_same_names() -> None:
    (provider,) = read({**PROVIDER, "models": ["qwen/qwen2.5:1.5b", "m"]}).providers
    assert provider.models == {"qwen/qwen2.5:1.5b": "qwen/qwen2.5:1.5b", "m": "m"}


@pytest.mark.parametrize(
    ("changes", "path", "what", "todo"),
    [
        ({"name": ""}, "name", "required", None),
        ({"name": "'a b'"}, "name", "'a b' is not an id or name", None),
        ({"region": "'??'"}, "region", "'??' cannot be a region name", "us, eu or apac"),
        ({"region": "any"}, "region", "'any' cannot be a region name", None),
        ({"transport": "opnai"}, "transport", "unknown value 'opnai'", "did you mean 'openai'?"),
        ({"transport": "replay"}, "file", "needs a file", "answers.jsonl"),
        ({"transport": "replay", "file": "a.jsonl"}, "url", "file in place of a url", None),
        ({"file": "a.jsonl"}, "file", "for the transport replay", None),
        ({"function": "app/f"}, "function", "for the transport modal", None),
        ({"transport": "modal", "function": "app/f"}, "function", "both url and function are given", "keep one"),
        ({"transport": "modal", "function": "f"}, "function", "'f' is not the name of a deployed function", "APP/"),
        ({"transport": "modal", "url": ""}, "url", "transport modal needs a url", None),
        ({"url": ""}, "url", "transport openai needs a url", None),
        ({"url": "ftp://x"}, "url", "not an http(s) address: 'ftp://x'", "http://127.0.0.1:8000/v1"),
        ({"url": "localhost:80"}, "url", "not an http(s) address", None),
        ({"url": "http://"}, "url", "not an http(s) address", None),
        ({"url": "http://x:99999"}, "url", "not an http(s) address", None),
        ({"url": "http://x:0"}, "url", "not an http(s) address", None),
        ({"url": '"http://x\\ny"'}, "url", r"control character '\n'", None),
        ({"url": "http://x y"}, "url", "not an http(s) address", None),
        ({"models": "[]"}, "models", "must not be empty", None),
        ({"models": "{}"}, "models", "must not be empty", None),
        ({"models": "m"}, "models", "expected a map, found 'm'", None),
        ({"models": "[m, m]"}, "models[1]", "model 'm' stands twice", "keep one"),
        ({"models": "[m, 5]"}, "models[1]", "expected the name of a model, found 5", None),
        ({"models": "[m, [a]]"}, "models[1]", "expected the name of a model, found ['a']", None),
        ({"models": "[m, 'a b']"}, "models[1]", "'a b' is not a model name", None),
        ({"models": "{m: ''}"}, "models.m", "must not be empty", None),
        ({"models": '{m: "a\\0"}'}, "models.m", r"control character '\x00'", None),
        ({"echoes": "{n: [x]}"}, "echoes.n", "'n' is not among models", "known: m"),
        ({"echoes": "{m: x}"}, "echoes.m", "expected a list, found 'x'", "[x]"),
        ({"concurrency": "0"}, "concurrency", "must be at least 1, found 0", None),
        ({"concurrency": "many"}, "concurrency", "expected a whole number, found 'many'", None),
        ({"region_header": '"X-Region: us"'}, "region_header", "not the name of an HTTP header", "X-Region"),
        ({"upstream_header": '"X\\r\\nEvil"'}, "upstream_header", "not the name of an HTTP header", None),
        ({"cold_start": "6 minutes"}, "cold_start", "not a duration: '6 minutes'", "300s"),
        ({"cold_start": ".nan"}, "cold_start", "expected a finite number, found nan", None),
        ({"keep_warm": "prewram"}, "keep_warm", "unknown value 'prewram'", "did you mean 'prewarm'?"),
        ({"cost": "{input_per_mtok: -1}"}, "cost.input_per_mtok", "must be at least 0, found -1", None),
        (
            {"cost": "{input_per_mtok: .inf}"},
            "cost.input_per_mtok",
            "expected a finite number, found inf",
            None,
        ),
        ({"cost": "{input: 1}"}, "cost.input", "unknown key 'input'", "did you mean 'input_per_mtok'?"),
        (
            {"api_key_file": "k", "api_key_env": "K"},
            "api_key_file",
            "both api_key_env and api_key_file",
            "keep one",
        ),
        ({"stream": "yes"}, "stream", "expected true or false, found 'yes'", None),
        ({"modles": "[m]"}, "modles", "unknown key 'modles'", "did you mean 'models'?"),
    ],
)
def test_a_bad_provider_is_named_with_its_path_value_and_a_hint(
    changes: dict[str, str], path: str, what: str, todo: str | None
) -> None:
    fault = faults_of(with_provider(**changes))[f"providers[0].{path}"]
    assert what in fault.what
    assert todo is None or todo in str(fault.todo)


@pytest.mark.parametrize(
    "changes",
    [
        {"api_key": "hush-4711"},
        {"token": "hush-4711"},
        {"api_key_env": "hush-4711"},
        {"url": "http://user:hush-4711@host/v1"},
        {"url": "http://host/v1?key=hush-4711"},
        {"url": "ftp://user:hush-4711@host"},
    ],
)
def test_a_secret_in_the_file_is_refused_and_never_shown(changes: dict[str, str]) -> None:
    with pytest.raises(DocumentError) as caught:
        parse_fleet(with_provider(**changes), "fleet.yaml")
    assert "hush-4711" not in caught.value.explain()


def test_where_a_key_belongs_is_said() -> None:
    fault = faults_of(with_provider(api_key="hush"))["providers[0].api_key"]
    assert "api_key_env" in str(fault.todo)


def test_names_are_unique_in_the_fleet() -> None:
    text = with_provider() + "\n  - {name: a, region: eu, transport: openai, url: 'http://x', models: [m]}"
    fault = faults_of(text)["providers[1].name"]
    assert "provider name 'a' stands twice" in fault.what


def test_a_fleet_without_providers_is_refused() -> None:
    assert "must not be empty" in faults_of("schema: beacon.fleet/v1\nproviders: []")["providers"].what
    assert "required" in faults_of("schema: beacon.fleet/v1")["providers"].what


def test_only_the_provider_of_the_very_model_and_region_serves_a_cell() -> None:
    fleet = read(
        PROVIDER,
        {**PROVIDER, "name": "b", "region": "US-East", "models": ["n", "m"]},
        {**PROVIDER, "name": "c", "region": "eu", "models": ["m"]},
    )
    assert [p.name for p in fleet.serving("m", "us")] == ["a", "b"]
    assert [p.name for p in fleet.serving("n", "us")] == ["b"]
    assert [p.name for p in fleet.serving("m", "eu")] == ["c"]
    assert fleet.serving("n", "eu") == ()
    assert fleet.regions == ("us", "eu")
    assert fleet.models == ("m", "n")


def test_a_provider_may_state_its_own_name_for_a_model_or_a_listed_one_and_no_other() -> None:
    provider = Provider.model_validate({**PROVIDER, "echoes": {"m": ["m-2409"]}})
    assert provider.accepts_echo("m", "vendor/m")
    assert provider.accepts_echo("m", "m-2409")
    assert not provider.accepts_echo("m", "m")
    assert not provider.accepts_echo("m", "vendor/M")


@pytest.mark.parametrize(
    ("prices", "tokens", "dollars"),
    [
        ((1.0, 2.0), (500_000, 250_000), 1.0),
        ((0.0, 0.0), (None, None), 0.0),
        ((1.0, 2.0), (None, 10), None),
        ((1.0, 2.0), (10, None), None),
        ((None, 2.0), (0, 10), None),
        ((1.0, None), (10, 0), None),
    ],
)
def test_an_unknown_price_or_count_makes_the_cost_unknown_and_not_zero(
    prices: tuple[float | None, float | None], tokens: tuple[int | None, int | None], dollars: float | None
) -> None:
    cost = Cost(input_per_mtok=prices[0], output_per_mtok=prices[1]).of(*tokens)
    assert cost == (None if dollars is None else pytest.approx(dollars))
