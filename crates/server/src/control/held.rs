//! Why a call to a provider was held back. Gates write it into the history of orders, and the commands read it again:
//! what we say of a provider is not what the provider says.

/// What holds calls back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum HeldBy {
    /// An operator, or a setting.
    Switch,
    /// The limit, in calls per second.
    Rate(f64),
    /// The circuit breaker.
    Breaker,
}

impl HeldBy {
    /// The sentence about calls to this provider.
    pub fn reason(self, provider: &str) -> String {
        match self {
            Self::Switch => format!("{provider} is switched off"),
            Self::Rate(rate) => format!("calls to {provider} are limited to {rate} per second"),
            Self::Breaker => format!("the circuit is open: {provider} does not answer"),
        }
    }

    /// Reads what [`reason`](Self::reason) wrote: which provider, and what holds its calls back. `None` for whatever
    /// else a reason may be.
    pub fn read(reason: &str) -> Option<(&'static str, Self)> {
        super::PROVIDERS.into_iter().find_map(|provider| {
            let plain = [Self::Switch, Self::Breaker];
            let rate = || {
                let rate = reason.strip_prefix("calls to ")?.strip_prefix(provider)?;
                let rate = rate.strip_prefix(" are limited to ")?.strip_suffix(" per second")?;
                rate.parse().ok().map(Self::Rate)
            };
            let by = plain.into_iter().find(|by| by.reason(provider) == reason).or_else(rate)?;
            Some((provider, by))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        for by in [HeldBy::Switch, HeldBy::Rate(2.5), HeldBy::Breaker] {
            for provider in super::super::PROVIDERS {
                assert_eq!(HeldBy::read(&by.reason(provider)), Some((provider, by)));
            }
        }
        for reason in
            ["", "declined", "bank is switched off", "calls to payments are limited to x per second"]
        {
            assert_eq!(HeldBy::read(reason), None, "{reason}");
        }
    }
}
