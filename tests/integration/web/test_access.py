"""Who may do what, where keys are configured."""

from __future__ import annotations

from hashlib import sha256

import httpx
import pytest

from beacon.errors import InputError
from beacon.store import jobs
from beacon.web.access import KEY_VARIABLE, SESSION_S, Access, Key, Person, Role, read_portal_keys
from beacon.web.app import WRONG_KEYS, create_app
from beacon.web.gate import CHANGES, COOKIE, needed
from beacon.web.rates import Rate
from tests.integration.web.conftest import BASE
from tests.integration.web.scene import CLOCK, FLEET, Scene, StoreActions
from tests.integration.web.test_guard import token_in

KEYS = {role: f"a-long-key-of-the-{role.word}" for role in Role}


class Still:
    """A clock that goes when it is told to."""

    now = 0.0

    def wall(self) -> float:
        return CLOCK.wall()

    def monotonic(self) -> float:
        return self.now


def access_keys() -> list[Key]:
    return [Key(Person(f"{role.word}-ann", role), sha256(key.encode()).digest()) for role, key in KEYS.items()]


def browser(database, *, public: bool = False, host: str = "127.0.0.1") -> httpx.AsyncClient:
    app = create_app(
        database,
        actions=StoreActions(database),
        fleet=lambda: FLEET,
        clock=Still(),
        keys=access_keys(),
        public=public,
        hosts={host},
    )
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE.replace("127.0.0.1", host))


async def sign_in(client: httpx.AsyncClient, key: str, to: str = "/jobs") -> httpx.Response:
    page = await client.get("/sign-in")
    return await client.post("/sign-in", data={"token": token_in(page.text), "key": key, "to": to})


def bearer(role: Role) -> dict[str, str]:
    return {"Authorization": f"Bearer {KEYS[role]}"}


async def test_without_a_key_pages_lead_to_the_sign_in_and_the_api_says_401(database, spec):
    scene = await Scene.begin(database, spec)
    async with browser(database) as client:
        response = await client.get("/jobs?q=x")
        assert (response.status_code, response.headers["location"]) == (303, "/sign-in?back=%2Fjobs%3Fq%3Dx")
        for request in (client.get("/api/v1/jobs"), client.post(f"/api/v1/jobs/{scene.job_id}/cancel")):
            refused = await request
            assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
            assert refused.json()["status"] == 401
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/static/x/portal.css")).status_code == 200
        wrong = await client.get("/api/v1/jobs", headers={"Authorization": "Bearer a-wrong-key-of-length"})
        assert wrong.status_code == 401


async def test_signing_in_leads_back_and_signing_out_ends_the_session(database):
    async with browser(database) as client:
        wrong = await sign_in(client, "not this one")
        assert (wrong.status_code, "Nobody has this key" in wrong.text) == (401, True)
        assert COOKIE not in client.cookies
        done = await sign_in(client, KEYS[Role.VIEWER], to="/fleet")
        assert (done.status_code, done.headers["location"]) == (303, "/fleet")
        assert (await sign_in(client, KEYS[Role.VIEWER], to="//evil.example")).headers["location"] == "/jobs"
        session = client.cookies[COOKIE]
        page = (await client.get("/jobs")).text
        assert "viewer-ann, viewer" in page
        assert 'data-role="viewer"' in page
        await client.post("/sign-out", data={"token": token_in(page)})
        client.cookies.set(COOKIE, session, domain="127.0.0.1")
        assert (await client.get("/jobs")).status_code == 303


@pytest.mark.parametrize(("host", "secure"), [("127.0.0.1", False), ("beacon.example", True)])
async def test_a_session_s_cookie_is_out_of_reach_and_beyond_loopback_secure(database, host, secure):
    async with browser(database, host=host) as client:
        page = await client.get("/sign-in")
        form = {"token": token_in(page.text), "key": KEYS[Role.VIEWER]}
        # A browser keeps a Secure cookie for HTTPS, which ends at a proxy before this server.
        cookie = page.headers["set-cookie"].split(";")[0]
        done = await client.post("/sign-in", data=form, headers={"Cookie": cookie})
        told = done.headers["set-cookie"].lower()
        assert told.startswith(COOKIE)
        assert "httponly" in told
        assert "samesite=lax" in told
        assert ("secure" in told) is secure


@pytest.mark.parametrize(
    ("path", "role"),
    [
        ("/measurements", Role.VIEWER),
        ("/jobs", Role.SUBMITTER),
        ("/api/v1/jobs", Role.SUBMITTER),
        ("/jobs/x/cancel", Role.SUBMITTER),
        ("/executions/x/label", Role.SUBMITTER),
        ("/fleet/us-a/pause", Role.OPERATOR),
        ("/something/new", Role.OPERATOR),
    ],
)
def test_what_changes_something_needs_its_role(path, role):
    assert needed("POST", path) is role
    assert needed("GET", path) is Role.VIEWER


@pytest.mark.parametrize("role", list(Role))
async def test_a_role_does_what_it_may_and_no_more(database, spec, role):
    scene = await Scene.begin(database, spec)
    async with browser(database) as client:
        assert (await client.get("/api/v1/jobs", headers=bearer(role))).status_code == 200
        cancelled = await client.post(f"/api/v1/jobs/{scene.job_id}/cancel", headers=bearer(role))
        assert cancelled.status_code == (202 if role >= Role.SUBMITTER else 403)
        assert ((await database.read(jobs.get, scene.job_id)).stop_kind is not None) is (role >= Role.SUBMITTER)
        await sign_in(client, KEYS[role])
        form = {"token": token_in((await client.get("/fleet")).text)}
        paused = await client.post("/fleet/us-a/pause", data=form)
        assert paused.status_code == (303 if role >= Role.OPERATOR else 403)
        assert ("takes the role operator" in paused.text) is (role < Role.OPERATOR)


async def test_a_public_portal_is_read_without_a_key_and_nothing_else(database, spec):
    scene = await Scene.begin(database, spec)
    async with browser(database, public=True) as client:
        page = await client.get(f"/jobs/{scene.job_id}")
        assert page.status_code == 200
        assert "/sign-in" in page.text
        refused = await client.post(f"/jobs/{scene.job_id}/cancel", data={"token": token_in(page.text)})
        assert refused.status_code == 403
        assert (await database.read(jobs.get, scene.job_id)).stop_kind is None


async def test_keys_cannot_be_guessed_at_will(database):
    async with browser(database) as client:
        answers = [(await sign_in(client, f"wrong {n}")).status_code for n in range(WRONG_KEYS)]
        assert answers == [401] * WRONG_KEYS
        late = await sign_in(client, KEYS[Role.OPERATOR])
        assert late.status_code == 429
        assert int(late.headers["retry-after"]) >= 1


async def test_one_person_does_not_change_things_without_end(database):
    async with browser(database) as client:
        for _ in range(CHANGES):
            assert (await client.post("/api/v1/jobs/none/cancel", headers=bearer(Role.OPERATOR))).status_code == 404
        refused = await client.post("/api/v1/jobs/none/cancel", headers=bearer(Role.OPERATOR))
        assert refused.status_code == 429
        other = await client.post("/api/v1/jobs/none/cancel", headers=bearer(Role.SUBMITTER))
        assert other.status_code == 404


def test_a_bucket_fills_again():
    rate = Rate(2, 60)
    assert [rate.wait_s("a", 0.0) for _ in range(3)] == [0, 0, 30]
    assert rate.wait_s("b", 0.0) == 0
    assert rate.wait_s("a", 30.0) == 0
    assert rate.wait_s("a", 31.0) == pytest.approx(29)


def test_a_session_ends_by_itself():
    clock = Still()
    access = Access(access_keys(), clock)
    session = access.sign_in(KEYS[Role.VIEWER])
    assert access.person(None, session) == Person("viewer-ann", Role.VIEWER)
    clock.now = SESSION_S
    assert access.person(None, session) is None


def test_keys_are_read_from_file_and_environment(tmp_path):
    file = tmp_path / "keys"
    digest = sha256(b"the-key-of-bo-is-long").hexdigest()
    file.write_text(f"# who\nviewer ann the-key-of-ann-is-long\n\nsubmitter bo sha256:{digest}\n")
    access = Access(read_portal_keys({KEY_VARIABLE: "the-key-of-all-is-long"}, file), CLOCK)
    found = {who: access.person(f"Bearer the-key-of-{who}-is-long", None) for who in ("ann", "bo", "all")}
    assert found == {
        "ann": Person("ann", Role.VIEWER),
        "bo": Person("bo", Role.SUBMITTER),
        "all": Person("operator", Role.OPERATOR),
    }
    assert access.person("Basic the-key-of-ann-is-long", None) is None


@pytest.mark.parametrize(
    "text",
    ["", "viewer ann", "king ann a-secret-that-is-long", "viewer ann a-secret", "viewer ann sha256:a-secret",
     "viewer a a-secret-that-is-long\nviewer b a-secret-that-is-long"],
)  # fmt: skip
def test_a_key_file_that_is_wrong_is_refused_without_telling_a_key(tmp_path, text):
    file = tmp_path / "keys"
    file.write_text(text)
    with pytest.raises(InputError) as caught:
        read_portal_keys({}, file)
    assert "secret" not in str(caught.value)
