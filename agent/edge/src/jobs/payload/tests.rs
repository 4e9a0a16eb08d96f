//! Payloads as they are documented, cut down to what is read and some of what is not.

use proptest::prelude::*;

use super::*;

/// `job shop/web CI failed …` and what else is known of the run.
fn check(sender: Sender<'_>, body: &str, want: Option<(&str, &str)>) {
    let run = parse(sender, body.as_bytes()).unwrap_or_else(|e| panic!("{sender:?}: {e}"));
    let told = run.as_ref().map(|run| (run.id.as_str().to_owned(), run.fact().1.text.to_string()));
    assert_eq!(told.as_ref().map(|(id, text)| (id.as_str(), text.as_str())), want, "{sender:?} {body}");
}

#[test]
fn github() {
    let run = r#"{"action":"completed","workflow_run":{"id":30433642,"name":"Build","head_branch":"master",
        "head_sha":"acb5820ced9479c074f688cc328bf03f341a511d","run_number":562,"event":"push","status":"completed",
        "conclusion":"failure","run_attempt":2,"created_at":"2020-01-22T19:33:08Z","run_started_at":"2020-01-22T19:33:08Z",
        "updated_at":"2020-01-22T19:38:20Z","pull_requests":[],"head_commit":{"id":"acb5","author":{"name":"Octo"}}},
        "workflow":{"id":159038,"name":"Build"},"repository":{"id":1296269,"full_name":"octo-org/octo-repo","private":false}}"#;
    let failed = "job octo-org/octo-repo Build failed after 312 s: master acb5820c (github)";
    check(Sender::GitHub("workflow_run"), run, Some(("30433642/2", failed)));
    let deleted = run.replace(r#""workflow":{"id":159038,"name":"Build"}"#, r#""workflow":null"#);
    check(Sender::GitHub("workflow_run"), &deleted, Some(("30433642/2", failed)));
    let running = run.replace("\"failure\"", "null").replace("\"completed\"", "\"in_progress\"");
    check(Sender::GitHub("workflow_run"), &running, None);
    let job = r#"{"action":"completed","workflow_job":{"id":2832853555,"run_id":940463255,"workflow_name":"CI","run_attempt":1,
        "head_branch":"main","head_sha":"e3103f8eb03e1ad7f2331c5446b23c070fc54055","status":"completed","conclusion":"success",
        "started_at":"2021-06-15T19:22:27Z","completed_at":"2021-06-15T19:22:31Z","name":"test","steps":[{"name":"Set up",
        "status":"completed","conclusion":"success","number":1}],"labels":["ubuntu-latest"]},
        "repository":{"full_name":"octo-org/octo-repo"},"sender":{"login":"octocat"}}"#;
    let done = "job octo-org/octo-repo CI/test succeeded after 4.0 s: main e3103f8e (github)";
    check(Sender::GitHub("workflow_job"), job, Some(("2832853555/1", done)));
    let deployment = r#"{"action":"created","deployment":{"id":145988746,"sha":"f95f852bd8fca8fcc58a9a2d6c842781e32a215e",
        "ref":"refs/heads/main","task":"deploy","payload":{},"environment":"production","created_at":"2019-05-15T15:20:41Z"},
        "repository":{"full_name":"octo-org/octo-repo"}}"#;
    let began = "deployment of octo-org/octo-repo to production began: main f95f852b (github)";
    check(Sender::GitHub("deployment"), deployment, Some(("145988746", began)));
    let ended = deployment.replace(
        "\"action\":\"created\",",
        "\"action\":\"created\",\"deployment_status\":{\"id\":209916254,\"state\":\"error\",\"created_at\":\"2019-05-15T15:21:22Z\"},",
    );
    let failed = "deployment of octo-org/octo-repo to production failed after 41 s: main f95f852b (github)";
    check(Sender::GitHub("deployment_status"), &ended, Some(("145988746", failed)));
    check(Sender::GitHub("deployment_status"), &ended.replace("\"error\"", "\"queued\""), None);
    let release = r#"{"action":"published","release":{"id":17372790,"tag_name":"0.0.1","target_commitish":"main","name":null},
        "repository":{"full_name":"octo-org/octo-repo"}}"#;
    check(
        Sender::GitHub("release"),
        release,
        Some(("17372790", "release of octo-org/octo-repo published: 0.0.1 (github)")),
    );
    check(Sender::GitHub("release"), &release.replace("published", "created"), None);
    check(Sender::GitHub("ping"), r#"{"zen":"Keep it logically awesome.","hook_id":1}"#, None);
    check(Sender::GitHub("push"), "{}", None);
}

#[test]
fn gitlab() {
    let pipeline = r#"{"object_kind":"pipeline","object_attributes":{"id":31,"iid":3,"name":null,"ref":"master","tag":false,
        "sha":"bcbb5ec396a2c0f828686f14fac9b80b780504f2","source":"merge_request_event","status":"success",
        "detailed_status":"passed","stages":["build","test"],"created_at":"2016-08-12 15:23:28 UTC",
        "finished_at":"2016-08-12 15:26:29 UTC","duration":63,"queued_duration":10,"variables":[]},
        "project":{"id":1,"name":"Gitlab Test","path_with_namespace":"gitlab-org/gitlab-test"},
        "builds":[{"id":380,"stage":"deploy","name":"production","status":"skipped"}]}"#;
    let done = "job gitlab-org/gitlab-test pipeline succeeded after 63 s: master bcbb5ec3 (gitlab)";
    check(Sender::GitLab, pipeline, Some(("31", done)));
    check(Sender::GitLab, &pipeline.replace("\"status\":\"success\"", "\"status\":\"running\""), None);
    let job = r#"{"object_kind":"build","ref":"gitlab-script-trigger","tag":false,"sha":"2293ada6b400935a1378653304eaf6221e0fdb8f",
        "build_id":1977,"build_name":"test","build_stage":"test","build_status":"failed","build_created_at":"2021-02-23T02:41:37Z",
        "build_started_at":"2021-02-23T02:41:38Z","build_finished_at":null,"build_duration":17.5,"build_allow_failure":false,
        "build_failure_reason":"script_failure","pipeline_id":2366,"project_id":380,"project_name":"gitlab-org / gitlab-test"}"#;
    let failed = "job gitlab-org/gitlab-test test failed after 18 s: gitlab-script-trigger 2293ada6 (gitlab)";
    check(Sender::GitLab, job, Some(("1977", failed)));
    check(Sender::GitLab, &job.replace("\"failed\"", "\"created\""), None);
    let deployment = r#"{"object_kind":"deployment","status":"success","status_changed_at":"2021-04-28 21:50:00 +0200",
        "deployment_id":15,"deployable_id":796,"environment":"staging","environment_slug":"staging","ref":"main",
        "project":{"path_with_namespace":"root/test-deployment-webhooks"},"short_sha":"279484c0"}"#;
    let done = "deployment of root/test-deployment-webhooks to staging succeeded: main 279484c0 (gitlab)";
    check(Sender::GitLab, deployment, Some(("15", done)));
    let release = r#"{"id":1,"created_at":"2020-11-02 12:55:12 UTC","name":"v1.1","tag":"v1.1","object_kind":"release",
        "project":{"path_with_namespace":"gitlab-org/gitlab-test"},"action":"create","commit":{"id":"ee0a3fb3"}}"#;
    check(Sender::GitLab, release, Some(("1", "release of gitlab-org/gitlab-test published: v1.1 (gitlab)")));
    check(Sender::GitLab, r#"{"object_kind":"push","ref":"refs/heads/master"}"#, None);
}

#[test]
fn gitea_and_forgejo() {
    let run = r#"{"action":"completed","workflow":{"id":"ci.yml","name":"ci","state":"active"},"workflow_run":{"id":33,
        "display_title":"fix","path":"ci.yml@refs/heads/main","run_number":7,"run_attempt":1,"event":"push","head_sha":"9f2c1a4e77",
        "head_branch":"main","status":"completed","conclusion":"success","started_at":"2026-03-01T12:00:00+02:00",
        "completed_at":"2026-03-01T12:01:40+02:00"},"repository":{"full_name":"mouse/field"}}"#;
    check(
        Sender::Gitea("workflow_run"),
        run,
        Some(("33/1", "job mouse/field ci succeeded after 100 s: main 9f2c1a4e (gitea)")),
    );
    let run = r#"{"action":"failure","run":{"id":77,"title":"fix the build","workflow_id":"build.yml","index_in_repo":12,
        "prettyref":"main","commit_sha":"28e1879d029cb852e4844d9c718537df08844e03","event":"push","status":"failure",
        "started":"2026-03-01T12:00:00Z","stopped":"2026-03-01T12:01:00Z","duration":60000000000,
        "repository":{"full_name":"mouse/field"}},"prior_status":"running"}"#;
    let failed = "job mouse/field build.yml failed after 60 s: main 28e1879d (gitea)";
    check(Sender::Gitea("action_run_failure"), run, Some(("77", failed)));
    check(Sender::Gitea("action_run_recover"), run, None);
    let release = r#"{"action":"published","release":{"id":3,"tag_name":"v2","target_commitish":"main"},
        "repository":{"full_name":"mouse/field"}}"#;
    check(Sender::Gitea("release"), release, Some(("3", "release of mouse/field published: v2 (gitea)")));
    check(Sender::Gitea("push"), r#"{"ref":"refs/heads/main"}"#, None);
}

#[test]
fn jenkins_and_scripts() {
    let build = r#"{"name":"asgard","display_name":"asgard","url":"job/asgard/","build":{"full_url":"http://localhost:8080/job/asgard/18/",
        "number":18,"queue_id":4,"timestamp":1740000000000,"duration":5432,"phase":"COMPLETED","status":"FAILURE","url":"job/asgard/18/",
        "scm":{"url":"https://example.org/asgard.git","branch":"origin/master","commit":"c6d86dc654b12425e706bcf951adfe5a8627a517"},
        "parameters":{"branch":"master"},"log":"","artifacts":{}}}"#;
    let failed = "job asgard failed after 5.4 s: master c6d86dc6 (jenkins)";
    check(Sender::Unsaid, build, Some(("18", failed)));
    check(Sender::Unsaid, &build.replace("COMPLETED", "FINALIZED"), Some(("18", failed)));
    check(Sender::Unsaid, &build.replace("COMPLETED", "STARTED"), None);
    let own = r#"{"job":"backup","status":"succeeded","duration":312,"id":"7"}"#;
    check(Sender::Unsaid, own, Some(("7", "job backup succeeded after 312 s")));
    let own = r#"{"deployment":"shop","environment":"production","status":"failed","branch":"v2"}"#;
    check(Sender::Unsaid, own, Some(("", "deployment of shop to production failed: v2")));
}

#[test]
fn what_is_not_understood_is_refused_with_a_reason() {
    let check = |sender: Sender<'_>, body: &str, want: &str| {
        let e = parse(sender, body.as_bytes()).unwrap_err();
        assert!(e.contains(want), "{e}");
    };
    check(Sender::GitHub("workflow_run"), "{}", "not understood: missing field `workflow_run`");
    check(Sender::GitHub("workflow_run"), "payload=%7B", "not understood: ");
    check(Sender::GitLab, r#"{"object_kind":"pipeline"}"#, "missing field `object_attributes`");
    check(
        Sender::Unsaid,
        r#"{"job":"a","status":"maybe"}"#,
        "`maybe` is no status; allowed are running, succeeded",
    );
    check(Sender::Unsaid, r#"{"status":"ok"}"#, "one of `job` and `deployment`");
    check(Sender::Unsaid, r#"{"job":" ","status":"ok"}"#, "the name is empty");
    check(Sender::Unsaid, &"[".repeat(100_000), "not understood: ");
}

const PARTS: [&str; 14] = [
    "{\"workflow_run\":",
    "{\"id\":1,",
    "\"conclusion\":\"success\"",
    "}",
    "{",
    "\"object_kind\":\"pipeline\",",
    "\"object_attributes\":{\"id\":1,\"status\":\"failed\",\"duration\":1e300}",
    "{\"build\":{\"number\":1,",
    "\"status\":\"FAILURE\"",
    ",",
    "null",
    "\"name\":\"\u{e4}\"",
    "\"phase\":\"COMPLETED\"",
    "[[",
];

proptest! {
    #[test]
    fn any_text_returns(parts in prop::collection::vec(prop::sample::select(&PARTS[..]), 0..12), noise in ".{0,20}") {
        let text = parts.concat() + &noise;
        for sender in [Sender::GitHub("workflow_run"), Sender::Gitea("action_run_success"), Sender::GitLab, Sender::Unsaid] {
            if let Ok(Some(run)) = parse(sender, text.as_bytes()) {
                prop_assert!(run.name.len() <= 64 && run.fact().1.text.len() <= 200);
            }
        }
    }
}
