//! `AVDictionary` to and from plain maps. `ffmpeg-next`'s reader takes every value
//! for UTF-8 unchecked; tags of real files are not.

use std::ffi::CStr;
use std::ptr;

use ffmpeg_next::Dictionary;
use ffmpeg_next::ffi::{AV_DICT_IGNORE_SUFFIX, AVDictionary, av_dict_get};

use crate::media::Tags;

/// # Safety
/// `dictionary` is null or a live dictionary.
pub(super) unsafe fn read(dictionary: *const AVDictionary) -> Tags {
    let mut tags = Tags::new();
    let mut entry = ptr::null();
    loop {
        // SAFETY: the dictionary is live by this function's contract, and
        // `entry` is null or came from it.
        entry = unsafe { av_dict_get(dictionary, c"".as_ptr(), entry, AV_DICT_IGNORE_SUFFIX) };
        if entry.is_null() {
            return tags;
        }
        // SAFETY: an entry's key and value are NUL-terminated strings that live
        // as long as the dictionary.
        let (key, value) =
            unsafe { (CStr::from_ptr((*entry).key), CStr::from_ptr((*entry).value)) };
        tags.insert(
            key.to_string_lossy().into_owned(),
            value.to_string_lossy().into_owned(),
        );
    }
}

/// A dictionary of `pairs`. NUL characters, which C cannot hold, are left out.
pub(super) fn from_pairs<K: AsRef<str>, V: AsRef<str>>(
    pairs: impl IntoIterator<Item = (K, V)>,
) -> Dictionary<'static> {
    let clean = |text: &str| text.replace('\0', "");
    let mut dictionary = Dictionary::new();
    for (key, value) in pairs {
        dictionary.set(&clean(key.as_ref()), &clean(value.as_ref()));
    }
    dictionary
}
