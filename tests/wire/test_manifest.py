"""Manifests that hold together, and the sentences for those that do not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.wire.manifests import chained, manifest_of, signed, values_of
from wire.exceptions import ArtifactError, PointError
from wire.manifest_json import parse_manifest


def test_points_chain_and_levels() -> None:
    values = values_of([1, 1], [[2, 1], [2, 2], [4, 2], [4, 4]], positions=8, chain=[[0], [1], [0], [1]])
    manifest = parse_manifest(json.dumps(values), "a manifest")
    assert manifest.refinable and manifest.chain == (1, 2, 3, 4)
    assert [point.payload_bytes for point in manifest.points] == [1, 2, 3, 4]
    assert manifest.levels == {1: 2, 2: 4}
    assert manifest.point_of_level(2) == 4
    assert manifest.sub_vectors == 16 and manifest.sub_vectors_of_segments == (8, 8)


def test_whole_levels_stand_beside_a_chain() -> None:
    values = values_of([1, 1], [[2, 1], [4, 1], [2, 2], [4, 2], [4, 4]], positions=8, chain=[[0], [0], [1], [1]])
    manifest = parse_manifest(json.dumps(values), "a manifest")
    assert manifest.chain == (1, 2, 4, 5)
    assert manifest.levels == {1: 3, 2: 5}


def test_so_many_bytes_are_the_best_point_within_them() -> None:
    manifest = manifest_of([1], [[2], [16], [256]], positions=8)
    assert [manifest.point_within(limit) for limit in (0, 1, 3, 4, 7, 8, 1000)] == [1, 1, 1, 1, 1, 1, 1]
    values = values_of([1], [[2], [16], [256]], positions=8)
    for metric, point in zip((0.5, 0.7, 0.6), values["points"], strict=True):
        point["metric"] = metric
    manifest = parse_manifest(json.dumps(signed(values)), "a manifest")
    assert [manifest.point_within(limit) for limit in (0, 1, 3, 4, 7, 8, 1000)] == [1, 1, 1, 2, 2, 2, 2]


def test_of_any_size_so_many_bytes_are_the_point_that_uses_most_of_them() -> None:
    values = values_of([1, 1], [[2, 1], [2, 2], [4, 1], [5, 3]], positions=8, any_size=True)
    for metric, point in zip((0.5, 0.6, 0.7, 0.65), values["points"], strict=True):
        point["metric"] = metric
    manifest = parse_manifest(json.dumps(signed(values)), "a manifest")
    assert [point.payload_bytes for point in manifest.points] == [1, 2, 2, 4]
    assert [manifest.point_within(limit) for limit in (0, 1, 2, 3, 4, 100)] == [1, 1, 3, 3, 4, 4]


def test_a_local_head_is_a_further_key_and_wants_classes() -> None:
    values = values_of([1], [[2]])
    assert parse_manifest(json.dumps(values), "a manifest").local_head is None
    headed = parse_manifest(json.dumps(signed(values | {"local_head": {"metric": 0.7}})), "a manifest").local_head
    assert headed is not None and (headed.metric, headed.temperature) == (0.7, 1.0)
    without = values | {"local_head": {"metric": 0.7}, "task": {"name": "reconstruction", "metric": "psnr"}}
    with pytest.raises(ArtifactError, match="the task reconstruction has none"):
        parse_manifest(json.dumps(signed(without)), "a manifest")


@pytest.mark.parametrize("number", [0, 4, -1])
def test_points_that_do_not_exist(number: int) -> None:
    with pytest.raises(PointError, match=f"Point {number} does not exist; the points of none are 1 to 3"):
        manifest_of([1], [[2], [16], [256]]).point(number)


@pytest.mark.parametrize("level", [0, 2, 9])
def test_levels_that_do_not_exist(level: int) -> None:
    with pytest.raises(PointError, match=f"Level {level} does not exist; none has level 1, 4, 8"):
        manifest_of([1], [[2], [16], [256]]).point_of_level(level)


def broken(**changes: Any) -> dict[str, Any]:
    return {**values_of([1, 1], [[2, 1], [2, 2], [4, 2], [4, 4]], positions=8, chain=[[0], [1], [0], [1]]), **changes}


def deep(levels: int) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for _ in range(levels):
        values = {"x": values}
    return values


POINTS = broken()["points"]
ASKING = {"name": "question answering", "metric": "accuracy"}
QUESTIONS = {"vocabulary": ["is", "it", "red"], "longest": 4, "answers": ["no", "yes"]}
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"points": POINTS[::-1]}, "not in the order of their bytes"),
    ({"points": [{**POINTS[0], "sizes": [2]}, *POINTS[1:]]}, "point 1 has 1 sizes for 2 segments"),
    ({"points": [*POINTS[:3], {**POINTS[3], "sizes": [4, 512]}]}, r"point 4 has the sizes \(4, 512\).*from 1 to 256"),
    ({"points": [{**POINTS[0], "sizes": [0, 2]}, *POINTS[1:]]}, r"point 1 has the sizes \(0, 2\)"),
    ({"points": [{**POINTS[0], "sizes": [1, 1]}, *POINTS[1:]]}, r"point 1 has the sizes \(1, 1\)"),
    ({"points": [{**POINTS[0], "sizes": [3, 1]}, *POINTS[1:]]}, "powers of two"),
    ({"points": [{**POINTS[0], "payload_bytes": 2}, *POINTS[1:]]}, "point 1 takes 1 bytes, not 2"),
    ({"points": []}, "points"),
    ({"planes": [{"segments": [], "payload_bytes": 1}]}, r"planes\.0\.segments"),
    ({"planes": [{"segments": [2], "payload_bytes": 1}]}, "plane 1 refines segments"),
    ({"planes": [{"segments": [0, 0], "payload_bytes": 1}]}, "plane 1 refines segments"),
    ({"planes": [{"segments": [1], "payload_bytes": 1}]}, r"the first 1 planes have the sizes \(1, 2\), which are no"),
    ({"planes": [{"segments": [0], "payload_bytes": 3}]}, "plane 1 takes 1 bytes, not 3"),
    ({"segments": [1, 2]}, "do not share 2 channel groups"),
    ({"latent": {"shape": [3, 8, 1], "d": 2}}, "not made of sub-vectors of 2 channels"),
    ({"surprise": 1}, "surprise"),
    ({"\x1b[2J": 1}, r"\(\\x1b\[2J\)"),
    *(({"files": {name: "0" * 64}}, "files") for name in ("/etc/passwd", "../x", "a/b", "", ".x", "x\n", "x" * 65)),
    *(({"files": {"x": digest}}, "files") for digest in ("", "0" * 63, "G" * 64, "0" * 64 + "\n")),
    ({"files": {f"x{i}": "0" * 64 for i in range(65)}}, "files"),
    *(({"name": name}, "name") for name in ("x" * 257, "\x1b[2Jx", "a\nb")),
    ({"task": {"name": "classification", "metric": "top1", "classes": ["\x1b]0;x\x07"]}}, r"task\.classes"),
    ({"task": {"name": "classification", "metric": "top1", "classes": ["c"] * 65537}}, r"task\.classes"),
    ({"task": ASKING | {"questions": QUESTIONS | {"vocabulary": ["what", "What"]}}}, r"task\.questions\.vocabulary\.1"),
    ({"task": ASKING | {"questions": QUESTIONS | {"vocabulary": ["is"] * 2}}}, "a word is listed twice|task.questions"),
    ({"task": ASKING | {"questions": QUESTIONS | {"answers": []}}}, r"task\.questions\.answers"),
    ({"task": ASKING | {"questions": QUESTIONS | {"longest": 257}}}, r"task\.questions\.longest"),
    ({"task": ASKING}, "has one of `questions` and `free_text` where its task is 'question answering', and only there"),
    ({"task": {"name": "classification", "metric": "top1", "questions": QUESTIONS}}, "and only there"),
    ({"segments": [1] * 257}, "segments"),
    ({"points": [POINTS[0]] * 16385}, "points"),
    ({"planes": [{"segments": [0], "payload_bytes": 1}] * 4097}, "planes"),
    ({"latent": {"shape": [2, 256, 256], "d": 2}, "segments": [1], "points": [POINTS[0]] * 129}, "are too many"),
    ({"latent": {"shape": [1 << 40, 8, 1], "d": 1 << 39}}, r"latent\.d"),
    ({"preprocessing": {"size": 1 << 31}}, r"preprocessing\.size"),
    ({"recipe": deep(15)}, "deeper ones, than any manifest"),
    ({"recipe": {"x": [0] * (1 << 18)}}, "more values, or deeper ones"),
    ({"recipe": {"x": "x" * (1 << 21)}}, r"more than the 2,097,152 of any manifest"),
]


@pytest.mark.parametrize("changes,said", WRONG)
def test_what_does_not_hold_together_is_said(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ArtifactError, match=said):
        parse_manifest(json.dumps(signed(broken(**changes))), "a manifest")


def test_a_manifest_may_be_so_deep() -> None:
    parse_manifest(json.dumps(signed(broken(recipe=deep(13)))), "a manifest")


@pytest.mark.parametrize("version,said", [(1, "`artoveq convert"), (3, "version 3.*install a newer artoveq")])
def test_other_versions(version: int, said: str) -> None:
    with pytest.raises(ArtifactError, match=said):
        parse_manifest(json.dumps({"format_version": version}), "a manifest")


def test_the_fingerprint_is_that_of_canonical_json() -> None:
    """The order of keys and the spelling of numbers are no part of it; this one must never change."""
    values = values_of([1], [[2]])
    assert values["fingerprint"] == signed(dict(reversed(values.items())))["fingerprint"] == FINGERPRINT
    text = json.dumps(values).replace('"metric": 0.5', '"metric": 5.0e-1')
    assert parse_manifest(text, "a manifest").fingerprint == FINGERPRINT


FINGERPRINT = "4ec57fc1e81f5e11954afd7b813e43b65f936126229cc60b74903d1793415a05"


def test_a_changed_manifest_is_noticed() -> None:
    values = {**values_of([1], [[2]]), "name": "another"}
    with pytest.raises(ArtifactError, match="was changed after it was made"):
        parse_manifest(json.dumps(values), "a manifest")


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"format_version": 2}', "[" * 5000, "[" * 1_000_000])
def test_what_is_no_manifest(text: str) -> None:
    with pytest.raises(ArtifactError, match="export the model again"):
        parse_manifest(text, "a manifest")


def test_a_chain_of_any_segments() -> None:
    manifest = chained([2, 1], [[0, 1], [1], [0]], positions=3)
    assert [point.payload_bytes for point in manifest.points] == [2, 3, 4]
    assert [plane.payload_bytes for plane in manifest.planes] == [2, 1, 1]
