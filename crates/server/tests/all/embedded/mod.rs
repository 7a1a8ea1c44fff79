//! What only holds of files, and nowhere else: the run on another stack leaves these tests out by their name
//! (`--skip embedded::`), so that everybody sees what is left out.

mod backup;
mod disk;
mod doctor;
mod files;
mod migrating;
mod moving;

use crate::harness::Stack;

/// Each test here begins with it: whoever runs one elsewhere is told, and takes nothing for tested that was not.
#[track_caller]
fn on_files() {
    let here = Stack::here();
    assert!(
        here == Stack::Embedded,
        "a test about files, run on {here:?}: leave it out with --skip embedded::"
    );
}
