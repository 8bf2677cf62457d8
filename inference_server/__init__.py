"""The server half: decode, answer, refine. Batches across streams; gRPC, REST, metrics."""
