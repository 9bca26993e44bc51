//! Which minor releases of PostgreSQL fixed a way round row security; and whether library and extension are of one version.

use crate::catalog::doctor::Found;
use crate::catalog::extension;

/// A weakness of the server, and for each major version the first minor release without it. A major
/// version that isn't named never had it.
struct Fixed {
    cve: &'static str,
    releases: &'static [(i32, i32)],
}

const NOVEMBER_2026: &[(i32, i32)] = &[(15, 20), (16, 16), (17, 12), (18, 7)];

const FIXES: [Fixed; 8] = [
    Fixed { cve: "CVE-2023-2455", releases: &[(15, 3)] },
    Fixed { cve: "CVE-2023-39418", releases: &[(15, 4)] },
    Fixed { cve: "CVE-2024-10976", releases: &[(15, 9), (16, 5), (17, 1)] },
    Fixed { cve: "CVE-2025-8713", releases: &[(15, 14), (16, 10), (17, 6)] },
    Fixed { cve: "CVE-2026-14666", releases: &[(15, 19), (16, 15), (17, 11), (18, 6)] },
    Fixed { cve: "CVE-2026-116311", releases: NOVEMBER_2026 },
    Fixed { cve: "CVE-2026-116327", releases: NOVEMBER_2026 },
    Fixed { cve: "CVE-2026-120154", releases: NOVEMBER_2026 },
];

/// The finding about a server with known ways round row security, given its `server_version_num`.
pub fn too_old(version: i32) -> Option<Found> {
    let (major, minor) = (version / 10_000, version % 10_000);
    let missing = FIXES.iter().filter_map(|fixed| {
        let (_, since) = fixed.releases.iter().find(|(of, _)| *of == major)?;
        (minor < *since).then_some((fixed.cve, *since))
    });
    let (cves, since): (Vec<_>, Vec<_>) = missing.unzip();
    let newest = since.into_iter().max()?;
    Some(Found {
        code: "SERVER_TOO_OLD".into(),
        object: format!("PostgreSQL {major}.{minor}"),
        note: Some(format!("{}; update to {major}.{newest} or later", cves.join(", "))),
        fix: None,
        severity: None,
    })
}

/// The finding about a database whose extension is of another version than the library: the one that is behind is to follow.
pub fn not_updated(schema: &str, library: &str) -> Option<Found> {
    let is_newer = extension::is_newer(schema, library);
    let (code, fix) = if is_newer {
        ("LIBRARY_OUTDATED", None)
    } else {
        ("EXTENSION_NOT_UPDATED", Some("ALTER EXTENSION pg_tenancy UPDATE".into()))
    };
    (schema != library).then(|| Found {
        code: code.into(),
        object: "pg_tenancy".into(),
        note: Some(format!("{schema}, and the library of version {library}")),
        fix,
        severity: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(version: i32) -> Option<String> {
        too_old(version).and_then(|found| found.note)
    }

    #[test]
    fn an_extension_of_the_librarys_version_is_fine() {
        assert!(not_updated("0.1.0", "0.1.0").is_none());
        assert_eq!(
            not_updated("0.1.0", "0.2.0").and_then(|found| found.fix).as_deref(),
            Some("ALTER EXTENSION pg_tenancy UPDATE")
        );
    }

    #[test]
    fn a_library_that_is_behind_is_not_mended_by_sql() {
        let found = not_updated("0.2.0", "0.1.0").unwrap();
        assert_eq!((found.code.as_str(), found.fix), ("LIBRARY_OUTDATED", None));
    }

    #[test]
    fn a_server_with_all_fixes_is_fine() {
        for version in [150_020, 160_016, 170_012, 180_007, 150_021, 190_000] {
            assert_eq!(note(version), None, "{version}");
        }
    }

    #[test]
    fn what_is_not_fixed_yet_is_named() {
        let old = note(150_008).unwrap();
        assert!(old.contains("CVE-2024-10976") && !old.contains("CVE-2023-39418"), "{old}");
        assert!(old.ends_with("update to 15.20 or later"), "{old}");
        let newer = note(180_006).unwrap();
        assert!(newer.contains("CVE-2026-120154") && !newer.contains("CVE-2026-14666"), "{newer}");
    }
}
