//! Lines of a process that is not trusted: of any bytes, and never without bound.

use std::collections::VecDeque;
use std::io;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

/// Reads lines of a bounded length. What is longer is cut, and its rest skipped.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    reader: BufReader<R>,
    longest: usize,
    line: Vec<u8>,
    /// The line was cut, and what is left of it follows.
    skips: bool,
}

/// A line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Without its end.
    pub(crate) bytes: Vec<u8>,
    /// Whether it was longer.
    pub(crate) is_cut: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(crate) fn new(reader: R, longest: usize) -> Self {
        Self {
            reader: BufReader::new(reader),
            longest,
            line: Vec::new(),
            skips: false,
        }
    }

    /// The next line; `None` at the end. A last line without an end counts.
    ///
    /// Dropped before it is done, nothing is lost: what was read of a line stays here.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let read = self.reader.fill_buf().await?;
            if read.is_empty() {
                let rest = self.take(false);
                return Ok((!rest.bytes.is_empty()).then_some(rest));
            }
            let end = read.iter().position(|byte| *byte == b'\n');
            let part = &read[..end.unwrap_or(read.len())];
            let fits = part.len().min(self.longest - self.line.len());
            let skips = self.skips;
            if !skips {
                self.line.extend_from_slice(&part[..fits]);
            }
            let is_cut = fits < part.len();
            let used = part.len() + usize::from(end.is_some());
            self.reader.consume(used);
            self.skips = (skips || is_cut) && end.is_none();
            // A cut one does not wait for its end, which may never come.
            if !skips && (is_cut || end.is_some()) {
                return Ok(Some(self.take(is_cut)));
            }
        }
    }

    fn take(&mut self, is_cut: bool) -> Line {
        Line {
            bytes: std::mem::take(&mut self.line),
            is_cut,
        }
    }
}

/// The last lines that a process wrote, for the message when it dies.
#[derive(Debug, Default)]
pub(crate) struct LastWords(VecDeque<String>);

/// As many lines as a panic with its back trace has, about.
const KEPT_LINES: usize = 50;

/// Of those, as many go into a failure's message, which is sent with every report.
const TOLD_LINES: usize = 5;

/// The message's share of a report, which is 64 KiB at the most.
const TOLD_BYTES: usize = 1024;

impl LastWords {
    pub(crate) fn push(&mut self, line: String) {
        if self.0.len() == KEPT_LINES {
            self.0.pop_front();
        }
        self.0.push_back(line);
    }

    /// All that is kept, oldest first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// The very last ones as the end of a message, or nothing.
    pub(crate) fn told(&self) -> String {
        let skipped = self.0.len().saturating_sub(TOLD_LINES);
        let lines: Vec<&str> = self.all().skip(skipped).collect();
        if lines.is_empty() {
            return String::new();
        }
        let mut told = lines.join(" | ");
        if told.len() > TOLD_BYTES {
            let from = told.ceil_char_boundary(told.len() - TOLD_BYTES);
            told.replace_range(..from, "...");
        }
        format!("; it last wrote: {told}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read_all(text: &[u8], longest: usize) -> Vec<(String, bool)> {
        let mut lines = Lines::new(text, longest);
        let mut all = Vec::new();
        while let Some(line) = lines.next().await.expect("reads") {
            all.push((
                String::from_utf8_lossy(&line.bytes).into_owned(),
                line.is_cut,
            ));
        }
        all
    }

    #[tokio::test]
    async fn lines_are_cut_at_their_bound_and_nothing_else_is_lost() {
        let all = read_all(b"one\n\n123456789\nlast", 5).await;
        let expected = [
            ("one", false),
            ("", false),
            ("12345", true),
            ("last", false),
        ];
        let expected: Vec<_> = expected.map(|(line, cut)| (line.to_owned(), cut)).into();
        assert_eq!(all, expected);
    }

    #[tokio::test]
    async fn a_line_longer_than_the_reader_s_buffer_comes_whole() {
        let long = "x".repeat(100_000);
        assert_eq!(
            read_all(format!("{long}\n").as_bytes(), 1 << 20).await,
            [(long, false)]
        );
    }

    #[test]
    fn the_last_words_are_few_and_short() {
        let mut words = LastWords::default();
        assert_eq!(words.told(), "");
        for number in 0..100 {
            words.push(format!("line {number}"));
        }
        assert_eq!(words.all().count(), KEPT_LINES);
        assert!(
            words
                .told()
                .ends_with("it last wrote: line 95 | line 96 | line 97 | line 98 | line 99"),
            "{}",
            words.told()
        );
        words.push("ü".repeat(5000));
        assert!(words.told().len() < TOLD_BYTES + 50);
    }
}
