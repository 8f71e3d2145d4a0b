"""Two people of two companies do business with matrix-nio.

Arguments: the homeservers' names, the authority's certificate, the registration secret.
"""

import asyncio
import io
import sys

import nio
from people import Company, Person, good

FILE = bytes(n * n % 251 for n in range(200_000))


async def business(acme: Company, bolt: Company) -> None:
    anna, boris = await Person.at(acme, "anna"), await Person.at(bolt, "boris")
    try:
        room = await meet(anna, boris)
        for step in (texts, files, receipts, typing, reactions, redaction, history, leaving):
            print(step.__name__, flush=True)
            await step(room, anna, boris)
    finally:
        await anna.client.close()
        await boris.client.close()


async def meet(anna: Person, boris: Person) -> str:
    created = good(await anna.client.room_create(name="Order 17", topic="Two hundred bolts"))
    room = created.room_id
    good(await anna.client.room_invite(room, boris.user_id))
    invited = await boris.until("the invitation", lambda: boris.client.invited_rooms.get(room))
    assert invited.inviter == anna.user_id, invited.inviter
    good(await boris.client.join(room))
    joined = await boris.until("the room", lambda: boris.client.rooms.get(room))
    assert (joined.name, joined.topic) == ("Order 17", "Two hundred bolts")
    await anna.until("Boris", lambda: boris.user_id in people(anna, room))
    members = good(await anna.client.joined_members(room)).members
    assert {member.user_id for member in members} == {anna.user_id, boris.user_id}, members
    return room


def people(person: Person, room: str) -> set[str]:
    """Whom the client shows as joined."""
    shown = person.client.rooms.get(room)
    return set(shown.users) - set(shown.invited_users) if shown else set()


async def texts(room: str, anna: Person, boris: Person) -> None:
    for number in range(5):
        for sender, reader in ((anna, boris), (boris, anna)):
            text = f"№ {number} from {sender.user_id} ☺"
            event = await reader.until_event(room, await sender.say(room, text))
            assert isinstance(event, nio.RoomMessageText), event
            assert (event.sender, event.body) == (sender.user_id, text), event


async def files(room: str, anna: Person, boris: Person) -> None:
    for sender, reader in ((anna, boris), (boris, anna)):
        uploaded, _ = await sender.client.upload(
            io.BytesIO(FILE), "application/pdf", "offer.pdf", filesize=len(FILE)
        )
        uri = good(uploaded).content_uri
        content = {"msgtype": "m.file", "body": "offer.pdf", "url": uri}
        event = await reader.until_event(room, await sender.send(room, "m.room.message", content))
        assert isinstance(event, nio.RoomMessageFile), event
        got = good(await reader.client.download(event.url))
        assert (got.content_type, got.body == FILE) == ("application/pdf", True), got.content_type
        assert got.filename == "offer.pdf", got.filename


async def receipts(room: str, anna: Person, boris: Person) -> None:
    for sender, reader in ((anna, boris), (boris, anna)):
        sent = await sender.say(room, "have you read this?")
        await reader.until_event(room, sent)
        good(await reader.client.update_receipt_marker(room, sent))
        await sender.until(
            "the read receipt",
            lambda: any(
                (where, receipt.event_id, receipt.user_id) == (room, sent, reader.user_id)
                for where, receipt in sender.receipts
            ),
        )


async def typing(room: str, anna: Person, boris: Person) -> None:
    for writer, watcher in ((anna, boris), (boris, anna)):
        good(await writer.client.room_typing(room, True))
        await watcher.until("typing", lambda: writer.user_id in watcher.typing.get(room, []))
        good(await writer.client.room_typing(room, False))
        await watcher.until("no typing", lambda: writer.user_id not in watcher.typing[room])


async def reactions(room: str, anna: Person, boris: Person) -> None:
    sent = await anna.say(room, "agreed?")
    await boris.until_event(room, sent)
    relation = {"rel_type": "m.annotation", "event_id": sent, "key": "👍"}
    reaction = await boris.send(room, "m.reaction", {"m.relates_to": relation})
    event = await anna.until_event(room, reaction)
    assert isinstance(event, nio.ReactionEvent), event
    assert (event.reacts_to, event.key) == (sent, "👍"), event


async def redaction(room: str, anna: Person, boris: Person) -> None:
    for author, reader in ((anna, boris), (boris, anna)):
        slip = await author.say(room, "the password is 1234")
        await reader.until_event(room, slip)
        answer = good(await author.client.room_redact(room, slip, reason="a slip"))
        event = await reader.until_event(room, answer.event_id)
        assert isinstance(event, nio.RedactionEvent) and event.redacts == slip, event
        left = good(await reader.client.room_get_event(room, slip)).event
        assert isinstance(left, nio.RedactedEvent), left


async def history(room: str, anna: Person, boris: Person) -> None:
    for number in range(25):
        last = await anna.say(room, f"line {number}")
    await boris.until_event(room, last)
    told, start = [], boris.client.next_batch
    while start:
        page = good(await boris.client.room_messages(room, start, limit=7))
        told += [event.body for event in page.chunk if isinstance(event, nio.RoomMessageText)]
        start = page.end if page.chunk and page.end != start else None
    lines = [text for text in told if text.startswith("line ")]
    assert lines == [f"line {number}" for number in reversed(range(25))], lines


async def leaving(room: str, anna: Person, boris: Person) -> None:
    good(await boris.client.room_leave(room))
    await anna.until("the leave", lambda: boris.user_id not in people(anna, room))
    await boris.until("the own leave", lambda: room in boris.left)
    assert room not in good(await boris.client.joined_rooms()).rooms
    refused = await boris.client.room_send(
        room, "m.room.message", {"msgtype": "m.text", "body": "one more thing"}
    )
    assert isinstance(refused, nio.RoomSendError), refused
    assert refused.status_code == "M_FORBIDDEN", refused


if __name__ == "__main__":
    first, second, ca_file, secret = sys.argv[1:]
    asyncio.run(business(Company(first, ca_file, secret), Company(second, ca_file, secret)))
