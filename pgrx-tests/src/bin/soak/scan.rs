//! What names a tenant in the bytes that a client receives, beside its canary: ids, hosts, tokens.

/// `{"alg": "HS256"` in base64, by which each of the soak's tokens begins.
const TOKEN: &[u8] = b"eyJhbGciOiAiSFMyNTYi";
/// What each of its hosts ends with, after `t` and the tenant's key.
const HOST: &[u8] = b".example";
/// How long each part of an id is.
const ID: [usize; 5] = [8, 4, 4, 4, 12];
/// What a canary begins with, before sixteen digits.
const CANARY: &str = "canary:";

/// The names in these bytes that are none of the client's own. A token is nobody's to receive, be it its own.
pub fn strangers(own: &[&str], bytes: &[u8]) -> Vec<String> {
    let names = bytes.iter().enumerate().filter_map(|(place, byte)| match byte {
        b'-' => id(bytes, place),
        b'.' => host(bytes, place),
        b'e' => bytes[place..].starts_with(TOKEN).then_some(TOKEN),
        _ => None,
    });
    let names = names.map(|name| String::from_utf8_lossy(name).into_owned());
    names.filter(|name| !own.contains(&name.as_str())).collect()
}

/// Of a message that was cut off there may be a half of the own canary, which is no stranger's, at the end or before what the pooler says.
pub fn is_half(canary: &str, stranger: &str) -> bool {
    let Some(digits) = stranger.strip_prefix(CANARY) else { return false };
    let half = digits.split(|digit: char| !matches!(digit, '0'..='9' | 'a'..='f')).next().unwrap_or_default();
    half.len() < canary.len() - CANARY.len() && canary[CANARY.len()..].starts_with(half)
}

/// The id of which that is the first hyphen.
fn id(bytes: &[u8], hyphen: usize) -> Option<&[u8]> {
    let begin = hyphen.checked_sub(ID[0])?;
    let id = bytes.get(begin..begin + ID.iter().sum::<usize>() + ID.len() - 1)?;
    let parts: Vec<&[u8]> = id.split(|byte| *byte == b'-').collect();
    let lengths = parts.iter().map(|part| part.len());
    (lengths.eq(ID) && parts.concat().iter().all(u8::is_ascii_hexdigit)).then_some(id)
}

/// The host of which that is the last dot.
fn host(bytes: &[u8], dot: usize) -> Option<&[u8]> {
    if !bytes[dot..].starts_with(HOST) {
        return None;
    }
    let digits = bytes[..dot].iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let begin = (dot - digits).checked_sub(1).filter(|begin| digits > 0 && bytes[*begin] == b't')?;
    Some(&bytes[begin..dot + HOST.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINE: &str = "0b0f6f3e-5f9f-4c3e-9a55-7f2f6a1c0001";
    const OTHER: &str = "0b0f6f3e-5f9f-4c3e-9a55-7f2f6a1c0002";

    #[test]
    fn names_of_others_are_found_wherever_they_are() {
        let bytes = format!("\0$a{OTHER}f-{MINE} Mt12.example\0t7.example {}.eyJ0", String::from_utf8_lossy(TOKEN));
        let own = [MINE, "t7.example"];
        assert_eq!(strangers(&own, bytes.as_bytes()), [OTHER, "t12.example", "eyJhbGciOiAiSFMyNTYi"]);
        assert_eq!(strangers(&[], bytes.as_bytes()).len(), 5);
    }

    #[test]
    fn what_only_resembles_a_name_is_none() {
        let bytes = format!("t.example 12.example {} {}x -- .example eyJ 2026-11-29", &MINE[1..], &MINE[..35]);
        assert_eq!(strangers(&[], bytes.as_bytes()), Vec::<String>::new());
    }

    #[test]
    fn half_of_the_own_canary_is_no_strangers() {
        let mine = "canary:00000000000000ca";
        for half in ["canary:", "canary:0000", "canary:00000000000000c", "canary:0000E\0\0\0\u{8}SFATAL"] {
            assert!(is_half(mine, half), "{half}");
        }
        for other in ["canary:1", "canary:0001E\0", "canary:00000000000000cb", "t1.example", mine] {
            assert!(!is_half(mine, other), "{other}");
        }
    }
}
