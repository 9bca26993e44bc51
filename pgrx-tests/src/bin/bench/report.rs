//! What is printed.

use std::time::Duration;

use tenancy_harness::{Cluster, Session};

use crate::measure::{Ratio, Times, median};

/// A figure that should not be exceeded, or be reached.
#[derive(Clone, Copy, Debug)]
pub enum Bar {
    AtMost(f64),
    AtLeast(f64),
}

impl Bar {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::AtMost(limit) => value <= limit,
            Self::AtLeast(limit) => value >= limit,
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtMost(limit) => format!("≤ {limit:.2}"),
            Self::AtLeast(limit) => format!("≥ {limit:.2}"),
        }
    }
}

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Line {
    part: char,
    what: String,
    compared: &'static str,
    figure: String,
    range: String,
    bar: String,
    holds: Option<bool>,
    behind: String,
    confidence: String,
}

impl Line {
    /// A ratio of times; `compared` says of what, such as "ours / literal".
    pub fn ratio(
        part: char,
        what: impl Into<String>,
        compared: &'static str,
        (above, below): (&Times, &Times),
        bar: Option<Bar>,
    ) -> Self {
        let ratio = Ratio::of(above, below);
        Self {
            part,
            what: what.into(),
            compared,
            figure: format!("{:.3}", ratio.median),
            range: format!("{:.2}–{:.2}", ratio.lowest, ratio.highest),
            bar: bar.map(Bar::text).unwrap_or_default(),
            holds: bar.map(|bar| bar.holds(ratio.median)),
            behind: format!("{} / {}", duration(above.per_call()), duration(below.per_call())),
            confidence: format!("{:.3}–{:.3}", ratio.confidence.0, ratio.confidence.1),
        }
    }

    /// What one way costs more than the other, per call, with a bar in seconds.
    pub fn difference(
        part: char,
        what: impl Into<String>,
        compared: &'static str,
        (above, below): (&Times, &Times),
        bar: f64,
    ) -> Self {
        let per_call = |times: &Times, seconds: f64| seconds / times.calls as f64;
        let differences: Vec<f64> = above
            .rounds
            .iter()
            .zip(&below.rounds)
            .map(|(one, other)| per_call(above, *one) - per_call(below, *other))
            .collect();
        let extreme =
            |fold: fn(f64, f64) -> f64| duration(differences.iter().copied().reduce(fold).unwrap_or_default());
        let middle = median(&differences);
        Self {
            part,
            what: what.into(),
            compared,
            figure: duration(middle),
            range: format!("{}–{}", extreme(f64::min), extreme(f64::max)),
            bar: format!("≤ {}", duration(bar)),
            holds: Some(middle <= bar),
            behind: format!("{} / {}", duration(above.per_call()), duration(below.per_call())),
            confidence: String::new(),
        }
    }

    /// Tells as well where the median lies with 95% confidence.
    #[must_use]
    pub fn with_confidence(mut self) -> Self {
        self.behind = format!("{}; 95%: {}", self.behind, self.confidence);
        self
    }

    /// An amount of memory in KiB, with a bar in KiB.
    pub fn kibibytes(
        part: char,
        what: impl Into<String>,
        compared: &'static str,
        amount: i64,
        bar: i64,
        behind: String,
    ) -> Self {
        Self {
            part,
            what: what.into(),
            compared,
            figure: format!("{amount} KiB"),
            range: String::new(),
            bar: format!("≤ {bar} KiB"),
            holds: Some(amount <= bar),
            behind,
            confidence: String::new(),
        }
    }

    /// A figure with a bar in the same unit.
    pub fn amount(
        part: char,
        what: impl Into<String>,
        compared: &'static str,
        amount: f64,
        unit: &str,
        bar: Bar,
    ) -> Self {
        Self {
            bar: format!("{} {unit}", bar.text()),
            holds: Some(bar.holds(amount)),
            ..Self::figure(part, what, compared, format!("{amount:.3} {unit}"), String::new())
        }
    }

    /// Any figure without a bar.
    pub fn figure(part: char, what: impl Into<String>, compared: &'static str, figure: String, behind: String) -> Self {
        Self {
            part,
            what: what.into(),
            compared,
            figure,
            range: String::new(),
            bar: String::new(),
            holds: None,
            behind,
            confidence: String::new(),
        }
    }

    fn verdict(&self) -> &'static str {
        match self.holds {
            Some(true) => "holds",
            Some(false) => "MISSED",
            None => "",
        }
    }
}

/// Seconds in a unit that suits them.
pub fn duration(seconds: f64) -> String {
    let (value, unit) = match seconds {
        s if s >= 1.0 => (s, "s"),
        s if s >= 1e-3 => (s * 1e3, "ms"),
        s if s >= 1e-6 => (s * 1e6, "µs"),
        s => (s * 1e9, "ns"),
    };
    if value >= 100.0 { format!("{value:.0} {unit}") } else { format!("{value:.2} {unit}") }
}

/// The lines in columns, under a heading.
pub fn table(lines: &[Line]) -> String {
    let heading =
        ["", "what", "ratio of", "median", "min–max", "bar", "", "times (median)"].map(str::to_owned).to_vec();
    let rows: Vec<Vec<String>> = std::iter::once(heading)
        .chain(lines.iter().map(|line| {
            vec![
                line.part.to_string(),
                line.what.clone(),
                line.compared.to_owned(),
                line.figure.clone(),
                line.range.clone(),
                line.bar.clone(),
                line.verdict().to_owned(),
                line.behind.clone(),
            ]
        }))
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let texts: Vec<String> = rows
        .iter()
        .map(|row| {
            let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            cells.join("  ").trim_end().to_owned()
        })
        .collect();
    texts.join("\n")
}

/// How many bars hold.
pub fn summary(lines: &[Line], elapsed: Duration) -> String {
    let bars = lines.iter().filter_map(|line| line.holds);
    let (held, missed): (Vec<bool>, Vec<bool>) = bars.partition(|held| *held);
    let missed = if missed.is_empty() { "none missed".to_owned() } else { format!("{} MISSED", missed.len()) };
    format!("{} bars hold, {missed}; {} s in all", held.len(), elapsed.as_secs())
}

/// What the figures were measured on.
pub fn machine(cluster: &Cluster, quick: bool, pinned: bool) -> String {
    let version = cluster.connect(Cluster::SUPERUSER).value("show server_version").unwrap_or_default();
    let processors = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cores = processors.lines().filter(|line| line.starts_with("processor")).count();
    let model = processors
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or(std::env::consts::ARCH, |(_, model)| model);
    let placed = if pinned { "client and server on one core" } else { "not pinned to a core" };
    let extent = if quick { "quick run, for an impression" } else { "full run" };
    format!(
        "PostgreSQL {version}, {cores} cores ({model}), {extent}; {placed}, data in memory, fsync and jit off, no parallel query"
    )
}
