//! A chart as inline SVG: axes with labels, lines, bars, dots. Knows nothing of evaluations.
//!
//! Colours come from the page's style by class, so that one chart serves light and dark pages.

use std::fmt::{self, Write};

/// Size of a chart in its own units, about one pixel each on a phone.
const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 44.0;

/// A text in a page: what would be markup is escaped.
pub(super) struct Text<'a>(pub(super) &'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|letter| match letter {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            other => f.write_char(other),
        })
    }
}

/// The first letters of a name that is too long for its place.
pub(super) fn shortened(name: &str, letters: usize) -> String {
    if name.chars().count() <= letters {
        return name.to_owned();
    }
    let mut short: String = name.chars().take(letters.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// One axis. Its values are whatever the caller plots.
pub(super) struct Axis {
    label: &'static str,
    from: f64,
    to: f64,
    step: f64,
    scale: f64,
}

impl Axis {
    /// Shares from `from` to at least `to`, both 0 to 1, shown in percent.
    pub(super) fn percent(label: &'static str, from: f64, to: f64) -> Self {
        let step = nice((to - from) / 4.0).min(0.2);
        let from = (from / step + 1e-9).floor() * step;
        Self { label, from, to: (to / step - 1e-9).ceil() * step, step, scale: 100.0 }
    }

    /// Counts from 0 to at least `to`.
    pub(super) fn count(label: &'static str, to: f64) -> Self {
        let step = nice(to / 3.0).max(1.0);
        Self { label, from: 0.0, to: (to / step - 1e-9).ceil().max(1.0) * step, step, scale: 1.0 }
    }

    /// The greatest value shown.
    pub(super) fn end(&self) -> f64 {
        self.to
    }

    fn place(&self, value: f64) -> f64 {
        ((value - self.from) / (self.to - self.from)).clamp(0.0, 1.0)
    }

    fn ticks(&self) -> impl Iterator<Item = (f64, String)> {
        let count = ((self.to - self.from) / self.step).round() as usize;
        let digits = if self.step * self.scale < 0.999 { 1 } else { 0 };
        (0..=count).map(move |at| {
            let value = self.from + at as f64 * self.step;
            (value, format!("{:.digits$}", value * self.scale))
        })
    }
}

/// The least of 1, 2 and 5 times a power of ten that is not below `least`.
fn nice(least: f64) -> f64 {
    let least = least.max(1e-3);
    let power = 10f64.powf(least.log10().floor());
    let times = [1.0, 2.0, 5.0, 10.0].into_iter().find(|times| times * power >= least * 0.999);
    times.unwrap_or(10.0) * power
}

/// A chart under construction. Values outside the axes are drawn at their edge.
pub(super) struct Chart {
    title: &'static str,
    x: Axis,
    y: Axis,
    body: String,
}

impl Chart {
    pub(super) fn new(title: &'static str, x: Axis, y: Axis) -> Self {
        Self { title, x, y, body: String::new() }
    }

    fn across(&self, value: f64) -> f64 {
        LEFT + self.x.place(value) * (WIDTH - LEFT - RIGHT)
    }

    fn down(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - self.y.place(value) * (HEIGHT - TOP - BOTTOM)
    }

    /// A line through points, those beyond the end of the x axis left out.
    pub(super) fn line(&mut self, points: impl Iterator<Item = (f64, f64)>, class: &str) {
        let end = self.x.end() + 1e-9;
        let places: Vec<String> = points
            .filter(|point| point.0 <= end)
            .map(|(x, y)| format!("{:.1},{:.1}", self.across(x), self.down(y)))
            .collect();
        self.add(format_args!(
            "<polyline class=\"line {class}\" points=\"{}\"/>",
            places.join(" ")
        ));
    }

    /// A dot of a radius, with a text to be shown on hovering.
    pub(super) fn dot(&mut self, at: (f64, f64), radius: f64, class: &str, title: &str) {
        let (x, y) = (self.across(at.0), self.down(at.1));
        self.add(format_args!(
            "<circle class=\"dot {class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius:.1}\"><title>{}</title></circle>",
            Text(title)
        ));
    }

    /// A text above a point.
    pub(super) fn label(&mut self, at: (f64, f64), text: &str) {
        let (x, y) = (self.across(at.0).clamp(LEFT + 18.0, WIDTH - 20.0), self.down(at.1) - 9.0);
        let y = if y < TOP + 8.0 { y + 26.0 } else { y };
        self.add(format_args!(
            "<text class=\"value\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{}</text>",
            Text(text)
        ));
    }

    /// A bar that stands on the x axis from `from` to `to`.
    pub(super) fn bar(&mut self, (from, to): (f64, f64), height: f64, class: &str, title: &str) {
        let (left, right) = (self.across(from), self.across(to));
        let (top, floor) = (self.down(height), HEIGHT - BOTTOM);
        // What is there at all is seen.
        let tall = if height > 0.0 { (floor - top).max(1.0) } else { 0.0 };
        self.add(format_args!(
            "<rect class=\"{class}\" x=\"{left:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{tall:.1}\"><title>{}</title></rect>",
            floor - tall,
            right - left,
            Text(title)
        ));
    }

    /// A line from bottom to top.
    pub(super) fn upright(&mut self, x: f64, text: &str) {
        let (across, low) = (self.across(x), HEIGHT - BOTTOM);
        self.add(format_args!(
            "<line class=\"mark\" x1=\"{across:.1}\" x2=\"{across:.1}\" y1=\"{TOP}\" y2=\"{low}\"><title>{}</title></line>",
            Text(text)
        ));
    }

    fn add(&mut self, part: fmt::Arguments<'_>) {
        self.body.write_fmt(part).expect("a string takes all");
    }

    /// The SVG element.
    pub(super) fn finish(self) -> String {
        let (low, end) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
        let (middle, across) = ((TOP + low) / 2.0, (LEFT + end) / 2.0);
        let mut svg = format!(
            "<svg role=\"img\" aria-label=\"{}\" viewBox=\"0 0 {WIDTH} {HEIGHT}\">",
            self.title
        );
        for (value, name) in self.x.ticks() {
            let x = self.across(value);
            svg += &format!(
                "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{low}\"/>\
                 <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{name}</text>",
                low + 16.0
            );
        }
        for (value, name) in self.y.ticks() {
            let y = self.down(value);
            svg += &format!(
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{end}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{name}</text>",
                LEFT - 6.0,
                y + 4.0
            );
        }
        svg + &format!(
            "<text x=\"{across}\" y=\"{}\" text-anchor=\"middle\">{}</text>\
             <text transform=\"translate(12 {middle}) rotate(-90)\" text-anchor=\"middle\">{}</text>\
             {}</svg>",
            HEIGHT - 8.0,
            self.x.label,
            self.y.label,
            self.body
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_escaped() {
        assert_eq!(Text("<a b='\"'>&查").to_string(), "&lt;a b=&#39;&quot;&#39;&gt;&amp;查");
        assert_eq!(shortened("查物流查物流", 4), "查物流…");
        assert_eq!(shortened("短", 4), "短");
    }

    #[test]
    fn axis_table() {
        let names = |axis: Axis| axis.ticks().map(|tick| tick.1).collect::<Vec<_>>().join(" ");
        for (name, axis, expected) in [
            ("all", Axis::percent("", 0.0, 1.0), "0 20 40 60 80 100"),
            ("few", Axis::percent("", 0.0, 0.013), "0.0 0.5 1.0 1.5"),
            ("upper part", Axis::percent("", 0.83, 1.0), "80 85 90 95 100"),
            ("counts", Axis::count("", 15_000.0), "0 5000 10000 15000"),
            ("no counts", Axis::count("", 0.0), "0 1"),
        ] {
            assert_eq!(names(axis), expected, "{name}");
        }
    }
}
