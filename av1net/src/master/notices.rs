//! What a person should know, worked out from what is there.

use super::core::Core;
use crate::api::{Notice, NoticeLevel};
use crate::config::AuthKey;

impl Core {
    pub(super) fn notices(&self) -> Vec<Notice> {
        let mut notices = Vec::new();
        let mut add = |kind: &str, level, message: String| {
            notices.push(Notice {
                kind: kind.to_owned(),
                level,
                message,
            });
        };
        for root in self.0.roots.views() {
            if let Some(problem) = root.problem {
                let (kind, level) = if root.mounted {
                    ("root_note", NoticeLevel::Warning)
                } else {
                    ("root_not_mounted", NoticeLevel::Error)
                };
                add(kind, level, format!("{}: {problem}", root.path));
            }
        }
        if self.settings().loaded.config.auth == AuthKey::None {
            let message = "anybody who reaches this port can do everything (\"auth\": \"none\")";
            add("auth_none", NoticeLevel::Warning, message.to_owned());
        }
        notices
    }
}
