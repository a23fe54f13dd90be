mod crash;
mod files;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::store::MemoryStore;
use crate::store::conformance::{self, RETRY};

const POLICY: StorePolicy = StorePolicy {
    retry: RETRY,
    order: crate::schedule::Order::LargestSaving,
};

fn fresh() -> (SqliteStore, TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    let store = SqliteStore::open(directory.path(), POLICY).expect("opens");
    (store, directory)
}

conformance::suite!(fresh);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn it_does_what_the_model_does_and_again_after_it_was_closed(
        batches in conformance::any_batches(),
    ) {
        let (store, directory) = fresh();
        let model = MemoryStore::new(POLICY);
        for batch in &batches {
            let results = store.write(batch).expect("durable");
            prop_assert_eq!(results, model.write(batch).expect("durable"));
            conformance::expect_sums(&store);
        }
        let differences = conformance::differences(&store, &model);
        prop_assert!(differences.is_empty(), "{}", differences.join("\n"));
        drop(store);
        let store = SqliteStore::open(directory.path(), POLICY).expect("opens");
        let differences = conformance::differences(&store, &model);
        prop_assert!(differences.is_empty(), "{}", differences.join("\n"));
    }
}
