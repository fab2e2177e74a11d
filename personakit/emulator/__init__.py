"""A local server that behaves like the music services, for tests without money.

It speaks the services' own wire shapes, keeps credits and a ledger, refuses what the
documents say is refused, serves playable audio, and plays scripted faults. It shares
no code with the rest of the package, so that neither can hide the other's mistakes.
"""

from personakit.emulator.callbacks import Callback
from personakit.emulator.faults import Fault
from personakit.emulator.server import Emulator
from personakit.emulator.state import Charge
from personakit.emulator.tasks import Song
from personakit.emulator.traffic import Exchange

__all__ = ["Callback", "Charge", "Emulator", "Exchange", "Fault", "Song"]
