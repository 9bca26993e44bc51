//! Sealing the log, verifying it, and dropping what is old.

use super::chain::{self, CHUNK, Fault};
use crate::catalog::audit_chain::{self, ANY_ID, ANY_TXID, Entry, Here, Link, NewLink, Range};
use crate::catalog::audit_log;
use crate::catalog::event::{self, Event};
use crate::error::{Error, Result};
use crate::sys::savepoint;
use serde_json::json;
use std::collections::BTreeSet;
use std::mem;

/// Seals the entries of transactions that are older than any that runs. Returns how many.
///
/// # Errors
/// 55000 in a transaction that does not see what others have committed meanwhile.
pub fn seal() -> Result<i64> {
    audit_log::maintain()?;
    audit_chain::lock()?;
    audit_chain::summarize()?;
    let here = here()?;
    let last = audit_chain::last()?;
    let mut sealer = Sealer { cluster: here.cluster.clone(), after: None, sealed: 0 };
    sealer.after = last.as_ref().map(|link| (link.seq, link.hash.clone()));
    let known = last.filter(|link| link.cluster == here.cluster);
    let (after_id, from_txid) = match known {
        Some(link) if link.range.upto_txid == ANY_TXID => (link.range.upto_id, 0),
        Some(link) => (link.range.after_id, link.range.upto_txid),
        None => {
            // Transactions of another server may have higher numbers than any here. In a moment in which nobody
            // writes all that is there is final; what comes later has higher ids. Rolling back gives the lock back.
            let here = savepoint::rehearse(|| {
                audit_chain::lock_log()?;
                self::here()
            })?;
            let former = audit_chain::last()?;
            let (after_id, from_txid, late_id) = match former.map(|link| link.range) {
                None => (0, 0, ANY_ID),
                Some(range) if range.upto_txid == ANY_TXID => (range.upto_id, 0, ANY_ID),
                Some(range) => {
                    let late_id = audit_chain::last_sealed_id(range.after_id)?.max(range.after_id);
                    (range.after_id, range.upto_txid, late_id)
                }
            };
            sealer.add(&Range { after_id, upto_id: here.last_id, from_txid, upto_txid: ANY_TXID, late_id }, true)?;
            (here.last_id, 0)
        }
    };
    if here.oldest_running > from_txid {
        let upto_txid = here.oldest_running;
        sealer.add(&Range { after_id, upto_id: ANY_ID, from_txid, upto_txid, late_id: ANY_ID }, false)?;
    }
    Ok(sealer.sealed)
}

fn here() -> Result<Here> {
    let here = audit_chain::here()?;
    if here.sees_all { Ok(here) } else { Err(Error::NeedsReadCommitted) }
}

struct Sealer {
    cluster: String,
    after: Option<(i64, Vec<u8>)>,
    sealed: i64,
}

impl Sealer {
    /// Seals the entries in the range, also when there are none if so asked.
    fn add(&mut self, range: &Range, even_if_empty: bool) -> Result<()> {
        let before = self.sealed;
        let mut chunk: Vec<Entry> = Vec::new();
        audit_chain::entries(range, |entry| {
            if chunk.len() == CHUNK || chunk.first().is_some_and(|first| first.month != entry.month) {
                self.link(range, &mem::take(&mut chunk))?;
            }
            chunk.push(entry);
            Ok(())
        })?;
        if !chunk.is_empty() || even_if_empty && self.sealed == before {
            self.link(range, &chunk)?;
        }
        Ok(())
    }

    fn link(&mut self, range: &Range, entries: &[Entry]) -> Result<()> {
        let content = chain::seal(entries.first().map(|entry| entry.month.as_str()), entries)?;
        self.sealed += content.entries;
        self.append(range, content, false)
    }

    fn append(&mut self, range: &Range, content: audit_chain::Content, is_retention: bool) -> Result<()> {
        let after = self.after.as_ref().map(|(seq, hash)| (*seq, hash.as_slice()));
        let cluster = &self.cluster;
        self.after = Some(audit_chain::add(NewLink { after, is_retention, cluster, range, content })?);
        Ok(())
    }
}

/// A fault, or the report that there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub ok: bool,
    pub first_bad: Option<i64>,
    pub detail: String,
}

impl Finding {
    fn fault(first_bad: Option<i64>, detail: String) -> Self {
        Self { ok: false, first_bad, detail }
    }
}

/// Looks whether what was sealed is as it was, and the chain whole, and whether it holds the checkpoint.
///
/// # Errors
/// 22023 malformed checkpoint.
pub fn verify(checkpoint: Option<&str>) -> Result<Vec<Finding>> {
    let checkpoint = checkpoint.map(parse_checkpoint).transpose()?;
    audit_chain::hold_months()?;
    let mut findings = Vec::new();
    let mut previous: Option<(i64, Vec<u8>)> = None;
    let mut retained = BTreeSet::new();
    let mut at_checkpoint = None;
    audit_chain::each(|link| {
        let first = first_id(&link);
        let (expected_seq, expected_hash) =
            previous.take().map_or((1, Vec::new()), |(seq, hash): (i64, Vec<u8>)| (seq + 1, hash));
        if link.seq != expected_seq {
            findings.push(Finding::fault(first, format!("Link {expected_seq} of the chain is missing.")));
        } else if link.previous != expected_hash {
            findings.push(Finding::fault(
                first,
                format!("Link {} of the chain does not follow the one before it.", link.seq),
            ));
        }
        if link.hash != link.computed {
            findings.push(Finding::fault(first, format!("Link {} of the chain was changed.", link.seq)));
        }
        if checkpoint.as_ref().is_some_and(|(seq, _)| *seq == link.seq) {
            at_checkpoint = Some(link.hash.clone());
        }
        if link.is_retention {
            retained.extend(link.content.month.clone());
        }
        previous = Some((link.seq, link.hash));
        Ok(())
    })?;
    if let Some((seq, hash)) = &checkpoint
        && at_checkpoint.as_ref() != Some(hash)
    {
        findings.push(Finding::fault(None, format!("The chain does not hold the checkpoint at link {seq}.")));
    }
    let mut verifier = Verifier { retained: &retained, group: Vec::new(), entries: 0, findings };
    audit_chain::each(|link| verifier.take(link))?;
    verifier.check_group()?;
    let Verifier { entries, mut findings, .. } = verifier;
    if findings.is_empty() {
        let links = previous.map_or(0, |(seq, _)| seq);
        let dropped = retained.into_iter().collect::<Vec<_>>().join(", ");
        let dropped = if dropped.is_empty() { dropped } else { format!(" Dropped by retention: {dropped}.") };
        let erased = match audit_chain::erased()? {
            0 => String::new(),
            erased => format!(" Erased with their tenants: {erased} entries."),
        };
        let detail = format!("{entries} entries under {links} links are as they were sealed.{dropped}{erased}");
        findings.push(Finding { ok: true, first_bad: None, detail });
    }
    Ok(findings)
}

fn first_id(link: &Link) -> Option<i64> {
    link.content.marks.first_chunk().map(|bytes| i64::from_be_bytes(*bytes))
}

/// `seq:hash`, as `tenancy.audit_checkpoint()` gives it.
fn parse_checkpoint(text: &str) -> Result<(i64, Vec<u8>)> {
    let malformed = || Error::InvalidArgument {
        what: "checkpoint",
        reason: "it is not what tenancy.audit_checkpoint() gave".into(),
    };
    let (seq, hash) = text.trim().split_once(':').ok_or_else(malformed)?;
    let digit = |pair: &[u8]| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
    let bytes: Option<Vec<u8>> = hash.as_bytes().chunks(2).map(digit).collect();
    match (seq.parse(), bytes) {
        (Ok(seq), Some(bytes)) if hash.len() == 64 => Ok((seq, bytes)),
        _ => Err(malformed()),
    }
}

/// Compares the log with the links over it.
struct Verifier<'a> {
    retained: &'a BTreeSet<String>,
    /// The links over one range.
    group: Vec<Link>,
    entries: i64,
    findings: Vec<Finding>,
}

impl Verifier<'_> {
    fn take(&mut self, link: Link) -> Result<()> {
        if link.is_retention {
            return Ok(());
        }
        if self.group.first().is_some_and(|first| first.range != link.range) {
            self.check_group()?;
        }
        self.group.push(link);
        Ok(())
    }

    /// Looks at all entries in the range of the links.
    fn check_group(&mut self) -> Result<()> {
        let group = mem::take(&mut self.group);
        let Some(range) = group.first().map(|link| link.range.clone()) else { return Ok(()) };
        let mut links = group
            .into_iter()
            .filter(|link| link.content.month.as_ref().is_some_and(|month| !self.retained.contains(month)));
        let mut link = links.next();
        let mut chunk: Vec<Entry> = Vec::new();
        let (mut faulty, mut entries, mut findings) = (BTreeSet::new(), 0, Vec::new());
        // Only the first fault of a month is told: what follows it in the same seal is shifted.
        let mut judge = |month: &str, fault: Fault| {
            if faulty.insert(month.to_owned()) {
                findings.push(Finding::fault(Some(fault.id()), fault.describe(month)));
            }
        };
        let mut close = |link: &mut Option<Link>, chunk: &mut Vec<Entry>, judge: &mut dyn FnMut(&str, Fault)| {
            let (Some(sealed), found) = (mem::replace(link, links.next()), mem::take(chunk)) else { return Ok(()) };
            let month = sealed.content.month.clone().unwrap_or_default();
            match chain::first_fault(&sealed.content, &found)? {
                Some(fault) => judge(&month, fault),
                None => entries += sealed.content.entries,
            }
            Result::Ok(())
        };
        audit_chain::entries(&range, |entry| {
            loop {
                let Some(sealed) = &link else {
                    judge(&entry.month, Fault::Added(entry.id));
                    return Ok(());
                };
                let month = sealed.content.month.as_deref().unwrap_or_default();
                let is_full = chunk.len() as i64 >= sealed.content.entries;
                if entry.month.as_str() < month {
                    judge(&entry.month, Fault::Added(entry.id));
                    return Ok(());
                }
                if entry.month.as_str() == month && !is_full {
                    chunk.push(entry);
                    return Ok(());
                }
                close(&mut link, &mut chunk, &mut judge)?;
            }
        })?;
        while link.is_some() {
            close(&mut link, &mut chunk, &mut judge)?;
        }
        self.entries += entries;
        self.findings.extend(findings);
        Ok(())
    }
}

/// Seals the log and drops the months that ended longer ago than that. Returns how many entries they held.
///
/// # Errors
/// As for `seal`; 22023 for an interval that is not positive; 55000 when entries of such a month can't be sealed yet.
pub fn retain(keep: pgrx::datum::Interval) -> Result<i64> {
    audit_chain::check_positive(keep)?;
    seal()?;
    let Some(last) = audit_chain::last()? else { return Ok(0) };
    let mut sealer = Sealer { cluster: last.cluster, after: Some((last.seq, last.hash)), sealed: 0 };
    let mut dropped = 0;
    for (month, partition) in audit_chain::months_older_than(keep)? {
        let count = audit_chain::drop_month(&month, &partition, &last.range)?
            .ok_or_else(|| Error::MonthNotSealed(month.clone()))?;
        let mut content = chain::seal(Some(&month), &[])?;
        content.entries = count;
        sealer.append(&last.range, content, true)?;
        event::write(Event {
            event: "audit.dropped",
            object: Some(month),
            detail: Some(json!({ "entries": count })),
            ..Event::default()
        })?;
        dropped += count;
    }
    Ok(dropped)
}
