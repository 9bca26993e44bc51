//! The bare protocol, for what client libraries keep to themselves: parameters that the server reports, every byte that comes,
//! and leaving in the middle of anything.

use std::fmt;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::cluster::Cluster;

const PROTOCOL_3_0: i32 = 196_608;

/// A server that is silent for longer has lost the session.
const PATIENCE: Duration = Duration::from_secs(60);

/// A session that shows every message as the server sent it.
#[derive(Debug)]
pub struct RawSession {
    stream: UnixStream,
    greeting: Reply,
}

/// What the server sent up to its next `ReadyForQuery`, or until it waited for rows of a COPY, or closed the session.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    /// Name and value of each `ParameterStatus`, in order.
    pub parameters: Vec<(String, String)>,
    /// SQLSTATE of each error, in order.
    pub errors: Vec<String>,
    /// All fields of each error, in order.
    pub complaints: Vec<String>,
    /// First column of each row, in order; `None` for NULL.
    pub rows: Vec<Option<String>>,
    /// Bodies of all messages, as they came, and what has come of one that was cut off.
    pub bytes: Vec<u8>,
    /// What each statement says of itself in the end, such as `UPDATE 3`, in order.
    pub tags: Vec<String>,
    /// `I` when idle, `T` in a transaction, `E` in a failed one; `None` where the session is gone or the server waits for rows.
    pub status: Option<char>,
    /// The server waits for rows of a COPY.
    pub copying: bool,
    /// Nothing came for so long that the session was given up.
    pub silent: bool,
}

impl Reply {
    /// The last value reported for `name`.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().rev().find(|(reported, _)| reported == name).map(|(_, value)| value.as_str())
    }

    /// The session is over.
    #[must_use]
    pub fn is_end(&self) -> bool {
        self.status.is_none() && !self.copying
    }

    /// Tenants that were reported to be in force, and are none of these names of its own.
    pub fn other_tenants(&self, own: &[&str]) -> Vec<&str> {
        let reported = self.parameters.iter().filter(|(name, _)| name == "tenancy.tenant_id");
        reported.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty() && !own.contains(value)).collect()
    }

    /// The rows that are not NULL.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.rows.iter().filter_map(Option::as_deref)
    }

    /// Takes the next message, and tells what it is; `None` when the session is over.
    fn read_from(&mut self, stream: &mut UnixStream) -> Option<u8> {
        let mut body = Vec::new();
        match read_message(stream, &mut body) {
            Ok(tag) => {
                self.take(tag, &body);
                Some(tag)
            }
            Err(error) => {
                self.bytes.extend(body);
                self.silent = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
                None
            }
        }
    }

    fn take(&mut self, tag: u8, body: &[u8]) {
        match tag {
            b'S' => {
                let mut texts = body.split(|byte| *byte == 0).map(text);
                let name = texts.next().unwrap_or_default();
                self.parameters.push((name, texts.next().unwrap_or_default()));
            }
            b'E' => {
                let code = body.split(|byte| *byte == 0).find_map(|field| field.strip_prefix(b"C"));
                self.errors.push(text(code.unwrap_or_default()));
                self.complaints.push(text(body).replace('\0', " "));
            }
            b'C' => self.tags.push(text(body).trim_end_matches('\0').to_owned()),
            b'D' => self.rows.push(first_column(body)),
            b'G' => self.copying = true,
            b'Z' => self.status = body.first().map(|status| char::from(*status)),
            _ => {}
        }
        self.bytes.extend_from_slice(body);
    }
}

/// Messages to the server, one after the other.
#[derive(Clone, Debug, Default)]
pub struct Request(Vec<u8>);

impl Request {
    /// One simple query of one or more statements.
    #[must_use]
    pub fn query(statements: &str) -> Self {
        Self::default().message(b'Q', &[statements.as_bytes(), b"\0"])
    }

    /// Prepares a statement; the one without a name goes with the next.
    #[must_use]
    pub fn parse(self, name: &str, statement: &str) -> Self {
        self.message(b'P', &[name.as_bytes(), b"\0", statement.as_bytes(), b"\0\0\0"])
    }

    /// Opens a portal for a statement, whose parameters are texts.
    #[must_use]
    pub fn bind(self, portal: &str, statement: &str, values: &[&str]) -> Self {
        let mut body = [portal.as_bytes(), b"\0", statement.as_bytes(), b"\0\0\0"].concat();
        body.extend(i16::try_from(values.len()).expect("few parameters").to_be_bytes());
        for value in values {
            body.extend(length(value.len()).to_be_bytes());
            body.extend(value.as_bytes());
        }
        self.message(b'B', &[&body, b"\0\0"])
    }

    /// Up to so many rows of a portal; 0 for all.
    #[must_use]
    pub fn execute(self, portal: &str, rows: i32) -> Self {
        self.message(b'E', &[portal.as_bytes(), b"\0", &rows.to_be_bytes()])
    }

    /// Forgets a prepared statement.
    #[must_use]
    pub fn close(self, statement: &str) -> Self {
        self.message(b'C', &[b"S", statement.as_bytes(), b"\0"])
    }

    #[must_use]
    pub fn sync(self) -> Self {
        self.message(b'S', &[])
    }

    /// Asks for what there is so far, without an end.
    #[must_use]
    pub fn flush(self) -> Self {
        self.message(b'H', &[])
    }

    /// Lines for a COPY, whose format is text.
    #[must_use]
    pub fn copy_data(self, lines: &str) -> Self {
        self.message(b'd', &[lines.as_bytes()])
    }

    #[must_use]
    pub fn copy_done(self) -> Self {
        self.message(b'c', &[])
    }

    /// Goodbye.
    #[must_use]
    pub fn terminate(self) -> Self {
        self.message(b'X', &[])
    }

    /// Without its last bytes.
    #[must_use]
    pub fn cut_by(mut self, bytes: usize) -> Self {
        self.0.truncate(self.0.len().saturating_sub(bytes));
        self
    }

    fn message(mut self, tag: u8, parts: &[&[u8]]) -> Self {
        self.0.push(tag);
        self.0.extend(frame(&parts.concat()));
        self
    }
}

/// The texts in it, for who has to read it.
impl fmt::Display for Request {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&text(&self.0).replace(|letter: char| letter.is_control() && letter != '\n', " "))
    }
}

impl RawSession {
    /// Opens a session; `options` are command-line options for the backend.
    #[must_use]
    pub fn open(cluster: &Cluster, database: &str, role: &str, options: &str) -> Self {
        let socket = cluster.directory().join(".s.PGSQL.5432");
        Self::open_at(&socket, database, role, options).expect("the server's socket")
    }

    /// The same at any socket, such as a pooler's. What the server says to it is in the greeting, be it a refusal.
    pub fn open_at(socket: &Path, database: &str, role: &str, options: &str) -> io::Result<Self> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut body = PROTOCOL_3_0.to_be_bytes().to_vec();
        let parameters = [("user", role), ("database", database), ("options", options)];
        // Poolers refuse options, be they none.
        for (name, value) in parameters.into_iter().filter(|(_, value)| !value.is_empty()) {
            for text in [name, value] {
                body.extend_from_slice(text.as_bytes());
                body.push(0);
            }
        }
        body.push(0);
        stream.write_all(&frame(&body))?;
        let greeting = read_reply(&mut stream);
        Ok(Self { stream, greeting })
    }

    /// What the server reported when the session began.
    #[must_use]
    pub fn greeting(&self) -> &Reply {
        &self.greeting
    }

    /// Sends `statements` as one simple query.
    pub fn query(&mut self, statements: &str) -> Reply {
        self.exchange(&Request::query(statements))
    }

    /// Sends messages and reads what comes of them. A session that is gone gives an empty reply.
    pub fn exchange(&mut self, request: &Request) -> Reply {
        // What the server said before it went may still be there to be read.
        let _ = self.send(request);
        self.receive()
    }

    /// Sends messages, and reads nothing.
    pub fn send(&mut self, request: &Request) -> io::Result<()> {
        self.stream.write_all(&request.0)
    }

    pub fn receive(&mut self) -> Reply {
        read_reply(&mut self.stream)
    }

    /// Reads so many messages at most, for what comes without an end; fewer when no more of the statement will come.
    pub fn receive_messages(&mut self, count: usize) -> Reply {
        let mut reply = Reply::default();
        for _ in 0..count {
            // The end of a statement, an error, what a portal has given so far, or that there is nothing to do.
            if matches!(reply.read_from(&mut self.stream), None | Some(b'C' | b'E' | b's' | b'Z' | b'G')) {
                break;
            }
        }
        reply
    }
}

/// Prefixes the length, which counts itself.
fn frame(body: &[u8]) -> Vec<u8> {
    [length(body.len() + 4).to_be_bytes().as_slice(), body].concat()
}

fn length(bytes: usize) -> i32 {
    i32::try_from(bytes).expect("a short message")
}

/// Reads up to `ReadyForQuery`, or to the end when the server closes the session.
fn read_reply(stream: &mut UnixStream) -> Reply {
    let mut reply = Reply::default();
    while !matches!(reply.read_from(stream), None | Some(b'Z' | b'G')) {}
    reply
}

/// Reads a message into `body`, as far as it comes, and tells what it is.
fn read_message(stream: &mut UnixStream, body: &mut Vec<u8>) -> io::Result<u8> {
    let mut header = [0; 5];
    stream.read_exact(&mut header)?;
    let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]);
    let length = length.checked_sub(4).ok_or(io::ErrorKind::InvalidData)?;
    let came = stream.take(length.into()).read_to_end(body)?;
    if came as u64 == u64::from(length) { Ok(header[0]) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// A row's message: the number of columns (2 bytes), then length (4 bytes, -1 for NULL) and value of each.
fn first_column(body: &[u8]) -> Option<String> {
    let length = i32::from_be_bytes(body.get(2..6)?.try_into().ok()?);
    let end = 6 + usize::try_from(length).ok()?;
    body.get(6..end).map(text)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a session receives of these bytes, after which the server closes it.
    fn received(bytes: &[u8]) -> Reply {
        let (stream, mut server) = UnixStream::pair().unwrap();
        let mut session = RawSession { stream, greeting: Reply::default() };
        server.write_all(bytes).unwrap();
        drop(server);
        session.receive()
    }

    #[test]
    fn what_has_come_of_a_message_that_is_cut_off_is_kept() {
        let reply = received(b"C\0\0\0\x0dSELECT 1\0D\0\0\0\x20\0\x01\0\0\0\x16canary:00");
        assert_eq!(reply.tags, ["SELECT 1"]);
        assert!(reply.bytes.ends_with(b"canary:00"), "{:?}", reply.bytes);
        assert!(reply.is_end() && !reply.silent && reply.rows.is_empty());
    }

    #[test]
    fn a_message_that_is_whole_is_taken_before_the_session_ends() {
        let reply = received(b"Z\0\0\0\x05IE\0\0\0\x09");
        assert_eq!((reply.status, reply.is_end()), (Some('I'), false));
        assert!(received(b"E\0\0\0\x02").is_end(), "a length that can't be");
        assert!(received(b"E\0").is_end());
    }
}
