//! Jobs of every kind, and a CronJob that keeps to its time zone.

use std::time::{SystemTime, UNIX_EPOCH};

use super::kubectl::{says, says_to};
use crate::cluster::Cluster;
use crate::wait;

#[test]
fn jobs_of_every_kind_come_to_their_ends() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::up(dir.path(), &[]);
    cluster.push("job", "job:v1");
    cluster.push("toolbox", "toolbox:v1");
    a_job_runs_to_completion(&cluster);
    indexes_are_told_apart(&cluster);
    failures_are_counted_as_the_policies_say(&cluster);
    a_job_is_suspended_resized_and_resumed(&cluster);
    time_ends_jobs(&cluster);
    a_cron_job_follows_its_time_zone(&cluster);
    a_disruption_is_not_a_failure(&cluster);
}

/// A Job's manifest. `container` is the middle of a container, such as `image: 'job:v1'`.
fn job(name: &str, spec: &str, container: &str) -> String {
    format!(
        "{{apiVersion: batch/v1, kind: Job, metadata: {{name: {name}}}, spec: {{{spec} template: {{spec: {{
           restartPolicy: Never, terminationGracePeriodSeconds: 1, containers: [{{name: c, {container}}}]}}}}}}}}"
    )
}

const SHORT: &str = "image: 'job:v1', args: ['1000']";
const ENDLESS: &str = "image: 'toolbox:v1', args: [echo, '7']";
/// Fails with its own index, so that only the first one succeeds.
const FAILS_BY_INDEX: &str = "image: 'job:v1', args: ['1000'], env: [{name: FAIL_WITH, valueFrom: {fieldRef: {
    fieldPath: \"metadata.annotations['batch.kubernetes.io/job-completion-index']\"}}}]";

fn create(cluster: &Cluster, manifest: &str) {
    says_to(cluster, "create -f -", manifest, &["created"]);
}

fn ends(cluster: &Cluster, name: &str, condition: &str) {
    says(cluster, &format!("wait --for=condition={condition} job/{name} --timeout=60s"), &["condition met"]);
}

/// What a Job says of itself at a path below its status.
fn status(cluster: &Cluster, name: &str, path: &str) -> String {
    cluster.ask(&["get", "job", name, "-o", &format!("jsonpath={{.status.{path}}}")])
}

fn reason(cluster: &Cluster, name: &str, condition: &str) -> String {
    status(cluster, name, &format!("conditions[?(@.type==\"{condition}\")].reason"))
}

fn a_job_runs_to_completion(cluster: &Cluster) {
    create(cluster, &job("plain", "", SHORT));
    ends(cluster, "plain", "Complete");
    says(cluster, "get job plain", &["Complete   1/1"]);
    says(cluster, "logs job/plain", &["there are 168 primes below 1000"]);
    create(cluster, &job("three", "completions: 3, parallelism: 2,", SHORT));
    ends(cluster, "three", "Complete");
    says(cluster, "get job three", &["Complete   3/3"]);
    create(cluster, &job("queue", "parallelism: 2,", SHORT));
    ends(cluster, "queue", "Complete");
    says(cluster, "get job queue", &["Complete   2/1 of 2"]);
    let finalizers = ["get", "pods", "-l", "job-name=three", "-o", "jsonpath={.items[*].metadata.finalizers}"];
    assert_eq!(cluster.ask(&finalizers), "", "every pod was counted and let go");
    says(cluster, "events --for job/three", &["SuccessfulCreate", "Completed", "Job completed"]);
}

fn indexes_are_told_apart(cluster: &Cluster) {
    let tell = "image: 'toolbox:v1', args: [env, JOB_COMPLETION_INDEX]";
    create(cluster, &job("indexed", "completionMode: Indexed, completions: 3, parallelism: 3,", tell));
    ends(cluster, "indexed", "Complete");
    assert_eq!(status(cluster, "indexed", "completedIndexes"), "0-2");
    let logs = cluster.ask(&["logs", "-l", "job-name=indexed"]);
    let mut said: Vec<&str> = logs.lines().collect();
    said.sort_unstable();
    assert_eq!(said, ["0", "1", "2"]);

    let each = "completionMode: Indexed, completions: 3, parallelism: 3, backoffLimitPerIndex: 0,";
    create(cluster, &job("each", each, FAILS_BY_INDEX));
    ends(cluster, "each", "Failed");
    assert_eq!(status(cluster, "each", "completedIndexes"), "0");
    assert_eq!(status(cluster, "each", "failedIndexes"), "1,2");
    assert_eq!(reason(cluster, "each", "Failed"), "FailedIndexes");

    let bounded =
        "completionMode: Indexed, completions: 9, parallelism: 1, backoffLimitPerIndex: 0, maxFailedIndexes: 1,";
    create(cluster, &job("bounded", bounded, FAILS_BY_INDEX));
    ends(cluster, "bounded", "Failed");
    assert_eq!(reason(cluster, "bounded", "Failed"), "MaxFailedIndexesExceeded");
    assert_eq!(status(cluster, "bounded", "failedIndexes"), "1,2", "no other was tried");

    create(cluster, &job("grown", "completionMode: Indexed, completions: 2, parallelism: 2,", ENDLESS));
    says(cluster, r#"patch job grown -p {"spec":{"completions":3,"parallelism":3}}"#, &["patched"]);
    says(cluster, "wait --for=jsonpath={.status.ready}=3 job/grown --timeout=60s", &["condition met"]);
    says(
        cluster,
        r#"patch job grown -p {"spec":{"completions":4}}"#,
        &["can only be modified in tandem with spec.parallelism"],
    );
    says(cluster, "delete job grown --timeout=60s", &["deleted"]);

    let first = "completionMode: Indexed, completions: 3, parallelism: 1,
        successPolicy: {rules: [{succeededIndexes: '0'}]},";
    create(cluster, &job("first", first, FAILS_BY_INDEX));
    ends(cluster, "first", "Complete");
    assert_eq!(reason(cluster, "first", "SuccessCriteriaMet"), "SuccessPolicy");
    assert_eq!(status(cluster, "first", "completedIndexes"), "0");
}

fn failures_are_counted_as_the_policies_say(cluster: &Cluster) {
    let fails = "image: 'toolbox:v1', args: [exit, '42']";
    create(cluster, &job("once", "backoffLimit: 0,", fails));
    ends(cluster, "once", "Failed");
    assert_eq!(reason(cluster, "once", "Failed"), "BackoffLimitExceeded");
    let rule = |action| {
        format!("podFailurePolicy: {{rules: [{{action: {action}, onExitCodes: {{operator: In, values: [42]}}}}]}},")
    };
    create(cluster, &job("policy", &rule("FailJob"), fails));
    ends(cluster, "policy", "Failed");
    assert_eq!(reason(cluster, "policy", "Failed"), "PodFailurePolicy");
    assert_eq!(status(cluster, "policy", "failed"), "1");
    let each = "completionMode: Indexed, completions: 2, parallelism: 2, backoffLimitPerIndex: 5,";
    create(cluster, &job("giveup", &format!("{each} {}", rule("FailIndex")), fails));
    ends(cluster, "giveup", "Failed");
    assert_eq!(status(cluster, "giveup", "failedIndexes"), "0,1");
    assert_eq!(status(cluster, "giveup", "failed"), "2", "no index was tried again");
}

fn a_job_is_suspended_resized_and_resumed(cluster: &Cluster) {
    create(cluster, &job("held", "suspend: true, completions: 3, parallelism: 1,", ENDLESS));
    says(cluster, "wait --for=condition=Suspended job/held --timeout=60s", &["condition met"]);
    says(cluster, "get job held", &["Suspended   0/3"]);
    says(cluster, "events --for job/held", &["Suspended", "Job suspended"]);
    says(cluster, r#"patch job held -p {"spec":{"suspend":false,"parallelism":2}}"#, &["patched"]);
    says(cluster, "wait --for=jsonpath={.status.ready}=2 job/held --timeout=60s", &["condition met"]);
    says(cluster, r#"patch job held -p {"spec":{"suspend":true}}"#, &["patched"]);
    says(cluster, "wait --for=delete pods -l job-name=held --timeout=60s", &["exit status: 0"]);
    ends(cluster, "held", "Suspended");
    assert_eq!(status(cluster, "held", "failed"), "", "a pod that a pause ended has not failed");
    says(cluster, "delete job held --timeout=60s", &["job.batch \"held\" deleted"]);
}

fn time_ends_jobs(cluster: &Cluster) {
    create(cluster, &job("late", "activeDeadlineSeconds: 1,", ENDLESS));
    ends(cluster, "late", "Failed");
    assert_eq!(reason(cluster, "late", "Failed"), "DeadlineExceeded");
    create(cluster, &job("brief", "ttlSecondsAfterFinished: 0,", SHORT));
    says(cluster, "wait --for=delete job/brief --timeout=60s", &["exit status: 0"]);
    says(cluster, "get pods -l job-name=brief -o name", &["exit status: 0 "]);
    wait::until("its pods to go with it", || {
        match cluster.ask(&["get", "pods", "-l", "job-name=brief", "-o", "name"]) {
            none if none.is_empty() => Ok(()),
            some => Err(some),
        }
    });
}

fn a_disruption_is_not_a_failure(cluster: &Cluster) {
    let ignore = "backoffLimit: 0, podFailurePolicy: {rules: [{action: Ignore, onPodConditions: [
        {type: DisruptionTarget, status: 'True'}]}]},";
    create(cluster, &job("moved", ignore, ENDLESS));
    says(cluster, "wait --for=jsonpath={.status.ready}=1 job/moved --timeout=60s", &["condition met"]);
    let node = cluster.ask(&["get", "nodes", "-o", "jsonpath={.items[0].metadata.name}"]);
    says(cluster, &format!("drain {node} --force --timeout=60s"), &["drained"]);
    says(cluster, &format!("uncordon {node}"), &["uncordoned"]);
    says(cluster, "wait --for=jsonpath={.status.ready}=1 job/moved --timeout=60s", &["condition met"]);
    assert_eq!(status(cluster, "moved", "failed"), "", "the eviction does not count");
    says(cluster, "delete job moved --timeout=60s", &["deleted"]);
}

fn a_cron_job_follows_its_time_zone(cluster: &Cluster) {
    // Tokyo is nine hours ahead all year: in any other zone, the start that was missed a minute ago is hours off.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let missed = now / 60 - 1;
    let (minute, hour) = (missed % 60, (missed / 60 + 9) % 24);
    let cron = format!(
        "{{apiVersion: batch/v1, kind: CronJob, metadata: {{name: nightly}}, spec: {{schedule: '{minute} {hour} * * *',
           timeZone: Asia/Tokyo, startingDeadlineSeconds: 600, jobTemplate: {{spec: {{template: {{spec: {{
           restartPolicy: Never, containers: [{{name: c, {SHORT}}}]}}}}}}}}}}}}"
    );
    says_to(cluster, "create -f -", &cron.replace("Asia/Tokyo", "Mars/Base"), &["unknown time zone Mars/Base"]);
    create(cluster, &cron);
    says(cluster, "get cronjob nightly", &["Asia/Tokyo", "False     0        <none>"]);
    says(cluster, "create job by-hand --from=cronjob/nightly", &["job.batch/by-hand created"]);
    ends(cluster, "by-hand", "Complete");
    says(cluster, "get job by-hand -o yaml", &["cronjob.kubernetes.io/instantiate: manual", "kind: CronJob"]);
    let long_ago =
        r#"patch cronjob nightly --subresource=status -p {"status":{"lastScheduleTime":"2026-01-01T00:00:00Z"}}"#;
    says(cluster, long_ago, &["cronjob.batch/nightly patched"]);
    says(cluster, &format!("wait --for=create job/nightly-{missed} --timeout=60s"), &["condition met"]);
    ends(cluster, &format!("nightly-{missed}"), "Complete");
    says(cluster, "delete cronjob nightly --timeout=60s", &["cronjob.batch \"nightly\" deleted"]);
}
