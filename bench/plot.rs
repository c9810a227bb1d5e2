//! Plots as SVG: panels of lines over one axis that grows by factors. Pure: values in, text out.
//!
//! Both axes are logarithmic, so that what is flat looks flat whatever its size, and lines of very different
//! height stand side by side. Colours follow what the reader prefers, dark or light; since the background
//! is drawn as well, the text stands out from it anywhere.

use std::fmt::Write;

use crate::values::Spread;

/// One line: its name, and what it has at each place.
pub struct Line {
    /// What it is called in the legend.
    pub name: &'static str,
    /// Its colour and dashes, by number below 7: the same in each panel.
    pub look: usize,
    /// Places on the axis from left to right, and the values there; all above zero.
    pub points: Vec<(f64, Spread)>,
}

/// One panel: lines of one figure.
pub struct Panel {
    /// What the lines show, with its unit.
    pub title: String,
    /// The lines.
    pub lines: Vec<Line>,
}

/// Panels over the same axis.
pub struct Plot {
    /// What grows, with its unit.
    pub x_label: &'static str,
    /// Places on the axis, and what stands below them.
    pub ticks: Vec<(f64, String)>,
    /// The panels, two in a row.
    pub panels: Vec<Panel>,
}

const PANEL_WIDTH: f64 = 470.0;
const PANEL_HEIGHT: f64 = 300.0;
/// Room around the frame of a panel.
const LEFT: f64 = 64.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 62.0;
const BOTTOM: f64 = 46.0;
/// Names in one line of the legend.
const NAMES_IN_A_ROW: usize = 3;
/// The upper end of an axis is at least so many times its lower end: what is flat must look flat.
const RANGE_LEAST: f64 = 10.0;

/// Colours that differ for people who see fewer of them too; dashes tell lines apart without any.
const COLOURS: [(&str, &str); 7] = [
    ("#0063a6", "#6cb8f0"),
    ("#c04a00", "#ff9d5c"),
    ("#00795a", "#3fcf9f"),
    ("#a1286f", "#f08cc4"),
    ("#5b4bb5", "#b3a6ff"),
    ("#7a6400", "#e0c341"),
    ("#555555", "#bbbbbb"),
];
const DASHES: [&str; 7] = ["none", "7 3", "2 3", "9 3 2 3", "12 4", "4 4", "1 4"];

/// A stretch of an axis, by the logarithms of its ends.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Scale {
    low: f64,
    high: f64,
}

impl Scale {
    /// The stretch that holds all of these values with some room beside them.
    fn around(values: impl Iterator<Item = f64>, range_least: f64) -> Self {
        let logs = values.map(f64::log10);
        let (low, high) = logs.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), log| {
            (low.min(log), high.max(log))
        });
        if low > high {
            return Self { low: 0.0, high: 1.0 };
        }
        let missing = (range_least.log10() - (high - low)).max(0.0) / 2.0;
        let room = (high - low) * 0.06 + missing;
        Self { low: low - room, high: high + room }
    }

    /// Where a value lies, from 0 to 1.
    fn place(self, value: f64) -> f64 {
        (value.log10() - self.low) / (self.high - self.low).max(1e-9)
    }

    /// Round values within it: 1, 2 and 5 times the powers of ten, or the powers alone where it is long.
    fn ticks(self) -> Vec<f64> {
        let steps: &[f64] = if self.high - self.low > 2.5 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let mut ticks = Vec::new();
        let mut power = 10_f64.powf(self.low.floor());
        while power.log10() <= self.high {
            ticks.extend(steps.iter().map(|step| step * power));
            power *= 10.0;
        }
        ticks.retain(|tick| (self.low..=self.high).contains(&tick.log10()));
        ticks
    }
}

/// A number as an axis shows it.
fn shown(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{} M", value / 1e6),
        value if value >= 1e3 => format!("{} k", value / 1e3),
        value if value >= 1.0 => format!("{value:.0}"),
        value => format!("{value:.3}").trim_end_matches('0').to_owned(),
    }
}

impl Plot {
    /// The picture.
    pub fn svg(&self) -> String {
        let rows = self.panels.len().div_ceil(2);
        let (width, height) = (2.0 * PANEL_WIDTH, rows as f64 * PANEL_HEIGHT);
        let mut text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
             width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n{}\
             <rect class=\"ground\" width=\"{width}\" height=\"{height}\"/>\n",
            style()
        );
        let range = self.ticks.iter().map(|(at, _)| *at);
        let across = Scale::around(range, 2.0);
        for (index, panel) in self.panels.iter().enumerate() {
            let x = if index % 2 == 0 { 0.0 } else { PANEL_WIDTH };
            let y = (index / 2) as f64 * PANEL_HEIGHT;
            let _ = writeln!(text, "<g transform=\"translate({x} {y})\">");
            text += &self.frame(panel, across);
            for line in &panel.lines {
                text += &drawn(line, across, panel.scale());
            }
            text += "</g>\n";
        }
        text + "</svg>\n"
    }

    /// Title, frame, both axes with their ticks, and the legend.
    fn frame(&self, panel: &Panel, across: Scale) -> String {
        let (right, bottom) = (PANEL_WIDTH - RIGHT, PANEL_HEIGHT - BOTTOM);
        let mut text = format!(
            "<text x=\"{LEFT}\" y=\"20\" font-weight=\"bold\">{}</text>\n\
             <path class=\"axis\" d=\"M{LEFT} {TOP}V{bottom}H{right}\"/>\n",
            panel.title
        );
        for (at, label) in &self.ticks {
            let x = x_of(across, *at);
            let y = bottom + 16.0;
            let _ = writeln!(
                text,
                "<path class=\"grid\" d=\"M{x:.1} {TOP}V{bottom}\"/>\
                 <text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{label}</text>"
            );
        }
        let up = panel.scale();
        for tick in up.ticks() {
            let y = y_of(up, tick);
            let (x, below, label) = (LEFT - 6.0, y + 4.0, shown(tick));
            let _ = writeln!(
                text,
                "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{right}\"/>\
                 <text x=\"{x}\" y=\"{below:.1}\" text-anchor=\"end\">{label}</text>"
            );
        }
        let (middle, below) = (f64::midpoint(LEFT, right), PANEL_HEIGHT - 10.0);
        let _ = writeln!(
            text,
            "<text x=\"{middle}\" y=\"{below}\" text-anchor=\"middle\">{}</text>",
            self.x_label
        );
        for (index, line) in panel.lines.iter().enumerate() {
            let step = (right - LEFT) / NAMES_IN_A_ROW as f64;
            let x = LEFT + (index % NAMES_IN_A_ROW) as f64 * step;
            let y = 36.0 + (index / NAMES_IN_A_ROW) as f64 * 15.0;
            let (end, beside, above) = (x + 24.0, x + 28.0, y - 4.0);
            let Line { name, look, .. } = line;
            let _ = writeln!(
                text,
                "<path class=\"line c{look}\" d=\"M{x:.1} {above}H{end:.1}\"/>\
                 <text x=\"{beside:.1}\" y=\"{y}\">{name}</text>"
            );
        }
        text
    }
}

impl Panel {
    fn scale(&self) -> Scale {
        let points = self.lines.iter().flat_map(|line| &line.points);
        let values = points.flat_map(|(_, spread)| [spread.least, spread.most]);
        Scale::around(values, RANGE_LEAST)
    }
}

fn x_of(across: Scale, at: f64) -> f64 {
    LEFT + across.place(at) * (PANEL_WIDTH - LEFT - RIGHT)
}

fn y_of(up: Scale, value: f64) -> f64 {
    let bottom = PANEL_HEIGHT - BOTTOM;
    bottom - up.place(value) * (bottom - TOP)
}

/// The medians joined, each with a stroke from the least to the most.
fn drawn(line: &Line, across: Scale, up: Scale) -> String {
    let look = line.look;
    let mut path = String::new();
    let mut marks = String::new();
    for (at, spread) in &line.points {
        let (x, y) = (x_of(across, *at), y_of(up, spread.median));
        let letter = if path.is_empty() { 'M' } else { 'L' };
        let _ = write!(path, "{letter}{x:.1} {y:.1}");
        let (least, most) = (y_of(up, spread.least), y_of(up, spread.most));
        let _ = writeln!(
            marks,
            "<path class=\"spread c{look}\" d=\"M{x:.1} {least:.1}V{most:.1}\"/>\
             <circle class=\"dot c{look}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>"
        );
    }
    format!("<path class=\"line c{look}\" d=\"{path}\"/>\n{marks}")
}

fn style() -> String {
    let mut text = String::from(
        "<style>\n.ground{fill:#fff}text{fill:#222}.axis{fill:none;stroke:#222}\n\
         .grid{stroke:#8884;stroke-width:.5}.line{fill:none;stroke-width:2}.spread{stroke-width:1.2}\n",
    );
    for (index, dash) in DASHES.iter().enumerate() {
        let _ = writeln!(text, ".line.c{index}{{stroke-dasharray:{dash}}}");
    }
    let colours = |pick: fn(&(&'static str, &'static str)) -> &'static str| {
        let of = |(index, pair)| {
            let colour = pick(pair);
            format!(".c{index}{{stroke:{colour}}}.dot.c{index}{{fill:{colour}}}\n")
        };
        COLOURS.iter().enumerate().map(of).collect::<String>()
    };
    text += &colours(|(light, _)| light);
    text += "@media (prefers-color-scheme:dark){\n\
             .ground{fill:#14161a}text{fill:#ddd}.axis{stroke:#ddd}\n";
    text += &colours(|(_, dark)| dark);
    text + "}\n</style>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(values: &[(f64, f64)]) -> Plot {
        let points = values.iter().map(|(at, value)| {
            let (least, most) = (value / 2.0, value * 2.0);
            (*at, Spread { least, median: *value, most })
        });
        let line = Line { name: "read", look: 0, points: points.collect() };
        let panel = Panel { title: "Requests, a second".to_owned(), lines: vec![line] };
        let ticks = values.iter().map(|(at, _)| (*at, at.to_string())).collect();
        Plot { x_label: "marks held", ticks, panels: vec![panel] }
    }

    /// The numbers of the path of the line, as `x y` pairs.
    fn path(svg: &str) -> Vec<(f64, f64)> {
        let lines = svg.lines().filter(|line| line.starts_with("<path class=\"line c0\" d=\"M"));
        let longest = lines.filter(|line| !line.contains('H')).max_by_key(|line| line.len());
        let path = longest.unwrap().split('"').nth(3).unwrap();
        let pairs = path.split(['M', 'L']).skip(1).map(|pair| pair.split_once(' ').unwrap());
        pairs.map(|(x, y)| (x.parse().unwrap(), y.parse().unwrap())).collect()
    }

    #[test]
    fn equal_factors_are_equal_steps_on_both_axes() {
        let path = path(&plot(&[(1.0, 10.0), (4.0, 100.0), (16.0, 1000.0)]).svg());
        assert!((path[1].0 - path[0].0 - (path[2].0 - path[1].0)).abs() < 0.3, "{path:?}");
        assert!((path[0].1 - path[1].1 - (path[1].1 - path[2].1)).abs() < 0.3, "{path:?}");
        assert!(path[0].1 > path[2].1, "larger values stand higher: {path:?}");
    }

    #[test]
    fn what_hardly_moves_looks_flat() {
        let path = path(&plot(&[(1.0, 100.0), (16.0, 105.0)]).svg());
        assert!((path[0].1 - path[1].1).abs() < 6.0, "{path:?}");
    }

    #[test]
    fn everything_stays_within_its_panel() {
        for (x, y) in path(&plot(&[(1.0, 1.0), (1e6, 1e7)]).svg()) {
            assert!((LEFT..=PANEL_WIDTH - RIGHT).contains(&x), "{x}");
            assert!((TOP..=PANEL_HEIGHT - BOTTOM).contains(&y), "{y}");
        }
    }

    #[test]
    fn a_plot_of_one_place_or_of_none_is_still_a_picture() {
        for values in [&[(5.0, 7.0)][..], &[]] {
            let svg = plot(values).svg();
            assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"), "{svg}");
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }

    #[test]
    fn ticks_are_round_numbers_within_the_axis() {
        let scale = Scale::around([30.0, 300.0].into_iter(), 1.0);
        assert_eq!(scale.ticks(), [50.0, 100.0, 200.0]);
        assert_eq!([0.5, 20.0, 5e3, 2e6].map(shown), ["0.5", "20", "5 k", "2 M"]);
    }
}
