"""Who is answered next: of each caller a token is said in turn, in a thread of its own, as long as somebody waits."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from inference_server.answers import Decoded
from inference_server.speaking.language import Language
from wire.exceptions import ArtoveqError, ServerError, ServerOverloaded
from wire.questions import Question, text_of
from wire.tasks.free_text import Said

log = logging.getLogger(__name__)

MOST = 64
"""Answers that are being said; each keeps some megabytes of what came before."""
PAUSE_S = 1.0
"""After which there may be room again."""
Deliver = Callable[[Decoded | ArtoveqError], None]


@dataclass(eq=False)
class _Talk:
    """An answer that is being said."""

    key: Hashable
    caller: Hashable
    deliver: Deliver
    decoded: Decoded
    """What is answered; its output is what the language model sees."""
    question: Question
    began: float
    parts: Iterator[tuple[Said, bool]] | None = None


class Speech:
    """The answers of one model. Use from the event loop only. language: None while the model is not loaded."""

    def __init__(self) -> None:
        self.language: Language | None = None
        self._wanted: dict[Hashable, object] = {}
        """By picture: the newest state of it that is to be answered."""
        self._callers: OrderedDict[Hashable, deque[_Talk]] = OrderedDict()
        """What can go on, of the caller whose turn is next first."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="artoveq-language")
        self._saying = False
        self._idle = asyncio.Event()

    @property
    def busy(self) -> bool:
        """Whether anything is being said."""
        return self._saying or bool(self._callers)

    def after(self, key: Hashable, caller: Hashable, question: Question, deliver: Deliver) -> Deliver:
        """What takes a picture's newest state once it is decoded, which `deliver` is then given answers to, in parts.

        What is being said of an older state ends.
        """

        def begin(outcome: Decoded | ArtoveqError) -> None:
            if self._wanted.get(key) is not begin:
                return  # nobody waits for this state
            if isinstance(outcome, Decoded) and sum(map(len, self._callers.values())) >= MOST:
                outcome = ServerOverloaded(f"{MOST} answers are being said here; ask again a little later.", PAUSE_S)
            if isinstance(outcome, Decoded):
                talk = self._wanted[key] = _Talk(key, caller, deliver, outcome, question, time.monotonic())
                self._queue(talk)
                self._feed()
            else:
                self.stop(key)
                deliver(outcome)

        self._wanted[key] = begin
        return begin

    def stop(self, key: Hashable) -> None:
        """Nobody waits for this picture any more; a token that is being said is said for nothing."""
        self._wanted.pop(key, None)

    async def finish(self) -> None:
        """Says to its end what has begun; then nothing more."""
        while self.busy:
            self._idle.clear()
            await self._idle.wait()
        self._thread.shutdown()

    def _queue(self, talk: _Talk) -> None:
        self._callers.setdefault(talk.caller, deque()).append(talk)

    def _next(self) -> _Talk | None:
        """Takes one that is still waited for, of the caller whose turn it is."""
        while self._callers:
            caller, talks = self._callers.popitem(last=False)
            talk = talks.popleft()
            if talks:
                self._callers[caller] = talks
            if self._wanted.get(talk.key) is talk:
                return talk
        return None

    def _feed(self) -> None:
        if self._saying:
            return
        talk = self._next()
        if talk is None:
            self._idle.set()
            return
        self._saying = True
        running = asyncio.get_running_loop().run_in_executor(self._thread, self._say, talk)
        running.add_done_callback(lambda outcome: self._said(talk, *outcome.result()))

    def _say(self, talk: _Talk) -> tuple[Decoded | ArtoveqError, bool]:
        """The answer with its next token, and whether it is whole; in the thread."""
        try:
            if talk.parts is None:
                assert self.language is not None, "who speaks is not unloaded"
                talk.parts = self.language.say(talk.decoded.output, text_of(talk.question))
            said, whole = next(talk.parts)
        except Exception as error:  # of one answer; the others go on
            log.exception("The language model failed.")
            return ServerError(f"The language model failed ({error}); the server's log has more."), True
        taken = talk.decoded.decode + time.monotonic() - talk.began
        return replace(talk.decoded, said=said, decode=taken, partial=not whole), whole

    def _said(self, talk: _Talk, outcome: Decoded | ArtoveqError, whole: bool) -> None:
        self._saying = False
        if self._wanted.get(talk.key) is talk:
            if whole:
                self.stop(talk.key)
            else:
                self._queue(talk)
            try:
                talk.deliver(outcome)
            except Exception:  # of one answer; the others get theirs
                log.exception("An answer could not be handed out.")
        self._feed()
