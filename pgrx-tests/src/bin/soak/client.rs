//! One of the clients: transaction after transaction, each for a tenant that it draws, or for nobody.

use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::Duration;

use tenancy_harness::{Dice, RawSession, Reply, Request, sight};

use crate::manner::{Manner, Way};
use crate::site::{Resident, Site, Standing, Status};
use crate::tally::add;
use crate::{idle, scan, work};

/// What PgBouncer says when a connection to the server is killed, or can't be had.
const POOLERS: [&str; 4] =
    ["server conn crashed?", "server connection closed", "server_login_retry", "server login failed"];

/// What is not the case any more, so that the transaction is over.
pub struct Ended;

/// Works until it is over.
pub fn work(site: &Site<'_>, number: usize, mut dice: Dice) {
    let manner = Manner::of(number);
    let mut session = None;
    while !site.is_over() {
        thread::sleep(Duration::from_millis(dice.throw() % 40));
        let _turn = site.turns.read().unwrap_or_else(PoisonError::into_inner);
        let Some(open) = session.take().or_else(|| connect(site, manner)) else { continue };
        let mut client =
            Client { site, manner, session: Some(open), resident: None, before: (Status::Unknown, 0), dice };
        client.transaction();
        (session, dice) = (client.session, client.dice);
    }
}

fn connect(site: &Site<'_>, manner: Manner) -> Option<RawSession> {
    let (pooler, role) = manner.door(site);
    let session = match pooler.open_raw(role) {
        Ok(session) => session,
        Err(error) => {
            // It is never killed.
            site.tally.fault(format!("the pooler is not there: {error}"));
            thread::sleep(Duration::from_secs(1));
            return None;
        }
    };
    let greeting = session.greeting();
    look_through(site, None, greeting);
    if greeting.status == Some('I') {
        return Some(session);
    }
    note(site, greeting, was_killed(site, manner, greeting), "no connection");
    thread::sleep(Duration::from_millis(100));
    None
}

/// Sessions are killed meanwhile, which any statement may meet, also one that was refused just before. The pooler says so in its own
/// words, and under the code of a broken protocol. A calm client meets that when the server crashes, and at no other time.
fn was_killed(site: &Site<'_>, manner: Manner, reply: &Reply) -> bool {
    let may_be_killed = !manner.is_calm() || site.is_shaken();
    let is_killing = |code: &str, complaint: &str| match code {
        "57P01" => may_be_killed,
        "57P02" | "57P03" => site.is_shaken(),
        "08P01" | "58000" => may_be_killed && POOLERS.iter().any(|words| complaint.contains(words)),
        _ => false,
    };
    let last = reply.errors.iter().zip(&reply.complaints).next_back();
    last.is_some_and(|(code, complaint)| is_killing(code, complaint))
}

/// Of all that a client receives nothing is another tenant's.
fn look_through(site: &Site<'_>, resident: Option<&Resident>, reply: &Reply) {
    let tally = &site.tally;
    add(&tally.bytes, reply.bytes.len() as u64);
    let canary = resident.map(|resident| &resident.canary);
    let mut sighting = sight(canary, &reply.bytes);
    add(&tally.canaries, sighting.own);
    if let Some(canary) = canary
        && reply.is_end()
    {
        sighting.strangers.retain(|stranger| !scan::is_half(canary.text(), stranger));
    }
    let names: Vec<String> = resident.map(Resident::names).into_iter().flatten().collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    sighting.strangers.extend(scan::strangers(&names, &reply.bytes));
    if !sighting.strangers.is_empty() {
        tally.fault(format!("ISOLATION: a client that acts for {names:?} received {:?}", sighting.strangers));
    }
    for other in reply.other_tenants(&names) {
        tally.fault(format!("ISOLATION: to a client that acts for {names:?}, {other} was reported"));
    }
}

/// Counts the errors of a reply, which fit or don't.
fn note(site: &Site<'_>, reply: &Reply, fits: bool, what: impl std::fmt::Display) {
    for (code, complaint) in reply.errors.iter().zip(&reply.complaints) {
        site.tally.error(code, complaint);
    }
    if !fits {
        site.tally.fault(format!(
            "{what}: {:?}{}",
            reply.complaints,
            if reply.silent { ", and then nothing" } else { "" }
        ));
    }
}

/// A session in a transaction.
pub struct Client<'s, 'c> {
    pub site: &'s Site<'c>,
    pub manner: Manner,
    session: Option<RawSession>,
    /// For whom it acts.
    resident: Option<Arc<Resident>>,
    /// What its tenant was before the transaction began.
    before: Standing,
    pub dice: Dice,
}

impl Client<'_, '_> {
    fn transaction(&mut self) {
        add(&self.site.tally.transactions, 1);
        let draw = self.dice.below(30);
        // However it ended: what matters has been noted.
        let _ = match self.manner {
            _ if draw < 2 => idle::look(self),
            Manner::Tidy if draw < 8 => idle::look(self),
            Manner::Tidy if draw < 16 => idle::litter(self),
            manner if manner.is_calm() && draw >= 26 => idle::measure(self),
            _ => self.for_tenant(),
        };
    }

    /// What comes from here on is done for the tenant.
    pub fn act_for(&mut self, resident: Arc<Resident>) {
        self.before = resident.standing();
        self.resident = Some(resident);
    }

    /// A transaction has begun in the session on the server of which that is the process.
    pub fn count(&self, pid: Option<&str>) {
        if let Some(pid) = pid.and_then(|pid| pid.parse().ok())
            && self.manner.is_calm()
        {
            self.site.memory().transaction(self.manner.name(), pid);
        }
    }

    fn for_tenant(&mut self) -> Result<(), Ended> {
        let resident = self.site.resident(&mut self.dice);
        self.act_for(Arc::clone(&resident));
        let way = self.dice.pick(self.manner.ways());
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
             select pg_backend_pid(); select concat_ws(' ', tenancy.current_key(), tenancy.current_tenant())"
        );
        let reply = self.exchange(&Request::query(&statements))?;
        if let Some(code) = reply.errors.first() {
            let left_over = reply.complaints[0].contains("left-overs");
            let fits = match code.as_str() {
                "55000" if left_over => matches!(way, Way::Setting | Way::TokenSetting),
                // What may be acted for is acted for.
                "42501" | "55000" | "28000" => self.standing() != Some(Status::Active),
                _ => self.was_killed(&reply),
            };
            self.note(&reply, fits, &take);
            self.roll_back()?;
            if left_over {
                self.ask("discard all", &[])?;
            }
            return Err(Ended);
        }
        if matches!(self.standing(), Some(Status::Suspended | Status::Erased)) {
            self.site.tally.fault(format!("{way:?} acts for {key}, which is {:?}", self.before.0));
        }
        let mut seen: Vec<&str> = reply.texts().collect();
        let acts_for = seen.pop().unwrap_or_default();
        if acts_for != format!("{key} {}", resident.id) {
            self.site.tally.fault(format!("{way:?} for {key} acts for {acts_for}"));
        }
        self.count(seen.pop());
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
            1 if self.may_leave() => {
                self.leave();
                Err(Ended)
            }
            2 if self.may_leave() => {
                // Whether that still happens, who leaves does not learn.
                self.send(&Request::query("commit"));
                self.leave();
                Err(Ended)
            }
            _ => {
                let reply = self.ask("commit", &["40001"])?;
                if reply.tags != ["COMMIT"] {
                    self.site.tally.fault(format!("commit gave {:?}", reply.tags));
                }
                add(&self.site.tally.commits, 1);
                Ok(())
            }
        }
    }

    pub fn may_leave(&self) -> bool {
        !self.manner.is_calm()
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

    /// Statements that use the tenant, and are refused from when it is suspended, also in the middle of a transaction.
    pub fn act(&mut self, statements: &str, may_fail: &[&str]) -> Result<Reply, Ended> {
        let before = self.resident.as_ref().map(|resident| resident.standing());
        let reply = self.ask(statements, may_fail)?;
        let after = self.resident.as_ref().map(|resident| resident.standing());
        if before == after && before.is_some_and(|(status, _)| matches!(status, Status::Suspended | Status::Erased)) {
            self.site.tally.fault(format!("for a tenant that is {before:?} this was done: {statements}"));
        }
        Ok(reply)
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
        self.note(&reply, refused || may_fail.contains(&code) || self.was_killed(&reply), request);
        self.roll_back()?;
        Err(Ended)
    }

    /// Statements that have to be refused with this, in a transaction that is over then.
    pub fn refused(&mut self, statements: &str, code: &str) -> Result<(), Ended> {
        // What is refused in the end may have waited for a table in which a tenant is erased.
        if self.ask(statements, &[code, "40P01"]).is_ok() {
            self.site.tally.fault(format!("this was not refused: {statements}"));
            self.roll_back()?;
        }
        Err(Ended)
    }

    fn was_killed(&self, reply: &Reply) -> bool {
        was_killed(self.site, self.manner, reply)
    }

    fn note(&self, reply: &Reply, fits: bool, what: impl std::fmt::Display) {
        let key = self.resident.as_ref().map(|resident| &resident.key);
        let now = self.resident.as_ref().map(|resident| resident.standing());
        note(
            self.site,
            reply,
            fits,
            format_args!("{:?} for {key:?}, {:?} then {now:?}, {what}", self.manner, self.before),
        );
    }

    pub fn roll_back(&mut self) -> Result<(), Ended> {
        let reply = self.exchange(&Request::query("rollback"))?;
        if !reply.errors.is_empty() {
            self.note(&reply, self.was_killed(&reply), "rollback");
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
            self.note(&reply, self.was_killed(&reply), request);
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

    fn look_through(&self, reply: &Reply) {
        add(&self.site.tally.statements, 1);
        look_through(self.site, self.resident.as_deref(), reply);
    }
}
