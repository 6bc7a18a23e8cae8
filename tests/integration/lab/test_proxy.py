"""The fault proxy, as a client and a server see it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from beacon.errors import DocumentError
from beacon.lab.fleet import open_lab
from beacon.lab.proxy import fault_proxy
from beacon.lab.toxics import Toxic
from beacon.lab.world import parse_world

TEXT = b"0123456789" * 20
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n" + TEXT


class Server:
    """Answers each request after `pause_s`, and counts the requests that it has whole."""

    def __init__(self, pause_s: float = 0.0) -> None:
        self.requests = 0
        self._pause_s = pause_s
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        async with server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.current_task())
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                self.requests += 1
                await asyncio.sleep(self._pause_s)
                writer.write(RESPONSE)
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


async def ask_through(toxics: list[Toxic], server: Server, *, until_s: float = 30.0) -> bytes:
    """All that comes until the connection ends, or until then."""
    async with server.listening() as url, fault_proxy(url, toxics, seed=1) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        received = b""
        try:
            async with asyncio.timeout(until_s):
                while data := await reader.read(65_536):
                    received += data
        except TimeoutError:
            pass
        finally:
            writer.close()
        return received


async def test_without_toxics_everything_passes():
    assert await ask_through([], Server(), until_s=0.5) == RESPONSE


async def test_a_cut_after_bytes_lets_so_many_through():
    assert await ask_through([Toxic(kind="cut", after_bytes=60)], Server()) == RESPONSE[:60]


@pytest.mark.parametrize("toxic", [Toxic(kind="cut", after=0.2), Toxic(kind="cut", idle=0.2)])
async def test_a_cut_in_time_ends_a_silent_connection(toxic):
    server = Server(pause_s=60)
    assert await ask_through([toxic], server) == b""
    assert server.requests == 1


@pytest.mark.parametrize(("kind", "heard"), [("reset_before", 0), ("reset_after", 1)])
async def test_a_reset_comes_before_or_after_the_server_has_the_request(kind, heard):
    server = Server(pause_s=60)
    with pytest.raises(ConnectionResetError):
        await ask_through([Toxic(kind=kind)], server)
    assert server.requests == heard


async def test_a_black_hole_accepts_and_is_silent():
    server = Server()
    assert await ask_through([Toxic(kind="black_hole")], server, until_s=0.3) == b""
    assert server.requests == 0


async def test_a_duplicated_response_comes_twice():
    assert await ask_through([Toxic(kind="duplicated")], Server(), until_s=0.5) == RESPONSE * 2


@pytest.mark.parametrize("toxic", [Toxic(kind="latency", seconds=0.2), Toxic(kind="bandwidth", bytes_per_second=800)])
async def test_latency_and_bandwidth_delay_and_lose_nothing(toxic):
    began = asyncio.get_running_loop().time()
    assert await ask_through([toxic, Toxic(kind="cut", after_bytes=len(RESPONSE) - 1)], Server()) == RESPONSE[:-1]
    assert asyncio.get_running_loop().time() - began >= 0.25


async def test_which_connections_are_struck_depends_on_the_seed_alone():
    toxic = Toxic(kind="black_hole", rate=0.5, first_connections=40)

    async def struck(seed: int) -> list[bool]:
        found = []
        async with Server().listening() as url, fault_proxy(url, [toxic], seed=seed) as proxy:
            for _ in range(44):
                before = proxy.struck["black_hole"]
                _, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
                while proxy.connections <= len(found):
                    await asyncio.sleep(0.001)
                found.append(proxy.struck["black_hole"] > before)
                writer.close()
        return found

    once, again, other = await struck(1), await struck(1), await struck(2)
    assert once == again != other
    assert 8 <= sum(once) <= 32
    assert not any(once[40:])


@pytest.mark.parametrize(
    ("toxic", "said"),
    [
        ("{kind: latency}", "needs seconds"),
        ("{kind: cut}", "exactly one of after, idle and after_bytes"),
        ("{kind: cut, after: 1s, idle: 1s}", "exactly one of"),
        ("{kind: black_hole, seconds: 1s}", "seconds does not belong to toxics of kind black_hole"),
        ("{kind: blackhole}", "black_hole"),
    ],
)
def test_toxics_that_make_no_sense_are_refused(toxic, said):
    with pytest.raises(DocumentError) as caught:
        parse_world(f"schema: beacon.world/v1\nname: test\nrules: [{{network: [{toxic}]}}]\n", "w")
    assert said in caught.value.explain()


def test_a_network_that_depends_on_the_model_is_refused():
    text = "schema: beacon.world/v1\nname: t\nrules: [{when: {models: [mistral-7b]}, network: [{kind: duplicated}]}]\n"
    with pytest.raises(DocumentError, match="network is a matter of the region"):
        parse_world(text, "w")


async def test_a_world_has_a_network_by_region_which_its_own_records_pass_by(tmp_path):
    path = tmp_path / "world.yaml"
    path.write_text(
        "schema: beacon.world/v1\nname: test\nmodels: {m: m}\n"
        "rules: [{when: {regions: [eu]}, network: [{kind: reset_after}]}]\n"
    )
    with open_lab(str(path), regions=("us", "eu")) as lab:
        body = {"model": "m", "messages": [{"role": "user", "content": "Why?"}]}
        async with aiohttp.ClientSession() as session:
            async with session.post(f"{lab.url('us')}/v1/chat/completions", json=body) as response:
                assert response.status == 200
            with pytest.raises(aiohttp.ClientError):
                await session.post(f"{lab.url('eu')}/v1/chat/completions", json=body)
        async with asyncio.timeout(30):
            while len(await lab.requests()) < 2:
                await asyncio.sleep(0.01)
        assert [row["region"] for row in await lab.requests()] == ["us", "eu"]
