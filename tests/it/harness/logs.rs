//! Every log line of this test binary, at every level that an operator may ask for, searched for planted values as it
//! is written. Nothing is printed: a leak fails the test that runs when it is found.

use std::io;
use std::sync::{Mutex, Once, PoisonError};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::planted;

/// Kept for tests that look for their own values; at most so much, then the older half goes.
const KEPT: usize = 8 * 1024 * 1024;

#[derive(Default)]
struct Captured {
    text: String,
    /// How much was dropped from the front.
    dropped: usize,
    leaks: Vec<String>,
}

static CAPTURED: Mutex<Captured> = Mutex::new(Captured {
    text: String::new(),
    dropped: 0,
    leaks: Vec::new(),
});

struct Sink;

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = String::from_utf8_lossy(bytes);
        let mut captured = CAPTURED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(needle) = planted::find(&planted::UNLOGGED, &line) {
            captured.leaks.push(format!("{needle} in: {line}"));
        }
        captured.text.push_str(&line);
        if captured.text.len() > KEPT {
            let half = captured.text.len() / 2;
            let cut = captured.text[half..].find('\n').map_or(half, |at| half + at + 1);
            captured.text.drain(..cut);
            captured.dropped += cut;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        Self
    }
}

/// Begins to listen, once; returns the place in the log from which on the caller's own lines stand.
pub(crate) fn listen() -> usize {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let filter = EnvFilter::new(
            "debug,hyper=warn,hyper_util=warn,h2=warn,mio=warn,reqwest=debug,actix_server=warn,phonenumber=warn",
        );
        let lines = tracing_subscriber::fmt()
            .json()
            .with_env_filter(filter)
            .with_writer(Sink)
            .finish();
        tracing::subscriber::set_global_default(lines).expect("no other subscriber in this process");
    });
    let captured = CAPTURED.lock().unwrap_or_else(PoisonError::into_inner);
    captured.dropped + captured.text.len()
}

/// Everything logged since that place.
pub(crate) fn since(place: usize) -> String {
    let captured = CAPTURED.lock().unwrap_or_else(PoisonError::into_inner);
    captured
        .text
        .get(place.saturating_sub(captured.dropped)..)
        .unwrap_or_default()
        .to_owned()
}

/// Takes the leaks found so far.
pub(crate) fn take_leaks() -> Vec<String> {
    std::mem::take(&mut CAPTURED.lock().unwrap_or_else(PoisonError::into_inner).leaks)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The search itself: without this, a test suite that logs nowhere would look clean.
    #[test]
    fn what_is_logged_is_captured_and_lines_written_by_others_too() {
        let place = listen();
        std::thread::spawn(|| tracing::debug!(word = "hypofixer", "the capture is alive"))
            .join()
            .unwrap();
        assert!(since(place).contains("hypofixer"), "{}", since(place));
        assert_eq!(planted::find(&planted::UNLOGGED, "name=司马植入"), Some("植入"));
    }
}
