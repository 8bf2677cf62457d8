"""What is made of what fellows say, in virtual time."""

from __future__ import annotations

from inference_server.streams.fellows import FORGOTTEN_S, SILENT_S, Fellows, word_of


def test_who_goes_on_speaking_counts_and_who_is_silent_does_not() -> None:
    fellows = Fellows()
    words = {b"a": word_of(1, 10), b"dead": word_of(9, 0)}
    assert fellows.hear(words, 0.0) == ([], []), "what is heard first may be old"
    for turn in range(2, 200):
        words[b"a"] = word_of(turn, 10 + turn)
        counts, forgotten = fellows.hear(words, float(turn))
        assert counts == [10 + turn]
        assert forgotten == ([b"dead"] if turn >= FORGOTTEN_S else [])
    last = 199.0
    assert fellows.hear(words, last + SILENT_S - 1.1)[0] == [209]
    assert fellows.hear(words, last + SILENT_S)[0] == []
    assert fellows.hear({}, last + SILENT_S + 1) == ([], [])


def test_words_of_others_count_nothing() -> None:
    fellows = Fellows()
    for turn, word in enumerate([b"", b"x", b"1 -5", b"1 2 3", b"1 \xff", b"1 1e9"]):
        assert fellows.hear({b"a": word}, float(turn)) == ([], [])
