"""`beacon serve`: beyond loopback only with keys, and with a key the client's commands work."""

from __future__ import annotations

from tests.integration.cli.test_server import served

KEY = "a-long-key-for-this-test-alone"


async def test_beyond_loopback_only_with_keys(ready):
    refused = await ready("serve", "--host", "0.0.0.0", "--port", "0", "--fleet", "lab")
    assert refused.code == 2
    assert "no authentication is configured" in refused.err
    refused = await ready("serve", "--public", "--port", "0", "--fleet", "lab")
    assert refused.code == 2
    assert "--keys" in refused.err


async def test_a_client_sends_its_key(ready):
    ready.write_spec(models=["mistral-7b"])
    (ready.folder / "keys").write_text(f"submitter ann {KEY}\n")
    async with served(ready, "lab", "--keys", str(ready.folder / "keys")) as address:
        refused = await ready("run", "spec.yaml", "--server", address, "--json")
        assert refused.code == 2
        assert "who asks is not known" in refused.err
        ready.environment["BEACON_PORTAL_KEY"] = KEY
        ran = await ready("run", "spec.yaml", "--server", address, "--json")
        assert ran.code == 0, ran.err
