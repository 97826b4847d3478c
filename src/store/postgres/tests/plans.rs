//! How the server goes about the statements.

use super::open;
use crate::store::{
    postgres::{rows, writer},
    servers::postgres::PostgresServer,
};

/// A statement that reads more than it answers for is one that a million tenants turn into seconds.
#[tokio::test(flavor = "multi_thread")]
async fn every_statement_goes_by_an_index() {
    let server = PostgresServer::shared();
    let database = server.database();
    drop(open(&server.url(&database)).await.expect("made"));
    server.sql(
        &database,
        "INSERT INTO flexslot_proxy.records (kind, name, revision, state, due, body)
            SELECT 1 + n % 2, 'tenant-' || n, n, n % 3, CASE WHEN n % 3 = 2 THEN n END, '{}' FROM generate_series(1, 20000) n;
         INSERT INTO flexslot_proxy.leases SELECT 'tenant-' || n, 'host', 'instance', n FROM generate_series(1, 5000) n;
         ANALYZE flexslot_proxy.records, flexslot_proxy.leases",
    );
    for (statement, values) in rows::STATEMENTS.iter().chain(writer::STATEMENTS) {
        let plan = server.sql(
            &database,
            &format!("SET plan_cache_mode = force_generic_plan; PREPARE asked AS {statement}; EXPLAIN EXECUTE asked ({values})"),
        );
        for table in ["records", "leases"] {
            assert!(!plan.contains(&format!("Seq Scan on {table}")), "{statement}\n{plan}");
        }
        if *statement == rows::LIST_TO_END {
            let bounds = plan.lines().find(|line| line.contains("Index Cond")).unwrap_or_default();
            assert!(bounds.contains("name >=") && bounds.contains("name <"), "from its beginning to its end\n{plan}");
        }
    }
}
