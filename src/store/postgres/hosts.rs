//! The hosts of a URL, tried one after the other until one takes writes.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, timeout};
use tokio_postgres::{
    Client, Config, Connection, Socket,
    config::{Host, LoadBalanceHosts},
    tls::MakeTlsConnect,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::faults::Fault;
use crate::{model::Random, store::turns::turn};

/// The client library would try the hosts itself, but bounds no handshake: one that accepts connections and says
/// nothing would hide the others.
pub(super) struct Hosts {
    /// One host in each, with everything else that the URL asks for.
    each: Vec<Config>,
    order: LoadBalanceHosts,
    /// Which of them answered last; it is tried first.
    latest: Mutex<Option<usize>>,
}

pub(super) type Connected = (Client, Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>);

// === impl Hosts ===

impl Hosts {
    /// `None` where not every host has its address and its port.
    pub(super) fn of(config: &Config) -> Option<Self> {
        let (names, addresses, ports) = (config.get_hosts(), config.get_hostaddrs(), config.get_ports());
        let count = names.len().max(addresses.len());
        let fits = |given: usize| given == 0 || given == count;
        if !fits(names.len()) || !fits(addresses.len()) || !(fits(ports.len()) || ports.len() == 1) {
            return None;
        }
        let alone = |at: usize| {
            let mut alone = without_hosts(config);
            match names.get(at) {
                Some(Host::Tcp(name)) => drop(alone.host(name)),
                Some(Host::Unix(path)) => drop(alone.host_path(path)),
                None => {}
            }
            addresses.get(at).map(|address| alone.hostaddr(*address));
            ports.get(at).or(ports.first()).map(|port| alone.port(*port));
            alone
        };
        let each = (0..count).map(alone).collect();
        Some(Self { each, order: config.get_load_balance_hosts(), latest: Mutex::new(None) })
    }

    #[cfg(test)]
    pub(super) fn each(&self) -> &[Config] {
        &self.each
    }

    /// A connection to the first that answers and takes writes, all within `limit`.
    pub(super) async fn connect(
        &self,
        tls: &MakeRustlsConnect,
        limit: Duration,
        random: &Random,
    ) -> Result<Connected, Fault> {
        let deadline = Instant::now() + limit;
        let mut fault = Fault::Late(limit);
        for (tried, host) in self.in_order(random).into_iter().enumerate() {
            let turn = turn(deadline, self.each.len() - tried);
            let mut config = self.each[host].clone();
            if config.get_connect_timeout().is_none() {
                // For each address of its name: one that is dead leaves time for another.
                config.connect_timeout(turn / 2);
            }
            fault = match timeout(turn, config.connect(tls.clone())).await {
                Ok(Ok(connected)) => {
                    *self.latest.lock() = Some(host);
                    return Ok(connected);
                }
                Ok(Err(error)) => error.into(),
                Err(_) => Fault::Late(limit),
            };
        }
        Err(fault)
    }

    pub(super) fn in_order(&self, random: &Random) -> Vec<usize> {
        let mut order: Vec<_> = (0..self.each.len()).collect();
        if self.order == LoadBalanceHosts::Random {
            order.sort_by_cached_key(|_| random.bytes::<8>());
        }
        if let Some(latest) = *self.latest.lock() {
            // Stable: the others stay as they are.
            order.sort_by_key(|host| *host != latest);
        }
        order
    }
}

fn without_hosts(config: &Config) -> Config {
    let mut copy = Config::new();
    config.get_user().map(|user| copy.user(user));
    config.get_password().map(|password| copy.password(password));
    config.get_dbname().map(|name| copy.dbname(name));
    config.get_options().map(|options| copy.options(options));
    config.get_application_name().map(|name| copy.application_name(name));
    config.get_connect_timeout().map(|limit| copy.connect_timeout(*limit));
    config.get_tcp_user_timeout().map(|limit| copy.tcp_user_timeout(*limit));
    config.get_keepalives_interval().map(|interval| copy.keepalives_interval(interval));
    config.get_keepalives_retries().map(|retries| copy.keepalives_retries(retries));
    copy.keepalives(config.get_keepalives())
        .keepalives_idle(config.get_keepalives_idle())
        .ssl_mode(config.get_ssl_mode())
        .ssl_negotiation(config.get_ssl_negotiation())
        .channel_binding(config.get_channel_binding())
        .target_session_attrs(config.get_target_session_attrs())
        .load_balance_hosts(config.get_load_balance_hosts());
    copy
}

#[cfg(test)]
mod tests {
    use tokio_postgres::{Config, config::Host};

    use super::Hosts;
    use crate::model::Random;

    fn hosts(url: &str) -> Hosts {
        Hosts::of(&url.parse().expect("a URL")).expect("hosts")
    }

    #[test]
    fn a_host_keeps_everything_that_its_url_asks_for() {
        let url = "postgres://u:p@db:5433/store?hostaddr=192.0.2.7&application_name=a&options=-c%20x%3Dy&sslmode=require\
                   &sslnegotiation=direct&channel_binding=require&connect_timeout=3&keepalives=0&keepalives_idle=4\
                   &keepalives_interval=5&keepalives_retries=6&tcp_user_timeout=7&target_session_attrs=read-write\
                   &load_balance_hosts=random";
        let config: Config = url.parse().expect("a URL");
        assert_eq!(Hosts::of(&config).expect("a host").each, [config]);
        let plain: Config = "postgres:///store?host=/run/postgresql".parse().expect("a URL");
        let [alone] = &Hosts::of(&plain).expect("a host").each[..] else { panic!("one host") };
        assert_eq!((alone.get_hosts(), alone.get_password()), (plain.get_hosts(), None));
    }

    #[test]
    fn each_host_has_its_own_port() {
        let hosts = hosts("postgres://u@a:1,b:2/store");
        let shown: Vec<_> = hosts.each.iter().map(|one| (one.get_hosts().to_vec(), one.get_ports().to_vec())).collect();
        let tcp = |name: &str| vec![Host::Tcp(name.to_owned())];
        assert_eq!(shown, [(tcp("a"), vec![1]), (tcp("b"), vec![2])]);
        let lopsided: Config = "postgres://u@a,b/store?hostaddr=192.0.2.7".parse().expect("a URL");
        assert!(Hosts::of(&lopsided).is_none());
    }

    #[test]
    fn whoever_answered_last_is_first() {
        let hosts = hosts("postgres://u@a,b,c/store");
        assert_eq!(hosts.in_order(&Random::system()), [0, 1, 2]);
        *hosts.latest.lock() = Some(2);
        assert_eq!(hosts.in_order(&Random::system()), [2, 0, 1]);
    }
}
