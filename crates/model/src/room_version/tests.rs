//! Room versions survive every form they are written in.

use super::*;

#[test]
fn a_version_survives_text_byte_and_ruma_id() {
    for version in RoomVersion::ALL {
        assert_eq!(version.as_str().parse(), Ok(version));
        assert_eq!(RoomVersion::from_byte(version.to_byte()), Some(version));
        assert_eq!(RoomVersion::try_from(&version.id()), Ok(version));
        let json = serde_json::to_string(&version).unwrap();
        assert_eq!(serde_json::from_str::<RoomVersion>(&json).unwrap(), version);
    }
}

#[test]
fn versions_without_strict_canonical_json_are_refused() {
    for version in ["1", "2", "3", "4", "5", "13", "org.example.unknown", ""] {
        assert_eq!(version.parse::<RoomVersion>(), Err(UnsupportedRoomVersion(version.to_owned())));
    }
    assert_eq!(RoomVersion::from_byte(b'{'), None);
}

#[test]
fn every_version_resolves_states_as_ruma_knows_it() {
    for version in RoomVersion::ALL {
        let by_ruma = version.rules().state_res.v2_rules().copied();
        assert_eq!(Some(version.state_resolution()), by_ruma);
    }
}
