"""Judges rooms as Synapse does: which events it rejects, and what states it resolves.

One room a line on stdin, as JSON: its version, its events (auth events and earlier events first), and
meetings: lists of events whose states meet. One answer a line on stdout: the events that are rejected,
the state before each event that merges forks, and the state of each meeting.

All decisions are Synapse's: event ids, event_auth, state resolution. Here is what its database does for
it: finding events, and comparing auth chains.
"""

import json
import sys

# The order matters: these modules import each other.
from synapse import event_auth
from synapse.api.errors import SynapseError
from synapse.api.room_versions import KNOWN_ROOM_VERSIONS
from synapse.events import make_event_from_json
from synapse.state.v2 import resolve_events_with_store
from synapse.storage.databases.main.event_federation import StateDifference

# Synapse compares auth chains of events that are not stored yet in a way that takes each path through
# them. Where there are no more paths than this, it does so itself.
PATHS_MAX = 20_000


def run(coroutine):
    """Runs a coroutine of Synapse's. Nothing here ever waits."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise RuntimeError("a coroutine waits for something")


class Clock:
    async def sleep(self, duration):
        pass


class Room:
    """What Synapse's database knows of one room."""

    def __init__(self, version):
        self.version = KNOWN_ROOM_VERSIONS[version]
        self.room_id = None
        self.events = {}
        # The auth chain of each event with the event itself.
        self.chains = {}
        # How many paths lead along auth events from each event.
        self.paths = {}
        self.states = {}
        self.counts = {"resolved": 0, "by_chains_of_synapse": 0}

    # What Synapse asks its store for.

    async def get_events(self, event_ids, **_):
        return {event_id: self.events[event_id] for event_id in event_ids if event_id in self.events}

    async def get_auth_chain_difference(self, room_id, state_sets, conflicted, _additional):
        chains = [set().union(*(self.chains[e] for e in state)) for state in state_sets]
        difference = set().union(*chains) - set.intersection(*chains)
        if conflicted is None:
            return StateDifference(difference, None)
        reached = set().union(*(self.chains[e] for e in conflicted))
        subgraph = {e for e in reached if not self.chains[e].isdisjoint(conflicted)}
        return StateDifference(difference, subgraph)

    # The life of an event.

    def judge(self, event_json):
        """Takes the next event; says why it is rejected, if it is, and the state before it if forks meet."""
        event = make_event_from_json(event_json, self.version)
        before, met = self.state_before(event)
        try:
            self.check(event, before)
            reason = None
        except SynapseError as error:
            reason = str(error)
            event = make_event_from_json(event_json, self.version, rejected_reason="auth_error")
        self.keep(event, before)
        return event.event_id, reason, before if met else None

    def state_before(self, event):
        previous = list(event.prev_event_ids())
        if not previous:
            return {}, False
        if len(previous) == 1:
            return self.states[previous[0]], False
        return self.resolve(previous), True

    def check(self, event, before):
        """The checks on receipt of a PDU: by itself, by its auth events, by the state before it."""
        auth_events = [self.events[e] for e in event.auth_event_ids()]
        run(event_auth.check_state_independent_auth_rules(self, event))
        event_auth.check_state_dependent_auth_rules(event, auth_events)
        places = event_auth.auth_types_for_event(self.version, event)
        state = [self.events[before[place]] for place in places if place in before]
        event_auth.check_state_dependent_auth_rules(event, state)

    def keep(self, event, before):
        event_id = event.event_id
        self.room_id = self.room_id or event.room_id
        self.events[event_id] = event
        auth = event.auth_event_ids()
        self.chains[event_id] = {event_id}.union(*(self.chains[e] for e in auth))
        self.paths[event_id] = 1 + sum(self.paths[e] for e in auth)
        after = before
        if event.is_state() and event.rejected_reason is None:
            after = {**before, (event.type, event.state_key): event_id}
        self.states[event_id] = after

    def resolve(self, event_ids):
        """The state in which the states after these events meet."""
        in_flight = None
        self.counts["resolved"] += 1
        if sum(self.paths.values()) <= PATHS_MAX:
            in_flight = dict(self.events)
            self.counts["by_chains_of_synapse"] += 1
        states = [self.states[event_id] for event_id in event_ids]
        resolved = run(
            resolve_events_with_store(Clock(), self.room_id, self.version, states, in_flight, self)
        )
        return dict(resolved)


def told(state):
    return sorted([kind, key, event_id] for (kind, key), event_id in state.items())


def answer(line):
    question = json.loads(line)
    room = Room(question["version"])
    rejected, merges = {}, {}
    for event in question["events"]:
        event_id, reason, before = room.judge(json.dumps(event))
        if reason is not None:
            rejected[event_id] = reason
        if before is not None:
            merges[event_id] = told(before)
    meetings = [told(room.resolve(meeting)) for meeting in question["meetings"]]
    return {"rejected": rejected, "merges": merges, "meetings": meetings, **room.counts}


for line in sys.stdin:
    print(json.dumps(answer(line)), flush=True)
