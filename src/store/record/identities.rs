//! Whose a tenant's grant is.

use super::{
    Body,
    fields::{Reader, Writer},
    flows::{read_identity, write_identity},
    unreadable,
};
use crate::{
    model::ScopeSet,
    store::{
        StoreError,
        backend::{Key, Label, Row},
        identity::IdentityRecord,
        seal::Sealer,
    },
};

/// An identity's row.
pub(in crate::store) fn identity(sealer: &Sealer, key: &Key, record: &IdentityRecord) -> (Label, Body) {
    let IdentityRecord { grant, identity, checked_at, other_sub, lacks } = record;
    let writer = Writer::new().with("grant", grant.to_string()).with_time("checked_at", *checked_at);
    let writer = write_identity(writer, identity.as_ref())
        .with_some("other_sub", other_sub.as_deref())
        .with_some("lacks", lacks.as_str())
        .marked(sealer, key.into());
    (Label { grant: Some(*grant), ..Label::default() }, Body(writer.bytes()))
}

/// What such a row says.
pub(in crate::store) fn read_identity_record(
    sealer: &Sealer,
    key: &Key,
    row: &Row,
) -> Result<IdentityRecord, StoreError> {
    let read = || {
        let mut fields = Reader::new(row.body.as_bytes())?;
        fields.marked(sealer, key.into())?;
        let record = IdentityRecord {
            grant: fields.grant_id("grant")?,
            checked_at: fields.time("checked_at")?,
            identity: read_identity(&mut fields)?,
            other_sub: fields.optional_text("other_sub")?,
            lacks: fields.optional_text("lacks")?.map_or(ScopeSet::unknown(), |text| ScopeSet::new(&text)),
        };
        fields.end().map(|()| record)
    };
    read().map_err(unreadable(key.kind, &key.name))
}
