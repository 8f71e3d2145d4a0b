use super::svg;
use crate::{
    report::Run,
    workloads::{lone, send},
};

fn run(target: &'static str, figures: Vec<crate::Figure>) -> Run {
    Run { target, durability: "", load: String::new(), figures }
}

#[test]
fn what_has_several_sizes_is_drawn_once_with_a_line_for_each_target() {
    let ours = run("Kontor", vec![send::CPU.at(1, 90.0), send::CPU.at(8, 80.0), lone::P50.is(1.0)]);
    let theirs = run("Synapse", vec![send::CPU.at(1, 9_000.0), send::CPU.at(8, 11_000.0)]);
    let drawing = svg(&[ours, theirs]);
    assert_eq!(drawing.matches("<g ").count(), 1);
    assert_eq!(drawing.matches("<polyline ").count(), 2);
    assert_eq!(drawing.matches("<circle ").count(), 4);
    assert!(!drawing.contains("NaN") && !drawing.contains("inf"), "{drawing}");
}

#[test]
fn nothing_to_draw_is_an_empty_drawing() {
    assert!(svg(&[run("Kontor", vec![lone::P50.is(1.0)])]).ends_with("</svg>\n"));
}
