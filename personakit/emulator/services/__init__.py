"""Every service that the emulator plays, each with a memory of its own."""

from __future__ import annotations

from collections.abc import Collection

import attrs

from personakit.emulator.callbacks import CallbackQueue
from personakit.emulator.clock import Clock
from personakit.emulator.services.evolink import Evolink, SongShape
from personakit.emulator.services.kie_jobs import KieJobs
from personakit.emulator.services.musicmint import MusicMint
from personakit.emulator.services.sunoapi import PersonaAgain, SunoApi
from personakit.emulator.services.sunoapi_records import SunoShape
from personakit.emulator.services.sunoapi_rules import PROFILES, Profile
from personakit.emulator.state import Account, State
from personakit.emulator.traffic import Service


@attrs.frozen
class Options:
    """How the services behave where that can be chosen; see `Emulator`."""

    api_key: str
    seed: int
    song_shape: SongShape
    suno_shape: SunoShape
    mirror_status: bool
    persona_again: PersonaAgain | None
    poll_verbs: Collection[str]
    signing_secret: str


@attrs.frozen
class Played:
    """One service and what it remembers.

    Attributes:
        service: Answers.
        state: Its memory.
        model: The usual model of its songs.
    """

    service: Service
    state: State
    model: str


def open_services(
    clock: Clock, account: Account, queue: CallbackQueue, options: Options
) -> dict[str, Played]:
    """Return every service by its name, all on one account and one clock."""

    def remember(name: str) -> State:
        return State(clock, account, seed=f"{name} {options.seed}")

    # Older than the other services, and so is its seed.
    state = State(clock, account, seed=options.seed)
    evolink = Evolink(
        state,
        api_key=options.api_key,
        song_shape=options.song_shape,
        queue=queue,
    )
    played = {"evolink": Played(evolink, state, "suno-v5-beta")}
    for profile in PROFILES:
        host = _host(remember(profile.name), profile, queue, options)
        played[profile.name] = Played(host, host.state, "V5")
        if profile.name == "kie":
            played["kie-jobs"] = Played(KieJobs(host), host.state, "V6")
    state = remember("musicmint")
    musicmint = MusicMint(
        state,
        api_key=options.api_key,
        mirror=options.mirror_status,
        persona_again=options.persona_again or "overwrite",
        poll_verbs=frozenset(options.poll_verbs),
        queue=queue,
        signing_secret=options.signing_secret,
    )
    played["musicmint"] = Played(musicmint, state, "chirp-v4")
    return played


def _host(
    state: State, profile: Profile, queue: CallbackQueue, options: Options
) -> SunoApi:
    return SunoApi(
        state,
        profile,
        api_key=options.api_key,
        mirror=options.mirror_status,
        persona_again=options.persona_again or "conflict",
        shape=options.suno_shape,
        queue=queue,
        signing_secret=options.signing_secret,
    )
