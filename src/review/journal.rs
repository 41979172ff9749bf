//! The queue on disk: one file of JSON lines, written at its end, now and then written anew.
//!
//! The first line says what the file is; each other is an [`Event`]. A line is in the file before its
//! event counts, so a killed server loses nothing that it said was stored. The kill may leave half a
//! line at the end: it is cut off, and told. When the file has grown far beyond what the queue holds, a
//! snapshot is staged beside it, flushed, and renamed over it. A lock keeps a second server out.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::queue::{Event, Queue};

/// Name of the journal in its folder.
const JOURNAL: &str = "queue.jsonl";
/// Where a journal goes that has lines nobody can read, before it is written anew.
const DAMAGED: &str = "queue.damaged.jsonl";
/// Held by the server that uses the folder.
const LOCK: &str = "lock";
const KIND: &str = "kefu-review";
const FORMAT: u32 = 1;
/// Lines that may be out of date before the journal is written anew.
const SPARE_LINES: usize = 5_000;

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    kind: String,
    format: u32,
}

/// An open journal; nobody else has it.
pub struct Journal {
    folder: PathBuf,
    file: File,
    /// Bytes of whole lines.
    length: u64,
    lines: usize,
    /// Whether lines were written since the last flush to the disk.
    dirty: bool,
    _lock: File,
}

/// What was found when a journal was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Whether half a line was cut off at the end.
    pub torn: bool,
    /// Lines that could not be read.
    pub damaged: usize,
}

/// Why there is no journal. One line each.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another server has it.
    #[error("another server uses the review folder {}; stop it, or give this one its own --review-dir", .0.display())]
    InUse(PathBuf),
    /// A later version wrote it.
    #[error("{} is no review queue of format {FORMAT}: {reason}; use another --review-dir, or move the file away", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The system refuses.
    #[error("cannot use the review folder {}: {source}; make it writable, name another with --review-dir, or use --review off", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Journal {
    /// Opens the journal in `folder`, making both if need be, and fills `queue`, which is empty.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn open(folder: &Path, queue: &mut Queue) -> Result<(Self, Recovered), JournalError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| JournalError::Io { path, source }
        };
        fs::create_dir_all(folder).map_err(at(folder))?;
        let lock_path = folder.join(LOCK);
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&lock_path);
        let lock = lock.map_err(at(&lock_path))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => JournalError::InUse(folder.to_owned()),
            TryLockError::Error(source) => at(&lock_path)(source),
        })?;
        let path = folder.join(JOURNAL);
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(at(&path))?;
        let bytes = fs::read(&path).map_err(at(&path))?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let (damaged, lines) = replay(&path, &bytes[..whole], queue)?;
        let recovered = Recovered { torn: whole < bytes.len(), damaged };
        if recovered.torn {
            tracing::warn!(
                file = %path.display(), bytes = bytes.len() - whole,
                "the review queue ended in half a line, as after a kill; it is cut off"
            );
            file.set_len(whole as u64).map_err(at(&path))?;
        }
        file.seek(SeekFrom::Start(whole as u64)).map_err(at(&path))?;
        let mut journal = Self {
            folder: folder.to_owned(),
            file,
            length: whole as u64,
            lines,
            dirty: false,
            _lock: lock,
        };
        if damaged > 0 {
            let kept = folder.join(DAMAGED);
            fs::copy(&path, &kept).map_err(at(&kept))?;
            tracing::warn!(damaged, kept = %kept.display(), "the review queue had damaged lines");
        }
        if whole == 0 || damaged > 0 {
            let events: Vec<Event> = queue.snapshot().collect();
            journal.rewrite(&events).map_err(at(&path))?;
        }
        Ok((journal, recovered))
    }

    /// Writes one event. It is in the file when this returns, and on the disk after [`Self::sync`].
    ///
    /// # Errors
    /// When the system refuses; the file is then as it was before.
    pub fn append(&mut self, event: &Event) -> io::Result<()> {
        let mut line = serde_json::to_vec(event).expect("events are plain data");
        line.push(b'\n');
        // What an earlier failure left is no line.
        if self.file.stream_position()? != self.length {
            self.file.set_len(self.length)?;
            self.file.seek(SeekFrom::Start(self.length))?;
        }
        self.file.write_all(&line)?;
        self.length += line.len() as u64;
        self.lines += 1;
        self.dirty = true;
        Ok(())
    }

    /// Flushes what was written to the disk.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn sync(&mut self) -> io::Result<()> {
        if self.dirty {
            self.file.sync_data()?;
            self.dirty = false;
        }
        Ok(())
    }

    /// Writes the journal anew when most of its lines are out of date: the queue holds `held` entries.
    ///
    /// # Errors
    /// When the system refuses; the old journal goes on then.
    pub fn compact(
        &mut self,
        held: usize,
        snapshot: impl FnOnce() -> Vec<Event>,
    ) -> io::Result<()> {
        if self.lines <= 2 * held + SPARE_LINES { Ok(()) } else { self.rewrite(&snapshot()) }
    }

    fn rewrite(&mut self, events: &[Event]) -> io::Result<()> {
        let head = Head { kind: KIND.to_owned(), format: FORMAT };
        let mut bytes = serde_json::to_vec(&head).expect("a head is plain data");
        bytes.push(b'\n');
        for event in events {
            serde_json::to_writer(&mut bytes, event)?;
            bytes.push(b'\n');
        }
        let mut staged = tempfile::Builder::new().prefix(".queue-").tempfile_in(&self.folder)?;
        staged.write_all(&bytes)?;
        staged.as_file().sync_all()?;
        let file = staged.persist(self.folder.join(JOURNAL)).map_err(|error| error.error)?;
        File::open(&self.folder)?.sync_all()?;
        self.file = file;
        self.file.seek(SeekFrom::Start(bytes.len() as u64))?;
        (self.length, self.lines, self.dirty) = (bytes.len() as u64, events.len(), false);
        Ok(())
    }
}

/// Fills `queue`; returns how many lines could not be read, and how many could.
fn replay(path: &Path, bytes: &[u8], queue: &mut Queue) -> Result<(usize, usize), JournalError> {
    let mut lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let Some(first) = lines.next() else { return Ok((0, 0)) };
    let foreign = |reason: String| JournalError::Foreign { path: path.to_owned(), reason };
    let head: Head = serde_json::from_slice(first)
        .map_err(|_| foreign("its first line does not say so".to_owned()))?;
    if head.kind != KIND || head.format != FORMAT {
        return Err(foreign(format!("it is {} of format {}", head.kind, head.format)));
    }
    let (mut damaged, mut read) = (0, 0);
    for (number, line) in lines.enumerate() {
        match serde_json::from_slice(line) {
            Ok(event) => {
                queue.apply(event);
                read += 1;
            }
            Err(error) => {
                damaged += 1;
                tracing::warn!(file = %path.display(), line = number + 2, %error, "a damaged line");
            }
        }
    }
    Ok((damaged, read))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::review::entry::{Reason, Seen};
    use crate::review::queue::Filter;

    fn seen(text: &str, at_ms: u64) -> Event {
        Event::Seen(Seen {
            text: text.to_owned(),
            reason: Reason::Ambiguous,
            status: None,
            alternatives: vec![],
            model: "m1".to_owned(),
            correction: None,
            at_ms,
        })
    }

    fn open(folder: &Path) -> (Journal, Queue, Recovered) {
        let mut queue = Queue::new(100);
        let (journal, recovered) = Journal::open(folder, &mut queue).unwrap();
        (journal, queue, recovered)
    }

    fn texts(queue: &Queue) -> Vec<String> {
        queue.listed(&Filter::default()).into_iter().map(|entry| entry.text.clone()).collect()
    }

    #[test]
    fn what_was_written_is_there_wherever_the_last_line_was_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(JOURNAL);
        let (mut journal, _, recovered) = open(folder.path());
        assert_eq!(recovered, Recovered::default());
        journal.append(&seen("一", 1)).unwrap();
        let safe = journal.length as usize;
        journal.append(&seen("二", 2)).unwrap();
        journal.sync().unwrap();
        drop(journal);
        let whole = fs::read(&path).unwrap();
        for cut in safe..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let (mut journal, queue, recovered) = open(folder.path());
            assert_eq!(texts(&queue), ["一"], "{cut}");
            assert_eq!(recovered, Recovered { torn: cut > safe, damaged: 0 }, "{cut}");
            journal.append(&seen("三", 3)).unwrap();
            drop(journal);
            assert_eq!(texts(&open(folder.path()).1), ["三", "一"], "{cut}");
        }
    }

    #[test]
    fn a_second_server_and_a_foreign_file_are_refused_in_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let first = open(folder.path());
        let refused =
            || Journal::open(folder.path(), &mut Queue::new(1)).err().unwrap().to_string();
        let said = refused();
        assert!(said.contains("another server") && said.contains("--review-dir"), "{said}");
        drop(first);
        for head in ["{\"kind\":\"kefu-review\",\"format\":2}\n", "hello\n", "{}\n"] {
            fs::write(folder.path().join(JOURNAL), head).unwrap();
            let said = refused();
            assert!(said.contains("of format 1") && !said.contains('\n'), "{said}");
            assert_eq!(fs::read_to_string(folder.path().join(JOURNAL)).unwrap(), head);
        }
    }

    #[test]
    fn a_damaged_line_is_counted_and_kept_aside() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, ..) = open(folder.path());
        for (at, text) in ["a", "b", "c"].into_iter().enumerate() {
            journal.append(&seen(text, at as u64)).unwrap();
        }
        drop(journal);
        let path = folder.path().join(JOURNAL);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("\"text\":\"b\"", "\"text\":\"b")).unwrap();
        let (journal, queue, recovered) = open(folder.path());
        assert_eq!((texts(&queue), recovered.damaged), (vec!["c".to_owned(), "a".to_owned()], 1));
        assert!(folder.path().join(DAMAGED).exists());
        drop(journal);
        assert_eq!(open(folder.path()).2, Recovered::default());
    }

    #[test]
    fn a_long_journal_is_written_anew_and_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, mut queue, _) = open(folder.path());
        for at in 0..=SPARE_LINES as u64 + 3 {
            let event = seen("again", at);
            journal.append(&event).unwrap();
            queue.apply(event);
        }
        let before = journal.length;
        journal.compact(1, || queue.snapshot().collect()).unwrap();
        assert!(journal.length < before / 100, "{}", journal.length);
        journal.append(&seen("again", 9_999)).unwrap();
        drop(journal);
        let (_journal, queue, _) = open(folder.path());
        let entry = &queue.listed(&Filter::default())[0];
        assert_eq!((entry.count, entry.last_seen_ms), (SPARE_LINES as u64 + 5, 9_999));
        let files = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(files, 2, "the journal and the lock");
    }
}
