//! The manager before a Flexslot that says what a test wants.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use parking_lot::Mutex;

use super::*;
use crate::{
    flexslot::clients::PatMetadata,
    model::{
        ClientStatus, NewClient, Random, Timestamp,
        clock::TokioClock,
        oauth_client::{ClientUrls, ClientWish},
    },
    store::{
        memory::MemoryBackend,
        seal::{KeyRing, Sealer},
    },
};

/// A partner's clients, and what becomes of the next requests.
#[derive(Default)]
struct Flexslot {
    clients: Mutex<Vec<ClientDescription>>,
    /// What is answered instead of what was done; it is done all the same where that is not known.
    fails: Mutex<VecDeque<ManagementError>>,
    asked: Mutex<Vec<String>>,
    /// When set, answers leave the secret out, and say that the client has none.
    secretless: AtomicBool,
}

impl Flexslot {
    /// Notes the request; an error where it is not done.
    fn ask(&self, what: String) -> Result<Option<ManagementError>, ManagementError> {
        self.asked.lock().push(what);
        match self.fails.lock().pop_front() {
            Some(unknown @ ManagementError::Unknown(_)) => Ok(Some(unknown)),
            Some(error) => Err(error),
            None => Ok(None),
        }
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock())
    }

    fn issued(&self, client: &ClientDescription) -> Issued {
        let number = client.secret_rotated_at.map_or(0, Timestamp::secs);
        if self.secretless.load(Ordering::Relaxed) {
            let client = ClientDescription { client_type: Some(ClientType::Public), ..client.clone() };
            return Issued { client, secret: None };
        }
        Issued { client: client.clone(), secret: Some(Secret::new(format!("flx_cs_{number}"))) }
    }
}

#[async_trait]
impl ClientManagement for Flexslot {
    async fn list(&self, _: &Secret) -> Result<Vec<ClientDescription>, ManagementError> {
        Ok(self.clients.lock().clone())
    }

    async fn create(&self, _: &Secret, new: &NewClient) -> Result<Issued, ManagementError> {
        let lost = self.ask("create".into())?;
        let mut clients = self.clients.lock();
        let client = client(&format!("c{}", clients.len()), new.name.as_str());
        clients.push(client.clone());
        lost.map_or_else(|| Ok(self.issued(&client)), Err)
    }

    async fn rotate_secret(&self, _: &Secret, client_id: &str) -> Result<Issued, ManagementError> {
        let lost = self.ask(format!("rotate {client_id}"))?;
        let mut clients = self.clients.lock();
        let client = clients.iter_mut().find(|client| client.client_id == client_id).unwrap();
        client.secret_rotated_at = client.secret_rotated_at.map(|at| at.plus(Duration::from_secs(1)));
        let client = client.clone();
        drop(clients);
        lost.map_or_else(|| Ok(self.issued(&client)), Err)
    }

    async fn revoke(&self, _: &Secret, client_id: &str) -> Result<(), ManagementError> {
        let lost = self.ask(format!("revoke {client_id}"))?;
        self.clients.lock().retain(|client| client.client_id != client_id);
        lost.map_or(Ok(()), Err)
    }

    async fn pat_metadata(&self, _: &Secret) -> Result<PatMetadata, ManagementError> {
        unreachable!("nobody here asks")
    }
}

fn client(id: &str, name: &str) -> ClientDescription {
    ClientDescription {
        client_id: id.into(),
        name: name.into(),
        client_type: Some(ClientType::Confidential),
        status: ClientStatus::Active,
        redirect_uris: vec!["https://a.example/cb".into()],
        scopes: vec!["decks:read".into()],
        dpop_bound_access_tokens: false,
        created_at: None,
        last_used_at: None,
        secret_rotated_at: Some(Timestamp::from_secs(100)),
    }
}

fn new(name: &str) -> NewClient {
    NewClient::check(ClientWish {
        name: name.into(),
        redirect_uris: vec!["https://a.example/cb".into()],
        scopes: vec!["decks:read".into()],
        client_type: ClientType::Confidential,
        urls: ClientUrls::default(),
    })
    .unwrap()
}

async fn manager() -> (ClientManager, Arc<Flexslot>) {
    let (random, clock) = (Random::system(), Arc::new(TokioClock::starting_at(Timestamp::from_secs(1_795_200_000))));
    let sealer = Sealer::new(KeyRing::ephemeral(&random), random.clone());
    let backend = Arc::new(MemoryBackend::new(clock, &random));
    let store = TokenStore::open(backend, sealer, random).await.unwrap();
    let flexslot = Arc::new(Flexslot::default());
    let manager = ClientManager {
        store,
        management: Arc::clone(&flexslot) as _,
        origin: "https://api.flexslot.gg".parse().unwrap(),
        tenant: "george".parse().unwrap(),
        pat: Secret::new("flx_pat_x"),
    };
    (manager, flexslot)
}

fn unknown() -> ManagementError {
    ManagementError::Unknown("the answer broke off".into())
}

fn refused() -> ManagementError {
    ManagementError::Refused(Refused { why: WhyRefused::Invalid, status: 422, code: Some("FLEXSLOT_X".into()) })
}

fn by_hand() -> ManagementError {
    ManagementError::Refused(Refused { why: WhyRefused::NoRevocation, status: 404, code: None })
}

async fn secret(manager: &ClientManager, id: &str) -> Option<Secret> {
    manager.store.client(id).await.unwrap().and_then(|kept| kept.secret)
}

#[tokio::test(start_paused = true)]
async fn a_secret_is_in_the_store_when_the_client_is_made() {
    let (manager, _) = manager().await;
    let made = manager.create(&new("App"), &mut |_| {}).await.unwrap();
    assert_eq!((secret(&manager, "c0").await, made.was_there), (made.secret, false));
    assert_eq!(manager.store.clients().await.unwrap().creations, []);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_found_out_by_the_next_run_and_makes_no_second_client() {
    let (manager, flexslot) = manager().await;
    flexslot.clients.lock().push(client("c-before", "App"));
    flexslot.fails.lock().push_back(unknown());
    let failure = manager.create(&new("App"), &mut |_| {}).await.unwrap_err();
    assert!(failure.what.contains("nobody knows") && failure.hint.unwrap().contains("same command again"));
    let made = manager.create(&new("App"), &mut |_| {}).await.unwrap();
    assert_eq!((made.client.client_id.as_str(), made.was_there), ("c1", true));
    assert_eq!(flexslot.asked(), ["create", "rotate c1"], "and not the one that was there before");
    assert_eq!(secret(&manager, "c1").await, made.secret);
    assert_eq!(manager.store.clients().await.unwrap().creations, []);
}

/// Else a confidential client would be kept as a public one, or an old secret thrown away for none.
#[tokio::test(start_paused = true)]
async fn an_answer_without_the_secret_keeps_nothing_and_the_next_run_gets_one() {
    let (manager, flexslot) = manager().await;
    flexslot.secretless.store(true, Ordering::Relaxed);
    assert!(manager.create(&new("App"), &mut |_| {}).await.unwrap_err().hint.unwrap().contains("same command again"));
    assert_eq!(manager.store.client("c0").await, Ok(None));
    flexslot.secretless.store(false, Ordering::Relaxed);
    assert!(manager.create(&new("App"), &mut |_| {}).await.unwrap().was_there);
    let before = secret(&manager, "c0").await;
    assert!(before.is_some());
    flexslot.secretless.store(true, Ordering::Relaxed);
    let clients = manager.clients().await.unwrap();
    let failure = manager.rotate(clients.find("c0").unwrap()).await.unwrap_err();
    assert!(failure.hint.unwrap().contains("rotate-secret c0"));
    assert_eq!(secret(&manager, "c0").await, before, "it is void, and nothing better is known");
}

#[tokio::test(start_paused = true)]
async fn what_flexslot_refuses_leaves_nothing_behind() {
    let (manager, flexslot) = manager().await;
    flexslot.fails.lock().push_back(refused());
    assert!(manager.create(&new("App"), &mut |_| {}).await.unwrap_err().what.contains("422 FLEXSLOT_X"));
    let kept = manager.store.clients().await.unwrap();
    assert_eq!((kept.clients, kept.creations), (vec![], vec![]));
    manager.create(&new("App"), &mut |_| {}).await.unwrap();
    flexslot.fails.lock().push_back(refused());
    let clients = manager.clients().await.unwrap();
    let before = secret(&manager, "c0").await;
    let _ = manager.rotate(clients.find("App").unwrap()).await.unwrap_err();
    assert_eq!(secret(&manager, "c0").await, before);
    assert_eq!(manager.store.client("c0").await.unwrap().unwrap().intent, None);
}

#[tokio::test(start_paused = true)]
async fn the_eleventh_client_is_not_asked_for() {
    let (manager, flexslot) = manager().await;
    let mut ten: Vec<_> = (0..10).map(|at| client(&format!("c{at}"), "x")).collect();
    ten[3].status = ClientStatus::Suspended;
    flexslot.clients.lock().extend(ten);
    let failure = manager.create(&new("App"), &mut |_| {}).await.unwrap_err();
    assert!(failure.what.contains("10 of 10 clients") && failure.hint.unwrap().contains("client revoke"));
    assert_eq!(flexslot.asked(), [""; 0]);
    flexslot.clients.lock()[0].status = ClientStatus::Revoked;
    manager.create(&new("App"), &mut |_| {}).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_lost_rotation_leaves_a_note_that_the_next_one_takes_away() {
    let (manager, flexslot) = manager().await;
    manager.create(&new("App"), &mut |_| {}).await.unwrap();
    flexslot.fails.lock().push_back(unknown());
    let clients = manager.clients().await.unwrap();
    let failure = manager.rotate(clients.find("c0").unwrap()).await.unwrap_err();
    assert!(failure.hint.unwrap().ends_with("client rotate-secret c0"));
    assert!(manager.store.client("c0").await.unwrap().unwrap().intent.is_some());
    let clients = manager.clients().await.unwrap();
    let issued = manager.rotate(clients.find("c0").unwrap()).await.unwrap();
    assert_eq!(issued.secret, Some(Secret::new("flx_cs_102")));
    let kept = manager.store.client("c0").await.unwrap().unwrap();
    assert_eq!((kept.secret, kept.intent), (issued.secret, None));
}

#[tokio::test(start_paused = true)]
async fn what_is_revoked_elsewhere_is_forgotten_by_who_manages_it_alone() {
    let (manager, flexslot) = manager().await;
    manager.create(&new("App"), &mut |_| {}).await.unwrap();
    flexslot.clients.lock().clear();
    let clients = manager.clients().await.unwrap();
    let client = clients.find("App").unwrap();
    let other = ClientManager {
        tenant: "other".parse().unwrap(),
        store: manager.store.clone(),
        management: flexslot.clone(),
        origin: manager.origin.clone(),
        pat: manager.pat.clone(),
    };
    assert!(other.revoke(client, &clients, Assurance::None).await.unwrap_err().what.contains("does not list c0"));
    let refused = manager.revoke(client, &clients, Assurance::None).await.unwrap_err();
    assert!(refused.what.contains("it was active when it was seen last") && refused.what.contains("nothing was done"));
    assert!(refused.hint.unwrap().contains("--already-revoked"));
    assert!(manager.store.client("c0").await.unwrap().is_some(), "the PAT may be another partner's by now");
    let ended = manager.revoke(client, &clients, Assurance::Operator).await.unwrap();
    assert!(ended.was_over && !flexslot.asked().contains(&"revoke c0".to_owned()));
    assert_eq!(manager.store.client("c0").await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn a_name_that_two_clients_have_is_not_guessed() {
    let (manager, flexslot) = manager().await;
    flexslot.clients.lock().extend([client("a", "App"), client("b", "App"), client("c", "One")]);
    let clients = manager.clients().await.unwrap();
    assert!(clients.find("App").unwrap_err().what.contains("2 OAuth clients"));
    assert_eq!(clients.find("One").unwrap().client_id, "c");
    assert_eq!(clients.find("b").unwrap().client_id, "b");
    assert!(clients.find("Other").is_err());
}

/// The answer was lost, or the program died: Flexslot was asked, and does not list it any more.
#[tokio::test(start_paused = true)]
async fn a_revocation_that_was_asked_for_is_believed_and_one_by_hand_is_waited_for() {
    for way in [unknown(), by_hand()] {
        let (manager, flexslot) = manager().await;
        manager.create(&new("App"), &mut |_| {}).await.unwrap();
        flexslot.fails.lock().push_back(way.clone());
        let clients = manager.clients().await.unwrap();
        let _ = manager.revoke(clients.find("App").unwrap(), &clients, Assurance::None).await.unwrap_err();
        flexslot.clients.lock().clear();
        let clients = manager.clients().await.unwrap();
        let ended = manager.revoke(clients.find("App").unwrap(), &clients, Assurance::None).await.unwrap();
        assert!(ended.was_over, "{way:?}");
        assert_eq!(manager.store.is_revoked_client("c0").await, Ok(true));
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_of_another_time_is_not_taken_for_the_one_that_was_asked_for() {
    const NOW: i64 = 1_795_200_000;
    for (created_at, is_ours) in [(NOW - 200, true), (NOW + 200, true), (NOW - 3600, false), (NOW + 3600, false)] {
        let (manager, flexslot) = manager().await;
        flexslot.fails.lock().push_back(unknown());
        let _ = manager.create(&new("App"), &mut |_| {}).await.unwrap_err();
        flexslot.clients.lock()[0].created_at = Some(Timestamp::from_secs(created_at));
        let mut told = Vec::new();
        let made = manager.create(&new("App"), &mut |news| told.push(news)).await.unwrap();
        assert_eq!(made.was_there, is_ours, "{created_at}");
        let rotated = flexslot.asked().contains(&"rotate c0".to_owned());
        assert_eq!(rotated, is_ours, "{created_at}: nobody else's secret is void by it");
        assert_eq!(told.iter().any(|news| news.contains("c0 (made at ")), !is_ours, "{told:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_with_other_scopes_is_told_and_left_alone() {
    let (manager, flexslot) = manager().await;
    flexslot.fails.lock().push_back(unknown());
    let _ = manager.create(&new("App"), &mut |_| {}).await.unwrap_err();
    flexslot.clients.lock()[0].scopes = vec!["cards:read".into()];
    let mut told = Vec::new();
    let made = manager.create(&new("App"), &mut |news| told.push(news)).await.unwrap();
    assert_eq!((made.client.client_id.as_str(), made.was_there), ("c1", false));
    assert!(matches!(&told[..], [news] if news.contains("c0 (scopes: cards:read)") && news.contains("client revoke")));
    assert_eq!(flexslot.asked(), ["create", "create"]);
}

#[tokio::test(start_paused = true)]
async fn of_two_that_may_be_it_none_gets_another_secret() {
    let (manager, flexslot) = manager().await;
    flexslot.fails.lock().push_back(unknown());
    let _ = manager.create(&new("App"), &mut |_| {}).await.unwrap_err();
    flexslot.clients.lock().push(client("c-other", "App"));
    let failure = manager.create(&new("App"), &mut |_| {}).await.unwrap_err();
    assert!(failure.what.contains("c0, c-other") && failure.hint.unwrap().contains("rotate-secret"));
    assert_eq!(flexslot.asked(), ["create"]);
    let clients = manager.clients().await.unwrap();
    manager.rotate(clients.find("c0").unwrap()).await.unwrap();
    assert_eq!(manager.create(&new("App"), &mut |_| {}).await.unwrap().client.client_id, "c0");
}
