//! Whose effects the ledger knows of: those of simulated providers, and of no others.

use serde::Deserialize;

use super::{ProblemKind, VerifyReport};
use crate::cli::{api::Api, style::Paint};

/// Which providers are real, so that the ledger says nothing of what they did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Real {
    payments: bool,
    carrier: bool,
}

#[derive(Deserialize)]
struct Providers {
    payments: Provider,
    carrier: Provider,
}

#[derive(Deserialize)]
struct Provider {
    provider: String,
}

impl Real {
    /// Asks the server. One that does not say, since its operator's calls are elsewhere, is taken to simulate both.
    pub async fn of(api: &Api) -> Self {
        let is_real = |provider: &Provider| provider.provider != "simulated";
        match api.get::<Providers>("/v1/admin/providers", &[]).await {
            Ok(all) => Self { payments: is_real(&all.payments), carrier: is_real(&all.carrier) },
            Err(_) => Self::default(),
        }
    }

    /// Whether there is nothing that a ledger could say.
    pub const fn both(self) -> bool {
        self.payments && self.carrier
    }

    /// Says on stderr what is not compared.
    pub fn warn(self) {
        let paint = Paint::stderr();
        for (real, what) in [
            (self.payments, "payments are not simulated: what was charged can't be compared"),
            (self.carrier, "the carrier is not simulated: what was shipped can't be compared"),
        ] {
            if real {
                eprintln!("{} {what}; compare the provider's own books", paint.yellow("note:"));
            }
        }
    }

    /// Takes out of a report what only a ledger of simulated providers could show.
    pub fn judge(self, mut report: VerifyReport) -> VerifyReport {
        report.problems.retain(|problem, _| match problem {
            ProblemKind::CompletedUnpaid => !self.payments,
            ProblemKind::CompletedUnshipped => !self.carrier,
            ProblemKind::Lost
            | ProblemKind::ChargedTwice
            | ProblemKind::ShippedTwice
            | ProblemKind::StillCharged
            | ProblemKind::StillShipped
            | ProblemKind::UnknownOrder
            | ProblemKind::Unreadable
            | ProblemKind::NotFound
            | ProblemKind::FoundOtherwise
            | ProblemKind::FoundOnly => true,
        });
        report.ok = report.problems.is_empty() && report.waiting == 0;
        report
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::cli::verify::Finding;

    #[test]
    fn what_a_real_provider_did_is_nobody_s_fault() {
        let finding = || Finding { count: 1, ids: vec!["a".into()] };
        let problems = BTreeMap::from([
            (ProblemKind::CompletedUnpaid, finding()),
            (ProblemKind::CompletedUnshipped, finding()),
        ]);
        let report = VerifyReport { problems, ..VerifyReport::default() };
        let judged = |payments, carrier| Real { payments, carrier }.judge(report.clone());
        assert_eq!(judged(false, false).problems.len(), 2);
        assert!(judged(true, false).problems.contains_key(&ProblemKind::CompletedUnshipped));
        assert!(!judged(true, false).ok && judged(true, true).ok);
    }
}
