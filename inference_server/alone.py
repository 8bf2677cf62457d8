"""What a server does by itself; a worker does it together with the others (`workers.worker`)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from inference_server.decoder import Decoder, open_decoder, pictures_within
from inference_server.settings import Settings
from inference_server.shared_answers import SharedAnswers, shared_answers
from wire.artifact import Artifact
from wire.manifest import Manifest

if TYPE_CHECKING:
    from inference_server.deployment import Deployment
    from inference_server.management import Management
    from inference_server.streams.streams import Streams


class Alone:
    """The one process that there is."""

    shares_ports = False
    """Whether other processes listen on them, too."""

    def decoder(self, artifact: Artifact, settings: Settings) -> Decoder:
        """A model's decoder.

        Raises:
            SettingsError: if it has none for this runtime.
        """
        return open_decoder(artifact, settings.decoder_threads, settings.decoder, settings.precision)

    def caller_pictures(self, decoder: Decoder, manifest: Manifest, settings: Settings) -> int:
        """How many pictures one caller may have in a batch while others are about."""
        return pictures_within(settings.caller_batch_ms / 1000, decoder, manifest, settings.batch_pictures)

    def shared_answers(self, settings: Settings) -> SharedAnswers | None:
        """Answers that are remembered together with others; None where nobody else remembers."""
        return shared_answers(settings)

    def edge_numbers(self) -> Iterator[int]:
        """What edges are called on the page: nobody else gives the same number."""
        return itertools.count(1)

    async def told(self, viewer: str, edge: int | None, own: dict[str, Any]) -> dict[str, Any]:
        """What a viewer of the page, of one edge or of all, is told by all processes; own: by this one."""
        return own

    def management(self, own: Management, deployment: Deployment, streams: Streams) -> Management:
        """What changes the models wherever they are served; own: in this process alone."""
        return own
