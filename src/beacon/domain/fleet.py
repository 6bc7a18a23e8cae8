"""The fleet: which providers serve which models in which regions (`beacon.fleet/v1`)."""

from __future__ import annotations

from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field, GetJsonSchemaHandler, field_validator, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from beacon.domain.document import load
from beacon.domain.faults import refuse, show
from beacon.domain.frozen import Frozen
from beacon.domain.names import suggest
from beacon.domain.scalars import (
    EnvironmentVariable,
    FunctionName,
    HeaderName,
    Identifier,
    LongLine,
    ModelName,
    Number,
    RegionName,
    Seconds,
    Whole,
    YesOrNo,
)

FLEET_SCHEMA = "beacon.fleet/v1"
MAX_PROVIDERS = 1_000
MAX_MODELS = 1_000
KeepWarm = Literal["never", "prewarm", "window", "always"]

_KEY_HINT = "name a variable with api_key_env or a file with api_key_file; the key itself never stands in a fleet"


class Cost(Frozen):
    """Prices in US dollars. What is not given is unknown, not zero."""

    input_per_mtok: Number | None = Field(default=None, ge=0)
    output_per_mtok: Number | None = Field(default=None, ge=0)
    warm_per_hour: Number | None = Field(default=None, ge=0)

    def of(self, input_tokens: int | None, output_tokens: int | None) -> float | None:
        """Cost of one answer in dollars, or None where a price or a count is unknown."""
        pairs = ((self.input_per_mtok, input_tokens), (self.output_per_mtok, output_tokens))
        total = 0.0
        for price, count in pairs:
            if price is None or (count is None and price > 0):
                return None
            total += price * (count or 0) / 1_000_000
        return total


class Provider(Frozen):
    """An endpoint that serves some models in one region.

    `function` names a deployed function of Modal, as APP/FUNCTION, in place of a `url`.
    `concurrency` is how many requests it may have at once; while it refuses some, the limit adapts, down to
    `min_concurrency`.
    With the transport `gateway` the `url` is a gateway's, up to and with /v1, which has a provider of this `name`.
    `models` maps Beacon's name of a model to the provider's; `echoes` lists further names that the provider
    may state for it. `warm_window` is how long a provider with `keep_warm: window` is kept warm after its last
    inference.
    """

    key_hints: ClassVar[dict[str, str]] = dict.fromkeys(
        ("api_key", "apikey", "key", "token", "secret", "password", "authorization"), _KEY_HINT
    )

    name: Identifier
    region: RegionName
    transport: Literal["openai", "agent", "modal", "replay", "gateway"]
    url: LongLine | None = None
    file: LongLine | None = None
    function: FunctionName | None = None
    api_key_env: EnvironmentVariable | None = None
    api_key_file: LongLine | None = None
    models: dict[ModelName, LongLine] = Field(min_length=1, max_length=MAX_MODELS)
    echoes: dict[ModelName, tuple[LongLine, ...]] = Field(default_factory=dict)
    concurrency: Whole = Field(default=8, ge=1, le=10_000)
    min_concurrency: Whole = Field(default=1, ge=1, le=10_000)
    stream: YesOrNo = True
    region_header: HeaderName | None = None
    upstream_header: HeaderName | None = None
    cold_start: Seconds = Field(default=0.0, ge=0, le=86_400)
    keep_warm: KeepWarm = "never"
    warm_window: Seconds = Field(default=3600.0, ge=0, le=86_400)
    cost: Cost = Cost()
    simulated: YesOrNo = False

    @field_validator("models", mode="before")
    @classmethod
    def _models(cls, value: Any) -> Any:
        """A list stands for models that the provider knows by Beacon's own names."""
        if not isinstance(value, list):
            return value
        names: dict[str, str] = {}
        for index, name in enumerate(value):
            if not isinstance(name, str):
                raise refuse(f"expected the name of a model, found {show(name)}", at=(index,))
            if name in names:
                raise refuse(f"model {show(name)} stands twice", "keep one of the two", at=(index,))
            names[name] = name
        return names

    @field_validator("url")
    @classmethod
    def _http(cls, url: str | None) -> str | None:
        if url is None:
            return None
        example = "write for example http://127.0.0.1:8000/v1"
        # A part of an address that may hold a secret is never shown.
        if "@" in url:
            raise refuse("an address must not hold credentials", "use api_key_env or api_key_file")
        if "?" in url or "#" in url:
            raise refuse("an address must not have a query or a fragment", example)
        try:
            parts = urlsplit(url)
            usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
        except ValueError:
            usable = False
        if not usable or any(character.isspace() for character in url):
            raise refuse(f"not an http(s) address: {show(url)}", example)
        return url.rstrip("/")

    @model_validator(mode="after")
    def _fits_transport(self) -> Provider:
        self._names_its_place()
        if self.api_key_env and self.api_key_file:
            raise refuse("both api_key_env and api_key_file are given", "keep one", at=("api_key_file",))
        if self.min_concurrency > self.concurrency:
            what = f"min_concurrency is {self.min_concurrency}, more than the concurrency, {self.concurrency}"
            raise refuse(what, "lower it", at=("min_concurrency",))
        for model in self.echoes:
            if model not in self.models:
                raise refuse(f"{model!r} is not among models", suggest(model, self.models), at=("echoes", model))
        return self

    def _names_its_place(self) -> None:
        """A url, or what the transport takes in its place."""
        if self.transport == "replay":
            if self.file is None:
                todo = "write for example file: answers.jsonl, relative to the fleet file"
                raise refuse("a replay provider needs a file", todo, at=("file",))
            if self.url is not None:
                raise refuse("a replay provider takes a file in place of a url", "leave it out", at=("url",))
        elif self.transport == "modal" and self.function is not None:
            if self.url is not None:
                raise refuse("both url and function are given", "keep one", at=("function",))
        elif self.url is None:
            raise refuse(f"a provider with transport {self.transport} needs a url", at=("url",))
        if self.function is not None and self.transport != "modal":
            raise refuse("a function is for the transport modal", "leave it out", at=("function",))
        if self.file is not None and self.transport != "replay":
            raise refuse("a file is for the transport replay", "leave it out", at=("file",))

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The schema with the list form of `models` beside the map."""
        schema = handler.resolve_ref_schema(handler(core))
        by_name = schema["properties"]["models"]
        (pattern,) = by_name["patternProperties"]
        names = {
            "type": "array",
            "items": {"type": "string", "pattern": pattern},
            "minItems": by_name["minProperties"],
            "maxItems": by_name["maxProperties"],
            "uniqueItems": True,
        }
        models = {"title": by_name["title"], "anyOf": [names, by_name]}
        return {**schema, "properties": {**schema["properties"], "models": models}}

    @property
    def replayed(self) -> bool:
        return self.transport == "replay"

    def accepts_echo(self, model: str, echoed: str) -> bool:
        """Whether `echoed` is a name under which this provider may state that it served `model`."""
        return echoed == self.models[model] or echoed in self.echoes.get(model, ())


class Fleet(Frozen):
    """The configured providers."""

    schema_: Literal["beacon.fleet/v1"] = Field(alias="schema", default="beacon.fleet/v1")
    providers: tuple[Provider, ...] = Field(min_length=1, max_length=MAX_PROVIDERS)

    @field_validator("providers")
    @classmethod
    def _unique_names(cls, providers: tuple[Provider, ...]) -> tuple[Provider, ...]:
        seen: set[str] = set()
        for index, provider in enumerate(providers):
            if provider.name in seen:
                what = f"provider name {provider.name!r} stands twice"
                raise refuse(what, "give each provider a name of its own", at=(index, "name"))
            seen.add(provider.name)
        return providers

    @property
    def regions(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(p.region for p in self.providers))

    @property
    def models(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(m for p in self.providers for m in p.models))

    def serving(self, model: str, region: str) -> tuple[Provider, ...]:
        return tuple(p for p in self.providers if p.region == region and model in p.models)


def parse_fleet(text: str, source: str) -> Fleet:
    """Raises DocumentError."""
    return load(Fleet, text, source)
