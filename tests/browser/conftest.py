"""A real Chromium on the portal of a real database, in which nothing may go wrong unseen."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, async_playwright

from beacon.web.app import create_app
from tests.integration.conftest import database, database_url, empty_database, kind_of_database, spec
from tests.integration.web.conftest import served
from tests.integration.web.scene import FLEET, StoreActions

__all__ = ["database", "database_url", "empty_database", "kind_of_database", "spec"]

ARGUMENTS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS = 60_000


@pytest.fixture
def app(database):
    return create_app(database, actions=StoreActions(database), fleet=lambda: FLEET)


@pytest.fixture
async def address(app) -> AsyncIterator[str]:
    async with served(app) as address:
        yield address


@pytest.fixture
async def browser(chromium: Path) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield browser
        await browser.close()


class Complaints:
    """What the browser complained of: errors of scripts, refusals of the policy, dialogs, foreign requests."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def listen(self, page: Page, address: str) -> None:
        def dialog(opened) -> None:
            self.heard.append(f"dialog: {opened.message}")

        def request(sent) -> None:
            if not sent.url.startswith(address):
                self.heard.append(f"request: {sent.url}")

        def console(message: ConsoleMessage) -> None:
            if message.type in {"error", "warning"}:
                self.heard.append(f"console: {message.text}")

        page.on("dialog", dialog)
        page.on("request", request)
        page.on("console", console)
        page.on("pageerror", lambda error: self.heard.append(f"script: {error}"))


@pytest.fixture
async def complaints() -> AsyncIterator[Complaints]:
    """Checked at the end of every test that opens a page."""
    complaints = Complaints()
    yield complaints
    assert complaints.heard == []


@pytest.fixture
async def context(browser, address) -> AsyncIterator[BrowserContext]:
    context = await browser.new_context(base_url=address, viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    yield context
    await context.close()


@pytest.fixture
async def page(context, address, complaints) -> Page:
    page = await context.new_page()
    complaints.listen(page, address)
    return page
