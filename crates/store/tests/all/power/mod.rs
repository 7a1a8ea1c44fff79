//! Power cuts, failing syncs and full disks, on a model disk under the real SQLite.

mod cuts;
mod faults;
mod world;

use world::World;
