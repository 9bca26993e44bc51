//! The command line, and how much is measured.

use std::path::PathBuf;

/// What the user asked for.
#[derive(Debug)]
pub struct Options {
    pub quick: bool,
    /// Letters of the parts to run; all when empty.
    only: Vec<char>,
    /// Instead of everything else: so many inserts and deletes of counted rows.
    pub soak: Option<u64>,
    /// Instead of everything else: an audit log of so many entries.
    pub log: Option<u64>,
    /// Where charts of the ratios go.
    pub charts: Option<PathBuf>,
}

/// How much is measured: the figures that the bars speak of, or fewer for an impression.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Rows of each table that is read.
    pub table_rows: i64,
    /// Rows of each insert.
    pub insert_rows: i64,
    /// Rounds of what takes seconds.
    pub heavy_rounds: usize,
    /// Rounds of what takes milliseconds.
    pub rounds: usize,
    /// How often the ways take turns within such a round.
    pub slices: usize,
    /// How often servers are started that are compared with each other.
    pub starts: usize,
    /// Calls whose memory is measured.
    pub memory_calls: u64,
    /// How long a rate is called, in seconds.
    pub rate_seconds: u64,
    /// Tenants, hosts and members of a large registry.
    pub many_tenants: usize,
}

impl Options {
    /// Reads the arguments; `None` when help is wanted.
    pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut options = Self { quick: false, only: Vec::new(), soak: None, log: None, charts: None };
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--help" | "-h" => return Ok(None),
                "--quick" => options.quick = true,
                "--only" => options.select(&arguments.next().ok_or("--only needs letters, such as a,b")?)?,
                "--soak" => {
                    let operations = arguments.next().and_then(|number| number.parse().ok());
                    options.soak = Some(operations.ok_or("--soak needs a number, such as 10000000")?);
                }
                "--log" => {
                    let entries = arguments.next().and_then(|number| number.parse().ok());
                    options.log = Some(entries.ok_or("--log needs a number, such as 10000000")?);
                }
                "--charts" => {
                    let folder = arguments.next().ok_or("--charts needs a folder, such as target/charts")?;
                    options.charts = Some(folder.into());
                }
                other => match other.strip_prefix("--only=") {
                    Some(letters) => options.select(letters)?,
                    None => return Err(format!("unknown argument {other}")),
                },
            }
        }
        Ok(Some(options))
    }

    fn select(&mut self, letters: &str) -> Result<(), String> {
        for name in letters.split(',') {
            match name.trim().as_bytes() {
                [letter @ b'a'..=b'o'] => self.only.push(char::from(*letter)),
                _ => return Err(format!("there is no part \"{name}\"")),
            }
        }
        Ok(())
    }

    pub fn selects(&self, letter: char) -> bool {
        self.only.is_empty() || self.only.contains(&letter)
    }

    pub fn scale(&self) -> Scale {
        if self.quick {
            Scale {
                table_rows: 400_000,
                insert_rows: 60_000,
                heavy_rounds: 5,
                rounds: 9,
                slices: 4,
                starts: 1,
                memory_calls: 200_000,
                rate_seconds: 20,
                many_tenants: 100_000,
            }
        } else {
            Scale {
                table_rows: 2_000_000,
                insert_rows: 300_000,
                heavy_rounds: 15,
                rounds: 31,
                slices: 16,
                starts: 9,
                memory_calls: 1_000_000,
                rate_seconds: 300,
                many_tenants: 1_000_000,
            }
        }
    }
}

pub fn usage(parts: &[(char, &str)]) -> String {
    let parts: String = parts.iter().map(|(letter, title)| format!("\n  {letter}  {title}")).collect();
    format!(
        "bench [--quick] [--only a,b,…] [--charts FOLDER]\nbench --soak OPERATIONS\nbench --log ENTRIES\n\n\
         Prints what tenant isolation costs, as ratios of alternating runs: median (lowest–highest round).\n\
         Needs PG_TENANCY_PG_CONFIG, the pg_config of a PostgreSQL with a release build of the extension.\n\n  \
         --quick  fewer rows and rounds, about two minutes\n  \
         --soak   inserts and deletes so many rows that are counted, and prints what becomes of the slots and the rate\n  \
         --log    an audit log of so many entries, and what reading, sealing and dropping take\n  \
         --charts writes a chart of the ratios for each part\n  \
         --only   some parts:\n{parts}"
    )
}
