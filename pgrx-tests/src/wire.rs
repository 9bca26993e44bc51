//! The bare protocol, for what client libraries keep to themselves: parameters that the server reports.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use crate::cluster::Cluster;

const PROTOCOL_3_0: i32 = 196_608;

/// A session that shows every message as the server sent it.
#[derive(Debug)]
pub struct RawSession {
    stream: UnixStream,
    greeting: Reply,
}

/// What the server sent up to its next `ReadyForQuery`.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    /// Name and value of each `ParameterStatus`, in order.
    pub parameters: Vec<(String, String)>,
    /// SQLSTATE of each error, in order.
    pub errors: Vec<String>,
    /// First column of each row, in order; `None` for NULL.
    pub rows: Vec<Option<String>>,
}

impl Reply {
    /// The last value reported for `name`.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().rev().find(|(reported, _)| reported == name).map(|(_, value)| value.as_str())
    }
}

impl RawSession {
    /// Opens a session; `options` are command-line options for the backend.
    #[must_use]
    pub fn open(cluster: &Cluster, database: &str, role: &str, options: &str) -> Self {
        let mut stream = UnixStream::connect(cluster.directory().join(".s.PGSQL.5432")).expect("the server's socket");
        let mut body = PROTOCOL_3_0.to_be_bytes().to_vec();
        for text in ["user", role, "database", database, "options", options, ""] {
            body.extend_from_slice(text.as_bytes());
            body.push(0);
        }
        stream.write_all(&frame(&body)).expect("the start-up message is sent");
        let greeting = read_reply(&mut stream);
        Self { stream, greeting }
    }

    /// What the server reported when the session began.
    #[must_use]
    pub fn greeting(&self) -> &Reply {
        &self.greeting
    }

    /// Sends `statements` as one simple query.
    pub fn query(&mut self, statements: &str) -> Reply {
        let mut body = statements.as_bytes().to_vec();
        body.push(0);
        let message = [vec![b'Q'], frame(&body)].concat();
        self.stream.write_all(&message).expect("the query is sent");
        read_reply(&mut self.stream)
    }
}

/// Prefixes the length, which counts itself.
fn frame(body: &[u8]) -> Vec<u8> {
    let length = i32::try_from(body.len() + 4).expect("a short message");
    [length.to_be_bytes().as_slice(), body].concat()
}

/// Reads up to `ReadyForQuery`, or to the end when the server closes the session.
fn read_reply(stream: &mut UnixStream) -> Reply {
    let mut reply = Reply::default();
    while let Some((tag, body)) = read_message(stream) {
        match tag {
            b'S' => {
                let mut texts = body.split(|byte| *byte == 0).map(text);
                let name = texts.next().unwrap_or_default();
                reply.parameters.push((name, texts.next().unwrap_or_default()));
            }
            b'E' => {
                let code = body.split(|byte| *byte == 0).find_map(|field| field.strip_prefix(b"C"));
                reply.errors.push(text(code.unwrap_or_default()));
            }
            b'D' => reply.rows.push(first_column(&body)),
            b'Z' => break,
            _ => {}
        }
    }
    reply
}

fn read_message(stream: &mut UnixStream) -> Option<(u8, Vec<u8>)> {
    let mut header = [0; 5];
    stream.read_exact(&mut header).ok()?;
    let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]);
    let mut body = vec![0; usize::try_from(length).ok()?.checked_sub(4)?];
    stream.read_exact(&mut body).ok()?;
    Some((header[0], body))
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
