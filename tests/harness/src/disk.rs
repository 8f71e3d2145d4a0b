//! A file system of its own, whose power can be cut.

use std::{
    fs::{self, File},
    os::fd::AsRawFd,
    path::PathBuf,
    process::Command,
};

/// Room for a few rounds of work.
const BYTES: u64 = 400 << 20;
/// With this preloaded, a process believes that it syncs and does not.
const WITHOUT_SYNC: &str = "libeatmydata.so";

/// A small ext4 on an image in a file, mounted.
#[derive(Debug)]
pub struct Disk {
    folder: tempfile::TempDir,
    cuts: u32,
}

impl Disk {
    /// A new, empty one; `None` without the right to mount.
    pub fn format() -> Option<Self> {
        let disk = Self { folder: tempfile::tempdir().expect("a folder"), cuts: 0 };
        fs::create_dir(disk.root()).expect("a folder");
        let image = File::create(disk.image()).expect("an image");
        image.set_len(BYTES).expect("an image");
        let mounted = disk.run("mkfs.ext4 -q \"$IMAGE\"") && disk.mount();
        mounted.then_some(disk)
    }

    /// Where it is mounted.
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// The file system stops at once: every write fails from now on, and what was not synced is
    /// gone. This is the kernel's own way to test it; not even the journal is written out any more.
    /// A sync that is under way at that moment may be said to have succeeded, as a real power cut
    /// never could: whoever syncs must be [frozen](crate::freeze) before.
    #[allow(unsafe_code, reason = "the standard library has no ioctl")]
    pub fn cut_power(&mut self) {
        const EXT4_IOC_SHUTDOWN: libc::c_ulong = 0x8004_587d;
        const WITHOUT_THE_JOURNAL: u32 = 2;
        self.cuts += 1;
        // A new one each time: ext4 writes out a file that replaces an older one.
        fs::write(self.unsynced(), "nobody waited for this").expect("a file");
        let root = File::open(self.root()).expect("the root");
        // SAFETY: the call reads one u32 behind the pointer and keeps nothing.
        let result =
            unsafe { libc::ioctl(root.as_raw_fd(), EXT4_IOC_SHUTDOWN, &WITHOUT_THE_JOURNAL) };
        assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    }

    /// The power is back. Whoever had files open there must have ended.
    pub fn restore_power(&self) {
        assert!(self.run("umount \"$ROOT\""), "the disk is in use");
        assert!(self.mount(), "the disk cannot be mounted again");
        let kept = fs::read(self.unsynced()).unwrap_or_default();
        assert!(kept.is_empty(), "it was no power cut");
    }

    /// What to put into a process's environment so that it never syncs.
    pub fn without_sync() -> (String, String) {
        ("LD_PRELOAD".into(), WITHOUT_SYNC.into())
    }

    fn image(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    fn unsynced(&self) -> PathBuf {
        self.root().join(format!("unsynced {}", self.cuts))
    }

    fn mount(&self) -> bool {
        self.run("mount -o loop \"$IMAGE\" \"$ROOT\"")
    }

    fn run(&self, command: &str) -> bool {
        let script = format!("{command} 2>&1");
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]).env("IMAGE", self.image()).env("ROOT", self.root());
        shell.output().is_ok_and(|finished| finished.status.success())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.run("umount \"$ROOT\" || umount --lazy \"$ROOT\"");
    }
}
