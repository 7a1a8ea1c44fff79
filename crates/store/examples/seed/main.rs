//! Fills a data directory with many orders: `cargo xtask seed`.
//!
//! A few orders of each kind go through the real services on model stores ([`lives`]). What that leaves (records,
//! journals, histories) is cut into stencils ([`stencil`]), in which ids, times, numbers and customers are blank. They
//! are filled in a million times, and written through the `Store` port.

mod lives;
mod stencil;

use std::{error::Error, path::PathBuf, sync::Arc};

use cartwright_core::{
    domain::time::Timestamp,
    events,
    ports::{Batch, Cursor, Outcome, Store},
};
use cartwright_store::{
    DataDir, StoreKind,
    sqlite::{SqliteOptions, SqliteStore},
};
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};

use self::{
    lives::Kind,
    stencil::{Blanks, Life},
};

type Failure = Box<dyn Error + Send + Sync>;

/// Orders written in one transaction.
const CHUNK: u64 = 1_000;

/// The customers that place them.
const CUSTOMERS: u64 = 50_000;

/// They were placed over this time, which ends now.
const YEAR_US: u64 = 365 * 24 * 3_600 * 1_000_000;

/// Fill a new data directory with orders: 97 % completed, 1 % each failed, cancelled and open (on hold)
#[derive(Parser)]
#[command(name = "cargo xtask seed", bin_name = "cargo xtask seed")]
struct Args {
    /// How many orders
    #[arg(long, default_value_t = 1_000_000)]
    orders: u64,
    /// The data directory; it must not hold orders yet
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let args = Args::parse();
    let lives = lives::all().await?;
    let dir = Arc::new(DataDir::lock(&args.dir)?);
    let stores = Stores::open(&dir)?;
    let bar = ProgressBar::new(args.orders).with_style(ProgressStyle::with_template(
        "{bar:40} {human_pos} of {human_len} orders, {per_sec}, {eta}",
    )?);
    let mut next = 0;
    while next < args.orders {
        let end = args.orders.min(next + CHUNK);
        stores.write(&lives, next..end, args.orders).await?;
        bar.set_position(end);
        next = end;
    }
    bar.finish();
    stores.settle().await
}

struct Stores {
    orders: SqliteStore,
    payments: SqliteStore,
    fulfillment: SqliteStore,
    now: Timestamp,
}

impl Stores {
    fn open(dir: &Arc<DataDir>) -> Result<Self, Failure> {
        let options = SqliteOptions { dir: Some(dir.clone()), ..SqliteOptions::default() };
        let open =
            |kind: StoreKind| SqliteStore::open(&dir.path().join(format!("{kind}.db")), kind, &options);
        let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
        Ok(Self {
            orders: open(StoreKind::Orders)?,
            payments: open(StoreKind::Payments)?,
            fulfillment: open(StoreKind::Fulfillment)?,
            now: Timestamp::default().plus(since_1970),
        })
    }

    /// Writes orders `which` of `all`.
    async fn write(
        &self,
        lives: &[(Kind, Life)],
        which: std::ops::Range<u64>,
        all: u64,
    ) -> Result<(), Failure> {
        let count = u32::try_from(which.end - which.start)?;
        let first = self.orders.reserve_numbers(count).await?;
        let mut batches = [const { Vec::new() }; 3];
        for (n, number) in which.zip(first..) {
            let blanks = Blanks {
                at: Timestamp::from_micros(
                    self.now.as_micros() - ((all - n) * (YEAR_US / all)).cast_signed(),
                ),
                number,
                customer: scatter(n) % CUSTOMERS,
            };
            let commits = lives[kind(n, lives)].1.filled(&blanks)?;
            for (batch, commit) in batches.iter_mut().zip(commits) {
                batch.extend(commit);
            }
        }
        let [orders, payments, fulfillment] = batches.map(|commits| Batch { commits, cursors: vec![] });
        let (orders, payments, fulfillment) = tokio::join!(
            self.orders.commit(orders),
            self.payments.commit(payments),
            self.fulfillment.commit(fulfillment)
        );
        let stands = |outcome: &Outcome| matches!(outcome, Outcome::Committed { .. });
        match orders?.iter().chain(&payments?).chain(&fulfillment?).all(stands) {
            true => Ok(()),
            false => Err("the data directory holds some of these orders already: choose a new one".into()),
        }
    }

    /// Everybody has read everything.
    async fn settle(&self) -> Result<(), Failure> {
        let orders = self.cursor(events::ORDERS, &self.orders).await?;
        let others = vec![
            self.cursor(events::PAYMENTS, &self.payments).await?,
            self.cursor(events::FULFILLMENT, &self.fulfillment).await?,
        ];
        for (store, cursors) in [
            (&self.orders, others),
            (&self.payments, vec![orders.clone()]),
            (&self.fulfillment, vec![orders]),
        ] {
            store.commit(Batch { commits: vec![], cursors }).await?;
        }
        Ok(())
    }

    async fn cursor(&self, topic: &'static str, store: &SqliteStore) -> Result<Cursor, Failure> {
        let position = store.stats().await?.head;
        Ok(Cursor { source: topic.into(), lane: 0, incarnation: store.incarnation(), position })
    }
}

/// Which life order `n` has.
fn kind(n: u64, lives: &[(Kind, Life)]) -> usize {
    let mut share = scatter(n ^ 0x5eed) % 10_000;
    for (i, (kind, _)) in lives.iter().enumerate() {
        match share.checked_sub(kind.share()) {
            Some(rest) => share = rest,
            None => return i,
        }
    }
    0
}

/// Numbers in no order.
fn scatter(n: u64) -> u64 {
    let mixed = (n.wrapping_add(1)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 20
}
