"""The page's view where somebody tries a picture of their own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, expect

from artoveq import Client
from artoveq.processes import ServerProcess, server_process
from tests import tiny
from tests.browser.pages import accessible, opened
from tests.conftest import NESTED, PICTURES
from tests.inference_server.conftest import png
from tests.inference_server.serving import serving
from tests.speaking import Spoken
from tests.training.spoken import install_language_model
from wire.pictures import read_picture

pytestmark = pytest.mark.browser


def bytes_of(page: Page) -> int:
    return int(page.locator("#verdict").get_attribute("data-bytes") or 0)


def slide(page: Page, keys: int) -> None:
    """By keyboard, as somebody without a mouse does."""
    expect(page.locator("#bytes")).to_be_enabled()
    page.locator("#bytes").focus()
    for _ in range(abs(keys)):
        page.keyboard.press("ArrowRight" if keys > 0 else "ArrowLeft")


def test_a_dropped_picture_is_answered_and_the_slider_says_what_bytes_buy(
    browser: Browser, server: ServerProcess
) -> None:
    page = opened(browser, server, "try")
    expect(page.locator("#buys")).to_contain_text(re.compile(r"^Point \d+ of 69: \d\d\.\d % right answers"))
    expect(page.locator("#curve-legend")).to_contain_text("WebP, all on the server")
    transfer = page.evaluate_handle(
        "bytes => { const t = new DataTransfer();"
        "t.items.add(new File([new Uint8Array(bytes)], 'dingo.png', {type: 'image/png'})); return t }",
        list((PICTURES / "dingo.png").read_bytes()),
    )
    page.dispatch_event("#drop", "drop", {"dataTransfer": transfer})
    verdict, rows = page.locator("#verdict"), page.locator("#answers li")
    expect(verdict).to_contain_text(re.compile(r"^dingo \d+ %.* \d+ bytes, \d+ ms on the way"))
    expect(page.locator("#jpeg")).to_contain_text("times as much")
    expect(rows.last).to_contain_text(f"{bytes_of(page)} B")
    before = bytes_of(page)
    slide(page, -6)
    expect(verdict).not_to_contain_text(f" {before} bytes")
    fewer = bytes_of(page)
    assert 0 < fewer < before
    page.locator("#link").select_option("2400")
    expect(rows.last).to_contain_text(f"{round(8 * fewer / 2.4)} ms")
    slide(page, 12)
    expect(page.locator("#buys")).to_contain_text("83.6 %")
    expect(verdict).to_contain_text(re.compile(r"^dingo \d\d %.* 300 bytes"))
    assert page.faults == []  # type: ignore[attr-defined]
    page.close()


def test_samples_and_the_camera_are_answered(browser: Browser, server: ServerProcess) -> None:
    page = opened(browser, server, "try")
    expect(page.locator("#samples button")).to_have_count(4)
    page.get_by_role("button", name="Dingo, mirrored").press("Enter")
    expect(page.locator("#verdict")).to_contain_text("dingo")
    page.get_by_role("button", name="Use the camera").click()
    expect(page.locator("#video")).to_be_visible()
    expect(page.locator("#answers li")).to_have_count(1)  # a moving picture is asked about at one point
    page.get_by_role("link", name="Edges").first.click()
    expect(page.locator("#view-try")).to_be_hidden()
    assert page.evaluate("document.getElementById('video').srcObject") is None  # it does not look on
    assert page.faults == []  # type: ignore[attr-defined]
    page.close()


def test_a_model_that_is_not_refinable_is_asked_at_every_point(browser: Browser) -> None:
    with server_process(NESTED) as server:
        page = opened(browser, server, "try")
        page.set_input_files("#file", PICTURES / "dingo.png")
        slide(page, 8)
        expect(page.locator("#verdict")).to_contain_text("dingo")
        expect(page.locator("#answers li")).to_have_count(7)
        slide(page, -8)
        expect(page.locator("#answers li")).to_have_count(1)
        expect(page.locator("#buys")).to_contain_text("Point 1 of 8: 75.8 %")
        page.evaluate("location.hash = '/models'")
        expect(page.locator(".model")).to_contain_text("whole points")
        assert page.faults == []  # type: ignore[attr-defined]
        page.close()


def test_a_picture_given_before_the_model_is_known_is_answered(browser: Browser, server: ServerProcess) -> None:
    page = browser.new_page()
    held: list[Route] = []
    page.route("**/v1/model?*", lambda route: held.append(route))
    page.goto(f"http://127.0.0.1:{server.http_port}/#/try")
    expect(page.locator("#state")).to_have_text("live")
    page.set_input_files("#file", PICTURES / "dingo.png")
    expect(page.locator("#preview")).to_be_visible()
    expect(page.locator("#bytes")).to_be_disabled()
    held[0].continue_()
    expect(page.locator("#verdict")).to_contain_text("dingo")
    page.close()


def test_what_is_no_picture_is_said_to_be_none(browser: Browser, server: ServerProcess) -> None:
    page = opened(browser, server, "try")
    page.set_input_files("#file", {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no picture"})
    expect(page.locator("#verdict")).to_contain_text("notes.txt is not a picture")
    page.close()


def test_under_a_new_picture_there_is_no_old_answer(browser: Browser, server: ServerProcess) -> None:
    page, held = opened(browser, server, "try"), list[Route]()
    expect(page.locator("#buys")).to_contain_text("Point")
    page.set_input_files("#file", PICTURES / "dingo.png")
    expect(page.locator("#verdict")).to_contain_text("dingo")
    page.route("**/v1/predictions/stream*", lambda route: held.append(route))
    page.set_input_files("#file", PICTURES / "fox.png")
    expect(page.locator("#verdict")).to_have_text("Asking the server …")
    expect(page.locator("#answers li")).to_have_count(0)
    held[0].continue_()
    expect(page.locator("#verdict")).to_contain_text("bytes")
    page.close()


def test_a_reconstruction_is_shown_beside_its_original_with_its_bytes(browser: Browser, tmp_path: Path) -> None:
    artifact = tiny.reconstruction(tmp_path / "reconstruction")
    with server_process(artifact.folder) as server:
        page = opened(browser, server, "try")
        expect(page.locator("#buys")).to_contain_text("dB")
        expect(page.locator("#pair")).to_be_hidden()
        slide(page, 4)
        page.set_input_files("#file", PICTURES / "dingo.png")
        made = page.locator("#reconstruction")
        expect(made).to_be_visible()
        expect(page.locator("#verdict")).to_contain_text(re.compile(r"^reconstructed: 80 bytes"))
        expect(page.locator("#reconstruction-bytes")).to_have_text("80 bytes")
        sides = "image => [image.naturalWidth, image.naturalHeight]"
        page.wait_for_function("document.getElementById('reconstruction').naturalWidth > 0")
        assert made.evaluate(sides) == [32, 32]
        assert page.locator("#original").evaluate("canvas => [canvas.width, canvas.height]") == [32, 32]
        slide(page, -4)
        expect(page.locator("#reconstruction-bytes")).not_to_have_text("80 bytes")
        with Client(server.address) as client:
            picture = read_picture(PICTURES / "dingo.png")
            client.report(client.predict(picture, budget=5), picture, thumbnail=True)
            page.evaluate("location.hash = '/edges'")
            page.locator("#edges tbody tr").get_by_role("link").click()
            expect(page.locator("#view-edge .pixels")).to_be_visible()
            expect(page.locator("#view-edge .best")).to_have_text("reconstructed")
        assert not Axe().run(page).response["violations"]
        assert not page.faults  # type: ignore[attr-defined]
        page.close()


def test_a_question_is_asked_about_a_picture(browser: Browser, tmp_path: Path) -> None:
    artifact = tiny.questions(tmp_path / "asked")
    with server_process(artifact.folder) as server:
        page = opened(browser, server, "try")
        verdict, question = page.locator("#verdict"), page.get_by_label("Question")
        expect(page.locator("#buys")).to_contain_text("right answers on the test pictures")
        expect(page.locator("#knows")).to_have_text(
            "In these 6 words: is, it, red, green, what, colour. It answers with one of 6."
        )
        slide(page, 16)
        page.set_input_files("#file", {"name": "red.png", "mimeType": "image/png", "buffer": png("red")})
        expect(verdict).to_have_text("Ask a question about this picture.")
        question.fill("Is it red?")
        question.press("Enter")
        expect(verdict).to_contain_text(re.compile(r"^yes \d+ %"))
        expect(page.locator("#answers li").last).to_contain_text(f"{bytes_of(page)} B")
        question.fill("What colour is it?")
        page.get_by_role("button", name="Ask").click()
        expect(verdict).to_contain_text(re.compile(r"^red \d+ %"))
        page.set_input_files("#file", {"name": "green.png", "mimeType": "image/png", "buffer": png("green")})
        expect(verdict).to_contain_text(re.compile(r"^green \d+ %"))
        accessible(page)
        assert page.faults == []  # type: ignore[attr-defined]
        question.fill("Is it blue?")
        question.press("Enter")
        expect(verdict).to_contain_text("tiny-asked does not know 'blue'")
        with Client(server.address) as client:
            picture = tiny.picture("red")
            client.report(client.ask(picture, "Is it red?", budget=5), picture)
            page.evaluate("location.hash = '/edges'")
            expect(page.locator("#edges tbody tr")).to_contain_text("yes")
            page.locator("#edges tbody tr").get_by_role("link").click()
            expect(page.locator("#view-edge .best")).to_contain_text(re.compile(r"^yes \d+ %"))
        page.close()


@pytest.mark.filterwarnings("ignore")  # of torch's exporter
def test_an_answer_in_free_text_is_shown_as_it_comes(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = install_language_model(tmp_path / "language", monkeypatch)
    with serving(Spoken(tmp_path, base, 48).artifact.folder) as running:
        page = opened(browser, running.server, "try")
        verdict, question = page.locator("#verdict"), page.get_by_label("Question")
        expect(page.locator("#knows")).to_have_text("In any words. It answers in its own.")
        expect(page.locator("#curve-legend")).to_contain_text("this model")
        expect(page.locator("#curve-legend")).not_to_contain_text("WebP")  # which was not measured
        slide(page, 16)
        page.set_input_files("#file", {"name": "red.png", "mimeType": "image/png", "buffer": png("red")})
        expect(verdict).to_have_text("Ask a question about this picture.")
        question.fill("Это красное?")
        question.press("Enter")
        expect(verdict).to_have_text(re.compile(r" \d+ % …$"))
        expect(verdict).to_contain_text(re.compile(r" \d+ %: \d+ bytes, .* on the way"), timeout=60_000)
        expect(page.locator("#answers li").last).to_contain_text(f"{bytes_of(page)} B")
        accessible(page)
        assert page.faults == []  # type: ignore[attr-defined]
        page.close()
