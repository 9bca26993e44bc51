//! Bar charts of what the benchmark printed, one SVG for each part.
//!
//! They are drawn from its table as it stands in the output or on a page, so a chart shows no figure that the table has not.

use std::collections::BTreeMap;
use std::fmt::Write;

/// A line of the table whose figure is a ratio.
#[derive(Debug, PartialEq)]
struct Row {
    what: String,
    compared: String,
    ratio: f64,
    range: Option<(f64, f64)>,
    /// As printed, with the verdict: `≤ 1.30`, `holds`.
    bar: Option<(String, f64, String)>,
}

/// The lines of the table with ratios, by the letter of their part.
fn rows(text: &str) -> BTreeMap<char, Vec<Row>> {
    let mut rows: BTreeMap<char, Vec<Row>> = BTreeMap::new();
    for line in text.lines() {
        let cells: Vec<&str> = line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
        let [letter, what, compared, figure, others @ ..] = &cells[..] else { continue };
        let mut letters = letter.chars();
        let (Some(part @ 'a'..='z'), None, Ok(ratio)) = (letters.next(), letters.next(), figure.parse()) else {
            continue;
        };
        let range = others.first().and_then(|cell| {
            let (low, high) = cell.split_once('–')?;
            Some((low.parse().ok()?, high.parse().ok()?))
        });
        let bar = others.iter().position(|cell| cell.starts_with(['≤', '≥'])).and_then(|at| {
            let limit = others[at].split(' ').nth(1)?.parse().ok()?;
            Some((
                others[at].to_owned(),
                limit,
                others.get(at + 1).map_or_else(String::new, |verdict| (*verdict).to_owned()),
            ))
        });
        let row = Row { what: (*what).to_owned(), compared: (*compared).to_owned(), ratio, range, bar };
        rows.entry(part).or_default().push(row);
    }
    rows
}

const WIDTH: f64 = 880.0;
const LEFT: f64 = 330.0;
const RIGHT: f64 = 170.0;
const TOP: f64 = 44.0;
const ROW: f64 = 38.0;
const THICK: f64 = 16.0;

/// The charts of a benchmark's output: the letter of each part, and its SVG.
#[must_use]
pub fn charts(text: &str) -> BTreeMap<char, String> {
    rows(text).into_iter().map(|(part, rows)| (part, chart(part, &rows))).collect()
}

fn chart(part: char, rows: &[Row]) -> String {
    let largest =
        rows.iter().map(|row| row.range.map_or(row.ratio, |(_, high)| high.max(row.ratio))).fold(1.0, f64::max);
    let limits = rows.iter().filter_map(|row| row.bar.as_ref()).map(|(_, limit, _)| *limit);
    let (step, end) = axis(limits.fold(largest, f64::max));
    let x = |ratio: f64| LEFT + ratio / end * (WIDTH - LEFT - RIGHT);
    let bottom = TOP + ROW * rows.len() as f64;
    let mut svg = String::new();
    let mut line = |text: String| {
        svg.push_str(&text);
        svg.push('\n');
    };
    line(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"12\" role=\"img\" aria-label=\"Benchmark, part {part}\">",
        height = bottom + 34.0
    ));
    line("<rect width=\"100%\" height=\"100%\" rx=\"6\" fill=\"#ffffff\"/>".to_owned());
    line(format!(
        "<text x=\"16\" y=\"24\" font-size=\"14\" font-weight=\"600\" fill=\"#1f2328\">Part {part}: ratios, median and range</text>"
    ));
    let mut tick = 0;
    while f64::from(tick) * step <= end + 1e-9 {
        let ratio = f64::from(tick) * step;
        line(format!(
            "<line x1=\"{0:.1}\" y1=\"{TOP}\" x2=\"{0:.1}\" y2=\"{bottom}\" stroke=\"#d0d7de\"/>\
             <text x=\"{0:.1}\" y=\"{1}\" text-anchor=\"middle\" fill=\"#59636e\">{2}</text>",
            x(ratio),
            bottom + 18.0,
            short(ratio)
        ));
        tick += 1;
    }
    line(format!("<line x1=\"{0:.1}\" y1=\"{TOP}\" x2=\"{0:.1}\" y2=\"{bottom}\" stroke=\"#1f2328\"/>", x(1.0)));
    for (nth, row) in rows.iter().enumerate() {
        line(drawn(row, TOP + ROW * nth as f64, &x));
    }
    line("</svg>".to_owned());
    svg
}

fn drawn(row: &Row, top: f64, x: &impl Fn(f64) -> f64) -> String {
    let is_noise = row.compared.starts_with("noise");
    let missed = row.bar.as_ref().is_some_and(|(_, _, verdict)| verdict == "MISSED");
    let colour = match (is_noise, missed) {
        (true, _) => "#afb8c1",
        (_, true) => "#cf222e",
        _ => "#316dca",
    };
    let (middle, bar_top) = (top + ROW / 2.0, top + (ROW - THICK) / 2.0);
    let mut svg = String::new();
    let _ = write!(
        svg,
        "<text x=\"{0}\" y=\"{1}\" text-anchor=\"end\" fill=\"#1f2328\">{2}</text>\
         <text x=\"{0}\" y=\"{3}\" text-anchor=\"end\" font-size=\"11\" fill=\"#59636e\">{4}</text>",
        LEFT - 10.0,
        middle - 3.0,
        escaped(&row.compared),
        middle + 11.0,
        escaped(&row.what)
    );
    let _ = write!(
        svg,
        "<rect x=\"{LEFT}\" y=\"{bar_top:.1}\" width=\"{:.1}\" height=\"{THICK}\" rx=\"2\" fill=\"{colour}\"/>",
        x(row.ratio) - LEFT
    );
    if let Some((low, high)) = row.range {
        let _ = write!(
            svg,
            "<line x1=\"{:.1}\" y1=\"{middle:.1}\" x2=\"{:.1}\" y2=\"{middle:.1}\" stroke=\"#1f2328\"/>",
            x(low),
            x(high)
        );
    }
    let verdict = row.bar.as_ref().map(|(bar, limit, verdict)| {
        let _ = write!(
            svg,
            "<line x1=\"{0:.1}\" y1=\"{1:.1}\" x2=\"{0:.1}\" y2=\"{2:.1}\" stroke=\"#9a6700\" stroke-width=\"2\" stroke-dasharray=\"3 2\"/>",
            x(*limit),
            top + 4.0,
            top + ROW - 4.0
        );
        format!(" ({bar} {verdict})")
    });
    let _ = write!(
        svg,
        "<text x=\"{}\" y=\"{:.1}\" fill=\"#1f2328\">{:.3}{}</text>",
        WIDTH - RIGHT + 10.0,
        middle + 4.0,
        row.ratio,
        escaped(&verdict.unwrap_or_default())
    );
    svg
}

/// The distance of the axis' marks, and its end.
fn axis(largest: f64) -> (f64, f64) {
    let step = [0.25, 0.5, 1.0, 2.0, 5.0, 10.0].into_iter().find(|step| largest / step <= 8.0).unwrap_or(largest / 8.0);
    (step, (largest / step).ceil() * step)
}

fn short(ratio: f64) -> String {
    format!("{ratio:.2}").trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str =
        "   what                        ratio of                median   min–max    bar                 times (median)
a  scan of 2000000 rows        ours / literal          1.084    0.94–1.14  ≤ 1.30      holds   102 ms / 93.80 ms
a  scan of 2000000 rows        noise: literal / literal  0.992    0.89–1.26                      92.85 ms / 93.80 ms
h  1000000 calls               growth of memory        0 KiB               ≤ 1024 KiB  holds   2006 KiB / 2006 KiB
1 bars hold, none missed; 402 s in all";

    #[test]
    fn the_table_is_read_as_it_is_printed() {
        let rows = rows(PRINTED);
        assert_eq!(rows.keys().collect::<Vec<_>>(), [&'a']);
        let first = &rows[&'a'][0];
        assert_eq!((first.ratio, first.range), (1.084, Some((0.94, 1.14))));
        assert_eq!(first.bar, Some(("≤ 1.30".to_owned(), 1.3, "holds".to_owned())));
        assert_eq!(rows[&'a'][1].bar, None);
    }

    #[test]
    fn a_chart_shows_what_the_table_has() {
        let charts = charts(PRINTED);
        let svg = &charts[&'a'];
        for text in ["ours / literal", "scan of 2000000 rows", "1.084 (≤ 1.30 holds)", "0.992"] {
            assert!(svg.contains(text), "{text} is missing: {svg}");
        }
        assert_eq!(svg.matches("<rect x=").count(), 2, "a bar for each row");
        assert_eq!(axis(1.3), (0.25, 1.5));
    }
}
