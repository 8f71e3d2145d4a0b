//! `/.well-known/matrix/server`: a host names the server that is responsible for it.
//!
//! <https://spec.matrix.org/v1.19/server-server-api/#getwell-knownmatrixserver>

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use http::{HeaderMap, StatusCode, header};
use lru::LruCache;
use model::clock::Clock;
use parking_lot::Mutex;
use ruma::OwnedServerName;
use serde::Deserialize;
use web::outbound::{Call, Outbound, OutboundError};

use crate::flights::Flights;

/// Hosts whose answers are remembered.
const HOSTS_MAX: NonZeroUsize = NonZeroUsize::new(4_096).unwrap();
const BODY_BYTES_MAX: u64 = 50 * 1024;
const TIME_MAX: Duration = Duration::from_secs(10);

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
/// How long an answer holds that does not say how long.
const TIME_TO_LIVE_MS: u64 = 24 * HOUR_MS;
const TIME_TO_LIVE_MS_MIN: u64 = 5 * MINUTE_MS;
const TIME_TO_LIVE_MS_MAX: u64 = 48 * HOUR_MS;
/// How long it is believed that there is no answer: doubled with each failure, up to the hour that
/// the specification allows.
const FAILURE_MS_MIN: u64 = MINUTE_MS;
const FAILURE_MS_MAX: u64 = HOUR_MS;
/// How long a good answer is still used when the host does not give a new one.
const STALE_MS_MAX: u64 = 48 * HOUR_MS;

pub(super) struct WellKnown {
    outbound: Outbound,
    clock: Arc<dyn Clock>,
    port: u16,
    hosts: Mutex<LruCache<String, Known>>,
    flights: Flights<String>,
}

/// What a host said the last time.
#[derive(Clone, Debug)]
struct Known {
    server: Option<OwnedServerName>,
    /// When the host is asked again.
    until_ms: u64,
    /// When a good answer is forgotten although there is no new one.
    forget_ms: u64,
    failures: u32,
}

impl WellKnown {
    pub(super) fn new(outbound: Outbound, clock: Arc<dyn Clock>, port: u16) -> Self {
        let hosts = Mutex::new(LruCache::new(HOSTS_MAX));
        Self { outbound, clock, port, hosts, flights: Flights::new() }
    }

    /// The server that the host names; `None` when it names none.
    pub(super) async fn get(&self, host: &str) -> Option<OwnedServerName> {
        let host = host.to_ascii_lowercase();
        if let Some(known) = self.fresh(&host) {
            return known.server;
        }
        let _flight = self.flights.board(host.clone()).await;
        if let Some(known) = self.fresh(&host) {
            return known.server;
        }
        let answer = self.ask(&host).await;
        let before = self.hosts.lock().get(&host).cloned();
        let known = self.judge(answer, before);
        self.hosts.lock().put(host, known.clone());
        known.server
    }

    fn fresh(&self, host: &str) -> Option<Known> {
        let now = self.clock.now_ms();
        self.hosts.lock().get(host).filter(|known| known.until_ms > now).cloned()
    }

    async fn ask(&self, host: &str) -> Result<(OwnedServerName, u64), Refusal> {
        let port = if self.port == 443 { String::new() } else { format!(":{}", self.port) };
        let url = format!("https://{host}{port}/.well-known/matrix/server");
        let call = Call::get(&url)?.bytes_max(BODY_BYTES_MAX).time_max(TIME_MAX);
        let answer = self.outbound.send(call.follow_redirects()).await?;
        if answer.status != StatusCode::OK {
            return Err(Refusal::Status(answer.status));
        }
        let body: Body = answer.json()?;
        let server = OwnedServerName::try_from(body.server).map_err(|_| Refusal::NoServerName)?;
        Ok((server, time_to_live_ms(&answer.headers)))
    }

    fn judge(
        &self,
        answer: Result<(OwnedServerName, u64), Refusal>,
        before: Option<Known>,
    ) -> Known {
        let now = self.clock.now_ms();
        match answer {
            Ok((server, time_to_live_ms)) => Known {
                server: Some(server),
                until_ms: now + time_to_live_ms,
                forget_ms: now + STALE_MS_MAX.max(time_to_live_ms),
                failures: 0,
            },
            Err(refusal) => {
                tracing::debug!(error = &refusal as &dyn std::error::Error, "no well-known file");
                let failures = before.as_ref().map_or(0, |known| known.failures) + 1;
                let wait_ms = FAILURE_MS_MIN.saturating_mul(1 << failures.min(16) >> 1);
                // A host that is down for a while has not moved its server; one that answers
                // without naming a server has none.
                let stale = before.filter(|known| refusal.is_passing() && known.forget_ms > now);
                Known {
                    forget_ms: stale.as_ref().map_or(now, |known| known.forget_ms),
                    server: stale.and_then(|known| known.server),
                    until_ms: now + wait_ms.min(FAILURE_MS_MAX),
                    failures,
                }
            }
        }
    }
}

#[derive(Deserialize)]
struct Body {
    #[serde(rename = "m.server")]
    server: String,
}

/// Why a host names no server.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Call(#[from] OutboundError),
    #[error("the host answered {0}")]
    Status(StatusCode),
    #[error("what the host names is no server name")]
    NoServerName,
}

impl Refusal {
    fn is_passing(&self) -> bool {
        match self {
            Self::Call(error) => error.is_unreachable(),
            Self::Status(status) => status.is_server_error() || status.as_u16() == 429,
            Self::NoServerName => false,
        }
    }
}

/// For how long the headers say that the answer holds.
fn time_to_live_ms(headers: &HeaderMap) -> u64 {
    let control = headers.get_all(header::CACHE_CONTROL).into_iter();
    let directives: Vec<String> = control
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|directive| directive.trim().to_ascii_lowercase())
        .collect();
    if directives.iter().any(|directive| directive == "no-store" || directive == "no-cache") {
        return TIME_TO_LIVE_MS_MIN;
    }
    let age = directives.iter().find_map(|directive| directive.strip_prefix("max-age="));
    let said = age.and_then(|seconds| seconds.trim_matches('"').parse::<u64>().ok());
    let time = said.map_or(TIME_TO_LIVE_MS, |seconds| seconds.saturating_mul(1_000));
    time.clamp(TIME_TO_LIVE_MS_MIN, TIME_TO_LIVE_MS_MAX)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, header};

    use super::{TIME_TO_LIVE_MS, TIME_TO_LIVE_MS_MAX, TIME_TO_LIVE_MS_MIN, time_to_live_ms};

    #[test]
    fn an_answer_holds_as_long_as_it_says_within_bounds() {
        for (control, expected) in [
            (None, TIME_TO_LIVE_MS),
            (Some("max-age=7200"), 7_200_000),
            (Some("public, Max-Age=7200"), 7_200_000),
            (Some("max-age=\"7200\""), 7_200_000),
            (Some("max-age=0"), TIME_TO_LIVE_MS_MIN),
            (Some("no-store"), TIME_TO_LIVE_MS_MIN),
            (Some("no-cache, max-age=7200"), TIME_TO_LIVE_MS_MIN),
            (Some("max-age=99999999999999999999"), TIME_TO_LIVE_MS),
            (Some("max-age=18446744073709551615"), TIME_TO_LIVE_MS_MAX),
            (Some("max-age=-1"), TIME_TO_LIVE_MS),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(control) = control {
                headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(control));
            }
            assert_eq!(time_to_live_ms(&headers), expected, "{control:?}");
        }
    }
}
