//! Names that a run gives to files beside the user's: dot names without a media
//! extension, since media servers index the others (Tdarr#30, #172;
//! unmanic-plugins#149).

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// What a file under a dot name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An output on its way.
    Staged,
    /// The journal of a replacement.
    Journal,
    /// A backup being copied, where the file system has no hard links.
    Copy,
    /// What lay under the name of a staged file when the right to commit was taken away.
    Revoked,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Staged, Self::Journal, Self::Copy, Self::Revoked];

    fn extension(self) -> &'static str {
        match self {
            Self::Staged => "av1part",
            Self::Journal => "av1journal",
            Self::Copy => "av1copy",
            Self::Revoked => "av1revoked",
        }
    }
}

/// File systems take names of up to 255 bytes.
const LONGEST_NAME_BYTES: usize = 255;

/// `.NAME.<token>.<kind>`, shortened so that it stays a lawful name.
pub(crate) fn dot_name(name: &OsStr, token: u64, kind: Kind) -> OsString {
    let suffix = format!(".{}.{}", token_text(token), kind.extension());
    let kept = name.as_bytes();
    let kept = &kept[..kept.len().min(LONGEST_NAME_BYTES - 1 - suffix.len())];
    let mut bytes = b".".to_vec();
    bytes.extend_from_slice(kept);
    bytes.extend_from_slice(suffix.as_bytes());
    OsString::from_vec(bytes)
}

/// The token and the kind of a name that [`dot_name`] made; `None` for any other.
pub(crate) fn parse(name: &OsStr) -> Option<(u64, Kind)> {
    split(name).map(|(_, token, kind)| (token, kind))
}

/// The dot name of another kind beside one that [`dot_name`] made.
pub(crate) fn beside(name: &OsStr, kind: Kind) -> Option<OsString> {
    let (name, token, _) = split(name)?;
    Some(dot_name(OsStr::from_bytes(name), token, kind))
}

fn split(name: &OsStr) -> Option<(&[u8], u64, Kind)> {
    let rest = name.as_bytes().strip_prefix(b".")?;
    let (rest, extension) = split_last(rest)?;
    let (name, token) = split_last(rest)?;
    let kind = Kind::ALL
        .into_iter()
        .find(|kind| kind.extension().as_bytes() == extension)?;
    Some((name, token_of(std::str::from_utf8(token).ok()?)?, kind))
}

/// A token as it stands in a dot name.
pub(crate) fn token_text(token: u64) -> String {
    format!("{token:016x}")
}

/// The token that such a text stands for.
pub(crate) fn token_of(text: &str) -> Option<u64> {
    let digit = |b| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    let lawful = text.len() == 16 && text.bytes().all(digit);
    u64::from_str_radix(text, 16).ok().filter(|_| lawful)
}

fn split_last(name: &[u8]) -> Option<(&[u8], &[u8])> {
    let dot = name.iter().rposition(|b| *b == b'.')?;
    Some((&name[..dot], &name[dot + 1..]))
}

/// `NAME.bak`, or `NAME.bak.<number>` from the second on.
pub(crate) fn backup_name(name: &OsStr, number: u32) -> OsString {
    let mut backup = name.to_owned();
    backup.push(".bak");
    if number > 0 {
        backup.push(format!(".{number}"));
    }
    backup
}

/// The name that a backup was made of; `None` for a name that is no backup's.
pub(crate) fn original_of(backup: &OsStr) -> Option<OsString> {
    let bytes = backup.as_bytes();
    let unnumbered = match split_last(bytes) {
        Some((rest, number)) if !number.is_empty() && number.iter().all(u8::is_ascii_digit) => rest,
        _ => bytes,
    };
    let original = unnumbered.strip_suffix(b".bak")?;
    (!original.is_empty()).then(|| OsString::from_vec(original.to_vec()))
}

/// Whether a scan leaves the file of this name alone: it is a run's own, or a backup.
pub(crate) fn is_ours(name: &OsStr) -> bool {
    parse(name).is_some() || original_of(name).is_some()
}

pub(crate) fn random_token() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    // Seeded from the operating system's randomness, with a counter inside.
    std::collections::hash_map::RandomState::new()
        .build_hasher()
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_long_name_still_has_a_lawful_dot_name() {
        let name = "n".repeat(255);
        for kind in Kind::ALL {
            let dot = dot_name(OsStr::new(&name), 7, kind);
            assert_eq!(dot.len(), LONGEST_NAME_BYTES);
            assert_eq!(parse(&dot), Some((7, kind)));
        }
    }

    #[test]
    fn a_name_leads_to_those_beside_it_however_long_it_is() {
        for length in [1, 100, 220, 224, 227, 230, 255] {
            let name = "n".repeat(length);
            let of = |kind| dot_name(OsStr::new(&name), 7, kind);
            let beside = beside(&of(Kind::Staged), Kind::Revoked);
            assert_eq!(beside, Some(of(Kind::Revoked)), "{length} bytes");
        }
    }

    #[test]
    fn names_of_others_are_not_taken_for_ours() {
        for other in [
            "film.mkv",
            ".film.mkv.0123456789abcdef.part",
            ".film.mkv.0123456789ABCDEF.av1part",
            ".film.mkv.123.av1part",
            "film.mkv.0123456789abcdef.av1part",
            "bak",
            ".bak",
            "film.bak.mkv",
            "film.bak.",
        ] {
            assert!(!is_ours(OsStr::new(other)), "{other}");
        }
    }

    proptest! {
        #[test]
        fn every_dot_name_is_known_again(name: Vec<u8>, token: u64, kind in 0_usize..4) {
            let kind = Kind::ALL[kind];
            let name = OsString::from_vec(name);
            let dot = dot_name(&name, token, kind);
            prop_assert!(dot.len() <= LONGEST_NAME_BYTES);
            prop_assert_eq!(parse(&dot), Some((token, kind)));
        }

        #[test]
        fn every_backup_leads_back_to_its_original(name in "[^/]{1,40}", number in 0_u32..3) {
            let name = OsStr::new(&name);
            let backup = backup_name(name, number);
            prop_assert_eq!(original_of(&backup), Some(name.to_owned()));
            prop_assert!(is_ours(&backup));
        }
    }
}
