//! Libraries that were built without an encoder. Such libraries are made here by a
//! shim before the real ones that knows one encoder less.
#![cfg(target_os = "linux")]

use std::path::PathBuf;
use std::process::Command;

use crate::support::cli::av1cli;
use crate::support::command::outcome;
use crate::support::scratch::assert_holds;
use crate::support::{Scratch, clip, command, watched};

/// libavcodec's look-up, which does not find one encoder.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <string.h>
const void *avcodec_find_encoder_by_name(const char *name) {
    if (name && !strcmp(name, MISSING)) return 0;
    const void *(*real)(const char *) = dlsym(RTLD_NEXT, "avcodec_find_encoder_by_name");
    return real(name);
}
"#;

fn shim(folder: &Scratch, missing: &str) -> PathBuf {
    let source = folder.write("shim.c", SHIM);
    let library = folder.file("shim.so");
    // The linker that Rust itself needs is a C compiler.
    let mut compiler = Command::new("cc");
    compiler
        .args(["-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(format!("-DMISSING=\"{missing}\""))
        .arg(&source)
        .arg("-ldl");
    command::run(&mut compiler);
    library
}

#[test]
fn a_missing_encoder_is_named_with_where_to_get_it() {
    watched(|| {
        for missing in ["libsvtav1", "libopus"] {
            let tools = Scratch::new();
            let library = shim(&tools, missing);
            let folder = Scratch::new();
            let output = outcome(
                av1cli()
                    .env("LD_PRELOAD", &library)
                    .arg("transcode")
                    .arg(clip("bbb-attachment.mkv"))
                    .arg(folder.file("out.mkv")),
            );
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(12), "{stderr}");
            assert_eq!(stderr.lines().count(), 1, "{stderr}");
            for part in ["bbb-attachment.mkv", missing, "av1cli doctor"] {
                assert!(stderr.contains(part), "{part} is not in: {stderr}");
            }
            assert_holds(folder.path(), &[]);

            let doctor = outcome(av1cli().env("LD_PRELOAD", &library).arg("doctor"));
            let told = String::from_utf8_lossy(&doctor.stdout);
            assert_eq!(doctor.status.code(), Some(12), "{told}");
            assert!(told.contains(missing), "{told}");
        }
    });
}
