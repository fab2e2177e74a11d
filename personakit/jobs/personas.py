"""The personas that a journal knows, since no service lists its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import attrs

from personakit.errors import invalid
from personakit.jobs.engine import JOURNAL_TIME, Engine, deadline_in, in_time
from personakit.models import Persona, Track, TrackRef
from personakit.validation import expect


@attrs.frozen
class Personas:
    """The personas that were made with one service and one journal.

    Every persona that a client has seen finished is kept here by itself.
    """

    _here: Callable[[], Awaitable[Engine]]

    async def list(self) -> tuple[Persona, ...]:
        """Return them all, oldest first."""
        engine = await self._here()
        poll = engine.journal.personas(engine.account)
        return await in_time(poll, deadline_in(JOURNAL_TIME))

    async def get(self, name_or_id: str) -> Persona | None:
        """Return the persona of that id, or else the latest of that name.

        None where there is none.
        """
        expect("name_or_id", name_or_id, "text", str)
        personas = await self.list()
        by_id = [persona for persona in personas if persona.id == name_or_id]
        by_name = [persona for persona in personas if persona.name == name_or_id]
        return next(iter(by_id or by_name[-1:]), None)

    async def of(self, source: Track | TrackRef) -> Persona | None:
        """Return the persona that was made of a track, None where none is known."""
        expect("source", source, "a Track or a TrackRef", Track, TrackRef)
        ref = source.ref if isinstance(source, Track) else source
        made = [persona for persona in await self.list() if persona.source == ref]
        return made[-1] if made else None

    async def add(self, persona: Persona) -> None:
        """Keep a persona that was made elsewhere.

        Raises:
            InvalidRequest: it is of another service.
        """
        expect("persona", persona, "a Persona", Persona)
        engine = await self._here()
        if persona.provider != engine.provider.name:
            raise invalid(
                "persona",
                f"must be one of {engine.provider.name}, not {persona.provider}",
                "Add it to the client of its own service",
            )
        writing = engine.journal.remember(engine.account, persona)
        await in_time(writing, deadline_in(JOURNAL_TIME))

    async def forget(self, persona: Persona | str) -> bool:
        """Forget a persona here; the service keeps it.

        Args:
            persona: The persona, or its id.

        Returns:
            Whether it was known.
        """
        expect("persona", persona, "a Persona, or the id of one", Persona, str)
        engine = await self._here()
        persona_id = persona.id if isinstance(persona, Persona) else persona
        forgetting = engine.journal.forget(engine.account, persona_id)
        return await in_time(forgetting, deadline_in(JOURNAL_TIME))
