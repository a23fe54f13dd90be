//! `--svtav1-params k=v:k=v`, the notation of libavcodec and of SVT-AV1's own users.

use std::str::FromStr;

use anyhow::{bail, ensure};

/// Parameters of SVT-AV1 in the order they were given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Svtav1Params(pub(crate) Vec<(String, String)>);

/// Parameters that the plan sets and shows; given here, they would make it lie.
const HAVE_A_FLAG: [(&str, &str); 6] = [
    ("crf", "--crf"),
    ("film-grain", "--film-grain"),
    ("input-depth", "--bit-depth"),
    ("keyint", "--keyframe-interval"),
    ("lp", "--encoder-threads"),
    ("preset", "--preset"),
];

impl FromStr for Svtav1Params {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let mut params: Vec<(String, String)> = Vec::new();
        for part in text.split(':') {
            let Some((key, value)) = part.split_once('=') else {
                bail!("`{part}` is not key=value");
            };
            ensure!(!key.is_empty(), "`{part}` has no key before its =");
            ensure!(!value.is_empty(), "`{part}` has no value after its =");
            if let Some((_, flag)) = HAVE_A_FLAG.iter().find(|(taken, _)| *taken == key) {
                bail!("{key}={value}: give it as {flag}, so that the plan tells the truth");
            }
            if let Some((_, before)) = params.iter().find(|(given, _)| given == key) {
                bail!("{key} is given twice, as {before} and as {value}");
            }
            params.push((key.to_owned(), value.to_owned()));
        }
        Ok(Self(params))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(text: &str) -> String {
        let error = text.parse::<Svtav1Params>().expect_err("refused");
        error.to_string()
    }

    #[test]
    fn errors_name_key_and_value() {
        assert_eq!(message("tune=0:aq-mode"), "`aq-mode` is not key=value");
        assert_eq!(message("tune="), "`tune=` has no value after its =");
        assert_eq!(message("=0"), "`=0` has no key before its =");
        assert_eq!(message(""), "`` is not key=value");
        assert_eq!(
            message("tune=0:tune=1"),
            "tune is given twice, as 0 and as 1"
        );
        assert_eq!(
            message("preset=4"),
            "preset=4: give it as --preset, so that the plan tells the truth"
        );
    }

    proptest! {
        #[test]
        fn what_is_joined_comes_apart_in_order(
            pairs in prop::collection::btree_map("x[a-z-]{1,12}", "[A-Za-z0-9=(),.]{1,12}", 1..6)
        ) {
            let pairs: Vec<_> = pairs.into_iter().collect();
            let text: Vec<_> = pairs.iter().map(|(k, v)| format!("{k}={v}")).collect();
            let parsed = text.join(":").parse::<Svtav1Params>().expect("accepted");
            prop_assert_eq!(parsed.0, pairs);
        }
    }
}
