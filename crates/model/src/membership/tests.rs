//! Memberships survive every form they are written in.

use super::*;

#[test]
fn a_membership_survives_byte_and_ruma_type() {
    use Membership::{Ban, Invite, Join, Knock, Leave};
    for membership in [Join, Invite, Leave, Ban, Knock] {
        assert_eq!(Membership::from_byte(membership.to_byte()), Some(membership));
        assert_eq!(Membership::of(&membership.into()), Some(membership));
    }
    assert_eq!(Membership::from_byte(0), None);
    assert_eq!(Membership::of(&"dancing".into()), None);
}
