//! Any bytes: `probe` tells of a file or says why not, and does neither crash nor hang.

#![no_main]

use std::io::Write;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(bytes).expect("written");
    match av1core::probe(file.path()) {
        Ok(info) => {
            for (place, stream) in info.streams.iter().enumerate() {
                assert_eq!(stream.index, place);
            }
            let json = serde_json::to_string(&info).expect("JSON");
            let again: av1core::MediaInfo = serde_json::from_str(&json).expect("the same");
            assert_eq!(again.streams.len(), info.streams.len());
            // What can be told of can be planned.
            let _ = av1core::plan(&info, &av1core::Options::default());
        }
        Err(error) => assert_eq!(error.to_string().lines().count(), 1, "{error}"),
    }
});
