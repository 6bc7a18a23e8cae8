"""One provider looked at before a job: what is configured against what it says of itself.

Without a probe no inference runs, and a provider that can be cold is not called at all, since a call would wake it
(invariant free-health). A probe is one small inference of each model.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from pathlib import Path

from beacon.domain.answer import Answer, Inference, Message, Outcome
from beacon.domain.check import Check, error, of_error, ok, warning
from beacon.domain.clock import SystemClock
from beacon.domain.deadline import Deadline
from beacon.domain.fleet import Fleet, Provider
from beacon.domain.names import suggest
from beacon.domain.regions import normalise
from beacon.errors import DocumentError, InputError
from beacon.router.failures import quoted, seconds
from beacon.router.reach import connect, resolve
from beacon.router.router import Router
from beacon.router.transports.control import Looked

PATIENCE_S = 10.0
"""How long the doctor waits for a connection or a control call."""
PROBE_S = 60.0
"""A probe's deadline, beyond a cold start."""
PROBE_TOKENS = 16
SKEW_S = 30.0
"""A clock that is further off is warned of: dates in Retry-After and in logs would mislead."""
QUESTION = "Reply with the word OK."


async def check_provider(
    provider: Provider, *, base: Path, environ: Mapping[str, str], probe: bool = False
) -> list[Check]:
    """Every check of one provider, in the order in which a request meets them. Raises nothing."""
    try:
        router = Router(Fleet(providers=(provider,)), base=base, environ=environ)
    except DocumentError as refused:
        return [of_error("configuration", fault) for fault in refused.faults]
    if provider.url is None:
        return [ok("recording", f"{provider.file} can be read; recorded answers, nobody is asked")]
    if provider.cold_start and not probe:
        left_alone = "it can be cold and is not called, since that would wake it: key, models and region unchecked"
        return [await resolve(provider.url), ok("control call", f"{left_alone}; --probe checks them")]
    reached = await connect(provider.url, PATIENCE_S)
    if reached.unreachable:
        return [reached]
    async with router:
        looked = await router.look(provider.name, PATIENCE_S + provider.cold_start)
        probed = {model: await _probe(router, provider, model) for model in provider.models} if probe else {}
    answered = {model for model, outcome in probed.items() if isinstance(outcome, Answer)}
    told = [] if looked is None else _looked(provider, looked, answered)
    return [reached, *told, *(_probed(provider, model, outcome) for model, outcome in probed.items())]


def probe_cost_usd(provider: Provider) -> float | None:
    """At most, for one probe of each of its models; None where a price is unknown. Recorded answers cost nothing."""
    if provider.replayed:
        return 0.0
    one = provider.cost.of(len(QUESTION), PROBE_TOKENS)
    return None if one is None else one * len(provider.models)


async def _probe(router: Router, provider: Provider, model: str) -> Outcome:
    inference = Inference(
        key=f"doctor.{uuid.uuid4().hex}",
        attempt=1,
        model=model,
        region=provider.region,
        messages=(Message("user", QUESTION),),
        temperature=0.0,
        max_tokens=PROBE_TOKENS,
        top_p=None,
        question_id="doctor",
        language="en",
        repeat=0,
    )
    placement = await router.place(model, provider.region)
    try:
        return await placement.send(inference, Deadline.after(PROBE_S + provider.cold_start, SystemClock()))
    finally:
        placement.release()


def _probed(provider: Provider, model: str, outcome: Outcome) -> Check:
    about = f"probe {model}"
    if not isinstance(outcome, Answer):
        what, _, todo = outcome.message.removeprefix(f"{provider.name} ").rpartition(": ")
        return error(about, what or outcome.message, todo or None, unreachable=outcome.http_status is None)
    echo = f'it calls itself "{quoted(outcome.model_echoed)}"' if outcome.model_echoed else "it states no model"
    said = quoted(outcome.text)[:40] or "(nothing)"
    return ok(about, f'answered "{said}" in {seconds(outcome.duration_ms)}; {echo}')


def _looked(provider: Provider, looked: Looked, answered: set[str]) -> list[Check]:
    call = "its own state" if provider.transport == "agent" else "GET /models"
    source = provider.api_key_env or provider.api_key_file
    words = f' ("{looked.said}")' if looked.said else ""
    if looked.status is None:
        return [error("control call", f"{call}: {looked.trouble}", "its own log tells more", unreachable=True)]
    if looked.status in {401, 403}:
        todo = f"check the key in {source}" if source else "give it a key by api_key_env or api_key_file"
        return [error("key", f"{call} answered HTTP {looked.status}{words}", todo)]
    if 300 <= looked.status < 400:
        todo = "put the final address into the fleet; redirects are not followed"
        return [error("control call", f"{call} answered HTTP {looked.status}, a redirect", todo)]
    if looked.status == 404 and provider.transport == "agent":
        todo = "put the agent's address into the fleet up to and with /v1, as it says when it starts"
        return [error("control call", "no mailbox is at its url (HTTP 404)", todo)]
    if looked.status in {404, 405, 501}:
        what = f"it has no list of models (HTTP {looked.status}): key and model names unchecked"
        return [warning("control call", what, "check its url; `beacon doctor --probe` asks each model once")]
    if looked.status != 200:
        what = f"{call} answered HTTP {looked.status}{words}"
        return [error("control call", what, "its own log tells more", unreachable=looked.status >= 500)]
    accepted = f"accepted on {call}" if source else f"none needed for {call}"
    took = seconds(1000 * looked.elapsed_s)
    return [
        ok("key", f"{accepted}, which took {took}"),
        *_models(provider, looked, answered),
        _region(provider, looked),
        *_clock(looked),
    ]


def _models(provider: Provider, looked: Looked, answered: set[str]) -> list[Check]:
    if not looked.models:
        return [warning("models", "it lists no models: names unchecked", "`beacon doctor --probe` asks each once")]
    checks = []
    for model, name in provider.models.items():
        if name in looked.models:
            continue
        what = f'"{name}" is not in its list'
        if model in answered:
            checks.append(warning("models", f"{what}, though it answers to the name"))
        else:
            checks.append(error("models", what, quoted(suggest(name, looked.models))))
    count = len(provider.models)
    listed = "its model is" if count == 1 else f"all {count} models are"
    return checks or [ok("models", f"{listed} in its list of {len(looked.models)}")]


def _region(provider: Provider, looked: Looked) -> Check:
    if looked.region is None:
        if provider.region_header:
            what = f"no {provider.region_header} on a control call; each answer is checked when it comes"
            return warning("region", what, "see that answers carry the header, or leave region_header out")
        return ok("region", f"{provider.region}, as the fleet declares; it states none")
    try:
        stated = normalise(looked.region)
    except InputError:
        stated = None
    if stated != provider.region:
        todo = "correct the region in the fleet, or the provider: its answers will be refused"
        return error("region", f'it states "{looked.region}" where the fleet says {provider.region}', todo)
    return ok("region", f"it states {looked.region}, as the fleet says")


def _clock(looked: Looked) -> list[Check]:
    if looked.skew_s is None:
        return []
    if abs(looked.skew_s) <= SKEW_S:
        return [ok("clock", "agrees with this machine's")]
    side = "ahead of" if looked.skew_s > 0 else "behind"
    what = f"{abs(looked.skew_s):.0f} s {side} this machine's"
    return [warning("clock", what, "set both by NTP; deadlines do not depend on it, dates in logs do")]
