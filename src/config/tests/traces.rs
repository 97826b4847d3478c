//! What `[traces]` and OpenTelemetry's variables mean together.

use super::{FakeEnvironment, authority, faults};
use crate::{
    config::{Config, ServiceSecrets, TraceExport, Traces},
    model::trace::{Heed, Ratio, Sampler},
};

const COLLECTOR: &str = "http://collector:4318";

fn export(environment: FakeEnvironment) -> Option<TraceExport> {
    environment.load().unwrap_or_else(|faults| panic!("{faults}")).traces.export
}

/// With this file and these variables.
fn exported(file: &str, variables: &[(&str, &str)]) -> Option<TraceExport> {
    let start = FakeEnvironment::with_config(file);
    export(variables.iter().fold(start, |environment, (name, value)| environment.variable(name, value)))
}

/// What is told of these variables beside what is exported, which is something.
fn passed_over(variables: &[(&str, &str)]) -> (Option<TraceExport>, String) {
    let start = FakeEnvironment::with_config("");
    let environment = variables.iter().fold(start, |environment, (name, value)| environment.variable(name, value));
    let traces = environment.load().unwrap_or_else(|faults| panic!("{faults}")).traces;
    let told: Vec<_> = traces.passed_over.iter().map(ToString::to_string).collect();
    (traces.export, told.join("\n"))
}

fn url(file: &str, variables: &[(&str, &str)]) -> Option<String> {
    exported(file, variables).map(|export| export.url.to_string())
}

#[test]
fn nothing_is_exported_unless_somebody_says_so() {
    assert_eq!(url("", &[]), None);
    assert_eq!(url("", &[("OTEL_SERVICE_NAME", "x"), ("OTEL_TRACES_SAMPLER", "always_on")]), None);
    assert_eq!(url("traces.sample = 1", &[]), None);
}

#[test]
fn the_path_of_traces_is_added_to_an_address() {
    for (endpoint, posted) in [
        ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
        ("https://collector.example/", "https://collector.example/v1/traces"),
        ("https://vendor.example/api/v2/otlp", "https://vendor.example/api/v2/otlp/v1/traces"),
        ("https://vendor.example/otlp/v1/traces", "https://vendor.example/otlp/v1/traces"),
    ] {
        assert_eq!(url(&format!("traces.endpoint = {endpoint:?}"), &[]).as_deref(), Some(posted));
        assert_eq!(url("", &[("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)]).as_deref(), Some(posted));
    }
    let own =
        [("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://a:1/mine"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://b:1")];
    assert_eq!(url("", &own).as_deref(), Some("http://a:1/mine"), "taken as it is");
}

#[test]
fn the_file_wins_over_the_variables() {
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://other:4318"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=from%20outside"),
        ("OTEL_SERVICE_NAME", "outside"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=attribute,team=a%2Cb,zone=1"),
        ("OTEL_TRACES_SAMPLER", "traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
    ];
    let all = exported("", &variables).unwrap();
    assert_eq!(all.url.as_str(), "http://other:4318/v1/traces");
    assert_eq!(
        all.headers.iter().map(|(name, value)| (name.as_str(), value.expose())).collect::<Vec<_>>(),
        [("api-key", "from outside")]
    );
    assert_eq!(all.service_name, "outside");
    assert_eq!(all.resource, [("team".to_owned(), "a,b".to_owned()), ("zone".to_owned(), "1".to_owned())].into());
    assert_eq!(all.sampler, Sampler { heed: Heed::Nobody, ratio: Ratio::new(0.25).unwrap() });

    let file = r#"
[traces]
endpoint = "http://collector:4318"
headers = { "X-Scope-OrgID" = { env = "SCOPE" } }
sample = 0.5
service_name = "sidecar"
resource = { "deployment.environment.name" = "test", zone = "2" }
"#;
    let environment = FakeEnvironment::with_config(file).variable("SCOPE", "team a");
    let own = export(variables.iter().fold(environment, |all, (name, value)| all.variable(name, value))).unwrap();
    assert_eq!(own.url.as_str(), "http://collector:4318/v1/traces");
    assert_eq!(
        own.headers.iter().map(|(name, value)| (name.as_str(), value.expose())).collect::<Vec<_>>(),
        [("x-scope-orgid", "team a")]
    );
    assert_eq!(
        (own.service_name.as_str(), own.sampler),
        ("sidecar", Sampler { heed: Heed::Parent, ratio: Ratio::new(0.5).unwrap() })
    );
    let resource: Vec<_> = own.resource.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(resource, [("deployment.environment.name", "test"), ("team", "a,b"), ("zone", "2")]);
    assert_eq!(url("traces.endpoint = \"off\"", &variables), None);
}

#[test]
fn without_a_word_every_trace_is_exported_that_its_caller_lets_be() {
    let all = exported(&format!("traces.endpoint = {COLLECTOR:?}"), &[]).unwrap();
    assert_eq!(all.sampler, Sampler { heed: Heed::Parent, ratio: Ratio::ALL });
    assert_eq!((all.service_name.as_str(), all.resource.len(), all.headers.len()), ("flexslot-proxy", 0, 0));
    let named = [("OTEL_RESOURCE_ATTRIBUTES", "service.name=by-attribute")];
    assert_eq!(exported(&format!("traces.endpoint = {COLLECTOR:?}"), &named).unwrap().service_name, "by-attribute");
}

#[test]
fn samplers_are_those_of_the_specification() {
    let sampler = |name: &str| {
        let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", COLLECTOR), ("OTEL_TRACES_SAMPLER", name)];
        let Sampler { heed, ratio } = exported("", &variables).unwrap().sampler;
        (heed, ratio.to_string())
    };
    assert_eq!(sampler("always_on"), (Heed::Nobody, "1".into()));
    assert_eq!(sampler("always_off"), (Heed::Nobody, "0".into()));
    assert_eq!(sampler("traceidratio"), (Heed::Nobody, "1".into()));
    assert_eq!(sampler("parentbased_always_on"), (Heed::Parent, "1".into()));
    assert_eq!(sampler("parentbased_always_off"), (Heed::Parent, "0".into()));
    assert_eq!(sampler("parentbased_traceidratio"), (Heed::Parent, "1".into()));
}

#[test]
fn variables_can_turn_it_off() {
    for off in [("OTEL_SDK_DISABLED", "TRUE"), ("OTEL_TRACES_EXPORTER", "none"), ("OTEL_TRACES_EXPORTER", "console")] {
        assert_eq!(url("", &[("OTEL_EXPORTER_OTLP_ENDPOINT", COLLECTOR), off]), None, "{off:?}");
    }
    for on in [("OTEL_SDK_DISABLED", "false"), ("OTEL_TRACES_EXPORTER", "console, otlp")] {
        assert!(url("", &[("OTEL_EXPORTER_OTLP_ENDPOINT", COLLECTOR), on]).is_some(), "{on:?}");
    }
}

/// They are there for everything in a pod, and a start that never asked for traces is not stopped by them (OpenTelemetry:
/// an invalid value is warned of, and counts as not set).
#[test]
fn what_the_variables_say_wrong_is_told_and_passed_over() {
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", COLLECTOR);
    let (export, told) = passed_over(&[endpoint, ("OTEL_EXPORTER_OTLP_PROTOCOL", "gRPC")]);
    assert_eq!(export, None, "it would hear nothing that it understands");
    assert!(
        told.starts_with(
            "OTEL_EXPORTER_OTLP_PROTOCOL: not spoken here, and so no traces are exported; write http/protobuf"
        ),
        "{told}"
    );
    let as_if_not_set = passed_over(&[endpoint]).0;
    assert!(as_if_not_set.is_some());
    for (name, value, says) in [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/xml", "not a protocol that is spoken here"),
        ("OTEL_TRACES_SAMPLER", "jaeger_remote", "not a sampler that is known here; write parentbased_traceidratio"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "canary", "not a list of pairs; write name=value,name=value, percent-encoded"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "host=canary", "this header is set by the exporter"),
        ("OTEL_RESOURCE_ATTRIBUTES", "canary", "not a list of pairs"),
        ("OTEL_SDK_DISABLED", "1", "neither true nor false"),
        ("OTEL_TRACES_EXPORTER", "otpl", "not an exporter that is known here"),
    ] {
        let (export, told) = passed_over(&[endpoint, (name, value)]);
        assert!(told.starts_with(&format!("{name}: {says}")) && !told.contains("canary"), "{told}");
        assert_eq!(export, as_if_not_set, "{name}");
    }
    let ratio = passed_over(&[endpoint, ("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "2")]);
    assert_eq!(ratio.1, "OTEL_TRACES_SAMPLER_ARG: expected a number from 0 to 1");
    assert_eq!(ratio.0.unwrap().sampler, Sampler { heed: Heed::Nobody, ratio: Ratio::ALL });
    let (export, told) = passed_over(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318")]);
    assert_eq!(export, None);
    assert!(told.starts_with("OTEL_EXPORTER_OTLP_ENDPOINT: not an absolute URL"), "{told}");
    // Where nobody asks for traces, nothing is said of the rest.
    let rest = [("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), ("OTEL_TRACES_SAMPLER", "x"), ("OTEL_SDK_DISABLED", "1")];
    assert_eq!(passed_over(&rest), (None, String::new()));
    // A command that serves nothing has nothing to do with them.
    let machine = FakeEnvironment::with_config("").variable("OTEL_EXPORTER_OTLP_ENDPOINT", "nonsense");
    let source = crate::config::ConfigSource::File("/etc/fp/proxy.toml".into());
    let overrides = crate::config::Overrides::default();
    let config = Config::load_with(ServiceSecrets::None, &source, &overrides, &machine).unwrap();
    assert_eq!(config.traces, Traces::default());
}

#[test]
fn words_of_the_specification_are_understood_in_any_case() {
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", COLLECTOR),
        ("OTEL_TRACES_SAMPLER", "Always_Off"),
        ("OTEL_TRACES_EXPORTER", "OTLP"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "HTTP/Protobuf"),
    ];
    let (export, told) = passed_over(&variables);
    assert_eq!((export.unwrap().sampler.ratio, told.as_str()), (Ratio::NONE, ""));
}

#[test]
fn what_the_file_says_wrong_is_told_without_secrets() {
    let text = r#"[traces]
endpoint = "http://user:canary@collector:4318"
headers = { authorization = "canary", host = { env = "H" } }
sample = 1.5
service_name = ""
resource = { deployment.environment = "test", "service.name" = "x" }
"#;
    assert_eq!(
        faults(text),
        "proxy.toml:2: traces.endpoint: credentials do not belong in this URL (column 12)\n  hint: name them in traces.headers\n\
         proxy.toml:3: traces.headers.authorization: a secret is never written in the file (column 29)\n  hint: write { env = \"NAME\" } or { file = \"path\" }\n\
         proxy.toml:3: traces.headers.host: this header is set by the exporter (column 46)\n\
         proxy.toml:4: traces.sample: expected a number from 0 to 1 (column 10)\n  hint: 0.1 is every tenth\n\
         proxy.toml:5: traces.service_name: not a name (column 16)\n  hint: write one such as \"flexslot-proxy\"\n\
         proxy.toml:6: traces.resource.deployment: expected a text in quotes, found a table (column 14)\n  \
         hint: put the name in quotes too: \"deployment.environment.name\" = \"production\"\n\
         proxy.toml:6: traces.resource.service.name: this has a key of its own (column 64)\n  hint: write service_name"
    );
    for (endpoint, says) in [
        ("ftp://x", "neither https:// nor http://"),
        ("http://x/?a=1", "has a query"),
        ("collector", "not an absolute URL"),
    ] {
        let told = faults(&format!("traces.endpoint = {endpoint:?}"));
        assert!(told.contains(says), "{told}");
    }
}

#[test]
fn headers_in_plain_text_to_another_machine_are_worth_a_word() {
    let exposure = |endpoint: &str, headers: &[(&str, &str)]| {
        exported(&format!("traces.endpoint = {endpoint:?}"), headers).unwrap().exposure().is_some()
    };
    let headers = [("OTEL_EXPORTER_OTLP_HEADERS", "a=b")];
    assert!(exposure("http://collector:4318", &headers));
    assert!(!exposure("http://collector:4318", &[]));
    assert!(!exposure("http://localhost:4318", &headers));
    assert!(!exposure("https://collector:4318", &headers));
}

#[test]
fn the_files_of_traces_are_watched() {
    let file =
        "[traces]\nendpoint = \"https://c:4318\"\nca_file = \"ca.pem\"\nheaders = { a = { file = \"header\" } }\n";
    let environment =
        FakeEnvironment::with_config(file).file("/etc/fp/header", "b").file("/etc/fp/ca.pem", &authority().pem());
    let watched = environment.load().unwrap().watched_files();
    for name in ["/etc/fp/header", "/etc/fp/ca.pem"] {
        assert!(watched.iter().any(|path| path.as_os_str() == name), "{watched:?}");
    }
}
