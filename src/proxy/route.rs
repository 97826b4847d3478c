//! Whose request it is.

use http::{HeaderMap, HeaderName};

use super::error::Code;
use crate::model::{NamedBy, Problem, TenantId};

/// The tenant that the header names, if it is there.
pub(super) fn in_header(headers: &HeaderMap, name: &HeaderName) -> Result<Option<TenantId>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Code::TenantInvalid.problem(format!("The header {name} is given more than once. Send it once.")));
    }
    let invalid =
        |why: String| Code::TenantInvalid.problem(format!("The header {name} does not name a tenant: {why}."));
    let text = value.to_str().map_err(|_| invalid("it is not ASCII text".to_owned()))?;
    text.parse().map(Some).map_err(|error: crate::model::tenant::InvalidTenant| invalid(error.to_string()))
}

/// The tenant of a request, which may be named in several places as long as they agree; the default counts where none
/// names one.
pub(super) fn tenant(
    header: Option<TenantId>,
    path: Option<&TenantId>,
    listener: Option<&TenantId>,
    default: Option<&TenantId>,
) -> Result<(TenantId, NamedBy), Problem> {
    let named = [(header.as_ref(), NamedBy::Header), (path, NamedBy::Path), (listener, NamedBy::Listener)];
    let mut named = named.into_iter().filter_map(|(tenant, by)| Some((tenant?, by)));
    match named.next() {
        Some((tenant, by)) => match named.find(|(other, _)| *other != tenant) {
            None => Ok((tenant.clone(), by)),
            Some((_, other)) => Err(Code::TenantInvalid.problem(format!("{by} and {other} name different tenants. Name one."))),
        },
        None => match default {
            Some(tenant) => Ok((tenant.clone(), NamedBy::Default)),
            None => Err(Code::TenantRequired.problem(
                "No tenant is named. Send the tenant header (x-flexslot-tenant unless configured otherwise), or call /t/<tenant>/api/public/v1/…, \
                 or set server.default_tenant.",
            )),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::{NamedBy, in_header, tenant};
    use crate::model::TenantId;
    use http::{HeaderMap, HeaderName, HeaderValue};

    const HEADER: HeaderName = HeaderName::from_static("x-flexslot-tenant");

    fn id(name: &str) -> TenantId {
        name.parse().unwrap()
    }

    fn code(values: &[&'static str]) -> &'static str {
        let headers: HeaderMap = values.iter().map(|value| (HEADER, HeaderValue::from_static(value))).collect();
        in_header(&headers, &HEADER).unwrap_err().code
    }

    #[test]
    fn places_that_agree_are_as_good_as_one() {
        let acme = id("acme");
        assert_eq!(tenant(Some(id("acme")), Some(&acme), Some(&acme), None), Ok((id("acme"), NamedBy::Header)));
        assert_eq!(tenant(None, None, Some(&acme), Some(&id("other"))), Ok((id("acme"), NamedBy::Listener)));
    }

    #[test]
    fn places_that_disagree_are_refused() {
        let (acme, beta) = (id("acme"), id("beta"));
        for (header, path, listener) in [
            (Some(id("acme")), Some(&beta), None),
            (None, Some(&acme), Some(&beta)),
            (Some(id("acme")), None, Some(&beta)),
        ] {
            assert_eq!(tenant(header, path, listener, None).unwrap_err().code, "tenant_invalid");
        }
    }

    #[test]
    fn the_default_counts_only_where_nothing_is_named() {
        assert_eq!(tenant(None, None, None, Some(&id("acme"))), Ok((id("acme"), NamedBy::Default)));
        assert_eq!(tenant(None, None, None, None).unwrap_err().code, "tenant_required");
    }

    #[test]
    fn a_header_that_is_empty_repeated_or_no_name_is_refused() {
        for values in [&[""][..], &["acme", "acme"], &["acme, beta"], &["a/b"]] {
            assert_eq!(code(values), "tenant_invalid", "{values:?}");
        }
    }
}
