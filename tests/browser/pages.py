"""The page, opened in a browser as somebody looks at it."""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from artoveq.processes import ServerProcess
from inference_server.server import Server

PHONE, DESK = (360, 740), (1440, 900)


def opened(
    browser: Browser,
    server: ServerProcess | Server,
    view: str = "",
    size: tuple[int, int] = DESK,
    scheme: str = "light",
) -> Page:
    """A view of the page, which fails the test where it writes an error to the console."""
    page = browser.new_page(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)  # type: ignore[arg-type]
    page.set_default_timeout(20000)
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(f"http://127.0.0.1:{server.http_port}/#/{view}")
    expect(page.locator("#state")).to_have_text("live")
    page.faults = faults  # type: ignore[attr-defined]
    return page


def accessible(page: Page) -> None:
    """Without findings, and without a second way to scroll."""
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    width = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert width[0] <= width[1], "the page scrolls sideways"
