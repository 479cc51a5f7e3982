//! The simulated disk. What is written lies in a cache, as the kernel's would, until it is synced.

use std::io;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use redb::StorageBackend;

use crate::Error;
use crate::medium::{Backend, Medium};

/// What survives a loss of power as a whole or not at all.
const SECTOR_BYTES: usize = 512;

/// A medium whose files live in memory. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub(in crate::tests) struct Disk(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    files: Mutex<Files>,
    faults: Mutex<Faults>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Files {
    /// `None` until the first promotion.
    main: Option<Arc<Mutex<File>>>,
    fresh: Arc<Mutex<File>>,
    n_promoted: usize,
    n_opened: usize,
}

#[derive(Debug, Default)]
struct Faults {
    capacity: Option<u64>,
    fail_next_sync: bool,
    fail_next_write: bool,
    /// Operations until the power goes.
    power_left: Option<u64>,
    n_operations: u64,
    stall: bool,
    n_stalled: usize,
}

#[derive(Clone, Debug, Default)]
struct File {
    /// What reads see.
    cached: Vec<u8>,
    /// What a loss of power leaves for certain.
    durable: Vec<u8>,
    unsynced: Vec<Write>,
}

#[derive(Clone, Debug)]
enum Write {
    Bytes { offset: usize, bytes: Vec<u8> },
    Len(usize),
}

impl Write {
    fn apply(&self, image: &mut Vec<u8>) {
        match self {
            Self::Bytes { offset, bytes } => {
                image.resize(image.len().max(offset + bytes.len()), 0);
                image[*offset..offset + bytes.len()].copy_from_slice(bytes);
            }
            Self::Len(len) => image.resize(*len, 0),
        }
    }

    fn sectors(&self) -> Vec<Self> {
        match self {
            Self::Bytes { offset, bytes } => {
                let sector = |(idx, bytes): (usize, &[u8])| Self::Bytes {
                    offset: offset + idx * SECTOR_BYTES,
                    bytes: bytes.to_vec(),
                };
                bytes.chunks(SECTOR_BYTES).enumerate().map(sector).collect()
            }
            Self::Len(_) => vec![self.clone()],
        }
    }
}

impl Disk {
    fn faulty<T>(&self, fault: impl FnOnce(&mut Faults) -> T) -> T {
        let result = fault(&mut self.0.faults.lock());
        self.0.changed.notify_all();
        result
    }

    pub(in crate::tests) fn set_capacity(&self, capacity: Option<u64>) {
        self.faulty(|faults| faults.capacity = capacity);
    }

    pub(in crate::tests) fn fail_next_sync(&self) {
        self.faulty(|faults| faults.fail_next_sync = true);
    }

    pub(in crate::tests) fn fail_next_write(&self) {
        self.faulty(|faults| faults.fail_next_write = true);
    }

    /// Every operation after so many fails.
    pub(in crate::tests) fn cut_power_after(&self, n_operations: u64) {
        self.faulty(|faults| faults.power_left = Some(n_operations));
    }

    /// Operations that changed something so far.
    pub(in crate::tests) fn n_operations(&self) -> u64 {
        self.0.faults.lock().n_operations
    }

    /// Lets syncs wait, or lets them go.
    pub(in crate::tests) fn stall(&self, stall: bool) {
        self.faulty(|faults| faults.stall = stall);
    }

    /// Returns once a sync is waiting.
    pub(in crate::tests) async fn stalled(&self) {
        while self.0.faults.lock().n_stalled == 0 {
            tokio::task::yield_now().await;
        }
    }

    pub(in crate::tests) fn len(&self) -> u64 {
        self.image().len() as u64
    }

    pub(in crate::tests) fn n_promoted(&self) -> usize {
        self.0.files.lock().n_promoted
    }

    pub(in crate::tests) fn n_opened(&self) -> usize {
        self.0.files.lock().n_opened
    }

    /// What reads see now.
    pub(in crate::tests) fn image(&self) -> Vec<u8> {
        self.0.files.lock().main.as_ref().map(|main| main.lock().cached.clone()).unwrap_or_default()
    }

    /// Swaps the file for another one, behind everybody's back.
    pub(in crate::tests) fn restore(&self, image: Vec<u8>) {
        self.0.files.lock().main =
            Some(Arc::new(Mutex::new(File { durable: image.clone(), cached: image, unsynced: vec![] })));
    }

    /// The disk as it may be found after a loss of power: of what was not synced, any part may be missing.
    pub(in crate::tests) fn lose_power(&self, random: &mut Random) -> Self {
        let kept_percent = [0, 20, 50, 80, 100][random.below(5) as usize];
        let disk = Self::default();
        let Some(file) = self.0.files.lock().main.as_ref().map(|main| main.lock().clone()) else { return disk };
        let mut image = file.durable;
        for write in file.unsynced.iter().flat_map(Write::sectors) {
            if random.below(100) < kept_percent {
                write.apply(&mut image);
            }
        }
        disk.restore(image);
        disk
    }
}

impl Medium for Disk {
    fn open(&self) -> Result<Option<Backend>, Error> {
        let mut files = self.0.files.lock();
        files.n_opened += 1;
        let storage = |file: &Arc<_>| Backend::new(Storage { disk: self.clone(), file: Arc::clone(file) });
        Ok(files.main.as_ref().map(storage))
    }

    fn fresh(&self) -> Result<Backend, Error> {
        let mut files = self.0.files.lock();
        files.fresh = Arc::default();
        Ok(Backend::new(Storage { disk: self.clone(), file: Arc::clone(&files.fresh) }))
    }

    fn promote(&self) -> Result<(), Error> {
        let mut files = self.0.files.lock();
        files.main = Some(Arc::clone(&files.fresh));
        files.n_promoted += 1;
        Ok(())
    }
}

/// An open file.
#[derive(Debug)]
struct Storage {
    disk: Disk,
    file: Arc<Mutex<File>>,
}

impl Storage {
    fn change(&self, write: Write) -> io::Result<()> {
        let end = match &write {
            Write::Bytes { offset, bytes } => offset + bytes.len(),
            Write::Len(len) => *len,
        };
        self.disk.faulty(|faults| {
            faults.n_operations += 1;
            check_power(faults, 1)?;
            if std::mem::take(&mut faults.fail_next_write) {
                return Err(io::Error::other("simulated write error"));
            }
            if faults.capacity.is_some_and(|capacity| end as u64 > capacity) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            Ok(())
        })?;
        let mut file = self.file.lock();
        write.apply(&mut file.cached);
        file.unsynced.push(write);
        Ok(())
    }
}

fn check_power(faults: &mut Faults, cost: u64) -> io::Result<()> {
    match &mut faults.power_left {
        None => Ok(()),
        Some(left) if *left > 0 => {
            *left -= cost;
            Ok(())
        }
        Some(_) => Err(io::Error::other("simulated loss of power")),
    }
}

impl StorageBackend for Storage {
    fn len(&self) -> io::Result<u64> {
        self.disk.faulty(|faults| check_power(faults, 0))?;
        Ok(self.file.lock().cached.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.disk.faulty(|faults| check_power(faults, 0))?;
        let offset = offset as usize;
        let file = self.file.lock();
        let bytes = file.cached.get(offset..offset + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(Write::Len(len as usize))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(Write::Bytes { offset: offset as usize, bytes: data.to_vec() })
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut faults = self.disk.0.faults.lock();
        faults.n_stalled += usize::from(faults.stall);
        while faults.stall {
            self.disk.0.changed.wait(&mut faults);
        }
        faults.n_operations += 1;
        check_power(&mut faults, 1)?;
        let failed = std::mem::take(&mut faults.fail_next_sync);
        drop(faults);
        let mut file = self.file.lock();
        let writes = std::mem::take(&mut file.unsynced);
        if failed {
            // As on Linux: the kernel now takes these pages for clean, shows them to readers, and never writes them.
            return Err(io::Error::other("simulated sync error"));
        }
        for write in writes {
            write.apply(&mut file.durable);
        }
        Ok(())
    }
}

/// Numbers that look random and are the same for the same seed (splitmix64).
#[derive(Clone, Debug)]
pub(in crate::tests) struct Random(u64);

impl Random {
    pub(in crate::tests) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(in crate::tests) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % end
    }
}
