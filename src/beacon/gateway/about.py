"""What a gateway tells of itself: models, providers, the fleet as runners see it, whether it is ready."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from beacon.domain.fleet import Fleet
from beacon.gateway.asking import REGION, Headers, Reader
from beacon.mailbox.mailbox import Mailbox
from beacon.router.router import Router

_OWN = frozenset({"url", "file", "function", "api_key_env", "api_key_file", "region_header", "upstream_header"})
"""What concerns the gateway and its providers alone."""


class About:
    paths = frozenset({"/v1/models", "/v1/fleet", "/providers", "/healthz", "/readyz", "/metrics"})

    def __init__(self, router: Router, mailbox: Mailbox, reader: Reader) -> None:
        self._router = router
        self._mailbox = mailbox
        self._reader = reader
        self.stopping = False

    def tell(self, path: str, headers: Headers) -> tuple[int, Any] | None:
        """Status and document; None where there is nothing of that name. Raises Refused for an unknown region."""
        match path:
            case "/v1/models":
                region = self._reader.region(headers[REGION]) if REGION in headers else None
                return 200, {"object": "list", "data": self._models(region)}
            case "/v1/fleet":
                return 200, shared_fleet(self._router.fleet)
            case "/providers":
                return 200, {"providers": [asdict(told) for told in self._router.snapshot()], **self._mailbox.counts()}
            case "/readyz":
                return (503, {"status": "stopping"}) if self.stopping else (200, {"status": "ready"})
        if path.startswith("/v1/models/"):
            wanted = path.removeprefix("/v1/models/")
            found = [model for model in self._models(None) if model["id"] == wanted]
            return (200, found[0]) if found else None
        return None

    async def look(self, provider: str, within_s: float) -> dict[str, Any] | None:
        """What a provider says of itself to a control call, as `Looked` holds it; None where there is none to ask."""
        if provider not in {each.name for each in self._router.fleet.providers}:
            return None
        looked = await self._router.look(provider, within_s)
        if looked is None:
            return None
        return asdict(looked) | {"models": None if looked.models is None else sorted(looked.models)}

    def _models(self, region: str | None) -> list[dict[str, Any]]:
        fleet = self._router.fleet
        told = []
        for model in fleet.models:
            regions = [each for each in fleet.regions if fleet.serving(model, each)]
            if region is None or region in regions:
                told.append({"id": model, "object": "model", "created": 0, "owned_by": "beacon", "regions": regions})
        return told


def shared_fleet(fleet: Fleet) -> dict[str, Any]:
    """The fleet as a runner uses it through this gateway: the same providers by name, each reached through the gateway.

    Addresses, keys and the providers' own names of models stay here. A reader adds the gateway's address.
    """
    providers = []
    for provider in fleet.providers:
        told = provider.model_dump(mode="json", exclude=set(_OWN), exclude_none=True)
        providers.append(told | {"transport": "gateway", "models": list(provider.models)})
    return {"schema": fleet.schema_, "providers": providers}
