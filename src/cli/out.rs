//! What commands say: results on standard output, everything else on standard error.

use std::io::{self, Write};

/// Writes a result. A closed pipe is an error, not a panic.
///
/// # Errors
/// Standard output cannot be written to.
pub(super) fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        stdout.write_all(b"\n")?;
    }
    stdout.flush()
}

/// Tells the person at the terminal something; nothing depends on its being read.
pub(super) fn error(text: &str) {
    let _unread = writeln!(io::stderr().lock(), "{text}");
}
