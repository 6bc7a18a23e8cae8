"""Waking a provider for a job, and keeping it awake between jobs, by control calls alone.

The lightest request that wakes a container is the one that runs no inference: the list of its models. While it
starts, no inference is sent to it, so none is answered with a 503; then all that waited go at once.
"""

from __future__ import annotations

import asyncio

from beacon.domain.fleet import KeepWarm
from beacon.router.health import KNOWN_WARM_S, ProviderState
from beacon.router.lane import Lane
from beacon.router.transports.control import Looked, Looks

WAKING: frozenset[KeepWarm] = frozenset({"prewarm", "window", "always"})
KEEP_EVERY_S = KNOWN_WARM_S / 2
"""How often an idle provider is called within its window: twice in the shortest time after which platforms stop one."""
LATE_S = 5.0
"""How much longer than its expected start, and two probes of it, a provider is called: its start begins only when the
first call reaches it, and the `Retry-After` it tells has whole seconds."""

_UP = frozenset({ProviderState.WARM, ProviderState.UNKNOWN})


def wants_waking(lane: Lane) -> bool:
    """Whether a job that needs this provider is to wake it: it can be cold, and nobody is waking it yet."""
    health, now = lane.health, lane.clock.monotonic()
    policy = lane.provider.keep_warm in WAKING and isinstance(lane.transport, Looks)
    return policy and health.may_be_cold(now) and not health.waking


def hold(lane: Lane) -> None:
    """From now on no inference is sent to it, until `wake` has ended."""
    lane.health.wake(lane.clock.monotonic())
    lane.follow_start()


async def wake(lane: Lane) -> None:
    """Calls a provider that is held until it is there, or is late.

    If it is late, or cannot be told by such calls, real requests find out. Cancelling it lifts the hold.
    """
    trouble: str | None = None
    starting = True
    try:
        async with asyncio.timeout(lane.provider.cold_start + 2 * lane.health.probe_pause_s + LATE_S):
            while not lane.removed:
                looked = await _look(lane)
                if looked.awake:
                    lane.health.woken(lane.clock.monotonic())
                    return
                trouble, starting = _why(lane, looked), looked.starting
                if not starting:
                    return
                await asyncio.sleep(looked.retry_after_s or lane.health.probe_pause_s)
    except TimeoutError:
        trouble = trouble or f"{lane.provider.name} did not wake within its cold_start, {lane.provider.cold_start:g} s"
    finally:
        if lane.health.waking:
            lane.health.not_woken(lane.clock.monotonic(), trouble, starting=starting)
        lane.follow_start()


async def keep(lane: Lane) -> None:
    """Calls an idle provider now and then, for as long as its window lasts after its last inference."""
    used_at = lane.clock.monotonic()
    while True:
        await asyncio.sleep(KEEP_EVERY_S)
        now = lane.clock.monotonic()
        used_at = max(used_at, lane.health.used_at)
        if now - used_at > lane.provider.warm_window:
            return
        if lane.health.idle_for(now) >= KEEP_EVERY_S and lane.health.state(now) in _UP:
            looked = await _look(lane)
            if looked.awake:
                lane.health.woken(lane.clock.monotonic())


async def _look(lane: Lane) -> Looked:
    wire = lane.wire
    assert isinstance(wire.transport, Looks)
    wire.hold()
    try:
        return await wire.transport.look(wire.provider.cold_start)
    finally:
        wire.let_go()


def _why(lane: Lane, looked: Looked) -> str:
    told = looked.trouble or f"answered HTTP {looked.status}" + (f' ("{looked.said}")' if looked.said else "")
    return f"{lane.provider.name} could not be woken by a control call: {told}"
