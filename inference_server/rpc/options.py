"""What gRPC itself holds against callers, before any code of ours hears of them."""

from __future__ import annotations

from inference_server.settings import Settings

NEVER = 2**31 - 1
"""Of milliseconds."""


def options(settings: Settings, connections: int, *, shares_port: bool = False) -> list[tuple[str, int]]:
    """Options of the server. connections: that it may have open. shares_port: with other processes."""
    return [
        ("grpc.so_reuseport", int(shares_port)),
        ("grpc.http2.bdp_probe", 0),  # edges would have to answer each probe over their uplink; windows stay at 64 KiB
        ("grpc.max_receive_message_length", settings.message_bytes),
        ("grpc.max_allowed_incoming_connections", connections),
        ("grpc.max_concurrent_streams", settings.connection_calls),
        ("grpc.server_handshake_timeout_ms", _ms(settings.greeting_seconds)),
        ("grpc.http2.settings_timeout", _ms(settings.greeting_seconds)),
        ("grpc.max_connection_idle_ms", _ms(settings.connection_idle_seconds)),
        *(
            [("grpc.max_connection_age_ms", _ms(settings.connection_age_seconds))]
            * bool(settings.connection_age_seconds)
        ),
        ("grpc.max_connection_age_grace_ms", _ms(settings.drain_seconds)),
        ("grpc.keepalive_time_ms", _ms(settings.keepalive_seconds)),
        ("grpc.keepalive_timeout_ms", _ms(settings.keepalive_timeout_seconds)),
        # Edges may ping, too, also between pictures: a link that is dark is found out by nothing else.
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", _ms(settings.ping_seconds)),
    ]


def _ms(seconds: float) -> int:
    return round(1000 * seconds)
