"""The fleet: which providers serve which models in which regions (`beacon.fleet/v1`)."""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from beacon.domain.document import Seconds, load, refuse
from beacon.domain.question import Frozen, Identifier
from beacon.domain.regions import normalise
from beacon.errors import InputError

FLEET_SCHEMA = "beacon.fleet/v1"
KeepWarm = Literal["never", "prewarm", "window", "always"]


class Cost(Frozen):
    """Prices in US dollars. What is not given is unknown, not zero."""

    input_per_mtok: float | None = Field(default=None, ge=0)
    output_per_mtok: float | None = Field(default=None, ge=0)
    warm_per_hour: float | None = Field(default=None, ge=0)

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
    """An endpoint that serves some models in one region."""

    name: Identifier
    region: str
    transport: Literal["openai", "agent", "modal", "replay"]
    url: str | None = None
    file: str | None = None
    api_key_env: str | None = None
    api_key_file: str | None = None
    models: dict[Identifier, str] = Field(min_length=1)
    echoes: dict[Identifier, tuple[str, ...]] = Field(default_factory=dict)
    concurrency: int = Field(default=8, ge=1, le=10_000)
    stream: bool = True
    region_header: str | None = None
    upstream_header: str | None = None
    cold_start: Seconds = Field(default=0.0, ge=0)
    keep_warm: KeepWarm = "never"
    cost: Cost = Cost()
    simulated: bool = False

    @field_validator("region")
    @classmethod
    def _canonical(cls, region: str) -> str:
        try:
            return normalise(region)
        except InputError as error:
            raise refuse(error.what, error.todo) from None

    @field_validator("models", mode="before")
    @classmethod
    def _models(cls, value: Any) -> Any:
        """A list stands for models that the provider knows by Beacon's own names."""
        if isinstance(value, list):
            if len(set(map(str, value))) != len(value):
                raise refuse("a model stands twice")
            return {name: name for name in value}
        return value

    @field_validator("url")
    @classmethod
    def _http(cls, url: str | None) -> str | None:
        if url is None:
            return None
        try:
            parts = urlsplit(url)
            usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
        except ValueError:
            usable = False
        if not usable:
            raise refuse(f"not an http(s) address: {url!r}", "write for example http://127.0.0.1:8000/v1")
        if parts.username or parts.password:
            raise refuse("an address must not hold credentials", "use api_key_env or api_key_file")
        if parts.query or parts.fragment:
            raise refuse("an address must not have a query or a fragment")
        return url.rstrip("/")

    @model_validator(mode="after")
    def _fits_transport(self) -> Provider:
        if self.transport == "replay":
            if self.file is None:
                raise refuse("a replay provider needs file", "file: answers.jsonl or answers.jsonl.gz")
            if self.url is not None:
                raise refuse("a replay provider takes file in place of url")
        elif self.url is None:
            raise refuse(f"a provider with transport {self.transport} needs url")
        elif self.file is not None:
            raise refuse("file is for the transport replay")
        if self.api_key_env and self.api_key_file:
            raise refuse("both api_key_env and api_key_file are given", "keep one")
        unserved = sorted(set(self.echoes) - set(self.models))
        if unserved:
            raise refuse(f"echoes names {unserved[0]!r}, which is not among its models")
        return self

    @property
    def replayed(self) -> bool:
        return self.transport == "replay"

    def accepts_echo(self, model: str, echoed: str) -> bool:
        """Whether `echoed` is a name under which this provider may state that it served `model`."""
        return echoed == self.models[model] or echoed in self.echoes.get(model, ())


class Fleet(Frozen):
    schema_: Literal["beacon.fleet/v1"] = Field(alias="schema", default="beacon.fleet/v1")
    providers: tuple[Provider, ...] = Field(min_length=1)

    @field_validator("providers")
    @classmethod
    def _unique_names(cls, providers: tuple[Provider, ...]) -> tuple[Provider, ...]:
        seen: set[str] = set()
        for provider in providers:
            if provider.name in seen:
                raise refuse(f"provider name {provider.name!r} stands twice", "give each provider a name of its own")
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
