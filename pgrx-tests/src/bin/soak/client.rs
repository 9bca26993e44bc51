//! One of the clients: transaction after transaction, each for a tenant that it draws, or for nobody.

use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::Duration;

use tenancy_harness::{Dice, RawSession, Reply, Request, sight};

use crate::site::{Resident, Site, Standing, Status};
use crate::tally::add;
use crate::work;

/// What any statement may meet: sessions are killed meanwhile.
const KILLED: [&str; 5] = ["08P01", "57P01", "57P02", "57P03", "58000"];

/// What is not the case any more, so that the transaction is over.
pub struct Ended;

/// How a transaction takes its tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Call,
    Setting,
    Host,
    Token,
    TokenSetting,
}

/// Works until it is over.
pub fn work(site: &Site<'_>, number: usize, mut dice: Dice) {
    // Three of four name their tenants, the others have to show a token.
    let signed = number % 4 == 3;
    let role = if signed { &site.api } else { &site.app };
    let mut session = None;
    while !site.is_over() {
        thread::sleep(Duration::from_millis(dice.throw() % 40));
        let _turn = site.turns.read().unwrap_or_else(PoisonError::into_inner);
        let Some(open) = session.take().or_else(|| connect(site, role)) else { continue };
        let mut client = Client { site, session: Some(open), resident: None, before: (Status::Unknown, 0), dice };
        client.transaction(signed);
        (session, dice) = (client.session, client.dice);
    }
}

fn connect(site: &Site<'_>, role: &str) -> Option<RawSession> {
    let session = site.pooler.open_raw(role).ok()?;
    if session.greeting().status == Some('I') {
        return Some(session);
    }
    for code in &session.greeting().errors {
        site.tally.error(code);
        if !KILLED.contains(&code.as_str()) {
            site.tally.fault(format!("no connection: {:?}", session.greeting().complaints));
        }
    }
    thread::sleep(Duration::from_millis(100));
    None
}

/// A session in a transaction.
pub struct Client<'s, 'c> {
    pub site: &'s Site<'c>,
    session: Option<RawSession>,
    /// For whom it acts.
    resident: Option<Arc<Resident>>,
    /// What its tenant was before the transaction began.
    before: Standing,
    pub dice: Dice,
}

impl Client<'_, '_> {
    fn transaction(&mut self, signed: bool) {
        add(&self.site.tally.transactions, 1);
        // However it ended: what matters has been noted.
        let _ = if self.dice.one_in(15) { self.for_nobody() } else { self.for_tenant(signed) };
    }

    /// Who names no tenant has none, and sees nothing.
    fn for_nobody(&mut self) -> Result<(), Ended> {
        let look = "select concat_ws(' ', coalesce(tenancy.current_key(), '-'), current_setting('statement_timeout'),
            quote_literal(current_setting('tenancy.tenant_id') || current_setting('tenancy.user_id') || current_setting('tenancy.token')),
            (select count(*) from orders) + (select count(*) from notes) + (select count(*) from points)
            + (select count(*) from ledger) + (select count(*) from tenancy.tenants) + (select count(*) from tenancy.audit_log)
            + (select count(*) from tenancy.quota_usage))";
        let reply = self.ask(look, &[])?;
        let seen = reply.texts().next().unwrap_or_default();
        if seen != "- 0 '' 0" {
            self.site.tally.fault(format!("who names no tenant finds: {seen}"));
        }
        if self.dice.one_in(3) {
            self.ask("select tenancy.set_tenant('1001')", &["25P01"])?;
        }
        Ok(())
    }

    fn for_tenant(&mut self, signed: bool) -> Result<(), Ended> {
        let resident = self.site.resident(&mut self.dice);
        self.before = resident.standing();
        self.resident = Some(Arc::clone(&resident));
        let ways: &[Way] =
            if signed { &[Way::Token, Way::TokenSetting] } else { &[Way::Call, Way::Setting, Way::Host, Way::Token] };
        let way = self.dice.pick(ways);
        let repeatable = self.dice.one_in(6);
        self.take(way, repeatable)?;
        let outcome = work::work(self, &resident, repeatable);
        if outcome.is_ok() {
            self.end()?;
        }
        outcome
    }

    fn take(&mut self, way: Way, repeatable: bool) -> Result<(), Ended> {
        let Some(resident) = self.resident.clone() else { return Err(Ended) };
        let (key, token, canary) = (&resident.key, &resident.token, resident.canary.text());
        let take = match way {
            Way::Call => format!("select tenancy.set_tenant('{key}')"),
            Way::Setting => format!("set local tenancy.tenant_id = '{key}'"),
            Way::Host => format!("select tenancy.set_tenant_by_host('{}')", resident.host()),
            Way::Token => format!("select tenancy.authenticate('{token}')"),
            Way::TokenSetting => format!("set local tenancy.token = '{token}'"),
        };
        let begin = if repeatable { "begin isolation level repeatable read" } else { "begin" };
        let statements = format!(
            "{begin}; {take}; set local tenancy.user_id = 'user of {canary}'; set local tenancy.request_id = '{canary}';
             select concat_ws(' ', tenancy.current_key(), tenancy.current_tenant())"
        );
        let reply = self.exchange(&Request::query(&statements))?;
        if let Some(code) = reply.errors.first() {
            let left_over = reply.complaints[0].contains("left-overs");
            let fits = match code.as_str() {
                "55000" if left_over => matches!(way, Way::Setting | Way::TokenSetting),
                // What may be acted for is acted for.
                "42501" | "55000" | "28000" => self.standing() != Some(Status::Active),
                "53400" => false,
                _ => KILLED.contains(&code.as_str()),
            };
            self.note(&reply, fits);
            self.roll_back()?;
            if left_over {
                self.ask("discard all", &[])?;
            }
            return Err(Ended);
        }
        if matches!(self.standing(), Some(Status::Suspended | Status::Erased)) {
            self.site.tally.fault(format!("{way:?} acts for {key}, which is {:?}", self.before.0));
        }
        let seen = reply.texts().last().unwrap_or_default();
        if seen != format!("{key} {}", resident.id) {
            self.site.tally.fault(format!("{way:?} for {key} acts for {seen}"));
        }
        Ok(())
    }

    /// What the tenant has been since before the transaction, if it was the same all the time.
    fn standing(&self) -> Option<Status> {
        let now = self.resident.as_ref()?.standing();
        (now == self.before && now.0 != Status::Unknown).then_some(now.0)
    }

    /// Commits or doesn't, or goes without a word.
    fn end(&mut self) -> Result<(), Ended> {
        match self.dice.below(12) {
            0 => self.roll_back(),
            1 => {
                self.leave();
                Err(Ended)
            }
            2 => {
                // Whether that still happens, who leaves does not learn.
                self.send(&Request::query("commit"));
                self.leave();
                Err(Ended)
            }
            _ => {
                self.ask("commit", &["40001"])?;
                add(&self.site.tally.commits, 1);
                Ok(())
            }
        }
    }

    /// Goes in the middle of whatever it is.
    pub fn leave(&mut self) {
        add(&self.site.tally.disconnects, 1);
        self.session = None;
    }

    pub fn send(&mut self, request: &Request) {
        if let Some(session) = &mut self.session {
            // A session that is gone is noticed when something is read.
            let _ = session.send(request);
        }
    }

    /// Statements that may fail with these errors, after which the transaction is rolled back.
    pub fn ask(&mut self, statements: &str, may_fail: &[&str]) -> Result<Reply, Ended> {
        self.ask_by(&Request::query(statements), may_fail)
    }

    pub fn ask_by(&mut self, request: &Request, may_fail: &[&str]) -> Result<Reply, Ended> {
        let reply = self.exchange(request)?;
        let Some(code) = reply.errors.first().map(String::as_str) else { return Ok(reply) };
        // A tenant that is suspended or goes is refused at its next statement.
        let refused = ["42501", "55000", "28000"].contains(&code)
            && self.resident.is_some()
            && self.standing() != Some(Status::Active);
        self.note(&reply, refused || may_fail.contains(&code) || KILLED.contains(&code));
        self.roll_back()?;
        Err(Ended)
    }

    /// Statements that have to be refused with this.
    pub fn refused(&mut self, statements: &str, code: &str) -> Result<(), Ended> {
        if self.ask(statements, &[code]).is_ok() {
            self.site.tally.fault(format!("this was not refused: {statements}"));
        }
        Err(Ended)
    }

    fn note(&self, reply: &Reply, fits: bool) {
        for code in &reply.errors {
            self.site.tally.error(code);
        }
        if !fits {
            let key = self.resident.as_ref().map(|resident| &resident.key);
            let now = self.resident.as_ref().map(|resident| resident.standing());
            self.site.tally.fault(format!("{key:?}, {:?} then {now:?}: {:?}", self.before, reply.complaints));
        }
    }

    fn roll_back(&mut self) -> Result<(), Ended> {
        let reply = self.exchange(&Request::query("rollback"))?;
        if !reply.errors.is_empty() {
            self.note(&reply, KILLED.contains(&reply.errors[0].as_str()));
            return Err(Ended);
        }
        Ok(())
    }

    /// Sends messages and looks through what comes.
    fn exchange(&mut self, request: &Request) -> Result<Reply, Ended> {
        let session = self.session.as_mut().ok_or(Ended)?;
        let reply = session.exchange(request);
        self.look_through(&reply);
        if reply.is_end() {
            self.session = None;
            self.note(&reply, reply.errors.iter().all(|code| KILLED.contains(&code.as_str())));
            return Err(Ended);
        }
        Ok(reply)
    }

    /// Reads what comes without an end.
    pub fn receive_messages(&mut self, count: usize) {
        if let Some(session) = &mut self.session {
            let reply = session.receive_messages(count);
            self.look_through(&reply);
        }
    }

    /// Of all that a client receives nothing is another tenant's.
    fn look_through(&self, reply: &Reply) {
        let tally = &self.site.tally;
        add(&tally.statements, 1);
        add(&tally.bytes, reply.bytes.len() as u64);
        let own = self.resident.as_ref().map(|resident| &resident.canary);
        let sighting = sight(own, &reply.bytes);
        add(&tally.canaries, sighting.own);
        if !sighting.strangers.is_empty() {
            tally.fault(format!("ISOLATION: a client that acts for {own:?} received {:?}", sighting.strangers));
        }
    }
}
