"""The table of the service's README."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.markdown import Row, benchmarks_table, number
from benchmarks.service.scale import scale_table


def _throughput(found: Mapping[str, Any]) -> str:
    served, bare = found["served_pictures_a_second"], found["bare_pictures_a_second"]
    queued = "; ".join(
        f"{q['window_ms']:g} ms: {q['p50_ms']} and {q['p99_ms']} ms" for q in found["queueing_at_half_load"]
    )
    return (
        f"{number(served)} of {number(bare)} pictures a second; in the queue at half load, p50 and p99, with a batch "
        f"window of {queued}"
    )


def _precision(found: Mapping[str, Any]) -> str:
    int8, fp32 = found["int8_pictures_a_second"], found["fp32_pictures_a_second"]
    vnni = "with" if found["vnni"] else "without"
    return f"{number(int8)} pictures a second in int8, {number(fp32)} in fp32, {vnni} VNNI"


def _beside(found: Mapping[str, Any]) -> str:
    ours, theirs = found["pictures_a_second"], found["other_pictures_a_second"]
    return f"{number(ours)} pictures a second, {number(theirs)} at {found['other_commit']}, {len(found['pairs'])} pairs"


def _peers(found: Mapping[str, Any]) -> str:
    return "; ".join(
        f"{name} {number(one['pictures_a_second'])} a second, p99 {one['p99_ms_at_half_load']} ms"
        for name, one in found["servers"].items()
    )


def _workers(found: Mapping[str, Any]) -> str:
    ours, theirs = found["loop_ms_a_picture"], found["other_loop_ms_a_picture"]
    rates = ", ".join(f"{number(one['pictures_a_cpu_second'])} with {one['workers']}" for one in found["workers"])
    return (
        f"the loop has {ours:.3f} ms of work a picture, {theirs:.3f} ms at {found['other_commit']}; {rates} workers, "
        "pictures a CPU second of all processes"
    )


def _wire(found: Mapping[str, Any]) -> str:
    return ", ".join(f"{row['up_per_payload']} with {row['in_flight']}" for row in found["rows"]) + " in flight"


def _fleet(found: Mapping[str, Any]) -> str:
    alone, beside = found["pictures_a_second_alone"], found["pictures_a_second_beside_them"]
    return f"{number(beside)} of {number(alone)} pictures a second; {found['kib_a_stream']} KiB a stream"


def _soak(found: Mapping[str, Any]) -> str:
    return f"{number(found['answered'])} answered, {number(found['hung_up_before_the_answer'])} hung up on"


def _faults(found: Mapping[str, Any]) -> str:
    done = ", ".join(f"{times} × {name}" for name, times in found["faults"].items())
    delivered = found["what_became_of_frames"].get("kept delivered", 0)
    return (
        f"{done}; {number(found['answered'])} answers, {number(found['failed'])} failures (callers that ask again at "
        f"once while nobody answers), {number(delivered)} of {number(found['frames'])} frames kept and delivered"
    )


def _hostile(found: Mapping[str, Any]) -> str:
    return f"{number(found['messages'])} messages, {number(found['garbage_connections'])} connections of garbage"


def _attacks(found: Mapping[str, Any]) -> str:
    floods, edges = found["floods"], found["edges"]
    attacker, server = (sum(one[key] for one in floods.values()) for key in ("attacker_cpu_s", "server_cpu_s"))
    answers = sum(one["answers"] for one in floods.values())
    return (
        f"{len(floods)} floods: {number(answers)} honest answers, {attacker:.0f} s of processor for the attackers and "
        f"{server:.0f} s for the server; {len(edges)} edges beside a hostile server"
    )


def _siege(found: Mapping[str, Any]) -> str:
    return f"{number(found['attacks'])} attacks, {number(found['answered'])} honest answers"


def _replicas(found: Mapping[str, Any]) -> str:
    parts = "; ".join(
        f"{name}: {number(part['failed'])} of {number(part['pictures'])} failed, gap {part['longest_gap_s']} s"
        for name, part in found["parts"].items()
    )
    out, canary = found["parts"]["scale-out"], found["parts"]["canary"]
    streams = ", ".join(map(number, out["streams"]))
    return (
        f"{parts}; streams after scale-out {streams}, fair after {out['fair_after_s']} s; "
        f"{canary['share_when_canary']:.1%} of the edges on the canary"
    )


def _nodes(found: Mapping[str, Any]) -> str:
    streams, left = (", ".join(map(number, found[key])) for key in ("streams", "streams_after_death"))
    came, died = found["scale_out"], found["death"]
    return (
        f"a second replica after {found['second_replica_after_s']} s; streams by replica {streams}, {left} after one "
        f"died; {number(came['failed'])} of {number(came['pictures'])} pictures failed while it came, "
        f"{number(died['failed'])} of {number(died['pictures'])} when it died, gap {died['longest_gap_s']} s"
    )


def _shutdown(found: Mapping[str, Any]) -> str:
    slowest = sorted(found["seconds_to_exit"].items(), key=lambda item: item[1], reverse=True)[:3]
    named = ", ".join(f"{kind.replace('_', ' ')} {seconds:.1f} s" for kind, seconds in slowest)
    return f"{len(found['seconds_to_exit'])} kinds, the slowest: {named}"


ROWS = {
    "throughput": Row(
        "64 streams through gRPC, beside the decoder alone in a process of its own with the same thread and batch, in "
        "turn; then half of that load, at random (Poisson)",
        _throughput,
    ),
    "precision": Row(
        "the same saturation, decoded in int8 beside fp32, in turn: `throughput --precision int8`", _precision
    ),
    "beside": Row("the same saturation, beside the server of an earlier commit, in turn", _beside),
    "peers": Row(
        "the same decoder and pictures behind artoveq, alone and on Ray Serve (64 gRPC streams), and behind LitServe "
        "and FastAPI (HTTP), one after the other; then half of each one's load, at random (Poisson)",
        _peers,
    ),
    "wire": Row("bytes that leave the edge's interface on one stream, for each byte of 64-byte payloads", _wire),
    "fleet": Row("64 busy streams beside 1,000 that say nothing and 1,000 with a picture every 20 s", _fleet),
    "soak": Row("200,000 pictures over 10,000 streams that come and go, one in fifty without a word", _soak),
    "faults": Row(
        "servers killed and stopped, links cut, clocks stepped on both sides, a full disk; six callers and a camera "
        "with a spool",
        _faults,
    ),
    "workers": Row(
        "CPU time of a saturated server: of its event loop a picture, beside an earlier commit's in turn; of all "
        "processes with 1, 2 and 4 workers, in turn",
        _workers,
    ),
    "hostile": Row("messages of every wrong kind, and garbage on both ports", _hostile),
    "attacks": Row(
        "every attack that is known of: floods by callers with and without a token beside an honest one, edges that "
        "meet a hostile server, and what is not allowed or no longer",
        _attacks,
    ),
    "shutdown": Row("SIGTERM with everything half open that a caller can leave so, one server for each", _shutdown),
    "replicas": Row(
        "three servers behind HAProxy with one Redis, 1,000 edges of which 64 are busy: scale-out from 1 to 3, a "
        "rolling update, kill -9 every 5 s for a minute, another version for a tenth of the edges, for all, for none",
        _replicas,
    ),
    "nodes": Row(
        "Ray Serve on two nodes in network namespaces, 24 busy edges: a second replica on the second node, streams "
        "that move to it, the death of that node",
        _nodes,
    ),
    "siege": Row("an hour of honest pictures beside all floods in turn", _siege),
}

TABLES: dict[str, Callable[[], str]] = {"service": lambda: benchmarks_table("service", ROWS), "scale": scale_table}
