//! Names of hosts, as requests bring them and as they are registered. Pure.

use crate::error::{Error, Result};
use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use std::net::Ipv6Addr;

/// More than any name of a host has in any script; longer texts are not looked at.
const MAX_BYTES: usize = 2048;

/// Before the name of a domain: every host directly in it.
const WILDCARD: &str = "*.";

/// A host in the one form in which it is compared: lower case, in ASCII, without port and trailing dot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host(String);

impl Host {
    /// Reads a host as a request brings it, such as `Shop.Example.com.:443`.
    ///
    /// # Errors
    /// 22023 when it is malformed.
    pub fn parse(text: &str) -> Result<Self> {
        canonical(text).map(Self).map_err(malformed)
    }

    /// Reads a host as it is registered: also `*.example.com`, for every host directly in that domain.
    ///
    /// # Errors
    /// 22023 when it is malformed.
    pub fn parse_pattern(text: &str) -> Result<Self> {
        let Some(domain) = text.strip_prefix(WILDCARD) else { return Self::parse(text) };
        let domain = canonical(domain).map_err(malformed)?;
        if domain.starts_with('[') {
            return Err(malformed("an address has no hosts in it"));
        }
        if is_numeric(&domain) {
            return Err(malformed("an address has no hosts in it"));
        }
        Ok(Self(format!("{WILDCARD}{domain}")))
    }

    /// The canonical form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The pattern that stands for this host and its siblings.
    pub fn wildcard(&self) -> Option<Self> {
        let (_, domain) = self.0.split_once('.')?;
        if is_numeric(domain) {
            return None;
        }
        Some(Self(format!("{WILDCARD}{domain}")))
    }
}

/// Whether this ends as an IPv4 address does, and no domain.
fn is_numeric(name: &str) -> bool {
    name.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()))
}

fn malformed(reason: &'static str) -> Error {
    Error::InvalidArgument { what: "host", reason: reason.into() }
}

fn canonical(text: &str) -> std::result::Result<String, &'static str> {
    if text.is_empty() {
        return Err("it must not be empty");
    }
    if text.len() > MAX_BYTES {
        return Err("it is too long");
    }
    if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']').ok_or("an IPv6 address ends with a bracket")?;
        check_port(port.strip_prefix(':').or(port.is_empty().then_some("")))?;
        let address: Ipv6Addr = address.parse().map_err(|_| "it is no IPv6 address")?;
        return Ok(format!("[{address}]"));
    }
    let (name, port) = text.split_once(':').unwrap_or((text, ""));
    check_port(Some(port))?;
    // As browsers do, which take more than registries of names give away.
    let ascii = Uts46::new()
        .to_ascii(name.as_bytes(), AsciiDenyList::URL, Hyphens::Allow, DnsLength::VerifyAllowRootDot)
        .map_err(|_| "it is no name of a host")?;
    let name = ascii.strip_suffix('.').unwrap_or(&ascii);
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.');
    if name.is_empty() || !name.bytes().all(is_plain) {
        return Err("it is no name of a host");
    }
    Ok(name.to_owned())
}

/// The port is not part of the host, but has to be one. It may be left out after its colon.
fn check_port(port: Option<&str>) -> std::result::Result<(), &'static str> {
    match port {
        Some("") => Ok(()),
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok() => Ok(()),
        _ => Err("what follows a colon is a port"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &str) -> String {
        Host::parse(text).unwrap().as_str().to_owned()
    }

    #[test]
    fn case_trailing_dot_and_port_are_ignored() {
        for text in [
            "shop.example.com",
            "SHOP.Example.COM",
            "shop.example.com.",
            "shop.example.com:443",
            "shop.example.com.:8080",
            "shop.example.com:",
        ] {
            assert_eq!(parsed(text), "shop.example.com", "{text}");
        }
    }

    #[test]
    fn international_names_have_one_form() {
        for text in [
            "bücher.example",
            "BÜCHER.example",
            "bu\u{308}cher.example",
            "xn--bcher-kva.example",
            "XN--BCHER-KVA.EXAMPLE",
            "bücher。example。",
        ] {
            assert_eq!(parsed(text), "xn--bcher-kva.example", "{text}");
        }
        assert_eq!(parsed("faß.example"), "xn--fa-hia.example");
        assert_eq!(parsed("ｓｈｏｐ.example"), "shop.example");
    }

    #[test]
    fn addresses_and_short_names_are_hosts() {
        assert_eq!(parsed("localhost:3000"), "localhost");
        assert_eq!(parsed("127.0.0.1:80"), "127.0.0.1");
        assert_eq!(parsed("[2001:DB8:0:0::1]:443"), "[2001:db8::1]");
        assert_eq!(parsed("my_host.r3---sn.example"), "my_host.r3---sn.example");
    }

    #[test]
    fn what_is_no_host_is_refused() {
        let long_label = format!("{}.example", "a".repeat(64));
        let long_name = ["a".repeat(60).as_str(); 5].join(".");
        for text in [
            "",
            ".",
            "..",
            "a..b",
            ".a",
            "a.example..",
            "a b.example",
            " a.example",
            "a.example/",
            "a.example:http",
            "a.example:65536",
            "a.example:1:2",
            "user@a.example",
            "http://a.example",
            "::1",
            "[::1",
            "[::1]x",
            "[::1]:x",
            "[a.example]",
            "*",
            "*.example",
            "a.*.example",
            "a*.example",
            "a%2eexample",
            "a\0.example",
            "a\n.example",
            "xn--\u{e4}.example",
            "xn--a.example",
            "\u{ad}",
            &long_label,
            &long_name,
            &"a".repeat(5000),
        ] {
            assert!(Host::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_wildcard_stands_for_one_name() {
        let pattern = |text| Host::parse_pattern(text).map(|host| host.as_str().to_owned());
        assert_eq!(pattern("*.Bücher.example."), Ok("*.xn--bcher-kva.example".into()));
        assert_eq!(pattern("shop.example"), Ok("shop.example".into()));
        for text in ["*", "*.", "*.*.example", "a.*.example", "*a.example", "*.[::1]", "*..", "*.0.0.1", "*.1"] {
            assert!(pattern(text).is_err(), "{text}");
        }
        let wildcard = |text| Host::parse(text).unwrap().wildcard().map(|host| host.as_str().to_owned());
        assert_eq!(wildcard("a.b.example").as_deref(), Some("*.b.example"));
        for text in ["localhost", "[::1]", "127.0.0.1"] {
            assert_eq!(wildcard(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in ".*") {
            let _ = Host::parse_pattern(&text);
        }

        #[test]
        fn the_form_is_its_own(text in "[a-zäöüß0-9-]{1,8}(\\.[A-Z0-9]{1,8}){0,3}") {
            if let Ok(host) = Host::parse(&text) {
                prop_assert_eq!(Host::parse(host.as_str()), Ok(host.clone()));
                prop_assert!(host.as_str().is_ascii());
            }
        }
    }
}
