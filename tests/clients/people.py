"""A person with matrix-nio, who remembers what /sync told."""

import asyncio
import hashlib
import hmac
import json
import ssl
import time
import urllib.request

import nio

PATIENCE_S = 60
POLL_MS = 1_000


class Company:
    """A homeserver: its name, its certificate authority and its registration secret."""

    def __init__(self, name: str, ca_file: str, secret: str):
        self.name = name
        self.url = f"https://{name}"
        self.secret = secret
        self.tls = ssl.create_default_context(cafile=ca_file)

    def register(self, localpart: str, password: str) -> None:
        """Creates an account as Synapse's own tool does: by the shared secret."""
        nonce = self._admin_api()["nonce"]
        words = "\0".join([nonce, localpart, password, "notadmin"])
        mac = hmac.new(self.secret.encode(), words.encode(), hashlib.sha1).hexdigest()
        answer = self._admin_api(
            {
                "nonce": nonce,
                "username": localpart,
                "password": password,
                "admin": False,
                "mac": mac,
            }
        )
        assert answer["user_id"] == f"@{localpart}:{self.name}", answer

    def _admin_api(self, body: dict | None = None) -> dict:
        request = urllib.request.Request(
            f"{self.url}/_synapse/admin/v1/register",
            data=None if body is None else json.dumps(body).encode(),
            headers={"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, context=self.tls, timeout=PATIENCE_S) as answer:
            return json.load(answer)


class Person:
    """A logged-in user of a company."""

    def __init__(self, company: Company, localpart: str):
        self.company = company
        self.user_id = f"@{localpart}:{company.name}"
        self.client = nio.AsyncClient(company.url, self.user_id, ssl=company.tls)
        self.events: dict[str, list[nio.Event]] = {}
        self.receipts: list[tuple[str, nio.Receipt]] = []
        self.typing: dict[str, list[str]] = {}
        self.left: set[str] = set()
        self.client.add_event_callback(self._remember, nio.Event)
        self.client.add_ephemeral_callback(self._remember_typing, nio.TypingNoticeEvent)
        self.client.add_ephemeral_callback(self._remember_receipts, nio.ReceiptEvent)

    @classmethod
    async def at(cls, company: Company, localpart: str) -> "Person":
        password = "correct horse battery staple"
        await asyncio.to_thread(company.register, localpart, password)
        person = cls(company, localpart)
        good(await person.client.login(password, device_name="office"))
        who = good(await person.client.whoami())
        assert (who.user_id, who.device_id) == (person.user_id, person.client.device_id), who
        return person

    async def until(self, what: str, found):
        """Syncs until `found()` returns something true, and returns that."""
        deadline = time.monotonic() + PATIENCE_S
        while not (result := found()):
            assert time.monotonic() < deadline, f"{self.user_id} never saw {what}"
            answer = good(await self.client.sync(timeout=POLL_MS))
            self.left.update(answer.rooms.leave)
        return result

    async def until_event(self, room: str, event_id: str) -> nio.Event:
        """Syncs until the event has come in the room's timeline."""
        return await self.until(f"event {event_id}", lambda: self.event(room, event_id))

    def event(self, room: str, event_id: str) -> nio.Event | None:
        """The event, if /sync has told of it."""
        return next((e for e in self.events.get(room, []) if e.event_id == event_id), None)

    async def say(self, room: str, text: str) -> str:
        """Sends a text and returns the event's id."""
        return await self.send(room, "m.room.message", {"msgtype": "m.text", "body": text})

    async def send(self, room: str, kind: str, content: dict) -> str:
        """Sends an event and returns its id."""
        return good(await self.client.room_send(room, kind, content)).event_id

    async def _remember(self, room: nio.MatrixRoom, event: nio.Event) -> None:
        self.events.setdefault(room.room_id, []).append(event)

    async def _remember_typing(self, room: nio.MatrixRoom, event: nio.TypingNoticeEvent) -> None:
        self.typing[room.room_id] = event.users

    async def _remember_receipts(self, room: nio.MatrixRoom, event: nio.ReceiptEvent) -> None:
        self.receipts.extend((room.room_id, receipt) for receipt in event.receipts)


def good(answer):
    """The answer, unless it is an error."""
    assert not isinstance(answer, nio.ErrorResponse), f"{type(answer).__name__}: {answer}"
    return answer
