"""The page in a real browser."""

from __future__ import annotations

import contextlib
import queue
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx2
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from artoveq import Client, Progressive
from artoveq.processes import ServerProcess, server_process
from tests import tiny
from tests.browser.pages import DESK, PHONE, accessible, opened
from tests.conftest import MODEL, PICTURES
from wire.artifact import Artifact
from wire.generated import remote_inference_pb2 as pb
from wire.generated.remote_inference_pb2_grpc import RemoteInferenceServiceStub
from wire.pictures import read_picture

pytestmark = pytest.mark.browser
TOKEN = "0123456789abcdef0123456789abcdef"
ADMIN = {"Authorization": f"Bearer {TOKEN}"}
VIEWS = ("edges", "server", "models", "try")


@contextlib.contextmanager
def edges_of(server: ServerProcess, artifact: Artifact, names: list[str]) -> Iterator[None]:
    """Streams that have sent a picture each, and stay."""
    ends: list[queue.Queue[pb.StreamRequest | None]] = []
    calls = []  # which end when nobody holds them
    with contextlib.ExitStack() as stack:
        for i, name in enumerate(names):
            if i % 50 == 0:  # calls of a connection are limited
                options = [("grpc.use_local_subchannel_pool", 1)]
                stub = RemoteInferenceServiceStub(stack.enter_context(grpc.insecure_channel(server.address, options)))
            said: queue.Queue[pb.StreamRequest | None] = queue.Queue()
            said.put(pb.StreamRequest(hello=pb.Hello(fingerprint=artifact.manifest.fingerprint, name=name)))
            data = bytes(artifact.manifest.points[0].payload_bytes)
            said.put(pb.StreamRequest(payload=pb.Payload(picture_id=1, point=1, data=data, packed=True)))
            call = stub.Stream(iter(said.get, None))
            next(response for response in call if response.HasField("answer"))
            ends.append(said)
            calls.append(call)
        yield
        for said in ends:
            said.put(None)


def test_versions_are_shown_with_their_shares_memory_and_figures(browser: Browser, tmp_path: Path) -> None:
    one, two = (tiny.progressive(tmp_path / f"{n}" / "dogs", coded=bool(n)) for n in range(2))
    (tmp_path / "admins").write_text(f"me:{TOKEN}\n")
    (tmp_path / "admins").chmod(0o600)
    room = 9 * sum(file.stat().st_size for file in one.folder.glob("*coder.onnx"))  # for one of them alone
    options = ("--set", f"admin_tokens_file={tmp_path / 'admins'}", "--set", f"models_memory_bytes={room}")
    with server_process(one.folder, *options) as server, edges_of(server, one, ["gate"]):
        page = opened(browser, server, "models")
        rows, cards = page.locator("#versions tr"), page.locator("#models .model")
        expect(rows).to_have_count(1)
        expect(rows.first).to_contain_text(re.compile(r"^tiny-dogs100 % current[.\d]+ MB11"))
        expect(cards).to_have_count(1)
        with httpx2.Client(base_url=f"http://127.0.0.1:{server.http_port}", headers=ADMIN, timeout=60) as http:
            while http.post("/v1/models", json={"folder": str(two.folder)}).status_code == 429:
                time.sleep(0.5)  # the other one was asked a moment ago
            http.post("/v1/promotions", json={"fingerprint": two.manifest.fingerprint, "share": 0.1}).raise_for_status()
        expect(rows.first).to_contain_text(f"{one.manifest.fingerprint[:8]})90 % current")
        expect(rows.last).to_contain_text(f"{two.manifest.fingerprint[:8]})10 % canary")
        expect(page.locator("#versions")).to_contain_text(re.compile(r"not loaded"))
        expect(cards.last.get_by_role("heading")).to_contain_text(two.manifest.fingerprint[:8])
        page.get_by_role("button", name="Edges").click()
        expect(page.locator("#explain")).to_contain_text("canary")
        page.keyboard.press("Escape")
        accessible(page)
        assert page.faults == []  # type: ignore[attr-defined]
        page.close()


def test_where_nobody_is_the_page_says_what_to_do(browser: Browser) -> None:
    with server_process(MODEL) as server:
        page = opened(browser, server)
        hint = f"artoveq watch camera:0 --server {server.address} --report"
        expect(page.locator("#hint")).to_have_text(hint)
        page.evaluate("location.hash = '/edges/999999'")
        expect(page.locator("#view-edge")).to_contain_text("This edge is not known")
        page.get_by_role("link", name="All edges").click()
        expect(page.locator("#view-edges")).to_be_visible()
        page.close()


def test_an_edge_is_watched_from_its_first_picture_to_its_last(browser: Browser, server: ServerProcess) -> None:
    page = opened(browser, server)
    picture = read_picture(PICTURES / "dingo.png")
    with Client(server.address, str(MODEL), name="<b>gate</b>") as client:
        for budget in (5.0, 5.0, 0.0001):  # the last one is late
            client.report(client.predict(picture, Progressive(), budget=budget), picture, thumbnail=True)
        row = page.locator("#edges tbody tr", has_text="<b>gate</b>")  # a name is text, never markup
        expect(row).to_contain_text("67 %")
        expect(row.locator("img")).to_be_visible()
        row.get_by_role("link").click()
        edge = page.locator("#view-edge")
        expect(edge.get_by_role("heading", level=1)).to_have_text("<b>gate</b>")
        expect(edge.locator(".badge")).to_have_text("live")
        expect(edge.locator(".answers li").last).to_contain_text(re.compile(r"^\d+ B"))
        expect(edge.locator(".tiles")).to_contain_text(re.compile("as JPEG [1-9]"))
        expect(edge.get_by_role("region", name="Newest late pictures")).to_contain_text(re.compile(r"\d ms"))
        page.reload()  # the server remembers
        expect(edge.locator(".causes")).not_to_contain_text("None")
        expect(edge).to_contain_text("1 of 3 within the hour")
        edge.get_by_text("1 hour").click()
        expect(edge.locator(".strip")).to_contain_text(re.compile(r"[a-z]+\d+ %"))
        accessible(page)
    expect(edge.locator(".badge")).to_have_text("gone")
    expect(edge).to_contain_text("last seen")
    page.get_by_role("link", name="Edges").last.click()
    expect(row).to_contain_text("(gone)")
    assert page.faults == []  # type: ignore[attr-defined]
    page.close()


def test_two_hundred_edges_are_searched_sorted_and_filtered(
    browser: Browser, server: ServerProcess, artifact: Artifact
) -> None:
    with edges_of(server, artifact, [f"edge-{i:03d}" for i in range(200)]):
        page = opened(browser, server)
        rows = page.locator("#edges tbody tr")
        expect(page.locator("#count")).to_contain_text(re.compile(r"^2\d\d edges"))
        heights = page.evaluate("[...document.querySelectorAll('#edges tbody tr')].map(row => row.offsetHeight)")
        assert len(heights) >= 200 and max(heights) <= 48  # a line each
        page.keyboard.press("/")
        page.keyboard.type("edge-11")
        expect(rows).to_have_count(10)
        expect(rows.first).to_contain_text("edge-110")
        head = page.get_by_role("columnheader", name="Edge", exact=True)
        expect(head).to_have_attribute("aria-sort", "ascending")
        head.get_by_role("button").press("Enter")
        expect(head).to_have_attribute("aria-sort", "descending")
        expect(rows.first).to_contain_text("edge-119")
        page.locator("#filter").get_by_text("Gone").click()
        expect(rows).to_have_count(0)
        expect(page.locator("#nothing")).to_be_visible()
        page.locator("#filter").get_by_text("All").click()
        expect(rows).to_have_count(10)
        assert page.faults == []  # type: ignore[attr-defined]
        page.close()


def test_the_page_says_when_the_server_is_gone_and_recovers(browser: Browser) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    with server_process(MODEL, "--http-port", port) as server, Client(server.address, str(MODEL)) as client:
        page = opened(browser, server)
        client.predict(PICTURES / "dingo.png", budget=1.0)
        row = page.locator("#edges tbody tr")
        expect(row).to_contain_text("dingo")
        server.process.kill()
    expect(page.locator("#outage")).to_contain_text("The server is gone")
    expect(page.locator("#outage")).to_contain_text("as it was at")
    expect(row).to_contain_text("dingo")
    accessible(page)
    with server_process(MODEL, "--http-port", port):
        expect(page.locator("#state")).to_have_text("live")
        expect(page.locator("#outage")).to_be_hidden()
        expect(row).to_have_count(0)
    page.close()


def test_a_token_is_asked_for_once(browser: Browser, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("me: 0123456789abcdef-;=\n")
    monkeypatch.setenv("ARTOVEQ_TOKENS_FILE", str(tmp_path / "tokens"))
    with server_process(MODEL) as server:
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{server.http_port}/")
        expect(page.locator("#state")).to_have_text("A token is wanted.")
        page.get_by_label("Token").fill("wrong")
        page.keyboard.press("Enter")
        expect(page.locator("#access")).to_be_visible()
        page.get_by_label("Token").fill("0123456789abcdef-;=")
        page.keyboard.press("Enter")
        expect(page.locator("#state")).to_have_text("live")
        page.reload()
        expect(page.locator("#state")).to_have_text("live")
        page.evaluate("location.hash = '/try'")
        page.get_by_role("button", name="Dingo, nearer").click()
        expect(page.locator("#verdict")).to_contain_text("dingo")
        page.close()


def test_who_is_one_viewer_too_many_is_told(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARTOVEQ_VIEWERS", "1")
    with server_process(MODEL) as server:
        first, second = opened(browser, server), browser.new_page()
        second.goto(f"http://127.0.0.1:{server.http_port}/")
        expect(second.locator("#outage")).to_contain_text("1 viewers are watching already")
        first.close()
        expect(second.locator("#state")).to_have_text("live")
        second.close()


@pytest.mark.parametrize(("size", "scheme"), [(PHONE, "light"), (DESK, "dark")])
def test_everyone_can_use_it(browser: Browser, server: ServerProcess, size: tuple[int, int], scheme: str) -> None:
    picture = read_picture(PICTURES / "dingo.png")
    with Client(server.address, str(MODEL), name="gate") as client:
        client.report(client.predict(picture, budget=1.0), picture, thumbnail=True)
        page = opened(browser, server, size=size, scheme=scheme)
        expect(page.locator("#edges tbody tr", has_text="gate").first).to_be_visible()
        for view in VIEWS:
            page.evaluate("view => { location.hash = '/' + view }", view)
            expect(page.locator(f"#view-{view}")).to_be_visible()
            if view == "try":
                page.get_by_role("button", name="Dingo", exact=True).click()
                expect(page.locator("#verdict")).to_contain_text("dingo")
            if view == "models":
                page.locator(".model summary").first.click()
            accessible(page)
        assert page.faults == []  # type: ignore[attr-defined]
        page.close()


def test_words_are_explained_where_they_stand(browser: Browser, server: ServerProcess) -> None:
    page = opened(browser, server)
    page.get_by_role("button", name="planes").press("Enter")
    expect(page.locator("#explain")).to_contain_text("one further bit")
    page.keyboard.press("Escape")
    expect(page.locator("#explain")).to_be_hidden()
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
