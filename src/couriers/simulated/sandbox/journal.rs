//! The state file: JSON lines, only ever appended to, and one thread that writes them.
//!
//! What is acknowledged to a caller is on the disk first; what arrives while one `fsync` is under way shares the next.
//! A line is applied to the store only when it is written. No person, no tracking number and no secret is ever in it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, oneshot};

use super::faults::Faults;
use super::parcel_lifecycle::End;
use super::parcel_store::{Line, ParcelStore};
use crate::clock::BusinessTime;

/// The most lines that share one `fsync`: bounds the memory of a burst, far above what arrives during one.
const LARGEST_BATCH: usize = 4096;

/// Why a state file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another process has it.
    #[error("the sandbox's state file is in use by another process")]
    InUse,
    /// A line that is not the last cannot be read, or contradicts an earlier one.
    #[error("line {0} of the sandbox's state file is damaged; move the file away to start anew")]
    Damaged(usize),
    /// The file system.
    #[error("the sandbox's state file cannot be used")]
    Io(#[from] io::Error),
    /// The machine gave no random bytes for the installation's number.
    #[error("no randomness for the sandbox's installation number")]
    Randomness,
}

/// A line could not be made durable; the booking or change did not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotStored;

enum Command {
    /// The writer gives the ordinal, so that ordinals stand in the file in order.
    Book {
        reference: String,
        at: BusinessTime,
        end: End,
        reply: oneshot::Sender<Result<u64, NotStored>>,
    },
    Write {
        line: Line,
        reply: Option<oneshot::Sender<Result<(), NotStored>>>,
    },
    Close {
        reply: oneshot::Sender<()>,
    },
}

/// The handle to the writing thread.
#[derive(Debug, Clone)]
pub(super) struct Journal(mpsc::UnboundedSender<Command>);

/// What was found in the state file.
pub(super) struct Opened {
    pub(super) journal: Journal,
    pub(super) store: Arc<Mutex<ParcelStore>>,
    pub(super) faults: Faults,
}

/// A lock whose holder panicked is still a lock: no state here is left half-changed.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Journal {
    /// Opens or makes the file, reads it, cuts off a torn last line, and starts the writer.
    pub(super) fn open(path: &Path) -> Result<Opened, StateError> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder)?;
        }
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => StateError::InUse,
            TryLockError::Error(error) => StateError::Io(error),
        })?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let (mut lines, length) = read_lines(&bytes)?;
        file.set_len(length)?;
        file.seek(SeekFrom::Start(length))?;
        let mut tail = Tail {
            file,
            length,
            broken: false,
        };
        if lines.is_empty() {
            let number = getrandom::u64().map_err(|_| StateError::Randomness)?;
            let first = Line::Installation { number };
            tail.append(&encode(&first)?, true)?;
            // A new file's name is durable only once its folder is.
            let folder = path
                .parent()
                .filter(|folder| !folder.as_os_str().is_empty())
                .unwrap_or(Path::new("."));
            File::open(folder)?.sync_all()?;
            lines.push(first);
        }
        let (store, faults) = replay(&lines)?;
        let store = Arc::new(Mutex::new(store));
        let (sender, receiver) = mpsc::unbounded_channel();
        let applied_to = Arc::clone(&store);
        std::thread::Builder::new()
            .name("sandbox-journal".into())
            .spawn(move || write_until_closed(tail, receiver, &applied_to))?;
        Ok(Opened {
            journal: Self(sender),
            store,
            faults,
        })
    }

    /// Books a parcel; its ordinal, once it is on the disk.
    pub(super) async fn book(&self, reference: String, at: BusinessTime, end: End) -> Result<u64, NotStored> {
        let (reply, answer) = oneshot::channel();
        self.0
            .send(Command::Book {
                reference,
                at,
                end,
                reply,
            })
            .map_err(|_| NotStored)?;
        answer.await.map_err(|_| NotStored)?
    }

    /// Takes a line its place in the file at once; what is returned waits until it is on the disk.
    pub(super) fn write(&self, line: Line) -> impl Future<Output = Result<(), NotStored>> + use<> {
        let (reply, answer) = oneshot::channel();
        let sent = self.0.send(Command::Write {
            line,
            reply: Some(reply),
        });
        async move {
            sent.map_err(|_| NotStored)?;
            answer.await.map_err(|_| NotStored)?
        }
    }

    /// Writes a line without waiting; it stands before every later one.
    pub(super) fn note(&self, line: Line) {
        // A closed journal: the sandbox is stopping, and what was noted will be found out anew.
        let _ = self.0.send(Command::Write { line, reply: None });
    }

    /// Finishes what was asked for, then lets go of the file.
    pub(super) async fn close(&self) {
        let (reply, answer) = oneshot::channel();
        if self.0.send(Command::Close { reply }).is_ok() {
            let _ = answer.await;
        }
    }
}

fn encode(line: &Line) -> io::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(line).map_err(io::Error::other)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// The whole lines, and how many bytes they are. A last line that is torn or unreadable was never acknowledged.
fn read_lines(bytes: &[u8]) -> Result<(Vec<Line>, u64), StateError> {
    let mut lines = Vec::new();
    let mut length = 0_u64;
    let mut rest = bytes.split_inclusive(|byte| *byte == b'\n').peekable();
    while let Some(text) = rest.next() {
        let is_last = rest.peek().is_none();
        let whole = text
            .strip_suffix(b"\n")
            .and_then(|text| serde_json::from_slice(text).ok());
        match whole {
            Some(line) => lines.push(line),
            None if is_last => break,
            None => return Err(StateError::Damaged(lines.len() + 1)),
        }
        length += u64::try_from(text.len()).unwrap_or(0);
    }
    Ok((lines, length))
}

fn replay(lines: &[Line]) -> Result<(ParcelStore, Faults), StateError> {
    let Some(Line::Installation { number }) = lines.first() else {
        return Err(StateError::Damaged(1));
    };
    let mut store = ParcelStore::new(*number);
    let mut faults = Faults::default();
    for (index, line) in lines.iter().enumerate() {
        if let Line::Faults { faults: set } = line {
            faults = set.clone();
        }
        store.apply(line).map_err(|_| StateError::Damaged(index + 1))?;
    }
    Ok((store, faults))
}

/// The file and how much of it is good.
struct Tail {
    file: File,
    length: u64,
    /// Set when not even a failed write could be taken back.
    broken: bool,
}

impl Tail {
    /// Appends all or nothing.
    fn append(&mut self, bytes: &[u8], durable: bool) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::other("an earlier write could not be taken back"));
        }
        let written = self
            .file
            .write_all(bytes)
            .and_then(|()| if durable { self.file.sync_data() } else { Ok(()) });
        match written {
            Ok(()) => {
                self.length += u64::try_from(bytes.len()).unwrap_or(0);
                Ok(())
            }
            Err(error) => {
                let undone = self
                    .file
                    .set_len(self.length)
                    .and_then(|()| self.file.seek(SeekFrom::Start(self.length)));
                self.broken = undone.is_err();
                Err(error)
            }
        }
    }
}

/// What to tell once a batch is written.
enum Reply {
    Booked(oneshot::Sender<Result<u64, NotStored>>, u64),
    Written(oneshot::Sender<Result<(), NotStored>>),
}

fn write_until_closed(mut tail: Tail, mut commands: mpsc::UnboundedReceiver<Command>, store: &Mutex<ParcelStore>) {
    let mut closing = None;
    let mut batch = Vec::new();
    while closing.is_none() && commands.blocking_recv_many(&mut batch, LARGEST_BATCH) > 0 {
        let mut next_ordinal = lock(store).next_ordinal();
        let (mut lines, mut replies) = (Vec::new(), Vec::new());
        for command in batch.drain(..) {
            match command {
                Command::Book {
                    reference,
                    at,
                    end,
                    reply,
                } => {
                    lines.push(Line::Booked {
                        ordinal: next_ordinal,
                        reference,
                        at,
                        end,
                    });
                    replies.push(Reply::Booked(reply, next_ordinal));
                    next_ordinal += 1;
                }
                Command::Write { line, reply } => {
                    lines.push(line);
                    replies.extend(reply.map(Reply::Written));
                }
                Command::Close { reply } => {
                    closing = Some(reply);
                    break;
                }
            }
        }
        let stored = write_durably(&mut tail, &lines, store);
        for reply in replies {
            // A caller that gave up does not hear it; the line stands all the same.
            match reply {
                Reply::Booked(reply, ordinal) => drop(reply.send(stored.map(|()| ordinal))),
                Reply::Written(reply) => drop(reply.send(stored)),
            }
        }
    }
    drop(tail);
    if let Some(reply) = closing {
        let _ = reply.send(());
    }
}

fn write_durably(tail: &mut Tail, lines: &[Line], store: &Mutex<ParcelStore>) -> Result<(), NotStored> {
    let mut bytes = Vec::new();
    for line in lines {
        bytes.extend(encode(line).map_err(|_| NotStored)?);
    }
    // A lost acknowledgement only means that a webhook is sent once more.
    let durable = lines.iter().any(|line| !matches!(line, Line::Acknowledged { .. }));
    if let Err(error) = tail.append(&bytes, durable) {
        tracing::error!(kind = %error.kind(), "Failed to write the state file of the simulated courier; the booking or change is refused");
        return Err(NotStored);
    }
    let mut store = lock(store);
    for line in lines {
        // Only a cancellation or acknowledgement of a parcel that does not exist contradicts, and none is asked for.
        let _ = store.apply(line);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at() -> BusinessTime {
        BusinessTime::UNIX_EPOCH
    }

    #[tokio::test]
    async fn a_line_torn_by_a_kill_is_cut_off_and_numbering_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.jsonl");
        let opened = Journal::open(&path).unwrap();
        assert_eq!(opened.journal.book("A".into(), at(), End::Delivered).await, Ok(1));
        assert_eq!(opened.journal.book("B".into(), at(), End::Lost).await, Ok(2));
        let number = lock(&opened.store).tracking_no(2);
        opened.journal.close().await;
        fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .unwrap()
            .write_all(br#"{"line":"booked","ordi"#)
            .unwrap();

        let opened = Journal::open(&path).unwrap();
        assert_eq!(opened.journal.book("C".into(), at(), End::Delivered).await, Ok(3));
        assert_eq!(lock(&opened.store).tracking_no(2), number);
        assert_eq!(
            lock(&opened.store)
                .of_reference("B")
                .map(|p| p.ordinal)
                .collect::<Vec<_>>(),
            [2]
        );
        opened.journal.close().await;
        assert_eq!(lock(&Journal::open(&path).unwrap().store).count(), 3);
    }

    #[tokio::test]
    async fn damage_before_the_last_line_is_not_overlooked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.jsonl");
        let good = r#"{"line":"installation","number":7}"#;
        let booked = r#"{"line":"booked","ordinal":1,"reference":"A","at":"1970-01-01T00:00:00Z","end":"lost"}"#;
        fs::write(&path, format!("{good}\nrubbish\n{booked}\n")).unwrap();
        assert!(matches!(Journal::open(&path), Err(StateError::Damaged(2))));
        fs::write(&path, format!("{booked}\n{good}\n")).unwrap();
        assert!(matches!(Journal::open(&path), Err(StateError::Damaged(1))));
    }

    #[tokio::test]
    async fn a_second_sandbox_on_the_same_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.jsonl");
        let first = Journal::open(&path).unwrap();
        assert!(matches!(Journal::open(&path), Err(StateError::InUse)));
        first.journal.close().await;
        assert!(Journal::open(&path).is_ok());
    }

    #[tokio::test]
    async fn what_is_booked_at_once_is_numbered_without_gaps_and_faults_outlive_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.jsonl");
        let opened = Journal::open(&path).unwrap();
        let all = (0..500).map(|n| opened.journal.book(format!("R{n}"), at(), End::Delivered));
        let mut ordinals: Vec<u64> = futures_util::future::join_all(all)
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect();
        ordinals.sort_unstable();
        assert_eq!(ordinals, (1..=500).collect::<Vec<_>>());
        let faults = Faults::from_flags(["down,times=3"]).unwrap();
        opened.journal.note(Line::Acknowledged { ordinal: 1, stage: 0 });
        opened
            .journal
            .write(Line::Faults { faults: faults.clone() })
            .await
            .unwrap();
        opened.journal.close().await;
        let again = Journal::open(&path).unwrap();
        assert_eq!(again.faults, faults);
        assert_eq!(lock(&again.store).get(1).map(|p| p.acknowledged), Some(1));
    }
}
