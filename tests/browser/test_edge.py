"""A browser as an edge: the page at /edge in Chromium, with a camera that Chromium feigns."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from artoveq.processes import ServerProcess
from inference_server.encoder import PictureEncoder
from inference_server.self_signed import fingerprint_of
from tests.conftest import MODEL, NESTED, PICTURES
from tests.inference_server.serving import serving
from tests.needs import CHROMIUM
from wire.artifact import Artifact, load_artifact
from wire.pictures import open_picture

pytestmark = pytest.mark.browser
expect.set_options(timeout=20000)
FIRST_ANSWER_S = 6.0
"""On a machine that runs other tests, too; half of it where nothing else does."""
SAMPLES = sorted(PICTURES.glob("*.png"))
CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
TOKEN = "0123456789abcdef-;=ä"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    arguments = ["--no-sandbox", "--ignore-certificate-errors", *CAMERA]
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=CHROMIUM, args=arguments) as running,
    ):
        yield running


def opened(context: BrowserContext, url: str, state: str = "live") -> Page:
    page = context.new_page()
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.faults = faults  # type: ignore[attr-defined]
    page.goto(f"{url}/edge")
    expect(page.locator("#state")).to_have_text(state)
    return page


def local(server: ServerProcess) -> str:
    return f"http://127.0.0.1:{server.http_port}"


def answered(page: Page, name: str = "") -> None:
    expect(page.locator("#progress")).to_contain_text("final")
    expect(page.locator("#best")).to_contain_text(re.compile(rf"{name}.* \d+ %"))


def by_hand(page: Page, mode: str = "progressive") -> None:
    """At the best point, whatever the link."""
    page.locator("input[name=rule][value=hand]").check()
    page.locator(f"input[name=mode][value={mode}]").check()


def test_indices_are_those_of_other_edges(browser: Browser, server: ServerProcess, artifact: Artifact) -> None:
    encoder, point = PictureEncoder(artifact, threads=1), artifact.manifest.chain[-1]
    with browser.new_context() as context:
        page = opened(context, f"{local(server)}")
        expect(page.locator("#backend")).to_contain_text("WebAssembly")
        for sample in SAMPLES:
            page.evaluate("window.indices = null")  # the picture before may have stood there
            page.set_input_files("#file", sample)
            while page.evaluate("window.indices === null"):  # the page's policy forbids to wait for an expression
                page.wait_for_timeout(50)
            answered(page)
            native = encoder.encode(open_picture(sample.read_bytes()), point)
            np.testing.assert_array_equal(page.evaluate("window.indices"), native, sample.name)
        assert page.faults == []  # type: ignore[attr-defined]


def test_the_first_answer_comes_soon_and_refines_to_what_other_edges_get(
    browser: Browser, server: ServerProcess
) -> None:
    with browser.new_context() as context:
        began = time.monotonic()
        page = opened(context, local(server))
        page.set_input_files("#file", PICTURES / "dingo.png")
        expect(page.locator("#best")).to_contain_text("%")
        took = time.monotonic() - began
        by_hand(page)
        answered(page, "dingo")
        rows = page.locator("#answers tr")
        assert rows.count() > 1
        sizes = [int(row.split(" B")[0]) for row in rows.all_inner_texts()]
        assert sizes == sorted(sizes) and sizes[0] < sizes[-1]
        expect(page.locator("#ours output")).to_have_text(f"{sizes[-1]} B")
        expect(page.locator("#times")).to_contain_text("times fewer than a JPEG")
        assert took < FIRST_ANSWER_S


def test_a_model_that_is_not_refinable_is_asked_for_a_block(browser: Browser) -> None:
    native = PictureEncoder(load_artifact(NESTED), threads=1)
    with serving(NESTED, decoder="onnx") as server, browser.new_context() as context:
        page = opened(context, server.url)
        by_hand(page)
        page.set_input_files("#file", PICTURES / "dingo.png")
        answered(page, "dingo")
        indices = native.encode(open_picture((PICTURES / "dingo.png").read_bytes()), len(native._manifest.points))
        np.testing.assert_array_equal(page.evaluate("window.indices"), indices)
        expect(page.locator("#answers tr")).to_have_count(1)


def test_the_camera_is_answered_again_and_again(browser: Browser, server: ServerProcess) -> None:
    with browser.new_context() as context:
        page = opened(context, local(server))
        page.get_by_role("button", name="Use the camera").click()
        answered(page)
        first = page.evaluate("window.indices")
        page.wait_for_timeout(1500)  # the feigned camera's clock goes on
        assert page.evaluate("window.indices") != first
        page.get_by_role("button", name="Stop the camera").click()
        expect(page.locator("#video")).to_be_hidden()
        assert page.faults == []  # type: ignore[attr-defined]


def test_a_token_is_asked_for_and_used_for_streams_too(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(f"me: {TOKEN}\n")
    with serving(MODEL, decoder="onnx", tokens_file=tmp_path / "tokens") as server, browser.new_context() as context:
        page = opened(context, server.url, "A token is wanted.")
        for token, state in (("wrong", "A token is wanted."), (TOKEN, "live")):
            page.get_by_label("This server wants a token").fill(token)
            page.keyboard.press("Enter")
            expect(page.locator("#state")).to_have_text(state)
        page.set_input_files("#file", PICTURES / "dingo.png")
        answered(page)
        (tmp_path / "tokens").write_text("other: fedcba9876543210\n")
        expect(page.locator("#access")).to_be_visible()
        expect(page.locator("#notice")).to_contain_text("no longer has this token")


def test_outages_and_refusals_are_sentences_and_the_picture_is_sent_in_the_end(browser: Browser) -> None:
    with browser.new_context() as context:
        with serving(MODEL, decoder="onnx", rate_pictures=0.05) as server:
            port = server.server.http_port
            page = opened(context, server.url)
            page.set_input_files("#file", PICTURES / "dingo.png")
            answered(page)
            page.get_by_role("button", name="Send it again").click()
            expect(page.locator("#notice")).to_contain_text("may send 0.05 pictures a second")
        expect(page.locator("#state")).to_have_text("The server is gone. Trying again…")
        expect(page.locator("#notice")).to_contain_text("Pictures are encoded here all the same")
        page.get_by_role("button", name="Send it again").click()
        with serving(MODEL, decoder="onnx", http_port=port):
            expect(page.locator("#state")).to_have_text("live")
            answered(page)
            expect(page.locator("#notice")).to_be_hidden()


def test_the_page_and_its_model_are_there_without_the_server(browser: Browser, server: ServerProcess) -> None:
    with browser.new_context() as context:
        page = opened(context, local(server))
        page.evaluate("navigator.serviceWorker.ready.then(() => true)")
        page.wait_for_function("() => caches.match('v1/models').then(Boolean)")
        context.set_offline(True)
        page.reload()
        expect(page.locator("#state")).to_have_text("The server is gone. Trying again…")
        page.set_input_files("#file", PICTURES / "dingo.png")
        expect(page.locator("#encode")).to_contain_text("ms")
        expect(page.locator("#notice")).to_contain_text("cannot be reached")
        context.set_offline(False)
        expect(page.locator("#state")).to_have_text("live")
        answered(page)


def test_without_the_runtime_the_page_says_so(browser: Browser, server: ServerProcess) -> None:
    with browser.new_context(service_workers="block") as context:
        context.route("**/vendor/ort/*", lambda route: route.fulfill(status=404))
        page = opened(context, local(server), "not ready")
        expect(page.locator("#notice")).to_contain_text("installed without the part that computes in a browser")


def test_a_phone_is_shown_the_way_over_a_certificate_of_the_server_s_own(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with serving(MODEL, decoder="onnx", tls_self_signed=True) as server, browser.new_context() as context:
        page = opened(context, server.url.replace("http", "https"))
        certificate = fingerprint_of(tmp_path / "artoveq" / "tls" / "certificate.pem")
        expect(page.locator("#certificate")).to_have_text(certificate)
        expect(page.locator("#address")).to_contain_text(f":{server.server.http_port}/edge")
        page.goto(f"{page.url}#sha256={certificate.replace(':', '')}")
        page.reload()
        expect(page.locator("#secure")).to_contain_text("The code that you scanned")
        expect(page.locator("#certificate")).to_have_text(certificate)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(360, 780), (1440, 900)])
def test_everyone_can_use_it(browser: Browser, server: ServerProcess, size: tuple[int, int], scheme: str) -> None:
    shown = {"width": size[0], "height": size[1]}
    with browser.new_context(viewport=shown, color_scheme=scheme) as context:  # type: ignore[arg-type]
        page = opened(context, local(server))
        by_hand(page)
        page.set_input_files("#file", PICTURES / "dingo.png")
        answered(page, "dingo")
        expect(page.locator("#ours output")).to_contain_text("B")
        page.wait_for_timeout(300)  # the last row has arrived
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0], "the page scrolls sideways"


def test_pages_may_compute_and_nothing_else(server: ServerProcess, browser: Browser) -> None:
    with browser.new_context() as context:
        for path, computes in (("", False), ("edge", True), ("edge-worker.js", True), ("edge.js", False)):
            policy = context.request.get(f"{local(server)}/{path}").headers["content-security-policy"]
            assert ("'wasm-unsafe-eval'" in policy) == computes and "'unsafe-eval'" not in policy
        runtime = context.request.get(f"{local(server)}/vendor/ort/ort-wasm-simd-threaded.wasm")
        assert runtime.headers["content-type"] == "application/wasm" and runtime.body()[:4] == b"\0asm"
