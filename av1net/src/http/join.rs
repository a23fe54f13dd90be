//! How a worker joins: the command to run on its machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use hyper::http::uri::Authority;

use crate::api::JoinView;

/// The command, with the address by which the master was just reached, or else one that
/// other machines are likely to reach it by.
pub(super) fn view(
    listening: SocketAddr,
    tls: bool,
    token: Option<&str>,
    asked_for: Option<&str>,
) -> JoinView {
    let mut addresses: Vec<String> = Vec::new();
    let asked_for = asked_for.and_then(|host| host.parse::<Authority>().ok());
    if let Some(host) = asked_for.filter(|host| !is_loopback(host.host())) {
        addresses.push(url(tls, host.as_str()));
    }
    for address in own_addresses(listening) {
        let address = url(tls, &SocketAddr::new(address, listening.port()).to_string());
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    let first = addresses.first().cloned().unwrap_or_else(|| {
        let host = SocketAddr::new(listening.ip(), listening.port());
        url(tls, &host.to_string())
    });
    addresses.retain(|address| *address != first);
    JoinView {
        command: command(&first, token),
        addresses,
    }
}

/// The command that joins a worker. The token is in its environment, where other users
/// of that machine do not see it.
fn command(master: &str, token: Option<&str>) -> String {
    match token {
        Some(token) => format!("AV1CLI_TOKEN={token} av1cli worker {master}"),
        None => format!("av1cli worker {master}"),
    }
}

/// The whole command that joins a worker to a master that listens at `listening`.
#[must_use]
pub fn join_command(listening: SocketAddr, tls: bool, token: Option<&str>) -> String {
    view(listening, tls, token, None).command
}

fn url(tls: bool, host: &str) -> String {
    let scheme = if tls { "https" } else { "http" };
    format!("{scheme}://{host}")
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// Addresses of this machine that others may reach. Where the master listens at all of
/// them, those that the system would send from: a socket that is connected to an address
/// of no machine (RFC 5737, RFC 3849) sends nothing and knows its own.
fn own_addresses(listening: SocketAddr) -> Vec<IpAddr> {
    if !listening.ip().is_unspecified() {
        return vec![listening.ip()];
    }
    let v4: (IpAddr, IpAddr) = (
        Ipv4Addr::UNSPECIFIED.into(),
        Ipv4Addr::new(192, 0, 2, 1).into(),
    );
    let v6: (IpAddr, IpAddr) = (
        Ipv6Addr::UNSPECIFIED.into(),
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    );
    let routes = if listening.is_ipv4() {
        vec![v4]
    } else {
        vec![v4, v6]
    };
    let own = |(from, to): (IpAddr, IpAddr)| {
        let socket = UdpSocket::bind((from, 0)).ok()?;
        socket.connect((to, 9)).ok()?;
        let address = socket.local_addr().ok()?.ip();
        (!address.is_loopback() && !address.is_unspecified()).then_some(address)
    };
    routes.into_iter().filter_map(own).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_has_the_address_that_reached_the_master() {
        let listening = SocketAddr::from(([10, 1, 2, 3], 8090));
        let view = view(listening, false, Some("av1w_x"), Some("nas:8090"));
        assert_eq!(
            view.command,
            "AV1CLI_TOKEN=av1w_x av1cli worker http://nas:8090"
        );
        assert_eq!(view.addresses, ["http://10.1.2.3:8090"]);
    }

    #[test]
    fn loopback_is_told_to_nobody_where_there_is_another_address() {
        let listening = SocketAddr::from(([10, 1, 2, 3], 8090));
        for asked in ["localhost:8090", "127.0.0.1:8090", "[::1]:8090"] {
            let view = view(listening, true, None, Some(asked));
            assert_eq!(view.command, "av1cli worker https://10.1.2.3:8090");
            assert_eq!(view.addresses, [""; 0]);
        }
        let only = SocketAddr::from(([127, 0, 0, 1], 8090));
        assert_eq!(
            join_command(only, false, None),
            "av1cli worker http://127.0.0.1:8090"
        );
    }
}
