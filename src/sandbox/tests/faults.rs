//! What goes wrong on demand.

use super::*;
use crate::sandbox::{Canned, Effect, Endpoint, Fault, Moment};

#[tokio::test]
async fn an_answer_before_processing_leaves_the_grant_alone() {
    let test = Test::start().await;
    let pair = test.grant();
    let busy = Effect::Answer(Canned::new(StatusCode::TOO_MANY_REQUESTS).retry_after(7));
    test.sandbox.fault(Fault::new(Endpoint::Token, busy).once());
    let reply = test.refresh(&pair.refresh).await;
    assert_eq!((reply.status.as_u16(), reply.header(header::RETRY_AFTER)), (429, "7"));
    assert_eq!(test.refresh(&pair.refresh).await.status, 200);
}

#[tokio::test]
async fn a_malformed_answer_hides_a_refresh_that_happened() {
    let test = Test::start().await;
    let pair = test.grant();
    test.sandbox.fault(Fault::malformed(Endpoint::Token).once());
    let reply = test.refresh(&pair.refresh).await;
    assert_eq!((reply.status.as_u16(), serde_json::from_slice::<Value>(&reply.body).is_err()), (200, true));
    assert_eq!(test.sandbox.grant(pair.grant).unwrap().version, 2);
    assert_eq!(test.refresh(&pair.refresh).await.error(), (400, "invalid_grant".into()));
}

#[tokio::test]
async fn a_cut_connection_gives_no_answer_before_or_after_the_work() {
    for (moment, version) in [(Moment::BeforeProcessing, 1), (Moment::AfterProcessing, 2)] {
        let test = Test::start().await;
        let pair = test.grant();
        test.sandbox.fault(Fault::cut(Endpoint::Token, moment).once());
        let fields = [("grant_type", "refresh_token"), ("refresh_token", pair.refresh.expose())];
        assert!(test.try_send(form("token", &fields, true)).await.is_none());
        assert_eq!(test.sandbox.grant(pair.grant).unwrap().version, version);
        assert_eq!((test.sandbox.counters().cut, test.sandbox.counters().with_status(Endpoint::Token, 0)), (1, 1));
    }
}

#[tokio::test]
async fn a_truncated_answer_breaks_off() {
    let test = Test::start().await;
    test.sandbox.fault(Fault::new(Endpoint::Resource, Effect::Truncate(10)).after().once());
    let request = api(Method::GET, "/decks/", &test.grant().access, None);
    assert!(test.try_send(request).await.is_none());
    assert_eq!(test.sandbox.counters().with_status(Endpoint::Resource, 200), 1);
}

#[tokio::test]
async fn a_gate_holds_requests_until_it_is_released() {
    let test = Test::start().await;
    let pair = test.grant();
    let gate = test.sandbox.hold_answers(Endpoint::Token);
    let released = async {
        gate.arrived(1).await;
        // Processed, and only the answer waits.
        assert_eq!(test.sandbox.grant(pair.grant).unwrap().version, 2);
        gate.release();
    };
    let (reply, ()) = tokio::join!(test.refresh(&pair.refresh), released);
    assert_eq!(reply.status, 200);
    assert_eq!(test.refresh(&reply.secret("refresh_token")).await.status, 200);
    assert_eq!(gate.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_delay_takes_its_time() {
    let test = Test::start().await;
    let wait = std::time::Duration::from_millis(300);
    test.sandbox.fault(Fault::new(Endpoint::Resource, Effect::Delay(wait)).once());
    let before = tokio::time::Instant::now();
    assert_eq!(test.get("/decks/", &test.grant().access).await.status, 200);
    assert!(before.elapsed() >= wait);
}

#[tokio::test]
async fn faults_strike_in_the_order_in_which_they_were_set() {
    let test = Test::start().await;
    let token = test.grant().access;
    test.sandbox.fault(Fault::unauthorized().once());
    test.sandbox.fault(Fault::status(Endpoint::Resource, StatusCode::BAD_GATEWAY).times(2));
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(test.get("/decks/", &token).await.status.as_u16());
    }
    assert_eq!(seen, [401, 502, 502, 200]);
}

#[tokio::test]
async fn a_fault_can_be_for_one_user_and_for_good() {
    let test = Test::start().await;
    let (george, ada) = (test.sandbox.add_pat("george"), test.sandbox.add_pat("ada"));
    test.sandbox.fault(Fault::unauthorized().user("ada"));
    for _ in 0..2 {
        assert_eq!(test.get("/decks/", &ada).await.status, 401);
        assert_eq!(test.get("/decks/", &george).await.status, 200);
    }
    test.sandbox.clear_faults();
    assert_eq!(test.get("/decks/", &ada).await.status, 200);
}

#[tokio::test]
async fn an_oauth_error_is_a_redirect_at_authorize_and_json_at_token() {
    let test = Test::start().await;
    for endpoint in [Endpoint::Authorize, Endpoint::Token] {
        test.sandbox.fault(Fault::new(endpoint, Effect::OAuthError("temporarily_unavailable".into())).once());
    }
    let location = test.browse(&authorize_target(&challenge(VERIFIER), &[])).await.location();
    assert_eq!(query(&location, "error").as_deref(), Some("temporarily_unavailable"));
    assert_eq!(query(&location, "state").as_deref(), Some("state-1"));
    assert_eq!(test.refresh(&test.grant().refresh).await.error(), (400, "temporarily_unavailable".into()));
}

#[tokio::test]
async fn an_answer_can_leave_before_the_body_has_come() {
    let test = Test::start().await;
    let canned = Effect::Answer(Canned::unauthorized().unread());
    test.sandbox.fault(Fault::new(Endpoint::Resource, canned).once());
    let token = test.grant().access;
    let head = format!(
        "POST /api/public/v1/sandbox/echo HTTP/1.1\r\nhost: sandbox\r\nauthorization: Bearer {}\r\ncontent-length: 1000000\r\n\r\n",
        token.expose()
    );
    assert!(wire::exchange(&test, head.as_bytes()).await.starts_with("HTTP/1.1 401"));
}
