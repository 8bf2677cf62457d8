"""Models that change while a server runs and edges ask: real servers, real edges, and who may do it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from typer.testing import CliRunner

import edge_client.client
from artoveq.cli import app
from edge_client import AsyncClient, OneShot
from inference_server.rollout import place
from tests import tiny
from tests.inference_server.conftest import TOKEN
from tests.inference_server.serving import Running, serving
from wire.artifact import Artifact
from wire.exceptions import AccessDenied, ServerError

ADMIN = {"Authorization": f"Bearer {TOKEN}"}
RED = tiny.picture("red")


@pytest.fixture
def version(tmp_path: Path) -> Artifact:
    """Another one of `progressive`."""
    return tiny.progressive(tmp_path / "progressive", coded=True)


@pytest.fixture
def managed(progressive: Artifact, tokens: Path) -> Iterator[Running]:
    with serving(progressive.folder, admin_tokens_file=tokens) as running:
        yield running


@pytest.fixture
def http(managed: Running) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=managed.url, headers=ADMIN, timeout=60) as client:
        yield client


@pytest.mark.slow
def test_who_is_no_admin_changes_nothing(progressive: Artifact, version: Artifact, managed: Running) -> None:
    asked = {"json": {"folder": str(version.folder)}}
    with serving(progressive.folder) as other:
        refused = httpx2.post(f"{other.url}/v1/models", headers=ADMIN, **asked)  # type: ignore[arg-type]
    assert refused.status_code == 403 and refused.json()["type"] == "urn:artoveq:problem:not-managed"
    for sent in ({}, {"Authorization": f"Bearer {TOKEN}x"}, {"Cookie": f"artoveq_token={TOKEN}"}):
        assert httpx2.post(f"{managed.url}/v1/models", headers=sent, **asked).status_code == 401  # type: ignore[arg-type]
    assert len(httpx2.get(f"{managed.url}/v1/models").json()) == 1


@pytest.mark.slow
def test_what_cannot_be_done_leaves_all_as_it_was(
    progressive: Artifact, version: Artifact, http: httpx2.Client, tmp_path: Path
) -> None:
    before = http.get("/v1/models").json()
    first, second = progressive.manifest.fingerprint, version.manifest.fingerprint
    (version.folder / "encoder.onnx").rename(tmp_path / "away")
    for method, path, body, status, word in [
        ("POST", "/v1/models", {"folder": str(progressive.folder)}, 409, "is served already"),
        ("POST", "/v1/models", {"folder": str(tmp_path / "nowhere")}, 422, "nowhere"),
        ("POST", "/v1/models", {"folder": str(version.folder)}, 422, "encoder.onnx"),
        ("POST", "/v1/promotions", {"fingerprint": second}, 404, second[:12]),
        ("POST", "/v1/promotions", {"fingerprint": first, "share": 0.5}, 409, "is current"),
        ("POST", "/v1/promotions", {"fingerprint": first, "share": 1.5}, 422, "share"),
        ("POST", "/v1/rollbacks", {"name": progressive.manifest.name}, 409, "nothing to go back to"),
        ("POST", "/v1/rollbacks", {"name": "other"}, 404, "other"),
        ("POST", "/v1/removals", {"fingerprint": first}, 409, "promote another one"),
        ("POST", "/v1/removals", {"fingerprint": second}, 404, second[:12]),
    ]:  # fmt: skip
        refused = http.request(method, path, json=body)
        assert refused.status_code == status and word in refused.json()["detail"], refused.text
    assert http.get("/v1/models").json() == before


@pytest.mark.slow
def test_edges_go_over_to_what_is_promoted_and_back(
    progressive: Artifact, version: Artifact, http: httpx2.Client, managed: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two pictures, none of which fails or is sent twice; half of the edges first, the same ones as ever."""
    monkeypatch.setattr(edge_client.client, "ATTEMPTS", 1)
    first, second = progressive.manifest.fingerprint, version.manifest.fingerprint
    name, names = progressive.manifest.name, [f"edge {number}" for number in range(6)]
    chosen = {one for one in names if place(name, f"127.0.0.1\0{one}") < 0.5}
    assert 0 < len(chosen) < len(names)

    async def run() -> None:
        async with contextlib.AsyncExitStack() as stack:
            edges = [await stack.enter_async_context(AsyncClient(managed.address, name=one)) for one in names]
            pinned = await stack.enter_async_context(AsyncClient(managed.address, name="pinned", fingerprint=first))
            own = await stack.enter_async_context(AsyncClient(managed.address, progressive.folder, name="own"))
            going, served = True, 0

            async def follow(edge: AsyncClient) -> None:
                nonlocal served
                while going:
                    answer = (await edge.predict(RED, OneShot(point=4), budget=1.0)).answers[-1]
                    assert answer.classes[0].name == "red"
                    served += 1
                    await asyncio.sleep(0.005)

            async def ask(method: str, path: str, body: dict[str, object] | None = None) -> None:
                answer = await asyncio.to_thread(lambda: http.request(method, path, json=body))
                assert answer.status_code < 300, answer.text

            async def until(has: Callable[[AsyncClient], str], *those: AsyncClient) -> None:
                while not all(one.encoder.manifest.fingerprint == has(one) for one in those or edges):  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
                assert {one.encoder.manifest.fingerprint for one in (pinned, own)} == {first}

            tasks = [asyncio.create_task(follow(one)) for one in (*edges, pinned, own)]
            await ask("POST", "/v1/models", {"folder": str(version.folder)})
            await ask("POST", "/v1/promotions", {"fingerprint": second, "share": 0.5})
            await until(lambda edge: second if names[edges.index(edge)] in chosen else first)
            async with AsyncClient(managed.address, name=min(chosen)) as late:  # is told when it has come
                await until(lambda _: second, late)
            await ask("POST", "/v1/rollbacks", {"name": name})
            await until(lambda edge: first)
            await ask("POST", "/v1/promotions", {"fingerprint": second})
            await until(lambda edge: second)
            shown = {one["fingerprint"]: one for one in (await asyncio.to_thread(http.get, "/v1/models")).json()}
            assert shown[second]["current"] and shown[second]["share"] == 1 and shown[second]["streams"] >= len(edges)
            going = False
            await asyncio.gather(*tasks)
            shown = {one["fingerprint"]: one for one in (await asyncio.to_thread(http.get, "/v1/models")).json()}
            assert sum(one["pictures"] for one in shown.values()) == served > 50
            await ask("POST", "/v1/removals", {"fingerprint": first})
            await edges[0].predict(RED, OneShot(point=4))
            with pytest.raises(ServerError, match="start both with the same model"):
                await own.predict(RED, OneShot(point=4))

    asyncio.run(asyncio.wait_for(run(), 100))
    assert [one["fingerprint"] for one in http.get("/v1/models").json()] == [second]


@pytest.mark.slow
def test_the_command_does_what_http_does(progressive: Artifact, version: Artifact, managed: Running) -> None:
    first, second = progressive.manifest.fingerprint, version.manifest.fingerprint

    def models(*given: str, token: str = TOKEN) -> list[dict[str, object]]:
        command = ["models", *given, "--page", managed.url, "--token", token, "--json"]
        found: list[dict[str, object]] = json.loads(CliRunner().invoke(app, command, catch_exceptions=False).output)
        return found

    assert [one["fingerprint"] for one in models()] == [first]
    assert len(models("add", str(version.folder))) == 2
    assert [one["share"] for one in models("promote", second[:8], "--share", "0.25")] == [0.75, 0.25]
    assert [one["share"] for one in models("rollback", progressive.manifest.name)] == [1, 0]
    models("promote", second)
    assert [one["fingerprint"] for one in models("remove", first[:8])] == [second]
    with pytest.raises(AccessDenied, match="does not know the token"):
        models("rollback", progressive.manifest.name, token="x" * 20)
    with pytest.raises(ServerError, match="nothing to go back to"):
        models("rollback", progressive.manifest.name)
    plain = CliRunner().invoke(app, ["models", "--page", managed.url]).output
    assert second[:12] in plain and "100% current" in plain
