//! Holds compressed bytes until they are put into the bucket.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use crate::Compressed;

/// Collects zstd frames while they are made: in memory at first, and in an unnamed temporary file once they are large.
#[derive(Debug)]
pub struct FrameSpool {
    folder: PathBuf,
    max_in_memory: usize,
    memory: Vec<u8>,
    file: Option<File>,
    size: u64,
}

impl FrameSpool {
    /// Creates a spool that keeps at most `max_in_memory` bytes in memory. The file is created in `folder`, or in the system's folder for
    /// temporary files.
    #[must_use]
    pub fn new(folder: Option<PathBuf>, max_in_memory: usize) -> Self {
        Self {
            folder: folder.unwrap_or_else(std::env::temp_dir),
            max_in_memory,
            memory: Vec::new(),
            file: None,
            size: 0,
        }
    }

    /// Returns the frames and their size in bytes.
    #[must_use]
    pub fn finish(self) -> (Compressed, u64) {
        let compressed = match self.file {
            Some(file) => Compressed::File { file, size: self.size },
            None => Compressed::Bytes(self.memory.into()),
        };
        (compressed, self.size)
    }
}

impl Write for FrameSpool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.file.is_none() && self.memory.len() + bytes.len() > self.max_in_memory {
            let mut file = tempfile::tempfile_in(&self.folder)?;
            file.write_all(&std::mem::take(&mut self.memory))?;
            self.file = Some(file);
        }
        match &mut self.file {
            Some(file) => file.write_all(bytes)?,
            None => self.memory.extend_from_slice(bytes),
        }
        self.size += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
