//! What the model disk keeps and what it loses.

use std::sync::Arc;

use super::disk::{Disk, Handle, Opening, Trouble};

fn disk(seed: u64) -> Arc<Disk> {
    Disk::mount(format!("/model/{seed}/{:?}", std::thread::current().id()), seed)
}

fn open(disk: &Arc<Disk>, name: &str) -> Handle {
    let how = Opening { create: true, syncs_name: true, ..Opening::default() };
    disk.open(&disk.path(name), how).unwrap()
}

fn content(disk: &Arc<Disk>, name: &str) -> Option<Vec<u8>> {
    let handle = disk.open(&disk.path(name), Opening::default()).ok()?;
    let mut bytes = vec![0; handle.len().unwrap()];
    handle.read(0, &mut bytes).unwrap();
    Some(bytes)
}

#[test]
fn after_a_cut_old_handles_are_dead_and_synced_bytes_are_there() {
    let disk = disk(1);
    let mut handle = open(&disk, "a");
    handle.write(0, b"durable").unwrap();
    handle.sync().unwrap();
    disk.cut();
    assert_eq!(handle.write(0, b"x"), Err(Trouble::Io));
    disk.power_on();
    assert_eq!(handle.read(0, &mut [0]), Err(Trouble::Io), "also when the power is back");
    assert_eq!(content(&disk, "a").unwrap(), b"durable");
}

#[test]
fn after_a_kill_the_cache_still_has_what_a_cut_then_takes() {
    let mut taken = 0;
    for seed in 0..40 {
        let disk = disk(seed);
        let mut handle = open(&disk, "a");
        handle.sync().unwrap();
        disk.kill_after(0);
        assert_eq!(handle.write(0, b"x"), Err(Trouble::Io));
        disk.power_on();
        assert_eq!(handle.write(0, b"y"), Err(Trouble::Io));
        assert_eq!(content(&disk, "a").unwrap(), b"x");
        disk.cut();
        disk.power_on();
        taken += u32::from(content(&disk, "a").unwrap().is_empty());
    }
    assert!((5..35).contains(&taken), "{taken} times");
}

#[test]
fn a_cut_comes_at_the_change_that_was_named() {
    let disk = disk(2);
    let handle = open(&disk, "a");
    disk.cut_after(2);
    handle.write(0, b"x").unwrap();
    handle.write(1, b"y").unwrap();
    assert!(disk.is_on());
    assert_eq!(handle.write(2, b"z"), Err(Trouble::Io));
    assert!(!disk.is_on());
}

#[test]
fn an_unsynced_file_may_be_gone_and_a_deleted_one_may_be_back() {
    let (mut gone, mut back) = (0, 0);
    for seed in 0..40 {
        let disk = disk(seed);
        open(&disk, "old").sync().unwrap();
        disk.delete(&disk.path("old"), false).unwrap();
        drop(open(&disk, "new"));
        disk.cut();
        disk.power_on();
        gone += u32::from(content(&disk, "new").is_none());
        back += u32::from(content(&disk, "old").is_some());
    }
    assert!((5..35).contains(&gone) && (5..35).contains(&back), "{gone} gone, {back} back");
}

#[test]
fn each_handle_hears_once_that_a_sync_failed() {
    let disk = disk(3);
    let (mut a, mut b) = (open(&disk, "a-wal"), open(&disk, "a-wal"));
    a.write(0, b"lost?").unwrap();
    disk.fail_syncs("-wal", 0, 1);
    assert_eq!(a.sync(), Err(Trouble::Io));
    assert_eq!(a.sync(), Ok(()), "as if nothing had been");
    assert_eq!(b.sync(), Err(Trouble::Io));
    assert_eq!(b.sync(), Ok(()));
    assert_eq!(disk.failed_syncs(), 1);
    assert_eq!(open(&disk, "a-wal").sync(), Ok(()), "who opens it later hears nothing");
}

#[test]
fn a_full_disk_takes_what_fits_and_lets_files_be_overwritten() {
    let disk = disk(4);
    let handle = open(&disk, "a");
    handle.write(0, b"1234").unwrap();
    disk.leave_room(2);
    assert_eq!(handle.write(4, b"5678"), Err(Trouble::Full));
    assert_eq!(handle.len(), Ok(6));
    handle.write(0, b"abcdef").unwrap();
    assert_eq!(handle.write(100, b"x"), Err(Trouble::Full));
    handle.truncate(0).unwrap();
    handle.write(0, b"123456").unwrap();
    disk.heal();
    handle.write(6, b"7").unwrap();
}

#[test]
fn a_disk_that_lies_loses_what_it_said_was_synced() {
    let lost = (0..40).filter(|seed| {
        let disk = disk(*seed);
        let mut handle = open(&disk, "a");
        handle.sync().unwrap();
        disk.ignore_syncs();
        handle.write(0, b"x").unwrap();
        handle.sync().unwrap();
        disk.cut();
        disk.power_on();
        content(&disk, "a").unwrap().is_empty()
    });
    assert!(lost.count() > 5);
}

#[test]
fn shared_memory_is_one_for_all_and_gone_with_the_last() {
    let disk = disk(5);
    let (mut a, mut b) = (open(&disk, "a"), open(&disk, "a"));
    assert!(a.map(0, 64, false).unwrap().is_none());
    let region = a.map(0, 64, true).unwrap().unwrap();
    assert!(Arc::ptr_eq(&region, &b.map(0, 64, false).unwrap().unwrap()));
    drop((a, b));
    assert!(open(&disk, "a").map(0, 64, false).unwrap().is_none());
}
