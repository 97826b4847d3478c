//! Where the connections page is, for whoever sends people there.

use std::net::SocketAddr;

use form_urlencoded::Serializer;

use crate::model::{Secret, TenantId, listen::from_here};

/// The page of the admin listener, at an address that a browser on this host can open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionsPage(SocketAddr);

// === impl ConnectionsPage ===

impl ConnectionsPage {
    /// The page of a listener that is bound to `address`. One that is bound to every address is called by loopback's.
    pub fn at(address: SocketAddr) -> Self {
        Self(from_here(address))
    }

    /// The address that signs a browser in to the page.
    pub fn sign_in(&self, token: &Secret) -> String {
        format!("http://{}/sign-in/{}", self.0, token.expose())
    }

    /// The page, showing `tenant` alone where one is named.
    pub fn url_of(&self, tenant: Option<&TenantId>) -> String {
        let page = format!("http://{}/", self.0);
        match tenant {
            Some(tenant) => {
                format!("{page}?{}", Serializer::new(String::new()).append_pair("q", tenant.as_str()).finish())
            }
            None => page,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ConnectionsPage;

    fn url(address: &str, tenant: Option<&str>) -> String {
        let tenant = tenant.map(|name| name.parse().unwrap());
        ConnectionsPage::at(address.parse().unwrap()).url_of(tenant.as_ref())
    }

    #[test]
    fn a_listener_on_every_address_is_called_by_loopback() {
        assert_eq!(url("0.0.0.0:3540", None), "http://127.0.0.1:3540/");
        assert_eq!(url("10.0.0.5:3540", None), "http://10.0.0.5:3540/");
    }

    #[test]
    fn every_tenants_name_is_fit_for_a_query() {
        assert_eq!(url("127.0.0.1:1", Some("acme")), "http://127.0.0.1:1/?q=acme");
        assert_eq!(url("127.0.0.1:1", Some("a+b=c|d@e:f")), "http://127.0.0.1:1/?q=a%2Bb%3Dc%7Cd%40e%3Af");
    }
}
