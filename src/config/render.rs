//! The resolved configuration as TOML, for `check-config`: itself a valid configuration, secrets aside.

use std::fmt;
use std::time::Duration;

use toml::Value;
use url::Url;

use super::Config;
use crate::http::{Auth, Client, RateLimit};

/// What stands in the place of a secret.
const REDACTED: &str = "[redacted]";

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Lines(f);
        table.text("listen", self.listen)?;
        table.text_if("admin_listen", self.admin_listen)?;
        let zone = self.directory.default_zone();
        table.text_if("timezone", zone.and_then(|zone| zone.iana_name()))?;
        table.text_if("dwell_time_unit", self.http.dwell_time_unit.as_deref())?;
        let auth = match self.http.auth {
            Auth::Disabled => "disabled",
            Auth::Required(_) => "required",
        };
        table.text("auth", auth)?;
        self.upstream(&mut table)?;
        self.cache(&mut table)?;
        self.limits(&mut table)?;
        table.header("[cors]")?;
        let origins = self.http.allowed_origins.iter();
        table.list(
            "allowed_origins",
            origins.map(|origin| quoted(String::from_utf8_lossy(origin.as_bytes()))),
        )?;
        table.header("[log]")?;
        table.text("format", self.log.format)?;
        table.comment(format_args!("filter (RUST_LOG): {}", self.log.filter))?;
        if let Some(endpoint) = &self.log.otlp_endpoint {
            table.header("[telemetry]")?;
            table.text("otlp_endpoint", url(endpoint))?;
        }
        if let Auth::Required(clients) = &self.http.auth {
            clients.iter().try_for_each(|it| client(&mut table, it))?;
        }
        self.sites(&mut table)
    }
}

impl Config {
    fn upstream(&self, table: &mut Lines<'_, '_>) -> fmt::Result {
        let upstream = &self.upstream;
        table.header("[upstream]")?;
        table.text("base_url", url(&upstream.base_url))?;
        table.text("token_url", url(&upstream.token_url))?;
        table.list("customer_ids", &self.http.customers)?;
        table.text_if(
            "refresh_token",
            upstream.refresh_token.as_ref().map(|_| REDACTED),
        )?;
        table.text_if("id_token", upstream.id_token.as_ref().map(|_| REDACTED))?;
        let store = upstream.token_store.as_ref();
        table.text_if("token_store", store.map(|path| path.display()))?;
        table.value("send_token_on_refresh", upstream.send_token_on_refresh)?;
        table.duration("token_lifetime", upstream.token_lifetime)?;
        table.duration("timeout", upstream.timeout)?;
        table.duration("connect_timeout", upstream.connect_timeout)?;
        table.value("max_attempts", upstream.max_attempts)?;
        table.value("max_concurrency", upstream.max_concurrency)?;
        table.value("max_sites_per_request", upstream.max_sites_per_request)?;
        table.value("max_days_per_request", upstream.max_days_per_request)?;
        table.text("max_response_bytes", Size(upstream.max_response_bytes))?;
        table.text(
            "base_bucket",
            format_args!("{}m", self.base_bucket.minutes()),
        )
    }

    fn cache(&self, table: &mut Lines<'_, '_>) -> fmt::Result {
        let freshness = &self.freshness;
        table.header("[cache]")?;
        table.text("max_bytes", Size(self.cache_max_bytes))?;
        table.duration("open_ttl", freshness.open_ttl)?;
        table.duration("settling_ttl", freshness.settling_ttl)?;
        table.duration("settle_after", freshness.settle_after)?;
        table.duration("final_ttl", freshness.final_ttl)?;
        table.duration("stale_while_revalidate", freshness.stale_while_revalidate)?;
        table.duration("stale_if_error", freshness.stale_if_error)?;
        table.duration("http_max_age", self.http.http_max_age)
    }

    fn limits(&self, table: &mut Lines<'_, '_>) -> fmt::Result {
        table.header("[limits]")?;
        table.value("max_sites", self.http.max_sites)?;
        table.value("max_days", self.http.max_days)?;
        table.value("max_rows", self.http.max_rows)?;
        table.duration("request_timeout", self.http.request_timeout)?;
        table.value("max_in_flight", self.http.max_in_flight)?;
        table.value("max_queued_cells", self.max_queued_cells)
    }

    fn sites(&self, table: &mut Lines<'_, '_>) -> fmt::Result {
        for customer in &self.http.customers {
            for (id, site) in self.directory.sites(*customer).into_iter().flatten() {
                let zone = site.timezone.as_ref();
                table.header("[[sites]]")?;
                table.value("id", id)?;
                table.text_if("name", site.name.as_ref())?;
                table.text_if("timezone", zone.and_then(|zone| zone.iana_name()))?;
                table.value("customer_id", customer)?;
            }
        }
        Ok(())
    }
}

fn client(table: &mut Lines<'_, '_>, client: &Client) -> fmt::Result {
    table.header("[[clients]]")?;
    table.text("name", &client.name)?;
    let hashes = client.key_sha256.iter();
    table.list("key_sha256", hashes.map(|hash| quoted(hex::encode(hash))))?;
    if let Some(customers) = &client.customer_ids {
        table.list("customer_ids", customers)?;
    }
    if let Some(sites) = &client.site_ids {
        table.list("site_ids", sites)?;
    }
    table.text_if("rate_limit", client.rate_limit.map(Rate))?;
    table.value("admin", client.admin)
}

/// Writes one key a line.
struct Lines<'a, 'f>(&'a mut fmt::Formatter<'f>);

impl Lines<'_, '_> {
    fn header(&mut self, header: &str) -> fmt::Result {
        writeln!(self.0, "\n{header}")
    }

    fn comment(&mut self, text: impl fmt::Display) -> fmt::Result {
        writeln!(self.0, "# {text}")
    }

    fn value(&mut self, key: &str, value: impl fmt::Display) -> fmt::Result {
        writeln!(self.0, "{key} = {value}")
    }

    fn text(&mut self, key: &str, text: impl fmt::Display) -> fmt::Result {
        self.value(key, quoted(text))
    }

    fn text_if(&mut self, key: &str, text: Option<impl fmt::Display>) -> fmt::Result {
        text.map_or(Ok(()), |text| self.text(key, text))
    }

    fn list<T: fmt::Display>(
        &mut self,
        key: &str,
        items: impl IntoIterator<Item = T>,
    ) -> fmt::Result {
        let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
        self.value(key, format_args!("[{}]", items.join(", ")))
    }

    fn duration(&mut self, key: &str, duration: Duration) -> fmt::Result {
        self.text(key, Span(duration))
    }
}

fn quoted(text: impl fmt::Display) -> Value {
    Value::String(text.to_string())
}

/// A duration in one unit where that is exact: `60s` rather than `1m`, `48h` rather than `2d`, as people write them.
struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        if self.0.subsec_nanos() != 0 {
            return humantime::format_duration(self.0).fmt(f);
        }
        let in_units = |unit: u64, at_least: u64| {
            (seconds.is_multiple_of(unit) && seconds / unit >= at_least).then(|| seconds / unit)
        };
        if let Some(days) = in_units(86_400, 3) {
            write!(f, "{days}d")
        } else if let Some(hours) = in_units(3_600, 2) {
            write!(f, "{hours}h")
        } else if let Some(minutes) = in_units(60, 2) {
            write!(f, "{minutes}m")
        } else {
            write!(f, "{seconds}s")
        }
    }
}

/// A number of bytes in the largest unit in which it is whole.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u32, &str); 4] = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
        let whole = UNITS
            .iter()
            .find(|(bits, _)| self.0.trailing_zeros() >= *bits);
        match whole {
            Some((bits, unit)) => write!(f, "{}{unit}", self.0 >> bits),
            None => write!(f, "{}B", self.0),
        }
    }
}

struct Rate(RateLimit);

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.0.period.as_secs() {
            1 => "s",
            60 => "m",
            _ => "h",
        };
        write!(f, "{}/{unit}", self.0.requests)
    }
}

/// A URL as it is usually written: a bare host without the slash that parsing adds.
fn url(url: &Url) -> &str {
    let text = url.as_str();
    match (url.path(), url.query()) {
        ("/", None) => text.strip_suffix('/').unwrap_or(text),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::value::{self, Raw};

    proptest! {
        #[test]
        fn durations_and_sizes_are_read_back_as_they_were(seconds in 0_u64..300_000_000, bytes in 1_u64..=1 << 50) {
            let (span, size) = (Span(Duration::from_secs(seconds)).to_string(), Size(bytes).to_string());

            prop_assert_eq!(value::duration(Raw::Text(&span)).unwrap().as_secs(), seconds);
            prop_assert_eq!(value::size(Raw::Text(&size)).unwrap(), bytes);
        }
    }

    #[test]
    fn durations_and_sizes_are_written_as_people_write_them() {
        let span = |seconds| Span(Duration::from_secs(seconds)).to_string();

        assert_eq!(span(60), "60s");
        assert_eq!(span(900), "15m");
        assert_eq!(span(48 * 3600), "48h");
        assert_eq!(span(30 * 86_400), "30d");
        assert_eq!(span(0), "0s");
        assert_eq!(Size(512 << 20).to_string(), "512MiB");
        assert_eq!(Size(1000).to_string(), "1000B");
    }
}
