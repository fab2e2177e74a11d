"""A Telegram bot: /sing a rainy night. Songs begun before a restart arrive after it.

EVOLINK_API_KEY=... TELEGRAM_TOKEN=... python examples/telegram_bot.py
"""

import asyncio
import os

from aiogram import Bot, Dispatcher
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.filters import Command, CommandObject
from aiogram.types import Message

from personakit import Job, MusicRequest, PersonaKit, PersonaKitError

dispatcher = Dispatcher()


@dispatcher.message(Command("sing"))
async def sing(message: Message, command: CommandObject, kit: PersonaKit) -> None:
    """Submit a song; the same message, delivered twice, is not paid twice."""
    key = f"{message.chat.id} {message.message_id}"
    try:
        job = await kit.submit(MusicRequest(idea=command.args), key=key)
    except PersonaKitError as error:
        await message.answer(str(error))
    else:
        await deliver(message.bot, job)


async def deliver(bot: Bot, job: Job[tuple]) -> None:
    """Show how far a song is, every few seconds at most, and send it."""
    chat = int((job.key or "").split()[0])
    note = await bot.send_message(chat, "I have begun.")
    try:
        async for snapshot in job.updates(every=3):
            await note.edit_text(f"{snapshot.state} {snapshot.progress or 0:.0%}")
        async with job.deliver() as tracks:  # else it comes again after a restart
            for track in tracks:
                await bot.send_audio(chat, track.audio_url, title=track.title)
    except PersonaKitError as error:
        await bot.send_message(chat, str(error))


async def main() -> None:
    """Have one client for the life of the bot, and go on with what was begun."""
    api = os.environ.get("TELEGRAM_API", "https://api.telegram.org")
    session = AiohttpSession(api=TelegramAPIServer.from_base(api))
    async with (
        PersonaKit("evolink", journal="telegram.db") as kit,
        Bot(os.environ["TELEGRAM_TOKEN"], session=session) as bot,
        asyncio.TaskGroup() as group,
    ):
        async for job in kit.resume():
            group.create_task(deliver(bot, job))
        await dispatcher.start_polling(bot, kit=kit)


if __name__ == "__main__":
    asyncio.run(main())
