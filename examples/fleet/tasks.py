"""What all processes of the fleet share: the queue, the tasks, and the delivery."""

import os

from procrastinate import App, PsycopgConnector

from personakit import PersonaKit
from personakit.contrib.procrastinate import Delivery, PersonaTasks

DATABASE = os.environ["DATABASE_URL"]


def open_kit() -> PersonaKit:
    """Make the client of a worker; the journal is in the same database."""
    return PersonaKit("evolink", journal=DATABASE)


async def deliver(delivery: Delivery) -> None:
    """Tell what became of an order; may be called again for the same one."""
    links = [track.audio_url for track in delivery.result or ()]
    print(delivery.key, os.getpid(), delivery.error or links[0], flush=True)


app = App(connector=PsycopgConnector(conninfo=DATABASE))
tasks = PersonaTasks(app, open_kit, deliver)
