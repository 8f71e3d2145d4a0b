//! Each cost over its size, as small plots in one SVG: both axes logarithmic, so that what grows in
//! proportion is a straight line up, and what does not grow is a level one.

use crate::{
    figure::{Figure, Measure},
    report::Run,
};
use std::fmt::Write;

const COLUMNS: usize = 3;
const WIDTH: f64 = 330.0;
const HEIGHT: f64 = 230.0;
/// The frame of a plot within its cell.
const LEFT: f64 = 62.0;
const RIGHT: f64 = 316.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 190.0;
const COLOURS: [&str; 4] = ["#1b6ca8", "#c8553d", "#588157", "#6d597a"];

/// The drawing of everything that was measured at several sizes.
pub fn svg(runs: &[Run]) -> String {
    let plots = measures(runs);
    let rows = plots.len().div_ceil(COLUMNS).max(1);
    let (width, height) = (WIDTH * COLUMNS as f64, HEIGHT * rows as f64);
    let mut drawing = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"10\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    for (nth, measure) in plots.into_iter().enumerate() {
        let (x, y) = ((nth % COLUMNS) as f64 * WIDTH, (nth / COLUMNS) as f64 * HEIGHT);
        let _ = writeln!(drawing, "<g transform=\"translate({x} {y})\">");
        plot(&mut drawing, measure, runs);
        drawing.push_str("</g>\n");
    }
    drawing.push_str("</svg>\n");
    drawing
}

/// What some run has at two sizes or more.
fn measures(runs: &[Run]) -> Vec<&'static Measure> {
    let mut found: Vec<&'static Measure> = Vec::new();
    for run in runs {
        for figure in &run.figures {
            if !found.contains(&figure.measure) && points(run, figure.measure).len() > 1 {
                found.push(figure.measure);
            }
        }
    }
    found
}

/// Sizes and values that have a place on logarithmic axes.
fn points(run: &Run, measure: &Measure) -> Vec<(f64, f64)> {
    let of_measure = |figure: &&Figure| figure.measure == measure;
    let on_axes = |figure: &&Figure| figure.size > 0 && figure.value > 0.0;
    let figures = run.figures.iter().filter(of_measure).filter(on_axes);
    figures.map(|figure| (figure.size as f64, figure.value)).collect()
}

fn plot(drawing: &mut String, measure: &Measure, runs: &[Run]) {
    let all = runs.iter().flat_map(|run| points(run, measure)).collect::<Vec<_>>();
    let across = Axis::over(all.iter().map(|point| point.0), LEFT, RIGHT, false);
    let up = Axis::over(all.iter().map(|point| point.1), BOTTOM, TOP, true);
    let middle = f64::midpoint(LEFT, RIGHT);
    text(drawing, middle, 18.0, "middle", "black", measure.title);
    text(drawing, middle, BOTTOM + 30.0, "middle", "#555", measure.over.unwrap_or_default());
    for tick in up.ticks() {
        let y = up.place(tick);
        let _ =
            writeln!(drawing, "<path d=\"M{LEFT} {y:.1}H{RIGHT}\" stroke=\"#ddd\" fill=\"none\"/>");
        text(drawing, LEFT - 4.0, y + 3.0, "end", "#555", &measure.unit.show(tick));
    }
    let mut sizes = all.iter().map(|point| point.0 as u64).collect::<Vec<_>>();
    sizes.sort_unstable();
    sizes.dedup();
    let mut free_from = f64::MIN;
    for size in sizes {
        let x = across.place(size as f64);
        // Labels that would lie on each other are left out.
        if x >= free_from {
            text(drawing, x, BOTTOM + 14.0, "middle", "#555", &size.to_string());
            free_from = x + 12.0 + 6.0 * size.to_string().len() as f64;
        }
    }
    for (nth, run) in runs.iter().enumerate() {
        let colour = COLOURS[nth % COLOURS.len()];
        line(drawing, &points(run, measure), &across, &up, colour);
        let x = LEFT + 4.0 + 60.0 * nth as f64;
        text(drawing, x, TOP - 4.0, "start", colour, run.target);
    }
}

fn line(drawing: &mut String, points: &[(f64, f64)], across: &Axis, up: &Axis, colour: &str) {
    let places = points.iter().map(|(x, y)| (across.place(*x), up.place(*y))).collect::<Vec<_>>();
    let path = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect::<Vec<_>>().join(" ");
    let _ = writeln!(
        drawing,
        "<polyline points=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.6\"/>"
    );
    for (x, y) in places {
        let _ =
            writeln!(drawing, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.4\" fill=\"{colour}\"/>");
    }
}

fn text(drawing: &mut String, x: f64, y: f64, anchor: &str, colour: &str, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(
        drawing,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"{colour}\">{text}</text>"
    );
}

/// A logarithmic scale between two places.
struct Axis {
    /// Logarithms of the ends.
    least: f64,
    most: f64,
    from: f64,
    to: f64,
}

impl Axis {
    fn over(values: impl Iterator<Item = f64>, from: f64, to: f64, whole_decades: bool) -> Self {
        let ends = values
            .map(f64::log10)
            .fold((f64::MAX, f64::MIN), |(least, most), value| (least.min(value), most.max(value)));
        let (mut least, mut most) = if ends.0 > ends.1 { (0.0, 1.0) } else { ends };
        if whole_decades {
            (least, most) = ((least - 0.05).floor(), (most + 0.05).ceil());
        }
        if most - least < 0.1 {
            most = least + 1.0;
        }
        Self { least, most, from, to }
    }

    fn place(&self, value: f64) -> f64 {
        let part = (value.log10() - self.least) / (self.most - self.least);
        self.from + part * (self.to - self.from)
    }

    /// The powers of ten on it.
    fn ticks(&self) -> impl Iterator<Item = f64> {
        (self.least.ceil() as i32..=self.most.floor() as i32).map(|power| 10_f64.powi(power))
    }
}

#[cfg(test)]
mod tests;
