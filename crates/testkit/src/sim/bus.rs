//! How events come from one service to the others. Embedded, every service reads the others' journals. Distributed, a
//! relay forwards each journal to a topic, and the instances of a service share out its partitions: models of what
//! the real relay and the real broker promise, and no more than that.

use std::collections::{BTreeMap, BTreeSet};

use cartwright_core::{
    domain::ids::OrderId,
    ports::{Delivery, JournalRow, Origin},
};
use uuid::Uuid;

use crate::block_on;

use super::{
    bugs::Bug,
    dice::{Of, name},
    instance::{Instance, Place, Reading},
    plan::{MILLI, Micros, SECOND},
    service::Service,
    world::{Event, World},
};

/// Deliveries that an instance reads ahead.
const READ_AHEAD: usize = 48;
/// How long a relay's lease lasts.
const LEASE: Micros = 10 * SECOND;
/// How long a message may be under way before its relay takes it back.
const MESSAGE_TIMEOUT: Micros = 5 * SECOND;
/// Messages that a relay has under way.
const IN_FLIGHT: usize = 64;
/// The identity of a model topic.
const TOPIC: Uuid = Uuid::from_u128(0x70_71c);

/// The relay of a service's journal: a lease, and how far its holder has come.
#[derive(Default)]
pub(super) struct Relay {
    holder: Option<(usize, u64)>,
    epoch: u64,
    lease_until: Micros,
    /// It sends nothing before: messages of the one before it may still be under way.
    starts: Micros,
    /// The last position that was sent.
    sent: u64,
    /// Everything up to here is known to have arrived, and is written down.
    durable: u64,
    under_way: BTreeSet<u64>,
    /// When the last message of each partition arrives: they keep their order.
    last: BTreeMap<u32, Micros>,
    /// From when on nothing of an epoch arrives any more, since its process died.
    cut: BTreeMap<u64, Micros>,
}

/// The topics.
pub(super) struct Broker {
    pub topics: [Vec<Vec<JournalRow>>; 3],
    /// Partitions that forgot something.
    pub forgetful: BTreeSet<(Service, u32)>,
    /// The positions of each journal that came to its topic.
    pub arrived: [BTreeSet<u64>; 3],
}

/// A service's consumer group.
#[derive(Default)]
pub(super) struct Group {
    generation: u64,
    owners: BTreeMap<(Service, u32), usize>,
    pub stored: BTreeMap<(Service, u32), u64>,
}

impl Broker {
    pub fn new(partitions: u32) -> Self {
        let topic = || (0..partitions).map(|_| Vec::new()).collect();
        Self { topics: [topic(), topic(), topic()], forgetful: BTreeSet::new(), arrived: Default::default() }
    }

    /// The partition of an order.
    pub fn lane(&self, order: &OrderId) -> u32 {
        (name(order.as_str()) % self.topics[0].len() as u64) as u32
    }
}

// ------------------------------------------------------------------------------------------------- reading

impl World<'_> {
    /// A journal has grown.
    pub fn grown(&mut self, service: Service) {
        if self.plan.shape.distributed {
            return self.forward(service);
        }
        for i in 0..self.instances.len() {
            if self.instances[i].service.sources().contains(&service) {
                self.call_reader(i, service, 0);
            }
        }
    }

    /// Reads on in everything that an instance reads.
    pub fn read_all(&mut self, i: usize) {
        let Some(alive) = &self.instances[i].alive else { return };
        for (source, lane) in alive.reading.keys().copied().collect::<Vec<_>>() {
            self.call_reader(i, source, lane);
        }
    }

    /// An instance reads on in one source.
    pub fn read(&mut self, i: usize, life: u64, source: Service, lane: u32) {
        let outage = self.outages[source.index()];
        if outage > self.now {
            let event = Event::Read { instance: i, life, source, lane };
            return self.push(outage - self.now, &[30, i as u64, u64::from(lane)], event);
        }
        let Some(alive) = self.alive(i, life) else { return };
        let free = READ_AHEAD.saturating_sub(alive.inbox.deliveries.len());
        let Some(reading) = alive.reading.get_mut(&(source, lane)) else { return };
        reading.called = false;
        let thing = [i as u64, source as u64, u64::from(lane), reading.next];
        let limit = (self.dice.between(Of::Reading, &thing, 1, 16) as usize).min(free);
        let found = self.fetch(i, source, lane, limit);
        if found.is_empty() {
            return;
        }
        let Some(alive) = self.alive(i, life) else { return };
        alive.inbox.deliveries.extend(found);
        self.call(i, 50);
        self.call_reader(i, source, lane);
    }

    /// Everything before these deliveries is settled.
    pub fn settled(&mut self, i: usize, places: &[Place]) {
        let Self { instances, checks, .. } = self;
        let Instance { service, alive: Some(alive), .. } = &mut instances[i] else { return };
        let mut moved = BTreeSet::new();
        for place in places {
            checks.delivered(*service, place);
            if let Some(reading) = alive.reading.get_mut(&(place.source, place.lane))
                && reading.settled == place.position
            {
                reading.settled += 1;
                moved.insert((place.source, place.lane));
            }
        }
        if self.plan.shape.distributed {
            let life = self.instances[i].life;
            for (source, lane) in moved {
                let thing = [31, i as u64, u64::from(lane), self.now.unsigned_abs()];
                let after = self.dice.between(Of::Group, &thing, 10 * MILLI, 3 * SECOND);
                self.push(after, &thing, Event::Offset { instance: i, life, source, lane });
            }
        }
    }

    /// After a failed step: reads again what is not settled.
    pub fn read_again(&mut self, i: usize) {
        if !self.plan.shape.distributed {
            self.read_from_cursors(i);
        } else if let Some(alive) = &mut self.instances[i].alive {
            alive.reading.values_mut().for_each(|reading| reading.next = reading.settled);
        }
        self.read_all(i);
    }

    /// Reads from where the service's own store says.
    pub fn read_from_cursors(&mut self, i: usize) {
        let service = self.instances[i].service;
        let Ok(cursors) = block_on(self.store(service).cursors()) else { return };
        let heads = self.heads;
        let Some(alive) = &mut self.instances[i].alive else { return };
        for source in service.sources() {
            let cursor = cursors.iter().find(|cursor| *cursor.source == *source.name());
            let mut next = cursor.map_or(0, |cursor| cursor.position);
            self.checks.read_up_to(service, *source, next);
            if self.bug == Some(Bug::RelayGap) {
                next = heads[source.index()];
            }
            let reading = alive.reading.entry((*source, 0)).or_default();
            reading.next = next;
        }
    }

    /// Goes back in everything that a service reads.
    pub fn rewind(&mut self, service: Service, by: u64) {
        for stored in self.groups[service.index()].stored.values_mut() {
            *stored = stored.saturating_sub(by);
        }
        for i in 0..self.instances.len() {
            if self.instances[i].service == service
                && let Some(alive) = &mut self.instances[i].alive
            {
                for reading in alive.reading.values_mut() {
                    reading.next = reading.next.saturating_sub(by);
                    reading.settled = reading.settled.min(reading.next);
                }
                self.read_all(i);
            }
        }
    }

    fn call_reader(&mut self, i: usize, source: Service, lane: u32) {
        let life = self.instances[i].life;
        let Some(alive) = &mut self.instances[i].alive else { return };
        if alive.inbox.deliveries.len() >= READ_AHEAD {
            return;
        }
        let Some(reading) = alive.reading.get_mut(&(source, lane)) else { return };
        if std::mem::replace(&mut reading.called, true) {
            return;
        }
        let thing = [32, i as u64, source as u64, u64::from(lane), reading.next];
        let usual = self.dice.between(Of::Fetch, &thing, 100, 8 * MILLI);
        let after = if self.dice.chance(Of::Fetch, &thing[1..], 3) { 200 * usual } else { usual };
        self.push(after, &thing, Event::Read { instance: i, life, source, lane });
    }

    /// The next deliveries of a source; the reading moves past them.
    fn fetch(&mut self, i: usize, source: Service, lane: u32, limit: usize) -> Vec<(Place, Delivery)> {
        let rows: Vec<JournalRow>;
        let incarnation;
        let distributed = self.plan.shape.distributed;
        let journal = self.stores[source.index()].clone();
        let Some(alive) = &mut self.instances[i].alive else { return Vec::new() };
        let Some(reading) = alive.reading.get_mut(&(source, lane)) else { return Vec::new() };
        if distributed {
            let topic = &self.broker.topics[source.index()][lane as usize];
            if reading.next > topic.len() as u64 {
                // Out of range: from the earliest again.
                *reading = Reading { called: reading.called, ..Reading::default() };
            }
            let from = reading.next as usize;
            let found = topic[from..].iter().take(limit).cloned().zip(reading.next..);
            rows = found.map(|(row, offset)| JournalRow { position: offset, ..row }).collect();
            reading.next += rows.len() as u64;
            incarnation = TOPIC;
        } else {
            let Some(journal) = journal else { return Vec::new() };
            rows = block_on(journal.journal(reading.next, limit)).unwrap_or_default();
            reading.next = rows.last().map_or(reading.next, |row| row.position);
            incarnation = journal.incarnation();
        }
        rows.into_iter()
            .map(|row| {
                let origin = Origin { source: row.message.topic.clone(), lane, position: row.position };
                let delivery = Delivery {
                    origin,
                    incarnation,
                    key: row.message.key.as_str().as_bytes().to_vec().into(),
                    headers: row.message.headers,
                    value: row.message.value,
                };
                (Place::of(source, lane, row.position), delivery)
            })
            .collect()
    }
}

// ----------------------------------------------------------------------------------------- consumer groups

impl World<'_> {
    /// Shares out the partitions among those who are there. What is under way at others stays under way.
    pub fn rebalance(&mut self, service: Service) {
        let members: Vec<usize> = (0..self.instances.len())
            .filter(|i| {
                let instance = &self.instances[*i];
                let host = &self.hosts[instance.host];
                instance.service == service && instance.alive.is_some() && host.frozen_until <= self.now
            })
            .collect();
        let group = &mut self.groups[service.index()];
        group.generation += 1;
        let generation = group.generation;
        group.owners.retain(|_, owner| members.contains(owner));
        if members.is_empty() {
            return;
        }
        for source in service.sources() {
            for lane in 0..self.plan.shape.partitions {
                let thing = [service as u64, *source as u64, u64::from(lane), generation];
                let dealt = members[(self.dice.throw(Of::Group, &thing) % members.len() as u64) as usize];
                let moves = self.dice.chance(Of::Group, &thing[..3], 50);
                let owner = group.owners.entry((*source, lane)).or_insert(dealt);
                if moves {
                    *owner = dealt;
                }
            }
        }
        let (owners, stored) = (group.owners.clone(), group.stored.clone());
        for i in members {
            let Some(alive) = &mut self.instances[i].alive else { continue };
            if alive.generation + 1 != generation {
                alive.reading.clear(); // it was left out for a while: others have read on meanwhile
            }
            alive.generation = generation;
            alive.reading.retain(|place, _| owners.get(place) == Some(&i));
            for place in owners.iter().filter(|(_, owner)| **owner == i).map(|(place, _)| *place) {
                let next = stored.get(&place).copied().unwrap_or(0);
                alive.reading.entry(place).or_insert(Reading { next, settled: next, called: false });
            }
            self.read_all(i);
        }
    }

    /// A consumer stores how far it has come, if the partition is still its own.
    pub fn offset(&mut self, i: usize, life: u64, source: Service, lane: u32) {
        let service = self.instances[i].service;
        let generation = self.groups[service.index()].generation;
        let Some(alive) = self.alive(i, life) else { return };
        let Some(reading) = alive.reading.get(&(source, lane)) else { return };
        let settled = reading.settled;
        if alive.generation == generation {
            self.groups[service.index()].stored.insert((source, lane), settled);
        } else {
            self.coverage.fenced += 1;
        }
    }

    /// A partition forgets its last messages, although they were acknowledged.
    pub fn lose_tail(&mut self, service: Service, lane: u32, count: usize) {
        let topic = &mut self.broker.topics[service.index()][lane as usize];
        let left = topic.len().saturating_sub(count);
        let lost: Vec<JournalRow> = topic.drain(left..).collect();
        if lost.is_empty() {
            return;
        }
        self.broker.forgetful.insert((service, lane));
        self.coverage.lost += lost.len() as u64;
        for row in lost {
            let order = &row.message.key;
            self.trace.say(self.now, Some(order), || {
                format!("topic {} forgets an event of {order}", service.name())
            });
        }
    }
}

// ------------------------------------------------------------------------------------------------ the relay

impl World<'_> {
    /// Whether everything in a journal was sent and has arrived.
    pub fn relayed(&self, service: Service) -> bool {
        let relay = &self.relays[service.index()];
        relay.sent >= self.heads[service.index()] && relay.under_way.is_empty()
    }

    /// An instance looks after its service's relay: it takes the lease if nobody has it, or keeps it.
    pub fn relay(&mut self, i: usize) {
        let service = self.instances[i].service;
        let me = (i, self.instances[i].life);
        let head = self.heads[service.index()];
        let relay = &mut self.relays[service.index()];
        // In the long waits of the end nobody looks often enough to keep a lease of seconds: it counts as kept.
        let kept = self.calm && relay.holder.is_some_and(|(i, life)| self.instances[i].life == life);
        if relay.holder == Some(me) && (kept || self.now < relay.lease_until) {
            relay.lease_until = self.now + LEASE;
            relay.durable = relay.under_way.first().map_or(relay.sent, |first| first - 1);
        } else if self.now >= relay.lease_until && !kept {
            let first = relay.epoch == 0;
            relay.epoch += 1;
            relay.holder = Some(me);
            relay.lease_until = self.now + LEASE;
            relay.starts = if first { self.now } else { self.now + MESSAGE_TIMEOUT };
            relay.sent = if self.bug == Some(Bug::RelayGap) { head } else { relay.durable };
            relay.under_way.clear();
            self.coverage.takeovers += u64::from(!first);
            self.trace.say(self.now, None, || format!("{} {i} takes over the relay", service.name()));
        }
        self.forward(service);
    }

    /// The relay's lease is gone; its holder does not know, and what it has sent still arrives.
    pub fn lose_lease(&mut self, service: Service) {
        self.relays[service.index()].lease_until = self.now;
    }

    /// The process of a relay died: what it had just sent may still arrive, the rest of its queue is gone.
    pub fn relay_died(&mut self, service: Service, i: usize) {
        let relay = &mut self.relays[service.index()];
        if relay.holder.is_some_and(|(holder, _)| holder == i) {
            let grace = self.dice.between(Of::Relay, &[33, i as u64, relay.epoch], 0, 30 * MILLI);
            relay.cut.insert(relay.epoch, self.now + grace);
            relay.holder = None;
        }
    }

    /// A message reaches its topic.
    pub fn append(&mut self, from: Service, epoch: u64, row: JournalRow) {
        let relay = &mut self.relays[from.index()];
        if relay.cut.get(&epoch).is_some_and(|cut| self.now > *cut) {
            return;
        }
        if relay.epoch == epoch {
            relay.under_way.remove(&row.position);
        }
        let order = row.message.key.clone();
        if !self.broker.arrived[from.index()].insert(row.position) {
            self.coverage.duplicates += 1;
            self.trace
                .say(self.now, Some(&order), || format!("topic {}: {} again", from.name(), row.position));
        }
        let lane = self.broker.lane(&order);
        self.broker.topics[from.index()][lane as usize].push(row);
        for service in from.readers() {
            if let Some(owner) = self.groups[service.index()].owners.get(&(from, lane)).copied() {
                self.call_reader(owner, from, lane);
            }
        }
        self.forward(from);
    }

    /// Sends on what the journal holds.
    fn forward(&mut self, service: Service) {
        let relay = &self.relays[service.index()];
        let Some((i, life)) = relay.holder else { return };
        let frozen = self.hosts[self.instances[i].host].frozen_until > self.now;
        let gone = self.instances[i].life != life || self.instances[i].alive.is_none();
        let expired = self.now >= relay.lease_until && !self.calm;
        if frozen || gone || expired || self.now < relay.starts {
            return;
        }
        let room = IN_FLIGHT.saturating_sub(relay.under_way.len());
        let (sent, epoch) = (relay.sent, relay.epoch);
        if room == 0 || sent >= self.heads[service.index()] {
            return;
        }
        let rows = block_on(self.store(service).journal(sent, room)).unwrap_or_default();
        for row in rows {
            let lane = self.broker.lane(&row.message.key);
            let thing = [34, service as u64, row.position, epoch];
            let usual = self.dice.between(Of::Relay, &thing, 200, 10 * MILLI);
            let slow = self.dice.chance(Of::Relay, &thing[1..], 2);
            let outage = self.outages[service.index()].min(self.now + MESSAGE_TIMEOUT / 2);
            let relay = &mut self.relays[service.index()];
            let last = relay.last.entry(lane).or_default();
            let at = (self.now + if slow { 200 * usual } else { usual }).max(outage).max(*last + 1);
            *last = at;
            relay.sent = row.position;
            relay.under_way.insert(row.position);
            let row = Box::new(row);
            self.push(at - self.now, &thing, Event::Append { from: service, epoch, row });
        }
    }
}
