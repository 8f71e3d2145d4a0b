use super::{Unit, quantile};

#[test]
fn a_value_is_shown_with_the_unit_that_reads_best() {
    let shown = [
        (Unit::Microseconds, 96.44, "96.4 µs"),
        (Unit::Microseconds, 11_100.0, "11.1 ms"),
        (Unit::Bytes, 9_300.0, "9300 B"),
        (Unit::Bytes, 26_214_400.0, "25.0 MiB"),
        (Unit::PerSecond, 14_321.4, "14321/s"),
        (Unit::Count, 0.0, "0"),
    ];
    for (unit, value, text) in shown {
        assert_eq!(unit.show(value), text);
    }
}

#[test]
fn a_quantile_is_a_value_that_was_measured() {
    let mut values = [5.0, 1.0, 4.0, 2.0, 3.0];
    assert_eq!(quantile(&mut values, 0.5), 3.0);
    assert_eq!(quantile(&mut values, 0.99), 5.0);
    assert_eq!(quantile(&mut values, 0.0), 1.0);
}
