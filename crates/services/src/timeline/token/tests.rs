use super::*;

#[test]
fn a_token_is_read_as_what_was_written() {
    for order in [Order(1, 0), Order(70_000, 3), Order(-12, 0), Order::MIN] {
        assert_eq!(parse(&format(order)), Some(order));
    }
}

#[test]
fn a_boundary_after_an_event_stands_before_the_next_one() {
    assert_eq!(after(Order(7, 2)), Order(7, 3));
    assert_eq!(after(Order(7, u16::MAX)), Order(8, 0));
    assert!(after_position(7) > Order(7, u16::MAX));
    assert!(after_position(7) <= Order(8, 0));
}

#[test]
fn nonsense_is_no_token() {
    for token in ["", "t", "t1", "t1_", "t_1", "tx_1", "t1_70000"] {
        assert_eq!(parse(token), None, "{token}");
    }
}
