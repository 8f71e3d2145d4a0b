//! Invitations, knocks and joins over servers, and what of them is refused.

use super::*;

#[tokio::test]
async fn an_invitation_reaches_another_company_and_lets_in() {
    let mut world = World::new();
    let a = Company::open(&mut world, "a.example").await;
    let b = Company::open(&mut world, "b.example").await;
    let bob = b.register("bob").await;
    let room = a.create(RoomVersion::V12, Preset::PrivateChat, json!([])).await;
    assert!(b.join("bob", &room, "a.example").await.is_err());
    let invite = |target: OwnedUserId| NewMembership {
        sender: a.user("alice"),
        target,
        membership: MembershipState::Invite,
        content: Map::new(),
    };
    let nobody = b.user("nobody");
    assert!(a.home.services.rooms.invite(&room, invite(nobody)).await.is_err());
    a.home.services.rooms.invite(&room, invite(bob.clone())).await.unwrap();
    b.join("bob", &room, "a.example").await.unwrap();
    b.say("bob", &room, "thank you").await;
    a.sees(&room, &["thank you"]).await;
    b.home.services.rooms.leave(b.entering("bob", &room, "a.example")).await.unwrap();
    let waiting = async {
        while a.membership(&room, &bob).await != MembershipState::Leave {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(TIME, waiting).await.unwrap();
}

#[tokio::test]
async fn an_invitation_can_be_declined_and_a_knock_withdrawn() {
    let mut world = World::new();
    let a = Company::open(&mut world, "a.example").await;
    let b = Company::open(&mut world, "b.example").await;
    let bob = b.register("bob").await;
    let rules = json!([["m.room.join_rules", { "join_rule": "knock" }]]);
    let room = a.create(RoomVersion::V11, Preset::PrivateChat, rules).await;
    b.home.services.rooms.knock(b.entering("bob", &room, "a.example")).await.unwrap();
    assert_eq!(a.membership(&room, &bob).await, MembershipState::Knock);
    b.home.services.rooms.leave(b.entering("bob", &room, "a.example")).await.unwrap();
    assert_eq!(a.membership(&room, &bob).await, MembershipState::Leave);
    let new = NewMembership {
        sender: a.user("alice"),
        target: bob.clone(),
        membership: MembershipState::Invite,
        content: Map::new(),
    };
    a.home.services.rooms.invite(&room, new).await.unwrap();
    assert_eq!(a.membership(&room, &bob).await, MembershipState::Invite);
    b.home.services.rooms.leave(b.entering("bob", &room, "a.example")).await.unwrap();
    assert_eq!(a.membership(&room, &bob).await, MembershipState::Leave);
}

#[tokio::test]
async fn who_may_not_knock_is_told_so_by_the_server_that_he_named() {
    let mut world = World::new();
    let (a, b, room) = pair(&mut world, RoomVersion::V11).await;
    let c = Company::open(&mut world, "c.example").await;
    c.join("carol", &room, "a.example").await.unwrap();
    c.say("carol", &room, "me too").await;
    b.sees(&room, &["me too"]).await;
    let bob = b.user("bob");
    b.home.services.rooms.leave(b.entering("bob", &room, "a.example")).await.unwrap();
    let ban = NewMembership {
        sender: a.user("alice"),
        target: bob,
        membership: MembershipState::Ban,
        content: Map::new(),
    };
    a.home.services.rooms.set_membership(&room, ban).await.unwrap();
    world.transport.close(&c.home.context().server_name);
    let refused = b.home.services.rooms.knock(b.entering("bob", &room, "a.example")).await;
    let Err(JoinError::Remote(RemoteError::Refused { status, .. })) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(status, 403);
}

#[tokio::test]
async fn an_invitation_can_be_taken_back_but_only_by_those_in_the_room() {
    let mut world = World::new();
    let a = Company::open(&mut world, "a.example").await;
    let b = Company::open(&mut world, "b.example").await;
    let c = Company::open(&mut world, "c.example").await;
    let bob = b.register("bob").await;
    let room = a.create(RoomVersion::V11, Preset::PrivateChat, json!([])).await;
    let new = |membership: MembershipState| NewMembership {
        sender: a.user("alice"),
        target: bob.clone(),
        membership,
        content: Map::new(),
    };
    a.home.services.rooms.invite(&room, new(MembershipState::Invite)).await.unwrap();
    let at_b = b.home.services.rooms.get(&room).await.unwrap();
    let kind = async || {
        let membership = b.home.services.rooms.membership(&at_b, &bob).await.unwrap();
        membership.unwrap().kind
    };
    assert_eq!(kind().await, store::memberships::Kind::Invite);
    // Somebody who has nothing to do with the room.
    let (key, name) = (&c.home.context().signing_key.current(), &c.home.context().server_name);
    let forged = EventTemplate {
        sender: c.user("mallory"),
        ..join_event(&room, &bob, json!({ "membership": "leave" }))
    };
    let place = Company::join_place(&room, &a, None).await;
    let forged = build::build_and_sign(&forged, &place, RoomVersion::V11, name, key).unwrap();
    c.push("b.example", vec![serde_json::from_slice(forged.json()).unwrap()]).await;
    assert_eq!(kind().await, store::memberships::Kind::Invite);
    a.home.services.rooms.kick(&room, new(MembershipState::Leave)).await.unwrap();
    let waiting = async {
        while kind().await != store::memberships::Kind::Leave {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(TIME, waiting).await.unwrap();
}

#[tokio::test]
async fn a_restricted_room_lets_in_members_of_the_other_room_only() {
    let mut world = World::new();
    let (a, b, lobby) = pair(&mut world, RoomVersion::V11).await;
    let rules = json!([["m.room.join_rules", {
        "join_rule": "restricted",
        "allow": [{ "type": "m.room_membership", "room_id": lobby }],
    }]]);
    let room = a.create(RoomVersion::V11, Preset::PrivateChat, rules).await;
    b.join("bob", &room, "a.example").await.unwrap();
    b.say("bob", &room, "in").await;
    a.sees(&room, &["in"]).await;
    let c = Company::open(&mut world, "c.example").await;
    assert!(c.join("carol", &room, "a.example").await.is_err());
    // Nor does it help to write the join oneself and name one who vouches.
    let place = Company::join_place(&room, &a, Some(&a.user("alice"))).await;
    let (key, name) = (&c.home.context().signing_key.current(), &c.home.context().server_name);
    let content = json!({
        "membership": "join", "join_authorised_via_users_server": a.user("alice"),
    });
    let event = join_event(&room, &c.user("carol"), content);
    let event = build::build_and_sign(&event, &place, RoomVersion::V11, name, key).unwrap();
    let sent = c.send_join(&room, &event.event_id, &event.to_wire(), "a.example").await;
    assert_eq!(status(&sent.unwrap_err()), 403);
}

fn join_event(room: &RoomId, user: &UserId, content: Value) -> EventTemplate {
    EventTemplate {
        room_id: Some(room.to_owned()),
        sender: user.to_owned(),
        event_type: "m.room.member".to_owned(),
        state_key: Some(user.to_string()),
        content: to_raw_value(&content).unwrap(),
        redacts: None,
        origin_server_ts: 1_767_225_600_000,
    }
}

impl Company {
    /// The place that a join would have now.
    async fn join_place(room: &RoomId, resident: &Company, vouching: Option<&UserId>) -> Place {
        let timeline = resident.timeline(room).await;
        let last = timeline.last().unwrap();
        let auth = timeline.iter().filter(|event| {
            let named = ["m.room.power_levels", "m.room.join_rules", "m.room.create"];
            let wanted = named.contains(&&*event.event_type)
                || vouching.is_some_and(|user| event.is_at("m.room.member", user.as_str()));
            let implied =
                event.room_version >= RoomVersion::V12 && &*event.event_type == "m.room.create";
            wanted && !implied
        });
        Place {
            prev_events: vec![last.event_id.clone()],
            auth_events: auth.map(|event| event.event_id.clone()).collect(),
            depth: last.depth + 1,
        }
    }

    async fn send_join(
        &self,
        room: &RoomId,
        event_id: &EventId,
        pdu: &serde_json::value::RawValue,
        to: &str,
    ) -> Result<create_join_event::v2::Response, RequestError> {
        let request = create_join_event::v2::Request::new(
            room.to_owned(),
            event_id.to_owned(),
            pdu.to_owned(),
        );
        self.home.client.insist(&server(to), request, TIME).await
    }
}

#[tokio::test]
async fn only_a_join_of_ones_own_user_can_be_sent_as_a_join() {
    let mut world = World::new();
    let a = Company::open(&mut world, "a.example").await;
    let b = Company::open(&mut world, "b.example").await;
    let room = a.create(RoomVersion::V11, Preset::PublicChat, json!([])).await;
    let other = a.create(RoomVersion::V11, Preset::PublicChat, json!([])).await;
    let place = Company::join_place(&room, &a, None).await;
    let bob = b.user("bob");
    let (key, name) = (&b.home.context().signing_key.current(), &b.home.context().server_name);
    let sign = |event: &EventTemplate| {
        build::build_and_sign(event, &place, RoomVersion::V11, name, key).unwrap()
    };
    let good = join_event(&room, &bob, json!({ "membership": "join" }));
    let mut wrong = Vec::new();
    for membership in ["leave", "invite", "knock", "ban"] {
        wrong.push(join_event(&room, &bob, json!({ "membership": membership })));
    }
    wrong.push(join_event(&other, &bob, json!({ "membership": "join" })));
    wrong.push(join_event(&room, &a.user("mallory"), json!({ "membership": "join" })));
    wrong.push(EventTemplate { state_key: Some(a.user("alice").to_string()), ..good.clone() });
    wrong.push(EventTemplate { state_key: None, ..good.clone() });
    wrong.push(EventTemplate { event_type: "m.room.power_levels".to_owned(), ..good.clone() });
    for event in wrong {
        let event = sign(&event);
        let sent = b.send_join(&room, &event.event_id, &event.to_wire(), "a.example").await;
        let error = sent.unwrap_err();
        assert!(matches!(status(&error), 400 | 403), "{event:?}: {error:?}");
    }
    // Right, but under another event's id; or changed after it was signed.
    let event = sign(&good);
    let another: OwnedEventId = a.say("alice", &room, "x").await;
    let sent = b.send_join(&room, &another, &event.to_wire(), "a.example").await;
    assert_eq!(status(&sent.unwrap_err()), 400);
    let mut changed: Value = serde_json::from_slice(event.json()).unwrap();
    changed["content"]["displayname"] = json!("Bob");
    let changed = to_raw_value(&changed).unwrap();
    let sent = b.send_join(&room, &event.event_id, &changed, "a.example").await;
    assert!(matches!(status(&sent.unwrap_err()), 400 | 403));
    let unsigned = SigningKey::from_seed([99; 32], "1").unwrap();
    let forged = build::build_and_sign(&good, &place, RoomVersion::V11, name, &unsigned).unwrap();
    let sent = b.send_join(&room, &forged.event_id, &forged.to_wire(), "a.example").await;
    assert_eq!(status(&sent.unwrap_err()), 403);
    assert_eq!(a.membership(&room, &bob).await, MembershipState::Leave);
    b.send_join(&room, &event.event_id, &event.to_wire(), "a.example").await.unwrap();
    assert_eq!(a.membership(&room, &bob).await, MembershipState::Join);
}

#[tokio::test]
async fn a_template_for_a_stranger_or_an_unknown_version_is_not_given() {
    let mut world = World::new();
    let a = Company::open(&mut world, "a.example").await;
    let b = Company::open(&mut world, "b.example").await;
    let room = a.create(RoomVersion::V12, Preset::PublicChat, json!([])).await;
    let ask = async |user: OwnedUserId, ver: Vec<ruma::RoomVersionId>, room: &RoomId| {
        let request = prepare_join_event::v1::Request {
            ver,
            ..prepare_join_event::v1::Request::new(room.to_owned(), user)
        };
        b.home.client.insist(&server("a.example"), request, TIME).await
    };
    let good = vec![ruma::RoomVersionId::V12];
    assert!(ask(b.user("bob"), good.clone(), &room).await.is_ok());
    let stranger = ask(a.user("alice"), good.clone(), &room).await.unwrap_err();
    assert_eq!(status(&stranger), 403);
    let old = ask(b.user("bob"), vec![ruma::RoomVersionId::V10], &room).await.unwrap_err();
    assert_eq!(status(&old), 400);
    assert_eq!(old.kind().unwrap().errcode().as_str(), "M_INCOMPATIBLE_ROOM_VERSION");
    let unknown = RoomId::parse("!unknown:a.example").unwrap();
    let unknown = ask(b.user("bob"), good, &unknown).await.unwrap_err();
    assert_eq!(status(&unknown), 404);
}

/// Security: a server signed what a remote had worded (fake leaves, power levels).
#[tokio::test]
async fn nothing_that_a_template_words_is_ever_signed() {
    let mut world = World::new();
    let b = Company::open(&mut world, "b.example").await;
    let bob = b.user("bob");
    let room = RoomId::parse("!room:evil.example").unwrap();
    let evil = json!({
        "room_version": "11",
        "event": {
            "type": "m.room.power_levels", "room_id": "!other:a.example",
            "sender": "@admin:b.example", "state_key": "",
            "content": { "membership": "leave", "users": { "@evil:evil.example": 100 } },
            "prev_events": ["$prev"], "auth_events": ["$auth"], "depth": 7,
            "origin_server_ts": 1, "extra": true, "hashes": {}, "signatures": {},
        },
    });
    let caught: Arc<std::sync::Mutex<Vec<Value>>> = Arc::default();
    let catching = Arc::clone(&caught);
    let make = get(async move || Json(evil));
    let send = axum::routing::put(async move |Json(event): Json<Value>| {
        catching.lock().unwrap().push(event);
        StatusCode::FORBIDDEN
    });
    let router = Router::new()
        .route("/_matrix/federation/v1/make_join/{room}/{user}", make)
        .route("/_matrix/federation/v2/send_join/{room}/{event}", send);
    world.transport.open(server("evil.example"), router);
    assert!(b.join("bob", &room, "evil.example").await.is_err());
    let caught = caught.lock().unwrap().clone();
    let [event] = &caught[..] else { panic!("{caught:?}") };
    assert_eq!(event["type"], "m.room.member");
    assert_eq!(event["room_id"], room.as_str());
    assert_eq!(event["sender"], bob.as_str());
    assert_eq!(event["state_key"], bob.as_str());
    assert_eq!(event["content"], json!({ "membership": "join" }));
    assert_eq!(event["extra"], Value::Null);
}

#[tokio::test]
async fn only_an_invitation_by_ones_own_user_is_signed() {
    let mut world = World::new();
    let a = Company::open(&mut world, "a.example").await;
    let b = Company::open(&mut world, "b.example").await;
    let bob = b.register("bob").await;
    let room = a.create(RoomVersion::V11, Preset::PrivateChat, json!([])).await;
    let place = Company::join_place(&room, &a, None).await;
    let (key, name) = (&a.home.context().signing_key.current(), &a.home.context().server_name);
    let good = EventTemplate {
        sender: a.user("alice"),
        ..join_event(&room, &bob, json!({ "membership": "invite" }))
    };
    let invite = async |event: &EventTemplate, room: &RoomId| {
        let event = build::build_and_sign(event, &place, RoomVersion::V11, name, key).unwrap();
        let request = create_invite::v2::Request::new(
            room.to_owned(),
            event.event_id.clone(),
            ruma::RoomVersionId::V11,
            event.to_wire(),
            Vec::new(),
        );
        a.home.client.insist(&server("b.example"), request, TIME).await
    };
    let content = |content: Value| to_raw_value(&content).unwrap();
    let join = content(json!({ "membership": "join" }));
    for event in [
        EventTemplate { content: join, ..good.clone() },
        EventTemplate { event_type: "m.room.power_levels".to_owned(), ..good.clone() },
        EventTemplate { state_key: Some(a.user("alice").to_string()), ..good.clone() },
        EventTemplate { state_key: Some(b.user("nobody").to_string()), ..good.clone() },
        EventTemplate { state_key: None, ..good.clone() },
        EventTemplate { sender: b.user("bob"), ..good.clone() },
    ] {
        let error = invite(&event, &room).await.unwrap_err();
        assert!(matches!(status(&error), 400 | 403 | 404), "{event:?}: {error:?}");
    }
    let other = RoomId::parse("!other:a.example").unwrap();
    assert_eq!(status(&invite(&good, &other).await.unwrap_err()), 400);
    assert!(invite(&good, &room).await.is_ok());
}
