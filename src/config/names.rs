//! Names of header fields that a tenant may not be named in.

use http::HeaderName;

use super::fault::Wrong;

/// Fields with a meaning of their own: for the framing, the connection, the caller's identity, or the upstream.
const RESERVED: &[&str] = &[
    "accept",
    "authorization",
    "cache-control",
    "connection",
    "cookie",
    "date",
    "dpop",
    "expect",
    "forwarded",
    "from",
    "host",
    "keep-alive",
    "max-forwards",
    "origin",
    "pragma",
    "range",
    "referer",
    "set-cookie",
    "te",
    "trailer",
    "traceparent",
    "tracestate",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
    "warning",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
];

/// Families of such fields.
const RESERVED_PREFIXES: &[&str] =
    &["accept-", "access-control-", "content-", "flexslot-proxy-", "if-", "proxy-", "sec-"];

/// The name of the field that names the tenant.
pub(super) fn tenant_header(text: &str) -> Result<HeaderName, Wrong> {
    let name: HeaderName = text
        .parse()
        .map_err(|_| Wrong::new("not a header's name").hint("write a name such as \"x-flexslot-tenant\""))?;
    // A list that is written with dashes must not be slipped past with underscores: some servers treat both alike.
    let dashed = name.as_str().replace('_', "-");
    if RESERVED.contains(&dashed.as_str()) || RESERVED_PREFIXES.iter().any(|prefix| dashed.starts_with(prefix)) {
        return Err(
            Wrong::new("this header has a meaning of its own").hint("write a name such as \"x-flexslot-tenant\"")
        );
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::tenant_header;

    #[test]
    fn names_of_fields_with_a_meaning_are_refused() {
        for text in [
            "Authorization",
            "proxy-authorization",
            "Host",
            "content-length",
            "COOKIE",
            "connection",
            "transfer_encoding",
            "te",
        ] {
            assert!(tenant_header(text).is_err(), "{text}");
        }
        for text in ["", "x tenant", "x:tenant", "é"] {
            assert!(tenant_header(text).is_err_and(|wrong| wrong.what == "not a header's name"), "{text}");
        }
    }

    #[test]
    fn ordinary_names_are_taken_in_lower_case() {
        for (text, name) in
            [("X-Flexslot-Tenant", "x-flexslot-tenant"), ("tenant", "tenant"), ("x-forwarded-user", "x-forwarded-user")]
        {
            assert_eq!(tenant_header(text).unwrap(), name);
        }
    }
}
