//! The judgement of `verify`: plain facts in, findings out.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::super::ids::CompactId;

/// So many offenders are named for each problem.
pub const NAMED: usize = 10;

/// All that is known, by order.
#[derive(Debug, Default)]
pub struct Facts {
    orders: HashMap<CompactId, OrderFacts>,
    waiting_for: BTreeMap<String, u64>,
    /// Orders of the server that can't be read.
    unreadable: u64,
}

/// What is known about one order. Small: there are millions.
#[derive(Clone, Copy, Debug, Default)]
struct OrderFacts {
    answered: bool,
    has_effects: bool,
    stored: Option<Stored>,
    live_charges: u8,
    live_shipments: u8,
}

/// An order as the server tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Where it stands.
    pub status: Status,
    /// What its flow promises.
    pub flow: Flow,
}

/// Where an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// On its way.
    Open,
    /// Every step is done.
    Completed,
    /// Given up.
    Failed,
    /// Called off.
    Cancelled,
}

/// The flows, as far as they promise different things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Pay, schedule, ship.
    Standard,
    /// Pay, schedule.
    Scheduled,
    /// Ship.
    ShipOnly,
    /// The client says what happens; nothing makes it final.
    Manual,
    /// Nothing that the ledger could show.
    Other,
}

/// What an effect of the providers' ledger means to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trace {
    /// Money is reserved, and not given back.
    LiveCharge,
    /// Goods are gone, and not called back.
    LiveShipment,
    /// Anything else.
    Settled,
}

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ProblemKind {
    /// Answered, but not stored.
    Lost,
    /// More than one live charge.
    ChargedTwice,
    /// More than one live shipment.
    ShippedTwice,
    /// Completed in a flow that pays, without a live charge.
    CompletedUnpaid,
    /// Completed in a flow that ships, without a live shipment.
    CompletedUnshipped,
    /// Failed or cancelled, but the charge stands.
    StillCharged,
    /// Failed or cancelled, but the goods are gone.
    StillShipped,
    /// The providers did something for an order that we don't have.
    UnknownOrder,
    /// The server has them, but their records can't be read: nobody works on them.
    Unreadable,
    /// The search index does not have them.
    NotFound,
    /// The search index says something else of them.
    FoundOtherwise,
    /// The search index has them, and the server does not.
    FoundOnly,
}

/// Orders with one problem.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How many.
    pub count: u64,
    /// The first few of them.
    pub ids: Vec<String>,
}

/// The result of `cartwright verify --json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VerifyReport {
    /// Nothing is wrong and nothing waits.
    pub ok: bool,
    /// Files of answered orders that were read.
    #[serde(default)]
    pub answered_files: u64,
    /// Different orders that clients have an answer for.
    pub answered: u64,
    /// Orders that the server has.
    pub stored: u64,
    /// Of them completed.
    pub completed: u64,
    /// Of them failed.
    pub failed: u64,
    /// Of them cancelled.
    pub cancelled: u64,
    /// Of them not final yet, without those of the flow `manual`.
    pub waiting: u64,
    /// What the waiting orders wait for.
    pub waiting_for: BTreeMap<String, u64>,
    /// Orders of the flow `manual` that are open.
    pub manual: u64,
    /// Whether the providers' ledger was read.
    pub ledger: bool,
    /// Orders that were compared with their documents in the search index, if that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub searched: Option<u64>,
    /// What is wrong; a problem that nobody has is not there.
    pub problems: BTreeMap<ProblemKind, Finding>,
}

impl Facts {
    /// A client has an answer for this order.
    pub fn answered(&mut self, id: &str) {
        self.order(id).answered = true;
    }

    /// The server has this order; `waits_for` says what an open one waits for.
    pub fn stored(&mut self, id: &str, stored: Stored, waits_for: Option<String>) {
        let before = self.order(id).stored.replace(stored);
        if before.is_none() && stored.is_waiting() {
            let waits_for = waits_for.unwrap_or_else(|| "nothing that it names".to_owned());
            let known = self.waiting_for.len() < MAX_GROUPS || self.waiting_for.contains_key(&waits_for);
            let group = if known { waits_for } else { "other".to_owned() };
            *self.waiting_for.entry(group).or_insert(0) += 1;
        }
    }

    /// The server has so many more orders that can't be read.
    pub fn unreadable(&mut self, orders: u64) {
        self.unreadable += orders;
    }

    /// A provider did something for this order.
    pub fn effect(&mut self, id: &str, trace: Trace) {
        let order = self.order(id);
        order.has_effects = true;
        match trace {
            Trace::LiveCharge => order.live_charges = order.live_charges.saturating_add(1),
            Trace::LiveShipment => order.live_shipments = order.live_shipments.saturating_add(1),
            Trace::Settled => {}
        }
    }

    /// Orders that should be stored and are not, at most `limit`: worth asking for once more by their ids.
    pub fn missing(&self, limit: usize) -> Vec<String> {
        self.orders
            .iter()
            .filter(|(_, order)| order.stored.is_none())
            .take(limit)
            .map(|(id, _)| id.to_string())
            .collect()
    }

    /// What all this comes to. `ledger`: the providers' effects are among the facts.
    pub fn judge(&self, ledger: bool) -> VerifyReport {
        let mut report =
            VerifyReport { ledger, waiting_for: self.waiting_for.clone(), ..VerifyReport::default() };
        let mut offenders: BTreeMap<ProblemKind, (u64, Vec<&CompactId>)> = BTreeMap::new();
        for (id, order) in &self.orders {
            report.count(order);
            order.problems(ledger, |problem| {
                let (count, ids) = offenders.entry(problem).or_default();
                *count += 1;
                keep_smallest(ids, id);
            });
        }
        report.problems = offenders
            .into_iter()
            .map(|(problem, (count, ids))| {
                let ids = ids.into_iter().map(CompactId::to_string).collect();
                (problem, Finding { count, ids })
            })
            .collect();
        if self.unreadable > 0 {
            let finding = Finding { count: self.unreadable, ids: vec![] };
            report.problems.insert(ProblemKind::Unreadable, finding);
        }
        report.ok = report.problems.is_empty() && report.waiting == 0;
        report
    }

    fn order(&mut self, id: &str) -> &mut OrderFacts {
        self.orders.entry(CompactId::from(id)).or_default()
    }
}

impl Stored {
    /// Not final, and expected to become so.
    pub fn is_waiting(self) -> bool {
        self.status == Status::Open && self.flow != Flow::Manual
    }
}

impl Status {
    /// The status of the API's word; `None` for a word that we don't know.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "open" => Self::Open,
            "completed" => Self::Completed,
            "failed" => Self::Failed,
            "cancelled" => Self::Cancelled,
            _ => return None,
        })
    }
}

impl Flow {
    /// The flow of the API's word.
    pub fn parse(word: &str) -> Self {
        match word {
            "standard" => Self::Standard,
            "scheduled" => Self::Scheduled,
            "ship-only" => Self::ShipOnly,
            "manual" => Self::Manual,
            _ => Self::Other,
        }
    }

    fn pays(self) -> bool {
        matches!(self, Self::Standard | Self::Scheduled)
    }

    fn ships(self) -> bool {
        matches!(self, Self::Standard | Self::ShipOnly)
    }
}

impl ProblemKind {
    /// All of them, in the order of the report.
    pub const ALL: [Self; 12] = [
        Self::Lost,
        Self::ChargedTwice,
        Self::ShippedTwice,
        Self::CompletedUnpaid,
        Self::CompletedUnshipped,
        Self::StillCharged,
        Self::StillShipped,
        Self::UnknownOrder,
        Self::Unreadable,
        Self::NotFound,
        Self::FoundOtherwise,
        Self::FoundOnly,
    ];

    /// For people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::ChargedTwice => "charged twice",
            Self::ShippedTwice => "shipped twice",
            Self::CompletedUnpaid => "completed, but not charged",
            Self::CompletedUnshipped => "completed, but not shipped",
            Self::StillCharged => "failed or cancelled, but charged",
            Self::StillShipped => "failed or cancelled, but shipped",
            Self::UnknownOrder => "charged or shipped, but unknown",
            Self::Unreadable => "stored, but can't be read",
            Self::NotFound => "stored, but not in the search index",
            Self::FoundOtherwise => "otherwise in the search index",
            Self::FoundOnly => "in the search index, but not stored",
        }
    }

    /// Whether it takes the providers' ledger to see it.
    pub const fn needs_ledger(self) -> bool {
        !matches!(self, Self::Lost | Self::Unreadable) && !self.needs_search()
    }

    /// Whether it takes the search index to see it.
    pub const fn needs_search(self) -> bool {
        matches!(self, Self::NotFound | Self::FoundOtherwise | Self::FoundOnly)
    }
}

/// Reasons are texts of others: different ones beyond this are counted together.
const MAX_GROUPS: usize = 50;

impl OrderFacts {
    fn problems(&self, ledger: bool, mut found: impl FnMut(ProblemKind)) {
        let (charged, shipped) = (self.live_charges > 0, self.live_shipments > 0);
        let problems = [
            (ProblemKind::Lost, self.answered && self.stored.is_none()),
            (ProblemKind::ChargedTwice, self.live_charges > 1),
            (ProblemKind::ShippedTwice, self.live_shipments > 1),
            (ProblemKind::UnknownOrder, self.has_effects && self.stored.is_none()),
        ];
        problems.into_iter().filter(|(_, is)| *is).for_each(|(problem, _)| found(problem));
        let Some(Stored { status, flow }) = self.stored else { return };
        match status {
            Status::Completed if ledger => {
                if flow.pays() && !charged {
                    found(ProblemKind::CompletedUnpaid);
                }
                if flow.ships() && !shipped {
                    found(ProblemKind::CompletedUnshipped);
                }
            }
            Status::Failed | Status::Cancelled => {
                if charged {
                    found(ProblemKind::StillCharged);
                }
                if shipped {
                    found(ProblemKind::StillShipped);
                }
            }
            Status::Completed | Status::Open => {}
        }
    }
}

impl VerifyReport {
    fn count(&mut self, order: &OrderFacts) {
        self.answered += u64::from(order.answered);
        let Some(stored) = order.stored else { return };
        self.stored += 1;
        match stored.status {
            Status::Completed => self.completed += 1,
            Status::Failed => self.failed += 1,
            Status::Cancelled => self.cancelled += 1,
            Status::Open if stored.is_waiting() => self.waiting += 1,
            Status::Open => self.manual += 1,
        }
    }
}

/// The same few whatever the order of a hash map, so that two runs name the same.
fn keep_smallest<'a>(ids: &mut Vec<&'a CompactId>, id: &'a CompactId) {
    let at = ids.partition_point(|known| *known < id);
    if at < NAMED {
        ids.insert(at, id);
        ids.truncate(NAMED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DONE: Stored = Stored { status: Status::Completed, flow: Flow::Standard };

    fn good(facts: &mut Facts, id: &str) {
        facts.answered(id);
        facts.stored(id, DONE, None);
        facts.effect(id, Trace::LiveCharge);
        facts.effect(id, Trace::LiveShipment);
    }

    fn with(status: Status, flow: Flow) -> Stored {
        Stored { status, flow }
    }

    fn problems(facts: &Facts) -> Vec<(ProblemKind, Vec<String>)> {
        facts.judge(true).problems.into_iter().map(|(problem, found)| (problem, found.ids)).collect()
    }

    #[test]
    fn a_good_world_is_good() {
        let mut facts = Facts::default();
        good(&mut facts, "a");
        good(&mut facts, "b");
        facts.stored("scheduled", with(Status::Completed, Flow::Scheduled), None);
        facts.effect("scheduled", Trace::LiveCharge);
        facts.stored("ship-only", with(Status::Completed, Flow::ShipOnly), None);
        facts.effect("ship-only", Trace::LiveShipment);
        facts.stored("other", with(Status::Completed, Flow::Other), None);
        facts.stored("declined", with(Status::Failed, Flow::Standard), None);
        facts.effect("declined", Trace::Settled);
        facts.stored("manual", with(Status::Open, Flow::Manual), None);
        let report = facts.judge(true);
        assert!(report.ok, "{report:?}");
        assert_eq!((report.answered, report.stored, report.completed, report.failed), (2, 7, 5, 1));
        assert_eq!((report.manual, report.waiting), (1, 0));
    }

    #[test]
    fn every_planted_problem_is_found_and_named() {
        type Plant = (ProblemKind, fn(&mut Facts));
        let plant: [Plant; 8] = [
            (ProblemKind::Lost, |facts| facts.answered("bad")),
            (ProblemKind::ChargedTwice, |facts| {
                good(facts, "bad");
                facts.effect("bad", Trace::LiveCharge);
            }),
            (ProblemKind::ShippedTwice, |facts| {
                good(facts, "bad");
                facts.effect("bad", Trace::LiveShipment);
            }),
            (ProblemKind::CompletedUnpaid, |facts| {
                facts.stored("bad", DONE, None);
                facts.effect("bad", Trace::LiveShipment);
            }),
            (ProblemKind::CompletedUnshipped, |facts| {
                facts.stored("bad", DONE, None);
                facts.effect("bad", Trace::LiveCharge);
            }),
            (ProblemKind::StillCharged, |facts| {
                facts.stored("bad", with(Status::Failed, Flow::Standard), None);
                facts.effect("bad", Trace::LiveCharge);
            }),
            (ProblemKind::StillShipped, |facts| {
                facts.stored("bad", with(Status::Cancelled, Flow::Standard), None);
                facts.effect("bad", Trace::LiveShipment);
            }),
            (ProblemKind::UnknownOrder, |facts| facts.effect("bad", Trace::Settled)),
        ];
        for (problem, plant) in plant {
            let mut facts = Facts::default();
            good(&mut facts, "good");
            plant(&mut facts);
            assert_eq!(problems(&facts), [(problem, vec!["bad".to_owned()])]);
            assert!(!facts.judge(true).ok);
        }
    }

    #[test]
    fn without_the_ledger_nobody_is_called_unpaid() {
        let mut facts = Facts::default();
        facts.stored("a", DONE, None);
        assert!(facts.judge(false).ok);
        assert!(!facts.judge(true).ok);
    }

    #[test]
    fn waiting_orders_are_grouped_and_are_no_problem() {
        let mut facts = Facts::default();
        for (id, why) in [("a", "pay"), ("b", "pay"), ("c", "ship")] {
            facts.stored(id, with(Status::Open, Flow::Standard), Some(why.into()));
        }
        facts.stored("a", with(Status::Open, Flow::Standard), Some("pay".into()));
        let report = facts.judge(true);
        assert!(!report.ok && report.problems.is_empty());
        assert_eq!(report.waiting, 3);
        assert_eq!(report.waiting_for, BTreeMap::from([("pay".into(), 2), ("ship".into(), 1)]));
    }

    #[test]
    fn of_many_offenders_all_are_counted_and_the_first_ten_named() {
        let mut facts = Facts::default();
        for n in 0..50 {
            facts.answered(&format!("lost-{n:02}"));
        }
        let lost = &facts.judge(true).problems[&ProblemKind::Lost];
        assert_eq!(lost.count, 50);
        assert_eq!(lost.ids.len(), NAMED);
        assert_eq!((lost.ids[0].as_str(), lost.ids[9].as_str()), ("lost-00", "lost-09"));
        assert_eq!(facts.missing(20).len(), 20);
    }
}
