"""The page in a real browser."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

from artoveq import Client, Progressive
from artoveq.processes import ServerProcess, server_process
from tests import tiny
from tests.conftest import MODEL, NESTED, PICTURES
from tests.needs import CHROMIUM
from wire.pictures import read_picture

pytestmark = pytest.mark.browser
expect.set_options(timeout=20000)
PHONE, DESK = (390, 844), (1440, 900)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"]) as running,
    ):
        yield running


def opened(browser: Browser, server: ServerProcess, size: tuple[int, int] = DESK, scheme: str = "light") -> Page:
    """The page, which fails the test where it writes an error to the console."""
    page = browser.new_page(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)  # type: ignore[arg-type]
    page.set_default_timeout(20000)
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(f"http://127.0.0.1:{server.http_port}/")
    expect(page.locator("#state")).to_have_text("live")
    page.faults = faults  # type: ignore[attr-defined]
    return page


def bytes_of(page: Page) -> int:
    return int(page.locator("#verdict").get_attribute("data-bytes") or 0)


def slide(page: Page, slider: str, keys: int) -> None:
    """By keyboard, as somebody without a mouse does."""
    page.locator(slider).focus()
    for _ in range(abs(keys)):
        page.keyboard.press("ArrowRight" if keys > 0 else "ArrowLeft")


def test_a_dropped_picture_is_answered_and_the_bytes_fall_with_the_link(
    browser: Browser, server: ServerProcess
) -> None:
    page = opened(browser, server)
    transfer = page.evaluate_handle(
        "bytes => { const t = new DataTransfer();"
        "t.items.add(new File([new Uint8Array(bytes)], 'dingo.png', {type: 'image/png'})); return t }",
        list((PICTURES / "dingo.png").read_bytes()),
    )
    page.dispatch_event("#drop", "drop", {"dataTransfer": transfer})
    verdict = page.locator("#verdict")
    expect(verdict).to_contain_text(re.compile(r"^dingo \d+ %.* point \d+ of \d+, \d+ bytes"))
    rows = page.locator("#answers li")
    expect(rows).to_have_count(8)
    expect(rows.last).to_contain_text(f"{bytes_of(page)} B")
    most = bytes_of(page)
    slide(page, "#capacity", -25)
    expect(verdict).to_contain_text(re.compile(r"^dingo \d+ %.* 1\d\d bytes"))  # 8 kbit/s for 141 ms are 141 bytes
    fallen = bytes_of(page)
    assert 0 < fallen < most
    expect(rows.last).to_contain_text(f"{fallen} B")
    slide(page, "#budget", 20)
    expect(verdict).not_to_contain_text(f" {fallen} bytes")
    assert bytes_of(page) > fallen
    assert page.faults == []  # type: ignore[attr-defined]
    page.close()


def test_a_model_that_is_not_refinable_is_asked_at_the_point_whose_bytes_fit(browser: Browser) -> None:
    with server_process(NESTED) as server:
        page = opened(browser, server)
        page.set_input_files("#file", PICTURES / "dingo.png")
        expect(page.locator("#verdict")).to_contain_text(re.compile(r"point [2-9]\d* of "))
        slide(page, "#capacity", -50)
        expect(page.locator("#verdict")).to_contain_text(re.compile("point 1 of .* later than the budget"))
        expect(page.locator("#answers li")).to_have_count(1)
        assert page.faults == []  # type: ignore[attr-defined]
        page.close()


def test_the_hint_names_the_port_in_use(browser: Browser, server: ServerProcess) -> None:
    page = opened(browser, server)
    expect(page.locator("#hint")).to_have_text(f"artoveq watch camera:0 --server {server.address} --report")
    page.close()


def test_what_is_no_picture_is_said_to_be_none(browser: Browser, server: ServerProcess) -> None:
    page = opened(browser, server)
    page.set_input_files("#file", {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no picture"})
    expect(page.locator("#verdict")).to_contain_text("notes.txt is not a picture")
    page.close()


def test_under_a_new_picture_there_is_no_old_answer(browser: Browser, server: ServerProcess) -> None:
    page, held = opened(browser, server), list[Route]()
    page.set_input_files("#file", PICTURES / "dingo.png")
    expect(page.locator("#verdict")).to_contain_text("dingo")
    page.route("**/v1/predictions/stream*", lambda route: held.append(route))
    page.set_input_files("#file", PICTURES / "fox.png")
    expect(page.locator("#verdict")).to_have_text("Asking the server…")
    expect(page.locator("#answers li")).to_have_count(0)
    held[0].continue_()
    expect(page.locator("#verdict")).to_contain_text("bytes")
    page.close()


def test_an_edge_appears_and_disappears(browser: Browser, server: ServerProcess) -> None:
    page = opened(browser, server)
    picture = read_picture(PICTURES / "dingo.png")
    with Client(server.address, str(MODEL), name="<b>gate</b>") as client:
        for _ in range(2):
            client.report(client.predict(picture, Progressive(), budget=1.0), picture, thumbnail=True)
        card = page.locator(".edge", has_text="<b>gate</b>")  # a name is text, never markup
        expect(card.locator(".best")).to_contain_text("dingo")
        expect(card.locator(".answers li").last).to_contain_text(re.compile(r"^\d+ B"))
        expect(card.locator(".facts")).to_contain_text(re.compile(r"^2 pictures · point \d+ of \d+, \d+ bytes"))
        expect(card.locator(".costs")).to_contain_text("JPEG")
        expect(card.locator("img:visible")).to_have_count(1)
        expect(card.locator("canvas")).to_be_visible()
    expect(card).to_have_count(0)
    assert page.faults == []  # type: ignore[attr-defined]
    page.close()


def test_the_page_says_when_the_server_is_gone_and_recovers(browser: Browser) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    with server_process(MODEL, "--http-port", port) as server, Client(server.address, str(MODEL)) as client:
        page = opened(browser, server)
        client.predict(PICTURES / "dingo.png", budget=1.0)
        expect(page.locator(".edge .best")).to_contain_text("dingo")
        server.process.kill()
    expect(page.locator("#state")).to_contain_text("The server is gone")
    expect(page.locator(".edge .best")).to_contain_text("dingo")
    expect(page.locator("#count")).to_contain_text("as they were at")
    with server_process(MODEL, "--http-port", port):
        expect(page.locator("#state")).to_have_text("live")
        expect(page.locator(".edge")).to_have_count(0)
        page.set_input_files("#file", PICTURES / "dingo.png")
        expect(page.locator("#verdict")).to_contain_text("dingo")
    page.close()


def test_a_token_is_asked_for_once(browser: Browser, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("me: 0123456789abcdef-;=\n")
    monkeypatch.setenv("ARTOVEQ_TOKENS_FILE", str(tmp_path / "tokens"))
    with server_process(MODEL) as server:
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{server.http_port}/")
        expect(page.locator("#state")).to_have_text("A token is wanted.")
        page.get_by_label("This server wants a token").fill("wrong")
        page.keyboard.press("Enter")
        expect(page.locator("#access")).to_be_visible()
        page.get_by_label("This server wants a token").fill("0123456789abcdef-;=")
        page.keyboard.press("Enter")
        expect(page.locator("#state")).to_have_text("live")
        page.reload()
        expect(page.locator("#state")).to_have_text("live")
        page.set_input_files("#file", PICTURES / "dingo.png")
        expect(page.locator("#verdict")).to_contain_text("dingo")
        assert Axe().run(page).violations_count == 0
        page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESK])
def test_everyone_can_use_it(browser: Browser, server: ServerProcess, size: tuple[int, int], scheme: str) -> None:
    picture = read_picture(PICTURES / "dingo.png")
    with Client(server.address, str(MODEL), name="gate") as client:
        client.report(client.predict(picture, budget=1.0), picture, thumbnail=True)
        page = opened(browser, server, size, scheme)
        page.set_input_files("#file", PICTURES / "dingo.png")
        expect(page.locator("#verdict")).to_contain_text("dingo")
        expect(page.locator(".edge .best")).to_be_visible()
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= size[0], "the page scrolls sideways"
        assert page.faults == []  # type: ignore[attr-defined]
        page.close()


def test_the_description_of_rest_loads_nothing_from_elsewhere(browser: Browser, server: ServerProcess) -> None:
    page, asked, faults = browser.new_page(), [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    origin = f"http://127.0.0.1:{server.http_port}/"
    page.goto(f"{origin}docs")
    expect(page.locator("section h2").first).to_have_text("POST /v1/predictions")
    expect(page.locator("pre").first).to_have_text(f"curl --data-binary @picture.jpg {origin}v1/predictions")
    assert faults == [] and all(url.startswith(origin) for url in asked)
    assert Axe().run(page).violations_count == 0
    page.close()


def test_a_reconstruction_is_shown_beside_its_original_with_its_bytes(browser: Browser, tmp_path: Path) -> None:
    artifact = tiny.reconstruction(tmp_path / "reconstruction")
    with server_process(artifact.folder) as server:
        page = opened(browser, server)
        expect(page.locator("#pair")).to_be_hidden()
        page.set_input_files("#file", PICTURES / "dingo.png")
        made = page.locator("#reconstruction")
        expect(made).to_be_visible()
        expect(page.locator("#verdict")).to_contain_text(re.compile(r"^reconstructed: point 5 of 5, 80 bytes"))
        expect(page.locator("#reconstruction-bytes")).to_have_text("80 bytes")
        sides = "image => [image.naturalWidth, image.naturalHeight]"
        page.wait_for_function("document.getElementById('reconstruction').naturalWidth > 0")
        assert made.evaluate(sides) == [32, 32]
        assert page.locator("#original").evaluate("canvas => [canvas.width, canvas.height]") == [32, 32]
        slide(page, "#capacity", -50)
        expect(page.locator("#reconstruction-bytes")).to_have_text("33 bytes")  # 2 kbit/s for 141 ms are 35
        with Client(server.address) as client:
            picture = read_picture(PICTURES / "dingo.png")
            client.report(client.predict(picture, budget=5), picture, thumbnail=True)
            expect(page.locator(".edge .reconstruction")).to_be_visible()
            expect(page.locator(".edge .best")).to_have_text("reconstructed")
        assert not Axe().run(page).response["violations"]
        assert not page.faults  # type: ignore[attr-defined]
        page.close()
