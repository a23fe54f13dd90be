//! The query of the jobs' list.

use crate::http::error::HttpError;
use crate::job::JobState;
use crate::store::{Cursor, PageQuery, SortBy};
use crate::units::RootId;

/// Jobs of a page unless told.
const USUAL: usize = 100;
/// The most of a page; the store has the same.
const MOST: usize = 500;
/// The longest text that is searched for, in bytes: longer than any file's name.
const LONGEST_SEARCH: usize = 1024;

const KNOWN: &str = "state, search, reason, root, sort, desc, after, limit";

/// Every order, by its name.
const SORTS: [(&str, SortBy); 5] = [
    ("changed", SortBy::Changed),
    ("path", SortBy::Path),
    ("bytes", SortBy::Bytes),
    ("saved", SortBy::Saved),
    ("queue", SortBy::Queue),
];

/// Reads it. An empty value is as none.
pub(super) fn parse(query: &str) -> Result<PageQuery, HttpError> {
    let mut page = PageQuery {
        limit: USUAL,
        ..PageQuery::default()
    };
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if value.is_empty() {
            continue;
        }
        match &*name {
            "state" => {
                for state in value.split(',') {
                    page.filter.states.push(state_of(state)?);
                }
            }
            "search" if value.len() > LONGEST_SEARCH => {
                let allowed = format!("at most {LONGEST_SEARCH} bytes");
                return Err(bad(
                    "search",
                    &value[..value.floor_char_boundary(40)],
                    allowed,
                ));
            }
            "search" => page.filter.search = Some(value.into_owned()),
            "reason" => page.filter.reason = Some(value.into_owned()),
            "root" => page.filter.root = Some(RootId(value.into_owned())),
            "sort" => page.sort = sort_of(&value)?,
            "desc" => page.descending = flag_of(&value)?,
            "after" => page.after = Some(Cursor(value.into_owned())),
            "limit" => page.limit = limit_of(&value)?,
            _ => {
                return Err(HttpError::UnknownParameter {
                    name: name.into_owned(),
                    known: KNOWN.to_owned(),
                });
            }
        }
    }
    Ok(page)
}

fn bad(name: &'static str, value: &str, allowed: String) -> HttpError {
    HttpError::Parameter {
        name,
        value: value.to_owned(),
        allowed,
    }
}

fn state_of(text: &str) -> Result<JobState, HttpError> {
    JobState::of_name(text).ok_or_else(|| {
        let names = JobState::ALL.map(JobState::name).join(", ");
        bad(
            "state",
            text,
            format!("one or several, with commas, of {names}"),
        )
    })
}

fn sort_of(text: &str) -> Result<SortBy, HttpError> {
    let found = SORTS.into_iter().find(|(name, _)| *name == text);
    found.map(|(_, sort)| sort).ok_or_else(|| {
        let names = SORTS.map(|(name, _)| name).join(", ");
        bad("sort", text, format!("one of {names}"))
    })
}

fn flag_of(text: &str) -> Result<bool, HttpError> {
    match text {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(bad("desc", text, "true or false".to_owned())),
    }
}

fn limit_of(text: &str) -> Result<usize, HttpError> {
    let limit = text.parse().ok().filter(|limit| (1..=MOST).contains(limit));
    limit.ok_or_else(|| bad("limit", text, format!("1 to {MOST}")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::Filter;

    #[test]
    fn every_parameter_is_read() {
        let text = "state=failed,retry_wait&search=Tr%C3%A4nen%20%26+100%25&reason=disk_full\
                    &root=a1&sort=path&desc=true&after=x%3D&limit=50";
        let expected = PageQuery {
            filter: Filter {
                states: vec![JobState::Failed, JobState::RetryWait],
                root: Some(RootId("a1".to_owned())),
                search: Some("Tränen & 100%".to_owned()),
                reason: Some("disk_full".to_owned()),
            },
            sort: SortBy::Path,
            descending: true,
            after: Some(Cursor("x=".to_owned())),
            limit: 50,
        };
        assert_eq!(parse(text).expect("a query"), expected);
        let usual = parse("state=&search=&desc=").expect("a query");
        assert_eq!(usual, parse("").expect("a query"));
        assert_eq!(usual.limit, USUAL);
    }

    #[test]
    fn a_bad_value_is_told_with_its_name_and_what_is_allowed() {
        for (query, words) in [
            ("state=failed,nope", ["state", "nope", "quarantined"]),
            ("sort=size", ["sort", "size", "bytes"]),
            ("desc=yes", ["desc", "yes", "true or false"]),
            ("limit=0", ["limit", "0", "1 to 500"]),
            ("limit=501", ["limit", "501", "1 to 500"]),
            ("limit=-1", ["limit", "-1", "1 to 500"]),
            ("stat=failed", ["stat", "know", "state"]),
        ] {
            let error = parse(query).expect_err(query);
            assert_eq!(error.status().as_u16(), 400);
            let told = error.to_string();
            assert!(
                words.iter().all(|word| told.contains(word)),
                "{query}: {told}"
            );
        }
        assert!(parse(&format!("search={}", "ä".repeat(600))).is_err());
    }

    #[test]
    fn every_order_has_its_name_of_the_api() {
        for (name, sort) in SORTS {
            assert_eq!(serde_json::to_value(sort).expect("a name"), name);
        }
    }

    proptest! {
        #[test]
        fn no_query_panics(text in "\\PC{0,80}") {
            let _ = parse(&text);
        }

        #[test]
        fn what_a_client_asks_is_what_is_read(search in "\\PC{0,30}", descending: bool, limit in 1usize..=500) {
            let search = Some(search).filter(|search| !search.is_empty());
            let query = PageQuery {
                filter: Filter { search, ..Filter::default() },
                descending,
                limit,
                ..PageQuery::default()
            };
            let text = crate::client::query_of(&query);
            prop_assert_eq!(parse(text.trim_start_matches('?')).expect("a query"), query);
        }
    }
}
