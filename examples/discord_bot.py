"""A Discord bot: /sing a rainy night. Songs begun before a restart arrive after it.

EVOLINK_API_KEY=... DISCORD_TOKEN=... python examples/discord_bot.py
"""

import asyncio
import os

import discord

from personakit import Job, MusicRequest, PersonaKit, PersonaKitError


class SingingBot(discord.Client):
    """Has one client for its life, and goes on with what was begun."""

    async def setup_hook(self) -> None:
        """Offer the command; take up what an earlier run has left."""
        await tree.sync()
        jobs = [job async for job in self.kit.resume()]
        self.resumed = [asyncio.create_task(deliver(job)) for job in jobs]


bot = SingingBot(intents=discord.Intents.none())
tree = discord.app_commands.CommandTree(bot)


@tree.command(description="Make a song")
async def sing(interaction: discord.Interaction, idea: str) -> None:
    """Answer at once, as Discord wants it, and then submit a song."""
    await interaction.response.send_message("I have begun.")
    key = f"{interaction.channel_id} {interaction.id}"
    try:
        job = await bot.kit.submit(MusicRequest(idea=idea), key=key)
    except PersonaKitError as error:
        await interaction.edit_original_response(content=str(error))
    else:
        await deliver(job)


async def deliver(job: Job[tuple]) -> None:
    """Show how far a song is, every few seconds at most, and send it."""
    channel = bot.get_partial_messageable(int((job.key or "").split()[0]))
    note = await channel.send("Working.")
    try:
        async for snapshot in job.updates(every=3):
            await note.edit(content=f"{snapshot.state} {snapshot.progress or 0:.0%}")
        async with job.deliver() as tracks:  # else it comes again after a restart
            await channel.send("\n".join(track.audio_url or "" for track in tracks))
    except PersonaKitError as error:
        await channel.send(str(error))


async def main() -> None:
    """Have one client for the life of the bot."""
    async with PersonaKit("evolink", journal="discord.db") as bot.kit, bot:
        await bot.start(os.environ["DISCORD_TOKEN"])


if __name__ == "__main__":
    asyncio.run(main())
