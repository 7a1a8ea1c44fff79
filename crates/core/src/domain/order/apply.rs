//! The only thing that changes an order's record.

use super::{
    Cancellation, Facts, FulfillmentStatus, Milestone, Order, OrderEvent, OrderStatus, Payment,
    PaymentStatus, Report, Shipment, ShipmentLine, StepReport, Unwinding,
};
use crate::domain::{
    flow::{Life, StepKind},
    time::Timestamp,
};

impl Order {
    /// Makes an event part of the record. Does not touch `version`: several events may belong to one change.
    pub fn apply(&mut self, event: &OrderEvent, now: Timestamp) {
        self.updated_at = now;
        match event {
            OrderEvent::StepRequested { step } => self.request(*step, now),
            OrderEvent::StepUndoRequested { step } => {
                self.move_step(*step, Life::UndoRequested, now);
            }
            OrderEvent::StepMoved(report) => self.report(report, now),
            OrderEvent::MilestoneSet(milestone) => self.milestone = *milestone,
            OrderEvent::WordSet(word) => self.word = Some(word.clone()),
            OrderEvent::Held { .. } => self.on_hold = true,
            OrderEvent::Released { .. } => self.on_hold = false,
            OrderEvent::CancellationRequested { reason, note } => {
                self.unwinding = Some(Unwinding::Cancelling);
                self.cancellation = Some(Cancellation {
                    reason: *reason,
                    note: note.clone(),
                    requested_at: now,
                    done_at: None,
                    refused: None,
                });
            }
            OrderEvent::CancellationRefused { reason } => {
                self.unwinding = None;
                if let Some(cancellation) = &mut self.cancellation {
                    cancellation.refused = Some(reason.clone());
                }
            }
            OrderEvent::Failing { reason } => {
                self.unwinding = Some(Unwinding::Failing { reason: reason.clone() });
            }
            OrderEvent::Completed => self.end(OrderStatus::Completed),
            OrderEvent::Failed { .. } => self.end(OrderStatus::Failed),
            OrderEvent::Cancelled => {
                self.end(OrderStatus::Cancelled);
                for (quantities, line) in self.quantities.iter_mut().zip(&self.placed.lines) {
                    quantities.cancelled = line.quantity.saturating_sub(quantities.shipped);
                }
                if let Some(cancellation) = &mut self.cancellation {
                    cancellation.done_at = Some(now);
                }
            }
        }
    }

    fn end(&mut self, status: OrderStatus) {
        self.status = status;
        self.on_hold = false;
        self.sweep_at = None;
    }

    fn request(&mut self, number: u32, now: Timestamp) {
        let Some(kind) = self.move_step(number, Life::Requested, now) else { return };
        match kind {
            StepKind::Pay => self.payments.push(Payment {
                id: self.payment_id(number),
                provider: self.intent.provider.clone().unwrap_or_default(),
                status: PaymentStatus::Pending,
                reference: None,
                authorized: 0,
                captured: 0,
                refunded: 0,
                reason: None,
            }),
            StepKind::Schedule | StepKind::Ship if self.shipments.is_empty() => {
                self.shipments.push(Shipment {
                    id: self.shipment_id(),
                    status: FulfillmentStatus::Pending,
                    lines: self
                        .placed
                        .lines
                        .iter()
                        .map(|line| ShipmentLine { line: line.id.clone(), quantity: line.quantity })
                        .collect(),
                    eta: None,
                    carrier: None,
                    tracking_number: None,
                    shipped_at: None,
                    error: None,
                })
            }
            StepKind::Schedule | StepKind::Ship | StepKind::Wait => {}
        }
    }

    /// Moves a step forward, never back; says what kind of step it is.
    fn move_step(&mut self, number: u32, to: Life, now: Timestamp) -> Option<StepKind> {
        let step = self.step_mut(number)?;
        if to.rank() > step.life.rank() || (to == Life::Waiting && step.life == Life::Started) {
            step.life = to;
            step.since = Some(now);
            step.next_try_at = None;
            step.reason = None;
            step.asked_again = 0;
        }
        Some(step.kind)
    }

    fn report(&mut self, report: &StepReport, now: Timestamp) {
        let Some(kind) = self.move_step(report.step, report.report.life(), now) else { return };
        let Some(step) = self.step_mut(report.step) else { return };
        match &report.report {
            Report::Waiting { reason, next_try_at, said_at } => {
                step.said_at = Some(*said_at);
                step.reason = Some(reason.clone());
                step.next_try_at = *next_try_at;
                step.asked_again = 0;
            }
            Report::Refused { reason } => step.reason = Some(reason.clone()),
            Report::NotUndoable { reason } => {
                step.did = true;
                step.reason = Some(reason.clone());
            }
            Report::Done => step.did = true,
            Report::Started | Report::Undone => {}
        }
        let happened = matches!(report.report, Report::Done | Report::NotUndoable { .. });
        if happened && milestone_rank(kind.milestone()) > milestone_rank(self.milestone) {
            self.milestone = kind.milestone();
        }
        match kind {
            StepKind::Pay => self.report_payment(report),
            StepKind::Schedule | StepKind::Ship => self.report_shipment(kind, report),
            StepKind::Wait => {}
        }
    }

    fn report_payment(&mut self, report: &StepReport) {
        let id = self.payment_id(report.step);
        let Some(payment) = self.payments.iter_mut().find(|p| p.id == id) else { return };
        if let Facts::Payment { reference, amount, .. } = &report.facts {
            payment.reference.clone_from(reference);
            payment.authorized = *amount;
        }
        payment.reason = None;
        match &report.report {
            Report::Done | Report::NotUndoable { .. } => payment.status = PaymentStatus::Authorized,
            Report::Refused { reason } => {
                payment.status = PaymentStatus::Declined;
                payment.reason = Some(reason.clone());
            }
            Report::Undone => {
                payment.status = PaymentStatus::Voided;
                payment.authorized = 0;
            }
            Report::Waiting { reason, .. } => payment.reason = Some(reason.clone()),
            Report::Started => {}
        }
    }

    fn report_shipment(&mut self, kind: StepKind, report: &StepReport) {
        let Some(shipment) = self.shipments.last_mut() else { return };
        match &report.facts {
            Facts::Plan { eta, .. } => shipment.eta = Some(*eta),
            Facts::Shipped { carrier, tracking_number, at, .. } => {
                shipment.carrier = Some(carrier.clone());
                shipment.tracking_number = Some(tracking_number.clone());
                shipment.shipped_at = Some(*at);
            }
            Facts::None | Facts::Payment { .. } => {}
        }
        if shipment.status != FulfillmentStatus::Failed {
            shipment.error = None;
        }
        match (&report.report, kind) {
            (Report::Done | Report::NotUndoable { .. }, StepKind::Ship) => {
                shipment.status = FulfillmentStatus::Shipped;
                for (quantities, line) in self.quantities.iter_mut().zip(&self.placed.lines) {
                    quantities.shipped = line.quantity;
                }
            }
            (Report::Done | Report::NotUndoable { .. }, _) => shipment.status = FulfillmentStatus::Scheduled,
            (Report::Refused { reason }, _) => {
                shipment.status = FulfillmentStatus::Failed;
                shipment.error = Some(reason.clone());
            }
            // A refused shipment stays visible as that while its plan is undone.
            (Report::Undone, _) if shipment.status == FulfillmentStatus::Failed => {}
            (Report::Undone, _) => {
                shipment.status = FulfillmentStatus::Cancelled;
                self.quantities.iter_mut().for_each(|q| q.shipped = 0);
            }
            (Report::Waiting { reason, .. }, _) => shipment.error = Some(reason.clone()),
            (Report::Started, _) => {}
        }
    }
}

fn milestone_rank(milestone: Milestone) -> usize {
    Milestone::ALL.iter().position(|m| *m == milestone).unwrap_or(0)
}
