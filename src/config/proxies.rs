//! The key `trusted_proxies`.

use std::net::IpAddr;

use ipnet::IpNet;
use toml::Value;

use super::error::{Problem, Problems};
use super::list_value;
use super::value::Raw;

/// Networks; an address is a network of one.
pub(super) fn networks(raw: Raw<'_>) -> Result<Vec<IpNet>, Problems> {
    list_value::every(raw, network)
}

/// The opposite of [`networks`].
pub(super) fn show(networks: &[IpNet]) -> Value {
    let text = |network: &IpNet| {
        if network.prefix_len() == network.max_prefix_len() {
            network.addr().to_string()
        } else {
            network.to_string()
        }
    };
    networks.iter().map(text).collect::<Vec<_>>().into()
}

fn network(raw: Raw<'_>) -> Result<IpNet, Problem> {
    let text = raw.text()?;
    let network = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text.parse().map_err(|_| {
            Problem::echo(
                text,
                "an IP address or a network, such as 10.0.0.7, 10.0.0.0/8 or fd00::/8",
            )
        })?,
    };
    let start = network.trunc();
    if start != network {
        return Err(Problem::new(format!(
            "{text} is an address inside a network; write the network as {start}, or the address alone"
        )));
    }
    // The addresses of connections are compared in their canonical form.
    if network.addr().to_canonical().is_ipv4() && network.addr().is_ipv6() {
        return Err(Problem::new(format!(
            "{text} is an IPv4 network in the form of IPv6; write it as IPv4"
        )));
    }
    Ok(network)
}
