//! The chart: a bar for each contender's CPU time beside nginx's, a short line across its end from quartile to quartile.

use std::fmt::Write as _;

use crate::{
    contenders::Kind,
    failure::{Failure, Result},
    figure::{Compared, Entry, Figure, Unit},
    report::Report,
};

/// Who gets a bar. nginx is the line at 1.
const SHOWN: [Kind; 3] = [Kind::Sidecar, Kind::Haproxy, Kind::Relay];

const LEFT: f64 = 150.0;
const WIDTH: f64 = 820.0;
const TOP: f64 = 64.0;
const BAR: f64 = 14.0;
/// Between groups of bars.
const GAP: f64 = 12.0;
/// Room at the right for the numbers.
const RIGHT: f64 = 60.0;

/// Colours that can be read on white and on black, and told apart without colours by their lightness.
const STYLE: &str = "\
text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600 }
.line { stroke: #57606a }
.spread { stroke: #24292f; stroke-width: 1.5 }
.flexslot-proxy { fill: #0969da }
.haproxy { fill: #8c959f }
.byte-relay { fill: #d0d7de }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .line { stroke: #8d96a0 }
  .spread { stroke: #e6edf3 }
  .flexslot-proxy { fill: #4493f8 }
  .haproxy { fill: #7d8590 }
  .byte-relay { fill: #3d444d }
}
";

/// An SVG that needs nothing else.
pub(crate) fn draw(report: &Report) -> Result<String> {
    let figures: Vec<&Figure> = report.figures.iter().filter(|figure| is_drawn(figure)).collect();
    let ratios = figures.iter().flat_map(|figure| bars(figure)).map(|(_, spread)| spread[2]);
    let most = ratios.fold(1.0, f64::max);
    if figures.is_empty() {
        return Err(Failure::new("there is nothing to draw: none of the scenarios has CPU times beside nginx's"));
    }
    let scale = (WIDTH - LEFT - RIGHT) / most;
    let (mut bars_drawn, mut y) = (String::new(), TOP);
    for figure in figures {
        y = group(&mut bars_drawn, figure, y, scale) + GAP;
    }
    let (height, one) = (y + 8.0, LEFT + scale);
    let (legend, date) = (legend(), report.date.split('T').next().unwrap_or_default());
    Ok(format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" role="img">
<title>CPU time per request or MiB, nginx = 1; less is better</title>
<style>
{STYLE}</style>
<text class="title" x="0" y="16">CPU time per request or MiB, nginx = 1; less is better ({date})</text>
{legend}<line class="line" x1="{one:.1}" x2="{one:.1}" y1="{:.1}" y2="{y:.1}"/>
<text x="{one:.1}" y="{:.1}" text-anchor="middle">nginx</text>
{bars_drawn}</svg>
"#,
        TOP - 4.0,
        TOP - 8.0,
    ))
}

fn is_drawn(figure: &Figure) -> bool {
    figure.compared == Compared::Ratio
        && figure.unit == Unit::Seconds
        && figure.measure.starts_with("CPU per")
        && !["rate", "cores"].contains(&figure.scenario.as_str())
        && bars(figure).next().is_some()
}

/// Median and quartiles of those who get a bar.
fn bars(figure: &Figure) -> impl Iterator<Item = (Kind, [f64; 3])> {
    let spread = |entry: &Entry| entry.to_nginx.map(|spread| [spread.median, spread.q1, spread.q3]);
    SHOWN.into_iter().filter_map(move |kind| Some((kind, figure.entry(kind).and_then(spread)?)))
}

/// The bars of a figure. Returns where they end.
fn group(text: &mut String, figure: &Figure, mut y: f64, scale: f64) -> f64 {
    let _ = writeln!(text, r#"<text x="0" y="{:.1}">{}</text>"#, y + BAR - 2.0, figure.scenario);
    for (kind, [median, q1, q3]) in bars(figure) {
        let [end, from, to] = [median, q1, q3].map(|ratio| LEFT + ratio * scale);
        let middle = y + BAR / 2.0;
        let _ = write!(
            text,
            r#"<rect class="{}" x="{LEFT}" y="{y:.1}" width="{:.1}" height="{:.1}"/>
<line class="spread" x1="{from:.1}" x2="{to:.1}" y1="{middle:.1}" y2="{middle:.1}"/>
<text x="{:.1}" y="{:.1}">{median:.2}</text>
"#,
            class(kind),
            end - LEFT,
            BAR - 2.0,
            end.max(to) + 6.0,
            y + BAR - 3.0,
        );
        y += BAR;
    }
    y
}

fn legend() -> String {
    let mut text = String::new();
    for (number, kind) in SHOWN.into_iter().enumerate() {
        let x = LEFT + 140.0 * number as f64;
        let _ = writeln!(
            text,
            r#"<rect class="{}" x="{x}" y="26" width="12" height="12"/><text x="{}" y="37">{}</text>"#,
            class(kind),
            x + 18.0,
            kind.name(),
        );
    }
    text
}

fn class(kind: Kind) -> String {
    kind.name().replace(' ', "-")
}
