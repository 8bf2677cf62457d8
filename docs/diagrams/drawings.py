"""What the diagrams show. Columns and rows are character cells; a diagram is named as its function."""

from __future__ import annotations

from docs.diagrams.drawing import Diagram


def how_it_works() -> Diagram:
    """README.md."""
    d = Diagram(
        "how it works",
        "A picture is encoded on the edge into 512 indices; their bits travel plane by plane over a link that changes; "
        "the server decodes after each message and answers again.",
        96,
        15,
    )
    d.text(1, 3.6, "picture")
    d.arrow((9, 4), (12, 4))
    d.box(
        12.5,
        0.5,
        27,
        8,
        "edge_client",
        "encoder (ONNX Runtime)\n512 short vectors, each\nthe index of a codeword\n\n"
        "the point, from capacity\nand budget",
        "green",
    )
    d.box(
        63.5, 0.5, 27, 8, "inference_server", "batcher\n\ndecoder (a GPU where\nthere is one)\n\nprobabilities", "green"
    )
    for row, (words, width) in enumerate((("plane 1", 8), ("planes 2-4", 12), ("planes 5-8", 16))):
        d.bar(43, 1.2 + 1.4 * row, width, 0.5, "blue")
        d.text(43, 1.65 + 1.4 * row, words, "dim")
    d.arrow((40, 6.2), (63, 6.2), colour="blue")
    d.text(42.5, 6.3, "64 … 512 bytes, gRPC", "dim")
    d.text(42.5, 7.3, "a link that changes", "dim")
    d.arrow((77, 8.7), (77, 11), (40, 11), colour="green")
    d.text(41, 9.7, "an answer after each message", "green")
    d.text(4, 10.2, "a first answer\n  a surer one\n    the last one", "text")
    d.text(24, 10.2, "after plane 1\nafter plane 4\nafter plane 8", "dim")
    d.text(4, 13.6, "One trained network, cut in two. What crosses is never a picture.", "dim")
    return d


def watch() -> Diagram:
    """docs/watch.md."""
    d = Diagram(
        "artoveq watch",
        "Of a camera the newest frame is taken, of a folder every file; results go to a terminal, JSON lines, a "
        "webhook or MQTT; while no server answers, pictures wait in a spool.",
        96,
        13,
    )
    d.box(1, 0.5, 23, 3, "camera, video, RTSP", "the newest frame", "green")
    d.box(1, 4.2, 23, 3, "folder", "every file, once each", "green")
    d.arrow((24.5, 2), (31, 3.4))
    d.arrow((24.5, 5.7), (31, 4.2))
    d.box(31.5, 2, 14, 3.6, "edge", "encode\nsend in time")
    d.arrow((46, 3.6), (57, 3.6), colour="blue")
    d.text(47, 2.4, "the link", "dim")
    d.box(57.5, 2, 13, 3.6, "server", "decode\nanswer")
    d.arrow((71, 3.6), (76, 3.6), colour="green")
    d.box(76.5, 0.5, 19, 7, "results", "terminal\nJSON lines\nwebhook\nMQTT\nthe server's page", "green")
    d.arrow((36, 5.8), (36, 9), colour="red")
    d.text(37, 6.6, "no server answers", "red")
    d.box(31.5, 9.2, 22, 3, "--spool FILE", "survives a power cut", "red")
    d.arrow((54, 10.7), (64, 10.7), (64, 5.8), colour="green", dashed=True)
    d.text(65, 9.7, "the link is back: the newest\nfirst, turn by turn with\nnew frames", "dim")
    return d


def receipts() -> Diagram:
    """docs/links.md."""
    d = Diagram(
        "what receipts say",
        "Two messages leave the edge at once; the server's receipts carry its own clock; the time between them is "
        "due to the second message's bits, so that bits over time is the capacity.",
        96,
        13,
    )
    d.text(1, 1, "edge", bold=True)
    d.text(1, 8, "server", bold=True)
    d.line((10, 1.5), (93, 1.5))
    d.line((10, 8.5), (93, 8.5))
    d.bar(12, 1.1, 1, 0.8, "dim")
    d.text(11, 0, "sync probe", "dim")
    d.arrow((13, 2), (20, 8.3), colour="dim")
    d.arrow((21, 8.3), (28, 1.8), colour="dim", dashed=True)
    d.bar(35, 1.1, 6, 0.8, "blue")
    d.bar(41.5, 1.1, 12, 0.8, "blue")
    d.text(35, 0, "planes 1-2, planes 3-6", "blue")
    d.arrow((41, 2), (52, 8.3), colour="blue")
    d.arrow((53.5, 2), (74, 8.3), colour="blue")
    d.arrow((53, 8.3), (60, 1.8), colour="green", dashed=True)
    d.text(60.5, 0, "receipts", "green")
    d.arrow((75, 8.3), (82, 1.8), colour="green", dashed=True)
    d.text(83, 0, "answer", "green")
    d.arrow((62, 9.6), (52, 9.6), colour="red")
    d.arrow((62, 9.6), (74, 9.6), colour="red")
    d.text(54, 10, "bits of planes 3-6 / this time = capacity", "red")
    d.text(12, 10, "what a probe needs is\nthe link's own delay", "dim")
    return d


def families() -> Diagram:
    """docs/rates.md."""
    d = Diagram(
        "what a payload is, by family",
        "Progressive: planes one after the other, each prefix an answer. Nested: one size for all groups. Mixed: a "
        "power of two for each channel group. Rate-adaptive: any size for each group.",
        96,
        16,
    )
    d.text(1, 0.3, "progressive", bold=True)
    for n, colour in enumerate(("green", "green", "green", "blue", "blue", "dim", "dim", "dim")):
        d.bar(18 + 6.2 * n, 0.4, 5.6, 0.9, colour)
    d.text(18, 1.4, "an answer after each; the next ones add to it, no bit is sent twice", "dim")
    d.text(1, 4.1, "nested", bold=True)
    for n in range(8):
        d.bar(18 + 6.2 * n, 4.2, 5.6, 0.9, "green" if n < 3 else "dim")
    d.text(18, 5.2, "8 channel groups, all of K = 8: one block of 192 bytes", "dim")
    d.text(69, 4.1, "K = 2, 4, 8 … 256")
    d.text(1, 7.9, "mixed", bold=True)
    for n, height in enumerate((3, 3, 2, 2, 2, 1, 1, 0)):
        d.bar(18 + 6.2 * n, 8 + 0.3 * (3 - height), 5.6, 0.3 * height + 0.05, "green")
    d.text(18, 9, "1 to 256, a power of two for each group: every 8 bytes", "dim")
    d.text(69, 7.9, "K = 8 8 4 4 4 2 2 1")
    d.text(1, 11.7, "rate-adaptive", bold=True)
    for n, tall in enumerate((3.3, 2.9, 2.6, 2.2, 1.9, 1.5, 1.2, 0.7)):
        d.bar(18 + 6.2 * n, 11.8 + 0.27 * (3.4 - tall), 5.6, 0.27 * tall, "green")
    d.text(18, 13, "1 to 1024, any whole number for each group: nearly every byte", "dim")
    d.text(69, 11.7, "K = 37 21 12 7 5 3 2 1")
    d.text(1, 15, "Channel groups from left to right; of progressive, planes.", "dim")
    return d


def stages() -> Diagram:
    """docs/train.md and docs/recipes.md."""
    d = Diagram(
        "from pictures to an artifact",
        "A folder for each class; three stages of training; export; the artifact holds both halves, and each operating "
        "point's bytes and accuracy.",
        96,
        11,
    )
    d.box(1, 0.5, 15, 5, "your folder", "discs/00.png\nrings/00.png\n…", "green")
    d.arrow((16.5, 3), (20, 3))
    d.box(20.5, 0.5, 16, 5, "stage 1", "the network,\ncut in two,\nno quantiser")
    d.arrow((37, 3), (40, 3))
    d.box(40.5, 0.5, 16, 5, "stage 2", "codewords\nplaced on its\nlatents")
    d.arrow((57, 3), (60, 3))
    d.box(60.5, 0.5, 16, 5, "stage 3", "both together,\nat a fine and\na coarse point")
    d.arrow((77, 3), (80, 3))
    d.box(80.5, 0.5, 15, 5, "export", "measure each\npoint on test\npictures")
    d.arrow((88, 5.7), (88, 7.2))
    d.box(
        20.5,
        7.4,
        75,
        3,
        "models/NAME",
        "manifest.json   encoder.onnx (edge)   decoder.onnx (server)   entropy.u16",
        "green",
    )
    return d


def deployment() -> Diagram:
    """docs/deploy.md."""
    d = Diagram(
        "what runs where",
        "Edges speak gRPC on port 50051; browsers, programs and Prometheus speak HTTP on port 8080 of the same server.",
        96,
        13,
    )
    d.box(1, 0.5, 26, 5, "edge (Python 3.10+)", "artoveq watch\nONNX Runtime, no torch\namd64, arm64", "green")
    d.box(1, 6.8, 26, 5, "callers without an edge", "curl, browsers\nPrometheus\nload balancers' checks")
    d.arrow((27.5, 3), (51, 3), colour="blue")
    d.text(30, 1.7, "50051  gRPC", "blue")
    d.arrow((27.5, 9), (51, 9), colour="blue")
    d.text(30, 7.7, "8080  HTTP: page,", "blue")
    d.text(36, 9.2, "REST, /metrics,\n/readyz", "blue")
    d.box(
        51.5,
        0.5,
        20,
        11.3,
        "artoveq serve",
        "one process\n\nno root, read-only\nfiles, 2 GiB\n\nends within 5 s\nof SIGTERM",
        "green",
    )
    d.arrow((72, 3), (77, 3))
    d.box(77.5, 0.5, 18, 5, "decoder", "a GPU where\nthere is one, or\nONNX Runtime")
    d.arrow((77, 9), (72, 9))
    d.box(77.5, 6.8, 18, 5, "models/NAME", "the edge fetches\nits encoder from\nhere, by hash")
    return d


def trust() -> Diagram:
    """docs/security.md."""
    d = Diagram(
        "what is checked, and where",
        "A stranger meets limits of connections, calls and messages before the token is asked for; a caller meets "
        "rates, shares and checks of each field; an edge checks what a server gives it.",
        96,
        13.5,
    )
    d.text(1, 0.4, "from outside", bold=True)
    d.arrow((14, 0.9), (18, 0.9), colour="red")
    d.box(
        18.5, 0, 23, 6, "1  before it is known", "connections, calls\n64 KiB a message\n20 s to say hello\nTLS", "red"
    )
    d.arrow((42, 3), (45, 3))
    d.box(45.5, 0, 23, 6, "2  who is it", "token or certificate\n50 tries a second\nof a host without", "red")
    d.arrow((69, 3), (72, 3))
    d.box(
        72.5,
        0,
        23,
        6,
        "3  what it may take",
        "rates and shares of\neach caller\nevery field checked\nbefore use",
        "green",
    )
    d.text(1, 8, "from a server", bold=True)
    d.arrow((15, 8.5), (18, 8.5), colour="red")
    d.box(
        18.5,
        7.5,
        36,
        5.5,
        "the edge: no server is trusted",
        "hashes, fingerprint, sizes, time\ngraphs looked through: no external\ndata, no loops, bounded memory",
        "green",
    )
    d.arrow((55, 10.2), (59, 10.2))
    d.box(
        59.5,
        7.5,
        36,
        5.5,
        "the server: no model is trusted",
        "the same for decoder.onnx; of\ndecoder.pt2 numbers and known\noperators alone, no pickle",
        "green",
    )
    return d


def planes() -> Diagram:
    """docs/wire.md."""
    d = Diagram(
        "indices as planes",
        "Five sub-vectors with three bits each. Plane 1 holds the highest bit of all five, plane 2 the next, plane 3 "
        "the last; each is filled up to a whole byte.",
        96,
        11,
    )
    indices = (5, 2, 7, 0, 3)
    d.text(1, 0.3, "sub-vector m", "dim")
    d.text(1, 1.6, "index, K = 8", "dim")
    for m, index in enumerate(indices):
        d.text(17 + 5 * m, 0.3, str(m), "dim")
        d.text(17 + 5 * m, 1.6, str(index), bold=True)
    for p, colour in ((1, "green"), (2, "blue"), (3, "red")):
        row = 2.2 + 1.8 * p
        d.text(1, row, f"plane {p}", colour)
        bits = "".join(str(index >> (3 - p) & 1) for index in indices)
        for m, bit in enumerate(bits):
            d.text(17 + 5 * m, row, bit, colour)
        d.arrow((40, row + 0.5), (46, row + 0.5), colour=colour)
        d.text(47, row, bits + "000", colour)
        d.text(58, row, f"= {int(bits + '000', 2):02X}", colour, bold=True)
        d.text(
            66, row, ("after it: 2 codewords, point 1", "4 codewords, point 2", "8 codewords, point 3")[p - 1], "dim"
        )
    d.text(17, 9.7, "A block is all planes of its point; a run is some of them, in order.", "dim")
    return d


def seams() -> Diagram:
    """docs/extend.md."""
    d = Diagram(
        "five seams",
        "Backbone, codebook and task meet in training and make an artifact; the edge has a rate policy and a "
        "transport; the server has the task again.",
        96,
        12.5,
    )
    d.text(1, 0.2, "training", bold=True)
    d.box(12, 0, 26, 3, "Backbone", "the network, cut in two", "green")
    d.box(40, 0, 22, 3, "Codebook", "vectors to indices", "green")
    d.box(64, 0, 22, 3, "Task", "loss, metric, answer", "green")
    d.arrow((49, 3.2), (49, 4.8))
    d.box(12, 5, 74, 1.8, "artifact: both halves, the operating points, what each costs and gives")
    d.arrow((20, 7), (20, 8.4))
    d.arrow((75, 7), (75, 8.4))
    d.text(1, 8.7, "edge", bold=True)
    d.box(12, 8.6, 16, 3.2, "RatePolicy", "what is sent", "green")
    d.arrow((28.5, 10.2), (32, 10.2))
    d.box(32.5, 8.6, 20, 3.2, "Transport", "gRPC, in memory, …", "green")
    d.arrow((53, 10.2), (65, 10.2), colour="blue")
    d.box(65.5, 8.6, 20.5, 3.2, "Task, again", "output to answer", "green")
    d.text(87, 8.7, "server", bold=True)
    return d


def draining() -> Diagram:
    """docs/operate.md."""
    d = Diagram(
        "a server that stops",
        "At SIGTERM health says no; for the notice it still takes new work; then it finishes what was begun, for the "
        "drain at most; what is open then is cut off.",
        96,
        9,
    )
    columns = {"serving": (1, 20, "green"), "notice, 0 s unless set": (21.5, 25, "blue")}
    columns |= {"drain, 2 s at most": (47, 25, "blue"), "cut off, 1.5 s": (72.5, 23, "red")}
    said = (
        "/readyz 200\nSERVING",
        "/readyz 503\nNOT_SERVING\nnew work is taken",
        "new work is refused,\nedges are told to move,\nwhat was begun is answered",
        "the rest: UNAVAILABLE\nor 503, and a sentence",
    )
    for (name, (column, width, colour)), words in zip(columns.items(), said, strict=True):
        d.text(column, 0.4, name, colour)
        d.bar(column, 1.6, width, 0.9, colour)
        d.text(column, 3, words, "dim")
    d.arrow((21.2, 7.6), (21.2, 6.2), colour="red")
    d.text(16, 7.7, "SIGTERM or SIGINT; a second one ends it at once", "red")
    return d


ALL = (how_it_works, watch, receipts, families, stages, deployment, trust, planes, seams, draining)
