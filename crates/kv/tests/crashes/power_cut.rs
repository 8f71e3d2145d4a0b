//! A power cut: the file system stops at once, and what was not synced is gone.

use std::{
    fs::{self, File},
    os::fd::AsRawFd,
    path::PathBuf,
    process::Command,
};

use crate::witness::Witness;

const ROUNDS: u64 = 6;

/// A file system of its own, on an image in a file.
struct Disk {
    folder: tempfile::TempDir,
}

impl Disk {
    fn format() -> Self {
        let disk = Self { folder: tempfile::tempdir().expect("a folder") };
        fs::create_dir(disk.root()).expect("a folder");
        let image = File::create(disk.image()).expect("an image");
        image.set_len(200 << 20).expect("an image");
        disk
    }

    fn image(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    fn run(&self, command: &str) -> bool {
        let script = format!("{command} 2>&1");
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]).env("IMAGE", self.image()).env("ROOT", self.root());
        shell.output().is_ok_and(|finished| finished.status.success())
    }

    fn mount(&self) -> bool {
        self.run("mount -o loop \"$IMAGE\" \"$ROOT\"")
    }

    /// The kernel's way to test this: not even the journal is written out any more.
    #[allow(unsafe_code, reason = "the standard library has no ioctl")]
    fn cut_power(&self) {
        const EXT4_IOC_SHUTDOWN: libc::c_ulong = 0x8004_587d;
        const WITHOUT_THE_JOURNAL: u32 = 2;
        let root = File::open(self.root()).expect("the root");
        // SAFETY: the call reads one u32 behind the pointer and keeps nothing.
        let result =
            unsafe { libc::ioctl(root.as_raw_fd(), EXT4_IOC_SHUTDOWN, &WITHOUT_THE_JOURNAL) };
        assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    }

    fn unmount(&self) {
        assert!(self.run("umount \"$ROOT\""), "the disk is in use");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Only when the test failed with the disk still mounted.
        self.run("umount --lazy \"$ROOT\"");
    }
}

#[test]
fn a_power_cut_loses_nothing_that_was_acknowledged() {
    let disk = Disk::format();
    if !(disk.run("mkfs.ext4 -q \"$IMAGE\"") && disk.mount()) {
        // Without the right to mount, the next worse crash has to do.
        return crate::kill::goes_through_kills(6);
    }
    let store = disk.root().join("store");
    let mut witness = Witness::default();
    for round in 0..ROUNDS {
        let writer = witness.start(&store, round);
        // A new one each time: ext4 writes out a file that replaces an older one.
        let unsynced = disk.root().join(format!("unsynced {round}"));
        fs::write(&unsynced, "nobody waited for this").expect("a file");
        disk.cut_power();
        witness.end(writer);
        disk.unmount();
        assert!(disk.mount());
        let kept = fs::read(&unsynced).unwrap_or_default();
        assert!(kept.is_empty(), "it was no power cut");
        witness.check(&store);
    }
    disk.unmount();
}
