//! A copy of the journal in a file elsewhere (`vault.journal_mirror`), one JSON line an entry: it covers the loss of both
//! databases. Ids and facts only.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::store::vault::journal::JournalRow;

#[derive(Serialize, Deserialize)]
struct Line {
    number: i64,
    at: i64,
    kind: String,
    subject: String,
    detail: String,
}

/// The mirror's file.
#[derive(Debug)]
pub struct Mirror {
    path: PathBuf,
    writing: Mutex<()>,
    whole: AtomicBool,
}

impl Mirror {
    /// A mirror at that path; nothing is written yet.
    pub fn at(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            writing: Mutex::new(()),
            whole: AtomicBool::new(false),
        }
    }

    /// Whether it is known to have everything that this process has seen journalled. Not so at the start, nor after an
    /// append that failed: then it is to be completed from the journal.
    pub(super) fn is_whole(&self) -> bool {
        self.whole.load(Ordering::Acquire)
    }

    /// Notes that it was completed.
    pub(super) fn set_whole(&self) {
        self.whole.store(true, Ordering::Release);
    }

    /// Appends entries, durable before this returns.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn append(&self, rows: &[JournalRow]) -> std::io::Result<()> {
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let appended = self.append_alone(rows);
        if appended.is_err() {
            self.whole.store(false, Ordering::Release);
        }
        appended
    }

    fn append_alone(&self, rows: &[JournalRow]) -> std::io::Result<()> {
        let mut file = std::fs::OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .mode(0o600)
            .open(&self.path)?;
        let mut text = Vec::new();
        // What was torn off in the middle of a line must not take the next one with it.
        if file.seek(SeekFrom::End(0))? > 0 {
            file.seek(SeekFrom::End(-1))?;
            let mut last = [0];
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                text.push(b'\n');
            }
        }
        for row in rows {
            let line = Line {
                number: row.number,
                at: row.at.and_utc().timestamp_micros(),
                kind: row.kind.clone(),
                subject: row.subject.clone(),
                detail: row.detail.clone(),
            };
            serde_json::to_writer(&mut text, &line)?;
            text.push(b'\n');
        }
        // One write: lines of two processes do not mix.
        file.write_all(&text)?;
        file.sync_all()
    }

    /// Entries after `after`, by number, each once. A torn line is passed over.
    ///
    /// # Errors
    /// The file cannot be read; one that is not there has no entries.
    pub fn after(&self, after: i64) -> std::io::Result<Vec<JournalRow>> {
        let mut rows = Vec::new();
        self.each(|line| {
            let at = chrono::DateTime::from_timestamp_micros(line.at).filter(|_| line.number > after);
            rows.extend(at.map(|at| JournalRow {
                number: line.number,
                at: at.naive_utc(),
                kind: line.kind,
                subject: line.subject,
                detail: line.detail,
            }));
        })?;
        rows.sort_unstable_by_key(|row| row.number);
        rows.dedup_by_key(|row| row.number);
        Ok(rows)
    }

    /// The numbers of its entries.
    ///
    /// # Errors
    /// The file cannot be read; one that is not there has no entries.
    pub(super) fn numbers(&self) -> std::io::Result<BTreeSet<i64>> {
        let mut numbers = BTreeSet::new();
        self.each(|line| {
            numbers.insert(line.number);
        })?;
        Ok(numbers)
    }

    fn each(&self, mut take: impl FnMut(Line)) -> std::io::Result<()> {
        let file = match std::fs::File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        for line in BufReader::new(file).split(b'\n') {
            if let Ok(line) = serde_json::from_slice(&line?) {
                take(line);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_gives_back_what_it_was_given_once_and_in_order_and_survives_a_torn_line() {
        let folder = tempfile::tempdir().unwrap();
        let mirror = Mirror::at(&folder.path().join("journal"));
        assert!(mirror.after(0).unwrap().is_empty());
        let row = |number: i64| JournalRow {
            number,
            at: chrono::DateTime::UNIX_EPOCH.naive_utc(),
            kind: "erase".to_owned(),
            subject: number.to_string(),
            detail: String::new(),
        };
        mirror.append(&[row(2), row(3)]).unwrap();
        mirror.append(&[row(1), row(2)]).unwrap();
        let mut file = std::fs::OpenOptions::new()
            .append(true)
            .open(folder.path().join("journal"))
            .unwrap();
        file.write_all(b"{\"number\":4,\"at").unwrap();
        assert_eq!(mirror.after(1).unwrap(), vec![row(2), row(3)]);
        mirror.append(&[row(4)]).unwrap();
        assert_eq!(
            mirror.after(2).unwrap(),
            vec![row(3), row(4)],
            "what follows a torn line is whole"
        );
    }

    #[test]
    fn a_mirror_is_not_whole_until_it_was_completed_nor_after_it_could_not_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let mirror = Mirror::at(&folder.path().join("not there").join("journal"));
        assert!(!mirror.is_whole());
        mirror.set_whole();
        assert!(mirror.append(&[]).is_err());
        assert!(!mirror.is_whole());
    }
}
