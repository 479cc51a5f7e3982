//! The loop's look at one CronJob in a simulated world.

use coracle_client::Key;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::plan::{self, Start, View};
use super::reference;
use crate::outstanding::Outstanding;
use crate::owners;
use crate::simulation::{NAMESPACE, Refusal, World, of_owner};

#[derive(Default)]
pub(crate) struct Memory {
    jobs: Outstanding,
    own: Outstanding,
}

pub(crate) fn look(world: &mut World, name: &str) -> Result<(), Refusal> {
    let Some(cron_job) = world.cron_jobs.seen(name) else { return Ok(()) };
    let key = Key::new(NAMESPACE, name);
    let memory = &world.memory.cron_jobs;
    if !memory.jobs.is_settled_at(&key, world.jobs.seen_revision(), |_| None)
        || !memory.own.is_settled_at(&key, world.cron_jobs.seen_revision(), |_| None)
    {
        return Ok(());
    }
    let jobs = world.jobs.seen_marked(&of_owner(cron_job.metadata.uid.as_deref().unwrap()));
    let plan = plan::plan(&View { cron_job: &cron_job, jobs: &jobs, now: world.now });
    let mut status = plan.status;
    let started = plan.start.map_or(Ok(()), |start| begin(world, &key, &cron_job, start, &mut status));
    if cron_job.status.clone().unwrap_or_default() != status {
        let written = world.replace(CronJob { status: Some(status), ..(*cron_job).clone() })?;
        world.memory.cron_jobs.own.wrote(&key, &written.metadata);
    }
    started?;
    plan.obsolete.iter().try_for_each(|job| world.delete::<Job>(&job.metadata, false))
}

fn begin(
    world: &mut World,
    key: &Key,
    cron_job: &CronJob,
    start: Start,
    status: &mut k8s_openapi::api::batch::v1::CronJobStatus,
) -> Result<(), Refusal> {
    for active in &start.instead_of {
        if let Some(job) = world.jobs.seen(active.name.as_deref().unwrap()) {
            world.delete::<Job>(&job.metadata, false)?;
        }
        status.active.iter_mut().for_each(|all| all.retain(|known| known.uid != active.uid));
    }
    let name = start.job.metadata.name.clone().unwrap();
    let made = match world.create(start.job) {
        Err(Refusal::Exists) => world.jobs.actual(&name).filter(|job| {
            owners::controller_of(&job.metadata).map(|owner| &owner.uid) == cron_job.metadata.uid.as_ref()
        }),
        answer => {
            let made = answer?;
            world.memory.cron_jobs.jobs.wrote(key, &made.metadata);
            Some(made)
        }
    };
    let Some(job) = made else { return Ok(()) };
    status.active.get_or_insert_default().push(reference(&job));
    status.last_schedule_time = Some(Time(start.at));
    Ok(())
}
